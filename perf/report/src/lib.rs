//! The files of a benchmark (perf contract 6): what the peer writes and its users' scripts read.
//!
//! * [`records`]: a line for each request, and what of it the metrics need;
//! * [`folder`]: the files of one run, and when its phases were;
//! * [`summary`]: metrics as JSON and CSV;
//! * [`slices`]: the same for pieces of time;
//! * [`aggregate`]: several runs as one;
//! * [`mod@check`]: whether two summaries say the same;
//! * [`analyze`]: the verb;
//! * [`json`]: JSON whose members keep their order.

pub mod aggregate;
pub mod analyze;
pub mod check;
pub mod folder;
pub mod json;
pub mod records;
pub mod slices;
pub mod summary;
