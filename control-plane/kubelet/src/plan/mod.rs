//! Decide what a Pod means on this node: environment, command, volumes, devices, admission.
//!
//! Pure: objects and facts in, plans out; no clock, file, socket or task. The executor is [`crate::node`].

pub mod admit;
pub mod env;
pub mod fields;
pub mod gpus;
pub mod hidden;
pub mod image;
pub mod mount;
pub mod quantity;
pub mod room;
pub mod user;
pub mod volume;
