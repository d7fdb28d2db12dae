//! The engine thread: owns the mapped files, the working tensors and all caches, and computes.
//!
//! Continuous batching: every turn of the loop takes in what has arrived, drops what was given up, and makes one step in
//! which each sequence has a segment, a piece of its prompt or the one token it said last. So a new request joins a
//! running batch at the next token, and a long prompt holds the others up by one piece at most.
//!
//! Memory: caches are bounded by a budget of tokens. A sequence joins when its prompt fits; when the budget is exceeded
//! later, the youngest is set back to waiting without its cache and computes it again when there is room. The oldest always
//! runs: the budget holds one sequence of full length. Sleep does the same to all of them.
//!
//! Invariants: `model` is there exactly when not released; nothing steps while paused; each job gets one last event.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use dormouse_engine_client::openai::StopReason;
use tokio::sync::{oneshot, watch};

use super::cache::Cache;
use super::config::Config;
use super::memory;
use super::model::{Model, Segment};
use super::sampler::Sampler;
use super::text::{Decoder, Text};
use super::weights::Weights;
use crate::job::{Event, Finish, Job, Outlet, send_text};
use crate::metrics::Metrics;

/// Tokens of prompts in one step, over all sequences.
const PROMPT_STEP: usize = 256;
/// Most scores (rows times length) of one piece of a prompt: bounds the memory of a step on long prompts.
const SCORES: usize = 1 << 20;

/// What the thread needs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) folder: PathBuf,
    pub(super) config: Config,
    pub(super) end_tokens: Vec<u32>,
    pub(super) text: Text,
    pub(super) max_sequences: usize,
    pub(super) cache_bytes: u64,
    pub(super) max_model_len: usize,
    pub(super) seed: u64,
}

type Reply = oneshot::Sender<Result<(), String>>;

enum Command {
    Submit(Job),
    Release { level: u8, reply: Reply },
    Restore { weights: bool, resume: bool, reply: Reply },
}

/// The way to the thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Handle(mpsc::Sender<Command>);

impl Handle {
    pub(super) fn submit(&self, job: Job) {
        if let Err(mpsc::SendError(Command::Submit(job))) = self.0.send(Command::Submit(job)) {
            let _ = job.events.send(Event::Failed("the engine thread has ended".to_owned()));
        }
    }

    pub(super) async fn release(&self, level: u8) -> Result<(), String> {
        self.call(|reply| Command::Release { level, reply }).await
    }

    pub(super) async fn restore(&self, weights: bool, resume: bool) -> Result<(), String> {
        self.call(|reply| Command::Restore { weights, resume, reply }).await
    }

    async fn call(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "the engine thread has ended".to_owned();
        self.0.send(command(reply)).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the thread. The second value is what loading came to: the bytes of the working tensors.
pub(super) fn start(
    settings: Settings,
    metrics: Arc<Metrics>,
    died: watch::Sender<Option<String>>,
) -> std::io::Result<(Handle, oneshot::Receiver<anyhow::Result<u64>>)> {
    let (commands, queue) = mpsc::channel();
    let (loaded, answer) = oneshot::channel();
    std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        // Dropped last, also when the thread panics: its watchers then learn that the engine is dead.
        let died = died;
        let mut worker = Worker::new(settings, queue, metrics);
        match worker.load() {
            Ok(bytes) => {
                let _ = loaded.send(Ok(bytes));
            }
            Err(e) => {
                let _ = loaded.send(Err(anyhow::anyhow!(e)));
                return;
            }
        }
        worker.run();
        died.send_replace(Some("the engine thread ended".to_owned()));
    })?;
    Ok((Handle(commands), answer))
}

/// A job on its way.
struct Sequence {
    job: Job,
    /// The prompt and what was said.
    tokens: Vec<u32>,
    /// Empty when waiting.
    cache: Option<Cache>,
    sampler: Sampler,
    decoder: Decoder,
    outlet: Outlet,
}

struct Worker {
    settings: Settings,
    queue: mpsc::Receiver<Command>,
    metrics: Arc<Metrics>,
    weights: Option<Weights>,
    model: Option<Model>,
    paused: bool,
    running: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
    /// Tokens that all caches may hold.
    budget: usize,
    jobs: u64,
}

