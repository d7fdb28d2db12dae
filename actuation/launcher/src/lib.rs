//! The launcher: a daemon in a launcher Pod that runs inference engines as child processes behind an HTTP API, so that a
//! model can be started, put to sleep and replaced without a new Pod. Drop-in for the launcher of llm-d Fast Model
//! Actuation; what is ours on top is optional and additive.
//!
//! * [`run()`] serves the API until told to end; [`bind`] and [`Bound::serve`] are its two halves, for tests and the plane.
//! * [`notifier`] is the sidecar that makes the launcher's Pod object change when its instances do.
//! * [`stub_engine`] is an engine that computes nothing and misbehaves on request, for tests.
//!
//! Inside: [`manager`] holds the instances and the event log; [`process`] starts and ends process trees; [`api`] is the wire;
//! [`journal`] lets a restarted launcher clean up after its predecessor; [`gpu`] turns UUIDs into indexes; [`memory`]
//! tells how full GPUs are; [`adapter`] knows command lines.

mod adapter;
mod api;
mod args;
mod command;
mod events;
mod gpu;
mod instance;
mod journal;
mod logs;
mod manager;
mod memory;
mod metrics;
pub mod notifier;
mod process;
mod run;
pub mod stub_engine;

pub use args::{Args, DeviceForm, LogLevel, PortCheck};
pub use command::Verb;
pub use run::{Bound, Error, bind, run};
