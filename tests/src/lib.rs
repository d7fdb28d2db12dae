//! Tests across systems: end-to-end suites, crash tests, benchmarks