impl Worker {
    fn new(settings: Settings, queue: mpsc::Receiver<Command>, metrics: Arc<Metrics>) -> Self {
        let tokens = settings.cache_bytes / Cache::bytes_per_token(&settings.config);
        let budget = usize::try_from(tokens).unwrap_or(usize::MAX).max(settings.max_model_len + PROMPT_STEP);
        Self {
            settings,
            queue,
            metrics,
            weights: None,
            model: None,
            paused: false,
            running: Vec::new(),
            waiting: VecDeque::new(),
            budget,
            jobs: 0,
        }
    }

    /// Maps the files if they are not, and makes the working tensors if they are not there.
    fn load(&mut self) -> Result<u64, super::weights::WeightsError> {
        if self.weights.is_none() {
            self.weights = Some(Weights::open(&self.settings.folder)?);
        }
        let model = match (self.model.take(), &self.weights) {
            (None, Some(weights)) => Model::load(&self.settings.config, weights)?,
            (Some(model), _) => model,
            (None, None) => return Err(super::weights::WeightsError::None(String::new())),
        };
        let bytes = model.bytes();
        self.model = Some(model);
        Ok(bytes)
    }

    fn run(&mut self) {
        loop {
            let idle = self.paused || (self.running.is_empty() && self.waiting.is_empty());
            let command = if idle {
                match self.queue.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                }
            } else {
                match self.queue.try_recv() {
                    Ok(command) => Some(command),
                    Err(mpsc::TryRecvError::Empty) => None,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            };
            match command {
                Some(Command::Submit(job)) => self.take_in(job),
                Some(Command::Release { level, reply }) => {
                    self.release(level);
                    let _ = reply.send(Ok(()));
                }
                Some(Command::Restore { weights, resume, reply }) => {
                    let _ = reply.send(self.restore(weights, resume));
                }
                None => self.turn(),
            }
            self.show();
        }
    }

    fn take_in(&mut self, job: Job) {
        self.jobs += 1;
        let own = job.params.seed.unwrap_or(self.settings.seed.wrapping_add(self.jobs.wrapping_mul(0x9e37_79b9)));
        self.waiting.push_back(Sequence {
            tokens: job.prompt.clone(),
            cache: None,
            sampler: Sampler::new(own.wrapping_add(u64::from(job.choice))),
            decoder: Decoder::new(self.settings.text.clone()),
            outlet: Outlet::new(&job.params),
            job,
        });
    }

    fn release(&mut self, level: u8) {
        self.paused = true;
        self.end_aborted();
        if level >= 1 {
            // Back to waiting, oldest first, ahead of those that waited already.
            for mut sequence in self.running.drain(..).rev() {
                sequence.cache = None;
                self.waiting.push_front(sequence);
            }
            self.model = None;
        }
        if level >= 2 {
            self.weights = None;
        }
        memory::give_back();
    }

    fn restore(&mut self, weights: bool, resume: bool) -> Result<(), String> {
        if (weights || resume)
            && let Err(e) = self.load()
        {
            memory::give_back();
            return Err(e.to_string());
        }
        if resume {
            self.paused = false;
        }
        Ok(())
    }

    /// One step of everything that runs.
    fn turn(&mut self) {
        self.end_aborted();
        self.admit();
        self.keep_within_budget();
        if self.running.is_empty() {
            return;
        }
        if let Err(e) = self.step() {
            // A computation that fails fails for all its sequences; their state cannot be trusted.
            tracing::error!(error = %e, "a step of the model failed");
            for sequence in self.running.drain(..) {
                let _ = sequence.job.events.send(Event::Failed(format!("the model failed: {e}")));
            }
        }
    }

    /// Ends sequences that are to end, and forgets those nobody listens to.
    fn end_aborted(&mut self) {
        let over = |s: &mut Sequence| {
            if s.job.given_up() {
                return true;
            }
            let aborted = s.job.abort.is_cancelled();
            if aborted {
                s.end(Finish::Abort, None);
            }
            aborted
        };
        self.running.retain_mut(|s| !over(s));
        self.waiting.retain_mut(|s| !over(s));
    }

    /// Tokens that the caches hold or, for a prompt that is still being read, will hold.
    fn held(&self) -> usize {
        let of = |s: &Sequence| s.cache.as_ref().map_or(0, |c| c.capacity().max(s.tokens.len()));
        self.running.iter().map(of).sum()
    }

