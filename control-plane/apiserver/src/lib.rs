//! Kubernetes API server: one generic handler over a registry of kinds, in process and over HTTPS
