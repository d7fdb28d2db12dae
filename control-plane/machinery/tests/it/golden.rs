//! Finds the recordings: in the folder named by `DORMOUSE_GOLDEN`, else in `tests/golden` of the repository.

use std::path::PathBuf;

use serde_json::Value;

/// The recording at `path` (such as `machinery/protobuf.json`), or `None`, said aloud, when this machine
/// has none.
pub(crate) fn load(path: &str) -> Option<Value> {
    let root = std::env::var_os("DORMOUSE_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")),
        PathBuf::from,
    );
    let file = root.join(path);
    match std::fs::read(&file) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))),
        Err(e) => {
            println!("SKIPPED: no recording at {}: {e}", file.display());
            None
        }
    }
}
