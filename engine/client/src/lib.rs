//! How everything of ours speaks to an inference engine.
//!
//! Three parts. [`openai`] has the bodies of OpenAI's API, read and written by clients and by our own engine alike, and
//! [`sse`] reads the streams they come in; [`admin`] has the words of vLLM's administration routes. These need no HTTP client.
//! With the feature `http`, [`driver()`] gives a [`Driver`] for one kind of engine: its calls are single requests, sent by a
//! [`Transport`], which gives each its time and may count it; an HTTP client is one. [`put_to_sleep`] and [`wake_up`] are the
//! procedures over them: an answer of 200 proves nothing, so both look afterwards, and an answer that did not come is not a
//! failure but *unknown* until looked at. An [`Endpoint`] is the same engine as its users see it.

pub mod admin;
pub mod openai;
pub mod sse;

#[cfg(feature = "http")]
mod driver;
#[cfg(feature = "http")]
mod endpoint;
#[cfg(feature = "http")]
mod error;
#[cfg(feature = "http")]
mod procedure;
#[cfg(feature = "http")]
mod vllm;

#[cfg(feature = "http")]
pub use driver::{Call, Called, DEFAULT_ADAPTER, Driver, Health, Transport, driver};
#[cfg(feature = "http")]
pub use endpoint::{Endpoint, Stream};
#[cfg(feature = "http")]
pub use error::EngineError;
#[cfg(feature = "http")]
pub use procedure::{put_to_sleep, wake_up};
#[cfg(feature = "http")]
pub use vllm::Vllm;
