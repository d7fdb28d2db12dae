//! PURE planner of actuation: `plan(&NodeState, now) -> Plan`.

pub mod action;
pub mod ids;
pub mod limits;
pub mod memory;
pub mod planned;
pub mod state;

pub use action::Action;
pub use planned::Plan;
pub use state::NodeState;
