//! The planner against a model of a node: properties, gaps of the peer, situations of the contract, golden vectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests: a wrong assumption must fail loudly
#![allow(clippy::cast_possible_truncation, clippy::needless_pass_by_value)] // small numbers and short-lived values

mod fixtures;
mod folding;
mod gaps;
mod gaps_more;
mod gate;
mod launchers;
mod model;
mod properties;
mod situations;
mod stock;
mod vectors;
