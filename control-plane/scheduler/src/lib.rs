//! The scheduler: which node a Pod runs on.
//!
//! [`mod@decide`] is pure: what a Pod asks for, what nodes offer and hold, who is where, and out comes a node or the reasons why
//! none fits, worded as kube-scheduler words them. The [`index`] is plain too: watches and answers in, Pods to place out.
//! [`run`] is thin: it feeds the index, binds through `pods/binding`, and reports `PodScheduled=False`. A binding counts from
//! the moment it is sent (*assumed*) until the watch shows it or the call fails, so that two Pods never get one GPU.
//!
//! Rules of one Pod and one node are those of `dormouse-placement`; [`filter`] has the order in which they count, [`spread`] and
//! [`between`] the rules that see other Pods, [`score`] what is better. Nothing is preempted and no volume is bound.

mod between;
mod crowd;
mod decide;
mod driver;
mod facts;
mod filter;
mod index;
mod score;
mod sight;
mod spread;
mod terms;
#[cfg(test)]
mod tests;

pub use driver::{Options, run};
