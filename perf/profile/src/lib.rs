//! `dormouse perf profile`: a benchmark of a generative-AI endpoint, from its options to files and a verdict.
//!
//! The rooms bear the names of the services in the AIPerf design, as threads of one process:
//!
//! | Room | Idea |
//! |---|---|
//! | `options`, [`config`] | what is asked for, from options and files, as one document |
//! | [`system_controller`] | one benchmark from its configuration to what was measured |
//! | `dataset_manager`, `script` | conversations, ready before they are wanted |
//! | (`timing`, `worker` in `perf/load`) | what leaves when, and the thread that has the sockets |
//! | `records_manager`, `raw` | what has ended becomes records, and lines |
//! | `scraping`, `readiness` | what is asked of servers beside the load |
//! | `trust`, `slo` | whether the figures are the server's; whether they are good enough |
//! | `export`, `about`, `panels`, `files` | files, and what people read |
//! | `run`, `several`, [`search`], `demo` | once, several times, until the level is found, for a first look |
//! | `ui`, `signals` | while it runs |
//! | [`doctor`] | whether it would work, before it is run, and what the server refuses |
//! | [`config_verbs`] | a configuration in full; what is wrong with one |

// Options and documents are described where a user reads them: each field's meaning is that of the option of its name.
#[allow(missing_docs)]
pub mod config;
#[allow(missing_docs)]
pub mod options;

pub mod about;
mod calibrate;
pub mod config_verbs;
pub mod dataset_manager;
mod demo;
pub mod doctor;
pub mod export;
pub mod files;
pub mod panels;
mod raw;
mod readiness;
pub mod records_manager;
pub mod run;
pub mod scraping;
pub mod script;
pub mod search;
mod several;
pub mod signals;
pub mod slo;
pub mod system_controller;
pub mod trust;
mod ui;
pub mod words;

pub use options::ProfileArgs;
pub use run::{document, run};
