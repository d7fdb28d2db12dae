//! x
pub mod net; pub mod ports;
