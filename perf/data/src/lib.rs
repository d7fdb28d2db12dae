//! Data of a benchmark (perf contract 3 and 4.2): what is said in each turn of each conversation, and the bytes that say it.
//!
//! [`open`] makes a [`Dataset`] of a [`Spec`]: of text made up, or of a file. Its conversation k is a pure function of the seed and
//! k, so that nothing is held for all of them and any thread may ask for any. [`Payloads::prepare`] turns a [`Conversation`] into
//! pieces of bytes, once; [`Prepared::body`] puts them together with what was answered, and builds no tree.
//!
//! | Module | Idea |
//! |---|---|
//! | [`spec`] | what is asked for: every option that concerns data |
//! | [`tokenizer`] | text to tokens and back, from files of this machine only |
//! | [`distribution`] | how long, how many, how late: all the ways in which that is spread |
//! | [`lengths`] | lengths of prompt and answer that hang together: pairs, windows |
//! | `prompt` | text of exactly so many tokens |
//! | [`dataset`] | conversations by number, and the order in which they are taken |
//! | `image`, `pictures` | images of turns; pictures of a folder that they are made of |
//! | `files` | formats of files, checked as a whole before one is used |
//! | [`conversation`] | what both of them give |
//! | [`payload`] | request bodies |
//! | [`json`] | JSON as bytes: compact, its members in order |

pub mod conversation;
pub mod dataset;
pub mod distribution;
mod error;
mod files;
mod image;
pub mod json;
pub mod lengths;
pub mod payload;
mod pictures;
mod prompt;
pub mod spec;
mod synthetic;
#[cfg(test)]
mod tests;
pub mod tokenizer;

pub use conversation::{ContextMode, Conversation, Media, Text, Turn};
pub use dataset::{Dataset, Format, Order, open};
pub use distribution::Length;
pub use error::Error;
pub use payload::{Answer, EndpointType, ExtraInputs, Payloads, Prepared, PreparedTurn, Template};
pub use spec::{FileFormat, Source, Spec};
pub use tokenizer::{Tokenizer, TokenizerError};
