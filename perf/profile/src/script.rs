//! A conversation of the data set, ready for the worker; and how many tokens its requests have, counted once.

use std::sync::OnceLock;

use dormouse_perf_data::{Prepared, Tokenizer};
use dormouse_perf_load::script::{Answer, Script, TurnTime};

use crate::config::plan::nanoseconds;

/// A conversation, ready to be sent.
#[derive(Debug)]
pub struct Ready {
    /// Its number in the data set.
    pub index: usize,
    prepared: Prepared,
    /// What the data set's times are counted from, in its milliseconds.
    zero: f64,
    keeps_answers: bool,
    tokens: Vec<OnceLock<u64>>,
}

impl Ready {
    /// Of what was prepared.
    #[must_use]
    pub fn new(index: usize, prepared: Prepared, zero: f64, keeps_answers: bool) -> Self {
        let tokens = prepared.turns.iter().map(|_| OnceLock::new()).collect();
        Self { index, keeps_answers: keeps_answers && prepared.turns.len() > 1, prepared, zero, tokens }
    }

    /// The most tokens that a turn may be answered with.
    #[must_use]
    pub fn max_tokens(&self, turn: usize) -> Option<u64> {
        self.prepared.turns.get(turn)?.max_tokens
    }

    /// How many tokens a turn's request has. What does not hang on answers is counted once.
    #[must_use]
    pub fn input_tokens(&self, turn: usize, answers: &[Option<Answer>], tokenizer: &Tokenizer) -> u64 {
        let count = || {
            let input = self.prepared.input(turn, answers);
            (tokenizer.count(&input.text) + input.ids) as u64
        };
        match self.tokens.get(turn) {
            Some(known) if turn == 0 || !self.keeps_answers => *known.get_or_init(count),
            _ => count(),
        }
    }

    /// Appends what `inputs.json` holds of a turn.
    pub fn authored(&self, turn: usize, out: &mut Vec<u8>) {
        self.prepared.authored(turn, out);
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let mut bytes = Vec::new();
        for turn in 0..self.prepared.turns.len() {
            self.prepared.authored(turn, &mut bytes);
        }
        bytes.len() + 512
    }
}

impl Script for Ready {
    fn id(&self) -> &str {
        &self.prepared.id
    }

    fn turns(&self) -> usize {
        self.prepared.turns.len()
    }

    fn turn(&self, turn: usize) -> TurnTime {
        let Some(turn) = self.prepared.turns.get(turn) else { return TurnTime::default() };
        TurnTime { delay: turn.delay_ns, at: turn.timestamp_ms.map(|ms| nanoseconds((ms - self.zero).max(0.0) * 1e-3)) }
    }

    fn keeps_answers(&self) -> bool {
        self.keeps_answers
    }

    fn body(&self, turn: usize, answers: &[Option<Answer>], out: &mut Vec<u8>) {
        self.prepared.body(turn, answers, out);
    }
}
