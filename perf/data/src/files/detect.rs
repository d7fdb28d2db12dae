//! Which format a file has, by its first record. Exactly one must fit.

use std::path::Path;

use super::lines::{folder, lines, text};
use crate::error::Error;
use crate::json::Members;
use crate::spec::FileFormat;

/// Members of which a row of a turn has at least one.
const SAYING: [&str; 8] = ["text", "texts", "image", "images", "audio", "audios", "video", "videos"];
/// Members that a trace has beside its messages, and a payload has not.
const TRACED: [&str; 4] = ["timestamp", "delay", "session_id", "output_length"];

pub(super) fn detect(path: &Path) -> Result<FileFormat, Error> {
    let file = if path.is_dir() { folder(path, "jsonl")?.remove(0) } else { path.to_owned() };
    let text = text(&file)?;
    let Some((line, first)) = lines(&text).next() else { return Err(Error::file(&file, "it is empty")) };
    let known = FileFormat::ALL.map(FileFormat::name).join(", ");
    if !path.is_dir() {
        // A file that is one value over several lines.
        if text.trim_start().starts_with('[') {
            return Ok(FileFormat::ShareGpt);
        }
        if Members::parse(first).is_err() && Members::parse(&text).is_ok_and(|m| inputs(&m)) {
            return Ok(FileFormat::InputsJson);
        }
    }
    let record = Members::parse(first).map_err(|why| Error::line(&file, line, format!("not a JSON object: {why}")))?;
    if let Some(kind) = record.get("type").and_then(|kind| serde_json::from_str::<String>(kind).ok()) {
        return FileFormat::parse(&kind).map_err(|why| Error::line(&file, line, format!("type: {why}")));
    }
    let candidates = if path.is_dir() { of_folder(&record) } else { of_file(&record) };
    match &candidates[..] {
        [only] => Ok(*only),
        [] => Err(Error::line(&file, line, format!("of no known format; pass --custom-dataset-type, one of {known}"))),
        several => {
            let names = several.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
            Err(Error::line(&file, line, format!("could be {names}; pass --custom-dataset-type with one of them")))
        }
    }
}

fn inputs(record: &Members) -> bool {
    record.get("data").is_some_and(|data| data.starts_with('['))
}

fn of_folder(record: &Members) -> Vec<FileFormat> {
    let mut found = Vec::new();
    if record.get("messages").is_some() {
        found.push(FileFormat::RawPayload);
    }
    if SAYING.iter().any(|name| record.get(name).is_some()) {
        found.push(FileFormat::RandomPool);
    }
    found
}

fn of_file(record: &Members) -> Vec<FileFormat> {
    let has = |name: &str| record.get(name).is_some();
    let mut found = Vec::new();
    if inputs(record) {
        found.push(FileFormat::InputsJson);
    }
    if has("turns") {
        found.push(FileFormat::MultiTurn);
    } else if SAYING.iter().any(|name| has(name)) {
        found.push(FileFormat::SingleTurn);
    }
    let traced = TRACED.iter().any(|name| has(name));
    let exactly_one = ["input_length", "text_input", "messages", "payload"].iter().filter(|name| has(name)).count() == 1;
    // A body with a model is one, whatever a server may call its members.
    if exactly_one && !(has("messages") && has("model")) {
        found.push(FileFormat::MooncakeTrace);
    }
    if has("messages") && !traced {
        found.push(FileFormat::RawPayload);
    }
    found
}
