//! The executor: watches the Pods of one node and carries out what their machines ask for.
//!
//! ```text
//! watch ──▶ Kubelet (one task) ──▶ worker (one task per Pod) ──▶ machine.step ──▶ actions
//!                                     ▲        │ prepare, start, probe, hook (tasks)
//!                                     └────────┘ their outcomes, as events
//! ```
//!
//! A worker never waits for the API or a process inside its loop: whatever takes time is a task that reports back. Status
//! goes through one [`writer`] per Pod, which writes the newest and skips what was overtaken.

mod addresses;
mod context;
mod folder;
mod hook;
mod kubelet;
mod prepare;
mod probe;
mod register;
mod start;
mod sweep;
mod worker;
mod writer;

pub use kubelet::{Error, Handle, Kubelet};
