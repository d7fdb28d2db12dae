//! The scheduler: which node a Pod runs on.
//!
//! [`mod@decide`] is pure: what a Pod asks for, what nodes offer and hold, and out comes a node or the reasons why
//! none fits, worded as kube-scheduler words them. The [`index`] is plain too: watches and answers in, Pods to place out.
//! [`run`] is thin: it feeds the index, binds through `pods/binding`, and reports `PodScheduled=False`. A binding counts from the moment it is
//! sent (*assumed*) until the watch shows it or the call fails, so that two Pods never get one GPU.

mod decide;
mod driver;
mod facts;
mod index;

pub use decide::{Unschedulable, decide};
pub use driver::{Options, run};
pub use facts::{NodeFacts, PodFacts, Resources};
