//! Finds the recordings: in the folder named by `DORMOUSE_GOLDEN`, else in `tests/golden` of the repository.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

/// The recording at `path` (such as `machinery/protobuf.json`).
///
/// # Panics
/// When there is none: they are part of the repository.
pub(crate) fn load(path: &str) -> Value {
    let ours = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
    let folders = std::env::var_os("DORMOUSE_GOLDEN").map(PathBuf::from).into_iter().chain([ours]);
    let file = folders.map(|folder| folder.join(path)).find(|file| file.exists()).unwrap_or_else(|| panic!("no recording {path}"));
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Says what was compared, past what the test harness keeps to itself.
pub(crate) fn said(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}
