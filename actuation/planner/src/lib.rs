//! PURE planner of actuation: `plan(&NodeState, now) -> Plan`.

pub mod action;
mod canonical;
mod fold;
pub mod hashes;
pub mod ids;
pub mod instance;
mod json;
pub mod limits;
pub mod memory;
pub mod observe;
pub mod planned;
mod podspec;
pub mod state;
pub mod template;
pub mod write;

pub use action::Action;
pub use planned::Plan;
pub use state::NodeState;
