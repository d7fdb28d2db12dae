//! Requester, proxy, test requester and test server, as processes and as library calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]
#![allow(clippy::disallowed_methods, clippy::large_futures, reason = "tests may be plain")]

mod allocation;
mod devices;
mod ending;
mod gpu_map;
mod harness;
mod kube_stub;
mod proxy;
mod table;
