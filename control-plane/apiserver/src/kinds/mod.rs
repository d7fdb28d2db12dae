//! The built-in rows.

use crate::registry::Kind;

/// Every built-in row.
pub(crate) fn builtin() -> Vec<Kind> {
    Vec::new()
}
