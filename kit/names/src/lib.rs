//! Names of ours that one process writes and another reads. Pure, and without dependencies: whoever shares a name with
//! another system takes it from here and not from that system.
//!
//! * [`mod@env`]: environment variables;
//! * [`annotation`]: annotations under `dormouse.dev/`;
//! * [`program`]: programs of the one binary, as images, commands, links and `argv[0]` call them.

pub mod annotation;
pub mod condition;
pub mod env;
pub mod header;
pub mod program;

pub use program::{Program, Programs};
