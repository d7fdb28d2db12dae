//! Hashes that Kubernetes computes over objects.
