//! The metrics of a benchmark: records of requests and the window in which they were made become figures. Pure: no clock, no
//! file, no network.
//!
//! * [`catalog`]: every metric, its unit and where it is shown;
//! * [`record`]: one request;
//! * [`columns`]: many of them, kept small;
//! * [`summary`]: a whole phase, from the columns of its records;
//! * [`curves`]: what was under way at each moment;
//! * [`slices`]: a phase piece by piece;
//! * [`repeat`]: the same measured several times;
//! * [`stats`]: percentiles and the rest.
//!
//! Definitions are those of the peer (perf contract 5, corrected by 0.2), so that its files can be recomputed and ours be read
//! by its readers.

pub mod catalog;
pub mod columns;
pub mod curves;
#[cfg(test)]
mod plain;
mod ranks;
pub mod record;
pub mod repeat;
pub mod slices;
pub mod stats;
mod steps;
pub mod summary;
pub mod unit;

pub use catalog::Metric;
pub use columns::Columns;
pub use curves::Stamps;
pub use record::{Facts, Row, Shape, Values};
pub use stats::Stats;
pub use summary::{Objective, Summary, Value, Window};
