//! The server through its in-process client and its handler, over HTTPS, and by `kubectl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod basics;
mod definitions;
mod deletes;
mod events;
mod golden;
mod harness;
mod https;
mod kubectl;
mod own_kind;
mod plane;
mod refused_changes;
mod refused_others;
mod refused_pods;
mod requests;
mod uids;
mod watching;
