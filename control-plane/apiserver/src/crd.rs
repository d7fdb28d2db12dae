//! Rows of custom resources.

/// One version of a definition, ready for use.
#[derive(Debug)]
pub struct CompiledVersion {}
