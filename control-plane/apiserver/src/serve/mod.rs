//! HTTPS, certificates and kubeconfig (being written by api2).
