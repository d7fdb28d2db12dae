//! What every command needs, one that speaks to nobody too: the clock, output, exit codes. Nothing here waits, and nothing brings a
//! runtime.

pub mod clock;
pub mod exit;
pub mod output;
