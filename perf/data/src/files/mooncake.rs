//! `mooncake_trace`: requests of a recorded load. Of most, no more is known than how long they were and which blocks of their
//! prompts were the same as those of others; such prompts are made up, and the same blocks get the same text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use dormouse_perf_load::seeds::Seed;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::keep_time;
use super::lines::{lines, parse, text};
use super::rows::Name;
use crate::conversation::{ContextMode, Conversation, Text, Turn};
use crate::error::Error;
use crate::json::{List, Members};
use crate::lengths::size;
use crate::prompt::Prompts;
use crate::spec::Spec;

/// Tokens of a block, unless the options say otherwise.
const BLOCK: u64 = 512;
/// A longer prompt is a mistake.
const LONGEST: u64 = 100_000_000;

/// A trace.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) sessions: Vec<Session>,
    block: u64,
    /// The first sixteen digits of the file's digest: the same id means other text in another file.
    id: String,
}

/// Requests of one session.
#[derive(Debug)]
pub(crate) struct Session {
    id: String,
    mode: ContextMode,
    pub(crate) rows: Vec<Row>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Row {
    /// All but its text, where that is made up.
    pub(crate) turn: Turn,
    made_up: Option<MadeUp>,
}

/// A prompt that is made up.
#[derive(Debug)]
struct MadeUp {
    tokens: u64,
    blocks: Vec<i64>,
    /// Which line of the file it is.
    line: usize,
}

#[derive(Deserialize)]
struct Line {
    input_length: Option<u64>,
    text_input: Option<String>,
    messages: Option<List>,
    payload: Option<Members>,
    output_length: Option<u64>,
    timestamp: Option<f64>,
    delay: Option<f64>,
    session_id: Option<Name>,
    hash_ids: Option<Vec<i64>>,
    tools: Option<List>,
    extra: Option<Members>,
}

/// How many tokens each block has, and how many come behind the last.
pub(crate) fn layout(tokens: u64, blocks: u64, block: u64) -> Result<(Vec<u64>, u64), String> {
    if blocks == 0 {
        return Ok((Vec::new(), tokens));
    }
    let apart = || format!("{blocks} hash_ids of {block} tokens and an input_length of {tokens} do not go together");
    let before = block.checked_mul(blocks - 1).ok_or_else(apart)?;
    let last = tokens.checked_sub(before).filter(|last| *last > 0).ok_or_else(apart)?;
    let mut sizes = vec![block; size(blocks)];
    if last >= block {
        return Ok((sizes, last - block));
    }
    sizes.pop();
    sizes.push(last);
    Ok((sizes, 0))
}

impl Line {
    /// The request of a line, or why it is none.
    fn check(&self) -> Result<(), String> {
        let ways = [self.input_length.is_some(), self.text_input.is_some(), self.messages.is_some(), self.payload.is_some()];
        if ways.iter().filter(|w| **w).count() != 1 {
            return Err("exactly one of input_length, text_input, messages and payload is needed".to_owned());
        }
        if self.hash_ids.is_some() && self.input_length.is_none() {
            return Err("hash_ids need input_length".to_owned());
        }
        if self.tools.is_some() && self.messages.is_none() {
            return Err("tools need messages".to_owned());
        }
        if self.messages.as_ref().is_some_and(|m| m.0 == "[]") {
            return Err("messages are empty".to_owned());
        }
        if self.text_input.as_ref().is_some_and(String::is_empty) {
            return Err("text_input is empty".to_owned());
        }
        if self.input_length.is_some_and(|tokens| !(1..=LONGEST).contains(&tokens)) {
            return Err(format!("input_length must be between 1 and {LONGEST}"));
        }
        Ok(())
    }

