//! The answers to one request as one stream, and what metrics learn from it.

use std::sync::Arc;

use futures::stream::{SelectAll, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::error::ApiError;
use crate::engine::Engine;
use crate::job::{Event, Params};
use crate::metrics::Metrics;

type Choices = SelectAll<std::pin::Pin<Box<dyn Stream<Item = (usize, Event)> + Send>>>;

/// Answers under way; dropping it gives them up.
pub(super) struct Answers {
    events: Choices,
    timing: Vec<Timing>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Copy)]
struct Timing {
    begun: Instant,
    last: Instant,
    tokens: usize,
}

/// What one answer has come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) completion_tokens: usize,
}

impl Answers {
    /// Submits every prompt `n` times; choices count prompt by prompt.
    pub(super) fn start(engine: &Engine, prompts: Vec<(Vec<u32>, Params)>, n: usize) -> Result<Self, ApiError> {
        let mut events: Choices = SelectAll::new();
        let now = Instant::now();
        let mut count = 0;
        for (prompt, params) in prompts {
            for choice in (0u32..).take(n) {
                let receiver: mpsc::UnboundedReceiver<Event> = engine.submit(prompt.clone(), params.clone(), choice)?;
                let index = count;
                events.push(UnboundedReceiverStream::new(receiver).map(move |e| (index, e)).boxed());
                count += 1;
            }
        }
        let timing = vec![Timing { begun: now, last: now, tokens: 0 }; count];
        Ok(Self { events, timing, metrics: engine.metrics().clone() })
    }

    pub(super) fn count(&self) -> usize {
        self.timing.len()
    }

    /// The next event of any answer.
    pub(super) async fn next(&mut self) -> Option<(usize, Event)> {
        let (index, event) = self.events.next().await?;
        let timing = &mut self.timing[index];
        let now = Instant::now();
        if let Event::Text { tokens, .. } | Event::End { tokens, .. } = &event {
            let new = tokens.saturating_sub(timing.tokens);
            if new > 0 {
                self.metrics.produced(new, timing.tokens == 0, now - timing.last);
                timing.tokens = *tokens;
                timing.last = now;
            }
        }
        if let Event::End { finish, .. } = &event {
            self.metrics.finished(*finish, now - timing.begun);
        }
        Some((index, event))
    }

    /// Tokens of all answers so far.
    pub(super) fn tally(&self) -> Tally {
        Tally { completion_tokens: self.timing.iter().map(|t| t.tokens).sum() }
    }
}
