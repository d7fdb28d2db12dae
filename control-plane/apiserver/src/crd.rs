//! Rows of custom resources.

use dormouse_machinery::structural::Schema;
use serde_json::Value;

/// One version of a definition, ready for use.
#[derive(Debug)]
pub struct CompiledVersion {
    schema: Schema,
    /// Everything is kept (`preserveUnknownFields`).
    keep_unknown: bool,
}

impl CompiledVersion {
    /// Removes what the schema does not know; answers the paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        if self.keep_unknown { Vec::new() } else { self.schema.prune(object) }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}
