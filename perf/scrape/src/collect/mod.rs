//! A series of scrapes becomes figures of a window (perf contract 5.15): gauges, counters, histograms.
//!
//! * [`history`]: what one endpoint said, in bounded memory;
//! * [`window`]: the figures of a stretch of time;
//! * [`estimate`]: percentiles out of buckets.

pub(crate) mod column;
pub mod estimate;
pub mod history;
pub mod window;

pub use history::{History, Limits, When};
pub use window::{Figures, Measured, Slice, figures};
