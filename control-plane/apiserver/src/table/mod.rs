//! Printed answers (being written by api2). The core asks [`columns`] when it builds a row and [`render`]
//! when a client accepts `as=Table`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::{Column, Kind};

/// What each row carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A PartialObjectMetadata.
    Metadata,
    /// The object.
    Object,
}

/// The columns of a built-in kind; empty for name and age.
#[must_use]
pub fn columns(group: &str, kind: &str) -> Vec<Column> {
    let _ = (group, kind);
    Vec::new()
}

/// A `meta.k8s.io/<version>` Table of `objects`; `metadata` is the list's (or the single object's
/// resourceVersion). Watch events after the first leave the column definitions out.
#[must_use]
pub fn render(kind: &Kind, version: &str, objects: &[Value], metadata: Value, include: IncludeObject, with_columns: bool, now: Timestamp) -> Value {
    let _ = (kind, objects, include, with_columns, now);
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata, "columnDefinitions": [], "rows": []})
}
