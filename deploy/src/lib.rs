//! What is applied to a cluster. One typed set of values, one renderer: `dormouse up` applies the result to
//! the embedded plane, and the Helm chart will be generated from the same types.

mod chart;
mod values;

pub use chart::{NODE_VIEW_ROLE, node_view_role, render};
pub use values::{ChartValues, DualPodsController, Global, IMAGE_REGISTRY, LauncherPopulator};
