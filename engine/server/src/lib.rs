//! Inference engines of ours: one that really computes (a Llama-family model on the CPU) and one that simulates.
//! Both serve OpenAI's API and vLLM's administration routes, metrics names and command line, so that whatever drives
//! vLLM drives them.
//!
//! ```text
//! api (HTTP) -> Engine (admission, sleep state machine, metrics) -> Backend: sim | embedded
//! ```
//!
//! The verbs `vllm serve`, `engine sim` and `engine embedded` call [`run()`]; `engine make-model` calls [`make_model()`].
//! A program that measures an engine from outside reads its stamps (`dormouse_runtime::monotonic`): `start_begin`,
//! `start_end`, `sleep_begin`, `sleep_end`, `wake_begin`, `wake_end`, and `…_failed` instead of an end.

mod accelerators;
mod api;
mod args;
mod backend;
mod command;
mod embedded;
mod engine;
mod job;
mod make_model;
mod metrics;
mod run;
mod sim;

pub use args::{ServeArgs, SimArgs, parse};
pub use command::{EngineVerb, MakeModelArgs, Raw, VllmVerb};
pub use make_model::{MadeModel, MakeModelError, ModelOptions, make_model};
pub use run::{EngineKind, Environment, run, serve};
