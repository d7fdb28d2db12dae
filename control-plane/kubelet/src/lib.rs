//! Kubelet that runs Pods as local processes
