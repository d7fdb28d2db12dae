//! Kubelet that runs Pods as local processes
pub mod machine;
pub mod plan;
pub mod shim;
