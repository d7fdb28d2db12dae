//! The files of a benchmark (perf contract 6): what the peer writes and its users' scripts read.
//!
//! * [`lines`] and [`records`]: a line for each request, written and read;
//! * [`folder`]: the files of one run, and when its phases were;
//! * [`summary`]: metrics as JSON and CSV;
//! * [`console`]: metrics as tables;
//! * [`slices`]: the same for pieces of time;
//! * [`aggregate`], [`sweep`]: several runs as one;
//! * [`mod@check`]: whether two summaries say the same;
//! * [`analyze`], [`compare`]: the verbs;
//! * [`json`]: JSON whose members keep their order.

pub mod aggregate;
pub mod analyze;
pub mod check;
pub mod compare;
pub mod console;
mod digits;
pub mod folder;
pub mod json;
pub mod lines;
pub mod records;
pub mod slices;
pub mod summary;
pub mod sweep;
