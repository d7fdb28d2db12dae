//! Decide what a Pod means on this node: environment, command, volumes, devices, admission, class of service.
//!
//! Pure: objects and facts in, plans out; no clock, file, socket or task. The executor is [`crate::node`].

pub mod admit;
pub mod env;
pub mod fields;
pub mod gpus;
pub mod image;
pub mod qos;
pub mod quantity;
pub mod user;
pub mod volume;
