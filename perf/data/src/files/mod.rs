//! Formats of files (perf contract 3.4). All of a file is read and checked before anything of it is used.

mod detect;
mod lines;
mod media;
mod mooncake;
mod payloads;
mod pool;
mod rows;
mod sharegpt;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::conversation::{Conversation, Turn};
use crate::error::Error;
use crate::spec::{FileFormat, Spec};
use crate::tokenizer::Tokenizer;
pub(crate) use mooncake::Trace;
pub(crate) use pool::{Pool, draw};

/// What conversations are taken from.
#[derive(Debug)]
pub(crate) enum Content {
    /// Chance.
    Synthetic,
    /// A file that has them.
    Held(Vec<Conversation>),
    /// Rows, of which some are drawn.
    Pools(Vec<Pool>),
    /// A trace, which may know no more of a prompt than its length.
    Trace(Trace),
}

/// What a file or folder has, and its format.
pub(crate) fn read(
    path: &Path,
    format: Option<FileFormat>,
    spec: &Spec,
    tokenizer: Option<&Tokenizer>,
) -> Result<(Content, FileFormat), Error> {
    if !path.exists() {
        return Err(Error::file(path, "there is no such file"));
    }
    let format = match format {
        Some(format) => format,
        None => detect::detect(path)?,
    };
    let content = match format {
        FileFormat::SingleTurn => Content::Held(timed(rows::single_turn(path)?, spec)),
        FileFormat::MultiTurn => Content::Held(timed(rows::multi_turn(path)?, spec)),
        FileFormat::RandomPool => Content::Pools(pool::read(path)?),
        FileFormat::MooncakeTrace => Content::Trace(mooncake::read(path, spec)?),
        FileFormat::RawPayload => Content::Held(payloads::raw(path)?),
        FileFormat::InputsJson => Content::Held(payloads::inputs(path)?),
        FileFormat::ShareGpt => Content::Held(sharegpt::read(path, spec, tokenizer)?),
    };
    Ok((content, format))
}

/// Conversations with the times that the options leave them; those without a turn are gone.
fn timed(mut conversations: Vec<Conversation>, spec: &Spec) -> Vec<Conversation> {
    for conversation in &mut conversations {
        conversation.turns.retain_mut(|turn| keep_time(turn, spec));
    }
    conversations.retain(|c| !c.turns.is_empty());
    conversations
}

/// Whether a turn is in the window of time, and its times as the options want them.
fn keep_time(turn: &mut Turn, spec: &Spec) -> bool {
    let inside = |at: f64| spec.start_offset_ms.is_none_or(|s| at >= s) && spec.end_offset_ms.is_none_or(|e| at <= e);
    if turn.timestamp_ms.is_some_and(|at| !inside(at)) {
        return false;
    }
    if spec.ignore_trace_delays {
        (turn.timestamp_ms, turn.delay_ms) = (None, None);
    }
    turn.timestamp_ms = turn.timestamp_ms.map(|at| at / spec.speedup);
    turn.delay_ms = turn.delay_ms.map(|delay| delay * spec.delay_ratio);
    true
}
