//! Files of lines, as editors leave them: a byte-order mark, CRLF, empty lines and a last line without an end are all fine.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::Error;

/// The text of a file, without its byte-order mark.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    let mut bytes = fs::read(path).map_err(|e| Error::file(path, e.to_string()))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        Error::line(path, before.split(|b| *b == b'\n').count(), "not UTF-8")
    })
}

/// Lines that are not empty, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty())
}

/// The value of a line.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::line(path, line, why(&e)))
}

/// The value of a whole file.
pub(super) fn whole<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::line(path, e.line(), why(&e)))
}

/// What is wrong, and in which column; the line is told apart.
fn why(e: &serde_json::Error) -> String {
    let said = e.to_string();
    match said.rsplit_once(" at line ") {
        Some((why, _)) if e.column() > 0 => format!("{why} (column {})", e.column()),
        _ => said,
    }
}

/// The files of a folder that end so, in the order of their names.
pub(super) fn folder(path: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(path).map_err(|e| Error::file(path, e.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| Error::file(path, e.to_string()))?.path();
        if file.is_file() && file.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending)) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::file(path, format!("no .{ending} file is in it")));
    }
    Ok(files)
}

/// The name of a file, without folder and ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}
