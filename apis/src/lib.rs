//! Kubernetes types of Dormouse and of the peers it is compatible with, and the names they share on the
//! wire. Types and constants only: no I/O, no decisions.

pub mod crds;
pub mod fma;
pub mod names;
