//! `dormouse dep` end to end: the program, real git, scratch repositories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_input;
mod five_minutes;
mod fixes;
mod kit;
mod since;
mod workflow;
