//! `raw_payload` and `inputs_json`: payloads as they are sent.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::lines::{folder, lines, parse, stem, text, whole};
use crate::conversation::{Conversation, Turn};
use crate::error::Error;
use crate::json::{Compact, Members};

fn turn(bytes: Vec<u8>) -> Turn {
    Turn { raw: Some(bytes), ..Turn::default() }
}

/// A payload for each line, byte for byte. Of a folder each file is a conversation under its name.
pub(super) fn raw(path: &Path) -> Result<Vec<Conversation>, Error> {
    let turns = |path: &Path| {
        let text = text(path)?;
        let each = lines(&text).map(|(line, said)| {
            let _: Members = parse(path, line, said)?;
            Ok(turn(said.as_bytes().to_vec()))
        });
        each.collect::<Result<Vec<Turn>, Error>>()
    };
    if !path.is_dir() {
        return Ok(turns(path)?.into_iter().map(|t| Conversation { turns: vec![t], ..Conversation::default() }).collect());
    }
    let mut conversations = Vec::new();
    for file in folder(path, "jsonl")? {
        let turns = turns(&file)?;
        if turns.is_empty() {
            return Err(Error::file(&file, "no payload is in it"));
        }
        conversations.push(Conversation { id: stem(&file), turns, ..Conversation::default() });
    }
    Ok(conversations)
}

#[derive(Deserialize)]
struct Inputs {
    data: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    session_id: String,
    payloads: Vec<Compact>,
}

/// The payloads of each session, without the blanks of the file.
pub(super) fn inputs(path: &Path) -> Result<Vec<Conversation>, Error> {
    let inputs: Inputs = whole(path, &text(path)?)?;
    let mut known = HashSet::new();
    let mut conversations = Vec::new();
    for session in inputs.data {
        let id = session.session_id;
        let fail = |why: &str| Err(Error::file(path, format!("session {id:?} {why}")));
        if !known.insert(id.clone()) {
            return fail("stands there twice");
        }
        if session.payloads.is_empty() {
            return fail("has no payloads");
        }
        if !session.payloads.iter().all(|p| p.0.starts_with('{')) {
            return fail("has a payload that is no object");
        }
        let turns = session.payloads.into_iter().map(|p| turn(p.0.into_bytes())).collect();
        conversations.push(Conversation { id, turns, ..Conversation::default() });
    }
    Ok(conversations)
}