    fn into_row(self, line: usize, spec: &Spec) -> Row {
        let mut turn = Turn {
            max_tokens: self.output_length.map(|most| spec.max_osl.map_or(most, |cap| most.min(cap))),
            timestamp_ms: self.timestamp,
            delay_ms: self.delay,
            extra: self.extra.map(Into::into).unwrap_or_default(),
            tools: self.tools.map(|t| t.0),
            messages: self.messages.map(|m| m.0),
            raw: self.payload.map(|p| p.to_json().into_bytes()),
            ..Turn::default()
        };
        turn.texts.extend(self.text_input.map(said));
        let made_up = self.input_length.map(|tokens| MadeUp { tokens, blocks: self.hash_ids.unwrap_or_default(), line });
        Row { turn, made_up }
    }
}

fn said(text: String) -> Text {
    Text { name: "text".to_owned(), contents: vec![text] }
}

pub(super) fn read(path: &Path, spec: &Spec) -> Result<Trace, Error> {
    let text = text(path)?;
    let block = spec.block_size.unwrap_or(BLOCK);
    let mut id = String::new();
    Sha256::digest(text.as_bytes()).iter().take(8).for_each(|byte| {
        let _ = write!(id, "{byte:02x}");
    });
    let mut trace = Trace { sessions: Vec::new(), block, id };
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut sizes: HashMap<i64, (u64, usize)> = HashMap::new();
    for (line, said) in lines(&text) {
        let mut row: Line = parse(path, line, said)?;
        let fail = |why: String| Error::line(path, line, why);
        row.check().map_err(fail)?;
        if let (Some(tokens), Some(blocks)) = (row.input_length, &row.hash_ids) {
            let (each, _) = layout(tokens, crate::lengths::wide(blocks.len()), block).map_err(fail)?;
            for (hash, tokens) in blocks.iter().zip(each) {
                let (before, at) = *sizes.entry(*hash).or_insert((tokens, line));
                if before != tokens {
                    return Err(fail(format!("hash id {hash} has {tokens} tokens here and {before} in line {at}")));
                }
            }
        }
        if row.input_length.zip(spec.max_isl).is_some_and(|(tokens, most)| tokens > most) {
            continue;
        }
        let session = row.session_id.take().map(Name::into_text);
        let mut row = row.into_row(line, spec);
        if !keep_time(&mut row.turn, spec) {
            continue;
        }
        let whole = row.turn.messages.is_some();
        let mode = if whole { ContextMode::MessageArrayWithResponses } else { ContextMode::DeltasWithoutResponses };
        let Some(id) = session else {
            trace.sessions.push(Session { id: String::new(), mode, rows: vec![row] });
            continue;
        };
        let at = *known.entry(id.clone()).or_insert(trace.sessions.len());
        match trace.sessions.get_mut(at) {
            Some(session) if session.mode != mode => {
                return Err(fail(format!("session {id:?} has messages in some lines and none in others")));
            }
            Some(session) => session.rows.push(row),
            None => trace.sessions.push(Session { id, mode, rows: vec![row] }),
        }
    }
    Ok(trace)
}

impl Trace {
    /// Some prompts are made up.
    pub(crate) fn makes_text(&self) -> bool {
        self.sessions.iter().any(|s| s.rows.iter().any(|r| r.made_up.is_some()))
    }

    pub(crate) fn conversation(&self, at: usize, seed: Seed, prompts: Option<&Prompts>) -> Conversation {
        let Some(session) = self.sessions.get(at) else { return Conversation::default() };
        let turns = session.rows.iter().map(|row| {
            let mut turn = row.turn.clone();
            if let (Some(made_up), Some(prompts)) = (&row.made_up, prompts) {
                turn.texts.push(said(self.prompt(made_up, seed, prompts)));
            }
            turn
        });
        Conversation { id: session.id.clone(), mode: session.mode, turns: turns.collect(), ..Conversation::default() }
    }

    /// The text of blocks, and what is new behind them.
    fn prompt(&self, made_up: &MadeUp, seed: Seed, prompts: &Prompts) -> String {
        // It was seen to go together.
        let (sizes, fresh) = layout(made_up.tokens, crate::lengths::wide(made_up.blocks.len()), self.block).unwrap_or_default();
        let mut text = String::new();
        let mut last = String::new();
        for (hash, tokens) in made_up.blocks.iter().zip(sizes) {
            last = self.block(*hash, tokens, seed, prompts);
            text.push_str(&last);
        }
        if fresh > 0 {
            let line = crate::lengths::wide(made_up.line);
            let mut rng = seed.stream_of("dataset.prompt.corpus", line);
            let counted = prompts.tokenizer().count(&last);
            text.push_str(&prompts.behind(&last, counted, fresh, line, &mut rng));
        }
        text
    }

    /// The text of a block: the same wherever it stands. It begins with a token that no neighbour joins.
    fn block(&self, hash: i64, tokens: u64, seed: Seed, prompts: &Prompts) -> String {
        let tokenizer = prompts.tokenizer();
        let mut rng = seed.stream(&format!("{}:{hash}", self.id));
        let mark = [tokenizer.bos(), tokenizer.eos()].into_iter().flatten().find_map(|id| {
            let text = tokenizer.decode_all(&[id]);
            (tokenizer.encode(&text) == [id]).then_some(text)
        });
        match mark {
            Some(mark) => {
                let rest = prompts.behind(&mark, 1, tokens.saturating_sub(1), hash.unsigned_abs(), &mut rng);
                mark + &rest
            }
            None => prompts.text(tokens, hash.unsigned_abs(), &mut rng),
        }
    }
}
