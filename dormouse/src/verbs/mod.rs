//! Verbs that bring systems together, one file each. Those of one system alone are in its crates.

#[cfg(all(feature = "plane", feature = "actuation", feature = "engine"))]
pub(crate) mod demo;
#[cfg(feature = "plane")]
pub(crate) mod devices;
#[cfg(feature = "engine")]
pub(crate) mod engine;
#[cfg(feature = "perf")]
pub(crate) mod perf;
#[cfg(any(feature = "plane", feature = "actuation"))]
pub(crate) mod status;
#[cfg(feature = "plane")]
pub(crate) mod up;
