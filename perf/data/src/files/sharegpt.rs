//! `sharegpt`: conversations of people with a model, of which the first question and the length of its answer are used.

use std::path::Path;

use serde::Deserialize;

use super::lines::{text, whole};
use crate::conversation::{Conversation, Turn};
use crate::error::Error;
use crate::lengths::wide;
use crate::spec::Spec;
use crate::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Entry {
    #[serde(default, alias = "conversation")]
    conversations: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    from: String,
    #[serde(default)]
    value: String,
}

/// Shorter questions and answers are none.
const SHORTEST: usize = 4;
/// Longer questions are not asked.
const LONGEST: usize = 1024;
/// Nor those that are longer than this with their answers.
const LONGEST_BOTH: usize = 2048;

/// The pairs of suitable lengths. An answer may be short when its length is set otherwise.
pub(super) fn read(path: &Path, spec: &Spec, tokenizer: Option<&Tokenizer>) -> Result<Vec<Conversation>, Error> {
    let entries: Vec<Entry> = whole(path, &text(path)?)?;
    let Some(tokenizer) = tokenizer else {
        return Err(Error::option("--tokenizer", "sharegpt is chosen by lengths, which need a tokenizer"));
    };
    let free = spec.osl.is_some() || spec.seq_dist.is_some();
    let mut conversations = Vec::new();
    for entry in &entries {
        let pair = entry.conversations.windows(2).find_map(|pair| match pair {
            [ask, answer] if matches!(&*ask.from, "human" | "user") && matches!(&*answer.from, "gpt" | "assistant") => Some((ask, answer)),
            _ => None,
        });
        let Some((ask, answer)) = pair else { continue };
        let (asked, answered) = (tokenizer.count(&ask.value), tokenizer.count(&answer.value));
        let fits = (SHORTEST..=LONGEST).contains(&asked) && asked + answered <= LONGEST_BOTH && (free || answered >= SHORTEST);
        if !fits {
            continue;
        }
        let limit = if free { None } else { Some(wide(answered)) };
        conversations
            .push(Conversation { turns: vec![Turn { max_tokens: limit, ..Turn::saying(&*ask.value) }], ..Conversation::default() });
    }
    if conversations.is_empty() {
        return Err(Error::file(path, "no question and answer of a suitable length is in it"));
    }
    Ok(conversations)
}
