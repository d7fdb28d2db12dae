//! From objects as the API has them to the state of a node.
//!
//! The controller's index is a thin shell around these functions: it keeps the last object of each Pod, ConfigMap, Node and
//! custom resource, and replaces the corresponding part of [`crate::NodeState`] when one changes. Every function is total: an
//! object that makes no sense is `None` or carries the problem inside.

mod binding;
mod configs;
mod pods;

pub use configs::{GpuMapProblem, gpu_map, isc, launcher_config, node, node_gone};
pub use pods::{Observed, pod};
