//! The dual-pods controller and the launcher populator: watch, plan, execute.
//!
//! Everything that decides is in `dormouse-planner`. Here: an index that turns watch events into one
//! planner state per node ([`world`]), an executor that performs actions and reports what was answered
//! ([`executor`], [`calls`]), the watch streams of launchers ([`follow`]), logs and metrics ([`report`]), a view of its state
//! ([`shown`]), flags, and the loop between them ([`controller`]). Both programs run the same loop; each executes only the actions it owns.

mod calls;
mod command;
mod controller;
mod executor;
mod follow;
mod metrics;
mod options;
mod programs;
mod report;
mod shown;
pub mod status;
mod world;

pub use command::Verb;
pub use controller::{Options, Role, run, run_inspected};
pub use options::{CommonArgs, DualPodsArgs, PopulatorArgs, UsageError};
pub use programs::{dual_pods_controller, launcher_populator};
