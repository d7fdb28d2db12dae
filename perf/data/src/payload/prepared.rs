//! A conversation as bytes, ready to be sent: to say a later turn is to copy pieces of it.

use dormouse_perf_load::script::Answer;

use super::input::{self, Input};
use super::weave::Weave;
use crate::conversation::ContextMode;

/// A conversation, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Its name in records and files.
    pub id: String,
    /// At least one.
    pub turns: Vec<PreparedTurn>,
    pub(super) mode: ContextMode,
    pub(super) weave: Weave,
}

/// One of its turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreparedTurn {
    /// The most tokens that may be answered.
    pub max_tokens: Option<u64>,
    /// How long it waits for the answer before it.
    pub delay_ns: Option<u64>,
    /// When it is to leave, on the clock of the file.
    pub timestamp_ms: Option<f64>,
    /// Which of the models is asked.
    pub model: usize,
    /// How many images are in it.
    pub images: usize,
    /// The payload with nothing but what this turn says.
    pub(super) bytes: Vec<u8>,
    /// Where, in it, the messages of this turn begin and end: history goes before them. There are payloads without.
    pub(super) own: Option<(usize, usize)>,
    /// What its input is, where that cannot be told from the payload.
    pub(super) said: Option<String>,
}

impl PreparedTurn {
    fn own(&self) -> &[u8] {
        self.own.and_then(|(from, to)| self.bytes.get(from..to)).unwrap_or_default()
    }
}

impl Prepared {
    /// Appends the body of a turn. `answers[i]` is what was answered to turn i; where it is missing, nothing is put in its place.
    /// Of a turn that there is not, nothing is appended.
    pub fn body(&self, turn: usize, answers: &[Option<Answer>], out: &mut Vec<u8>) {
        let Some(said) = self.turns.get(turn) else { return };
        let (Some((from, _)), true) = (said.own, turn > 0 && self.mode != ContextMode::MessageArrayWithResponses) else {
            out.extend_from_slice(&said.bytes);
            return;
        };
        let (head, rest) = said.bytes.split_at(from);
        out.extend_from_slice(head);
        let mut follows = false;
        for (at, before) in self.turns.iter().enumerate().take(turn) {
            follows = append(before.own(), follows, out);
            if self.mode == ContextMode::DeltasWithoutResponses
                && let Some(answer) = answers.get(at).and_then(Option::as_ref)
            {
                follows = self.weave.answer(answer, follows, out);
            }
        }
        if follows {
            out.push(b',');
        }
        out.extend_from_slice(rest);
    }

    /// The text whose tokens are the input: the parts of what is sent, one blank between (perf contract 4.6).
    #[must_use]
    pub fn input_text(&self, turn: usize, answers: &[Option<Answer>]) -> String {
        self.input(turn, answers).text
    }

    /// The same, and how many tokens were given as numbers.
    #[must_use]
    pub fn input(&self, turn: usize, answers: &[Option<Answer>]) -> Input {
        if let Some(said) = self.turns.get(turn).and_then(|t| t.said.clone()) {
            return Input { text: said, ids: 0 };
        }
        let mut body = Vec::new();
        self.body(turn, answers, &mut body);
        input::of(&body)
    }

    /// Appends what `inputs.json` holds for a turn: the payload with what this turn says, and no answers (perf contract 3.3).
    pub fn authored(&self, turn: usize, out: &mut Vec<u8>) {
        if let Some(said) = self.turns.get(turn) {
            out.extend_from_slice(&said.bytes);
        }
    }
}

/// Appends messages behind others; whether there are any now.
fn append(messages: &[u8], follows: bool, out: &mut Vec<u8>) -> bool {
    if messages.is_empty() {
        return follows;
    }
    if follows {
        out.push(b',');
    }
    out.extend_from_slice(messages);
    true
}
