//! One generation: what is wanted, and what comes out of it piece by piece.
//!
//! The API makes a [`Job`] and reads its [`Event`]s; a backend owns the job until it sends [`Event::End`] or
//! [`Event::Failed`]. When the API drops the receiver the client has gone: backends look at [`Job::given_up`] before
//! every token. The channel is unbounded in type and bounded in fact: at most one event per token, `max_tokens` in all,
//! so that one slow client never holds up the others' computation.

use dormouse_engine_client::openai::StopReason;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::InFlight;

/// How tokens are chosen and when to stop.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Tokens to produce at most; at least 1.
    pub(crate) max_tokens: usize,
    /// Tokens before which no stop counts.
    pub(crate) min_tokens: usize,
    /// 0 takes the likeliest token.
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    /// 0: all.
    pub(crate) top_k: usize,
    pub(crate) min_p: f64,
    pub(crate) presence_penalty: f64,
    pub(crate) frequency_penalty: f64,
    pub(crate) repetition_penalty: f64,
    /// The request's own seed.
    pub(crate) seed: Option<u64>,
    /// Texts that end the answer.
    pub(crate) stop: Vec<String>,
    /// Tokens that end the answer.
    pub(crate) stop_token_ids: Vec<u32>,
    /// Whether the text that ended the answer is part of it.
    pub(crate) include_stop: bool,
    /// Go on behind the model's own end.
    pub(crate) ignore_eos: bool,
}

/// Why an answer ended, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Finish {
    Stop,
    Length,
    /// The engine was put to sleep or is shutting down.
    Abort,
}

impl Finish {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abort => "abort",
        }
    }
}

/// How an answer ended: why, and what in particular stopped it.
pub(crate) type End = (Finish, Option<StopReason>);

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// More text; `tokens` counts those produced so far.
    Text { delta: String, tokens: usize },
    /// The answer is complete.
    End { finish: Finish, stop: Option<StopReason>, tokens: usize },
    /// It will never be.
    Failed(String),
}

/// One answer to one prompt.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompt: Vec<u32>,
    pub(crate) params: Params,
    /// Tells answers to one request apart (`n`, several prompts); part of what seeds them.
    pub(crate) choice: u32,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Cancelled when running requests are to end now.
    pub(crate) abort: CancellationToken,
    /// Counts the job as long as a backend holds it.
    #[allow(dead_code)] // what counts is when it is dropped
    pub(crate) in_flight: InFlight,
}

impl Job {
    /// Whether nobody listens any more.
    pub(crate) fn given_up(&self) -> bool {
        self.events.is_closed()
    }
}

/// Text on its way out: finds stop texts also across pieces, and holds back what might be the beginning of one.
#[derive(Debug)]
pub(crate) struct Outlet {
    stop: Vec<String>,
    include_stop: bool,
    min_tokens: usize,
    /// Bytes to hold back: one less than the longest stop text.
    hold: usize,
    held: String,
    tokens: usize,
}

impl Outlet {
    pub(crate) fn new(params: &Params) -> Self {
        let longest = params.stop.iter().map(String::len).max().unwrap_or(0);
        Self {
            stop: params.stop.clone(),
            include_stop: params.include_stop,
            min_tokens: params.min_tokens,
            hold: longest.saturating_sub(1),
            held: String::new(),
            tokens: 0,
        }
    }

    /// Tokens produced so far.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes one token's text; returns what may go out, and the stop text if one was completed.
    pub(crate) fn push(&mut self, text: &str) -> (String, Option<String>) {
        self.tokens += 1;
        self.held.push_str(text);
        if self.tokens > self.min_tokens {
            // The earliest match wins; of two at one place the one listed first.
            let hit = self
                .stop
                .iter()
                .filter(|s| !s.is_empty())
                .filter_map(|s| self.held.find(s.as_str()).map(|at| (at, s)))
                .min_by_key(|(at, _)| *at);
            if let Some((at, stop)) = hit {
                let end = if self.include_stop { at + stop.len() } else { at };
                let stop = stop.clone();
                self.held.truncate(end);
                return (std::mem::take(&mut self.held), Some(stop));
            }
        }
        let mut free = self.held.len().saturating_sub(self.hold);
        while !self.held.is_char_boundary(free) {
            free -= 1;
        }
        let rest = self.held.split_off(free);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// What was held back, when the answer ends for another reason.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Sends what a token brought; a closed channel is found out by [`Job::given_up`].
pub(crate) fn send_text(job: &Job, delta: String, tokens: usize) {
    if !delta.is_empty() {
        let _ = job.events.send(Event::Text { delta, tokens });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn params() -> Params {
        Params {
            max_tokens: 16,
            min_tokens: 0,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            seed: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            include_stop: false,
            ignore_eos: false,
        }
    }

    #[test]
    fn a_stop_text_across_tokens_is_found_and_never_shown() {
        let mut o = Outlet::new(&Params { stop: vec!["END".into(), "zz".into()], ..params() });
        let mut shown = String::new();
        let mut hit = None;
        for piece in ["abE", "N", "x EN", "D tail"] {
            let (text, stop) = o.push(piece);
            shown.push_str(&text);
            hit = stop;
        }
        assert_eq!((shown.as_str(), hit.as_deref(), o.tokens()), ("abENx ", Some("END"), 4));
    }

    #[test]
    fn what_was_held_back_comes_at_the_end_and_umlauts_stay_whole() {
        let mut o = Outlet::new(&Params { stop: vec!["\u{fc}\u{fc}".into()], ..params() });
        let mut shown = String::new();
        for piece in ["M", "\u{fc}", "l", "ler\u{fc}"] {
            shown.push_str(&o.push(piece).0);
        }
        shown.push_str(&o.rest());
        assert_eq!(shown, "M\u{fc}ller\u{fc}");
    }

    #[test]
    fn minimum_and_inclusion_are_kept() {
        let mut o = Outlet::new(&Params { stop: vec!["a".into()], min_tokens: 2, include_stop: true, ..params() });
        assert_eq!(o.push("a"), ("a".into(), None));
        assert_eq!(o.push("b"), ("b".into(), None));
        assert_eq!(o.push("cad"), ("ca".into(), Some("a".into())));
    }
}
