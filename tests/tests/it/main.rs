//! Tests across systems, on the real binary: `dormouse up` is started as a user starts it, and is looked at from
//! outside, through the unmodified `kubectl`, the API, sockets and `/proc`.
//!
//! Every test starts planes of its own (each has its own loopback network, run folder and port), so that tests run
//! beside each other; every plane proves at its end that no process of it is left.
//!
//! - `DORMOUSE_BIN`: the binary to test; without it, it is built once, in the profile of the tests.
//! - `DORMOUSE_VLLM`: a real vLLM, for the tests that want one; without it they say SKIPPED.
//! - `KUBECTL`: the `kubectl` to use. Where none runs, the tests that want one say SKIPPED and prove nothing.

// Tests end by panicking; what cannot be had here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod benchmark;
mod crash;
mod kubectl;
mod real_engine;
mod recipe;
mod situations;
mod support;
