//! A kubelet that runs Pods as local processes.
//!
//! [`Kubelet::start`] registers a node and runs the Pods that are bound to it: their containers are processes of this
//! machine with an environment, mounts, probes, hooks, restarts, logs and status as Kubernetes has them. An image is a name
//! that resolves to a command ([`plan::image`]).
//!
//! | Module | Idea |
//! |---|---|
//! | [`plan`] | what a Pod means here: environment, command, volumes, GPUs, admission. Pure |
//! | [`machine`] | the life of a Pod: events in, actions and status out. Pure |
//! | [`shim`] | the processes between us and the containers, so that none survives us; the sandbox |
//! | [`logs`] | what containers write, and reading it back |
//! | `host_program` | what the link of a program of the host does |
//! | `node` | the executor: watch, workers, files, calls |

#![cfg_attr(test, allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it"))]

mod host_program;
pub mod logs;
pub mod machine;
mod node;
mod options;
pub mod plan;
pub mod shim;

pub use host_program::become_host_program;
pub use node::{Error, Handle, Kubelet};
pub use options::{ApiAddress, Gpus, Options, SandboxMode};