    fn admit(&mut self) {
        while self.running.len() < self.settings.max_sequences {
            let held = self.held();
            let Some(next) = self.waiting.front() else { return };
            if !self.running.is_empty() && held + next.tokens.len() + PROMPT_STEP > self.budget {
                return;
            }
            if let Some(mut next) = self.waiting.pop_front() {
                next.cache = Some(Cache::new(&self.settings.config));
                self.running.push(next);
            }
        }
    }

    fn keep_within_budget(&mut self) {
        while self.held() > self.budget && self.running.len() > 1 {
            if let Some(mut youngest) = self.running.pop() {
                youngest.cache = None;
                self.waiting.push_front(youngest);
            }
        }
    }

    fn step(&mut self) -> candle_core::Result<()> {
        let Some(model) = &self.model else {
            candle_core::bail!("the model is not loaded");
        };
        let mut prompt_room = PROMPT_STEP;
        let mut segments = Vec::new();
        let mut computed = Vec::new();
        for (k, sequence) in self.running.iter_mut().enumerate() {
            let Some(cache) = &mut sequence.cache else { continue };
            let left = &sequence.tokens[cache.len()..];
            let piece = if left.len() > 1 {
                let piece = left.len().min(prompt_room).min((SCORES / sequence.tokens.len()).max(16));
                prompt_room -= piece;
                piece
            } else {
                left.len()
            };
            if piece > 0 {
                let wanted = piece == left.len();
                computed.push((k, wanted));
                segments.push(Segment { tokens: &left[..piece], cache, wanted });
            }
        }
        let logits = model.step(&mut segments)?;
        drop(segments);
        let Some(logits) = logits else { return Ok(()) };
        let rows = logits.to_vec2::<f32>()?;
        let speaking = computed.iter().filter(|(_, wanted)| *wanted).map(|(k, _)| *k);
        let mut over: Vec<usize> = Vec::new();
        for (k, mut row) in speaking.zip(rows) {
            if self.running[k].say(&mut row, &self.settings) {
                over.push(k);
            }
        }
        for k in over.into_iter().rev() {
            self.running.remove(k);
        }
        Ok(())
    }

    fn show(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.running.set(count(self.running.len()));
        self.metrics.waiting.set(count(self.waiting.len()));
        #[allow(clippy::cast_precision_loss)]
        self.metrics.cache.set(self.held() as f64 / self.budget as f64);
    }
}

impl Sequence {
    /// Chooses the next token and sends its text; whether that was the last one.
    fn say(&mut self, logits: &mut [f32], settings: &Settings) -> bool {
        let params = &self.job.params;
        let (prompt, said) = self.tokens.split_at(self.job.prompt.len());
        let young = self.outlet.tokens() < params.min_tokens;
        let forbidden: Vec<u32> =
            if young { settings.end_tokens.iter().chain(&params.stop_token_ids).copied().collect() } else { Vec::new() };
        let token = self.sampler.next(logits, params, prompt, said, &forbidden);
        self.tokens.push(token);
        if settings.end_tokens.contains(&token) && !params.ignore_eos {
            // The end mark counts as a token and has no text.
            let (shown, _) = self.outlet.push("");
            send_text(&self.job, shown, self.outlet.tokens());
            self.end(Finish::Stop, None);
            return true;
        }
        let text = match self.decoder.push(token) {
            Ok(text) => text,
            Err(e) => {
                let _ = self.job.events.send(Event::Failed(format!("the tokenizer failed: {e}")));
                return true;
            }
        };
        let (shown, hit) = self.outlet.push(&text);
        send_text(&self.job, shown, self.outlet.tokens());
        if let Some(hit) = hit {
            self.end_shown(Finish::Stop, Some(StopReason::Text(hit)));
        } else if self.job.params.stop_token_ids.contains(&token) {
            self.end(Finish::Stop, Some(StopReason::Token(token)));
        } else if self.outlet.tokens() >= self.job.params.max_tokens {
            self.end(Finish::Length, None);
        } else {
            return false;
        }
        true
    }

    /// Sends what was held back, and the end.
    fn end(&mut self, finish: Finish, stop: Option<StopReason>) {
        let rest = self.outlet.rest();
        send_text(&self.job, rest, self.outlet.tokens());
        self.end_shown(finish, stop);
    }

    fn end_shown(&mut self, finish: Finish, stop: Option<StopReason>) {
        let _ = self.job.events.send(Event::End { finish, stop, tokens: self.outlet.tokens() });
    }
}
