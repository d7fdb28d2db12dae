//! What Kubernetes' rules say of one Pod and one node. Pure.
//!
//! Said here once, for the scheduler that chooses a node and for the kubelet that looks again when a Pod arrives: what a Pod
//! [`requests()`], which nodes its [`NodeRules`] admit, which [`taints`] it bears. Rules that need to see other Pods are the
//! scheduler's.

mod amounts;
mod nodes;
mod requests;
pub mod taints;

pub use amounts::{Amounts, amounts, thousandths};
pub use nodes::{NodeRules, Reach};
pub use requests::requests;
