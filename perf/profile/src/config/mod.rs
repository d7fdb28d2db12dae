//! What is to be run, as a document (perf contract 1.5): from options, from a file, or from both, options over the file.
//!
//! | Module | From | To |
//! |---|---|---|
//! | `document` | options | a document, with the rules that bind options to each other |
//! | `file` | a YAML file | a document |
//! | `sweep` | a document | one document for each combination of swept values |
//! | `model` | a document | typed values with defaults |
//! | `length` | a part of one | a length, however it is spread |
//! | `plan` | typed values | what the data set, the worker and the files need |
//!
//! The document of a run is written into its summary as `input_config`.

pub mod document;
pub mod file;
pub mod length;
pub mod model;
pub mod plan;
pub mod sweep;
pub mod tree;

pub use model::Config;

use dormouse_runtime::exit::Failure;

/// Options or a file that cannot be followed: exit code 2.
pub(crate) fn wrong(words: impl std::fmt::Display) -> Failure {
    Failure::usage(words)
}

/// A name, as the peer takes it: in any case, with `-` for `_`.
pub(crate) fn name(text: &str) -> String {
    text.trim().to_lowercase().replace('-', "_")
}

/// One of a few names, or an error that lists them.
pub(crate) fn one_of(what: &str, given: &str, known: &[&str]) -> Result<String, Failure> {
    let given_name = name(given);
    if known.contains(&given_name.as_str()) {
        return Ok(given_name);
    }
    Err(wrong(format!("{what}: {given:?} is none of {}", known.join(", "))))
}
