//! YAML to JSON.
