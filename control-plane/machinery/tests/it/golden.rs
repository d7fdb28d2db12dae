//! Finds the recordings: in the folder named by `DORMOUSE_GOLDEN`, else in `tests/golden` of the repository.

use std::path::PathBuf;

use serde_json::Value;

/// The recording at `path` (such as `machinery/protobuf.json`), or `None`, said aloud, when this machine
/// has none.
pub(crate) fn load(path: &str) -> Option<Value> {
    let ours = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
    let folders = std::env::var_os("DORMOUSE_GOLDEN").map(PathBuf::from).into_iter().chain([ours]);
    let Some(file) = folders.map(|folder| folder.join(path)).find(|file| file.exists()) else {
        println!("SKIPPED: no recording {path}");
        return None;
    };
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
}
