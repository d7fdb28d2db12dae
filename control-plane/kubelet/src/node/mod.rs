//! The executor: watches the Pods of one node and carries out what their machines ask for.
//!
//! ```text
//! watch ──▶ Kubelet (one task) ──▶ worker (one task per Pod) ──▶ machine.step ──▶ actions
//!                                     ▲        │ prepare, start, probe, hook (tasks)
//!                                     └────────┘ their outcomes, as events
//! ```
//!
//! What the volumes of a Pod show is kept up to date by one task per Pod ([`follow`]), which shares [`watches`] of ConfigMaps and
//! Secrets with those of other Pods.
//!
//! A worker never waits for the API or a process inside its loop: whatever takes time is a task that reports back. Status
//! goes through one [`writer`] per Pod, which writes the newest and skips what was overtaken.

mod addresses;
mod atomic;
mod attend;
mod context;
mod folder;
mod follow;
mod hook;
mod kubelet;
mod prepare;
mod probe;
mod register;
mod scripts;
mod start;
mod sweep;
mod tree;
mod watches;
mod worker;
mod writer;

pub use kubelet::{Error, Handle, Kubelet};
