//! The engine front: admits requests, counts them, and is the one place that knows whether the engine sleeps.
//!
//! Held: the sleep state, the count of requests in flight, the token that aborts them. Callers: the API.
//!
//! Invariants:
//! 1. one transition (sleep, wake, reload) at a time; they run to their end although the caller hangs up;
//! 2. a request is admitted only while awake, and a transition to sleep starts by refusing new ones, so that after the
//!    wait for the running ones nothing computes;
//! 3. `is_sleeping` is true from the end of a sleep, when the memory is free, until the end of the wake that restores
//!    everything: whoever reads `true` may use the memory, whoever reads `false` after a wake may send requests;
//! 4. a wake that fails leaves the engine asleep as it was, at the same level.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_engine_client::admin::SleepMode;
use dormouse_runtime::monotonic;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Parts};
use crate::job::{Event, Job, Params};
use crate::metrics::Metrics;

/// Requests that may be in flight: beyond it the answer is 503 at once.
const MAX_IN_FLIGHT: usize = 4096;
/// Longest wait for running requests when sleep is asked to wait for them.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);

/// Why a request or a transition was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("the engine is asleep (level {level}); wake it with POST /wake_up and try again")]
    Asleep { level: u8 },
    #[error("the engine already has {MAX_IN_FLIGHT} requests; try again later")]
    Full,
    #[error("the engine is shutting down")]
    Ending,
    #[error("the running requests did not end within {} s", DRAIN_LIMIT.as_secs())]
    Busy,
    /// The backend said why.
    #[error("{0}")]
    Failed(String),
}

/// The sleep state; all false is awake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Nothing is computed or admitted.
    paused: bool,
    /// What others are told.
    asleep: bool,
    /// What is released.
    released: Parts,
    /// Level it was released at.
    level: u8,
    /// The process is about to end.
    ending: bool,
}

/// Counts a request from admission until the last one who holds it lets go.
#[derive(Debug)]
pub(crate) struct InFlight {
    count: watch::Sender<usize>,
}

impl InFlight {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|n| *n += 1);
        Self { count: count.clone() }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.send_modify(|n| *n -= 1);
    }
}

/// The engine; clones are the same engine.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Inner>);

struct Inner {
    names: Vec<String>,
    backend: Arc<dyn Backend>,
    metrics: Arc<Metrics>,
    /// Held for short moments only.
    state: Mutex<State>,
    transition: tokio::sync::Mutex<()>,
    in_flight: watch::Sender<usize>,
    abort: Mutex<CancellationToken>,
    /// Time from the end of a wake until it is admitted.
    ready_delay: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn new(names: Vec<String>, backend: Arc<dyn Backend>, metrics: Arc<Metrics>, ready_delay: Duration) -> Self {
        Self(Arc::new(Inner {
            names,
            backend,
            metrics,
            state: Mutex::default(),
            transition: tokio::sync::Mutex::new(()),
            in_flight: watch::Sender::new(0),
            abort: Mutex::default(),
            ready_delay,
        }))
    }

    /// Names under which the model is served.
    pub(crate) fn names(&self) -> &[String] {
        &self.0.names
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn is_sleeping(&self) -> bool {
        lock(&self.0.state).asleep
    }

    /// Whether the weights are where computing needs them.
    pub(crate) fn weights_there(&self) -> bool {
        !lock(&self.0.state).released.weights
    }

    pub(crate) fn in_flight(&self) -> usize {
        *self.0.in_flight.borrow()
    }

    /// Whether a request would be admitted now.
    pub(crate) fn check_admission(&self) -> Result<(), EngineError> {
        self.check(*lock(&self.0.state))
    }

    fn check(&self, state: State) -> Result<(), EngineError> {
        if state.ending {
            Err(EngineError::Ending)
        } else if state.paused {
            Err(EngineError::Asleep { level: state.level })
        } else if self.in_flight() >= MAX_IN_FLIGHT {
            Err(EngineError::Full)
        } else {
            Ok(())
        }
    }

    /// Admits one generation and hands it to the backend.
    pub(crate) fn submit(&self, prompt: Vec<u32>, params: Params, choice: u32) -> Result<mpsc::UnboundedReceiver<Event>, EngineError> {
        let (events, answer) = mpsc::unbounded_channel();
        let job = {
            // Checked and counted under the lock: a transition that has set `paused` sees every admitted request.
            let state = lock(&self.0.state);
            self.check(*state)?;
            let abort = lock(&self.0.abort).clone();
            Job { prompt, params, choice, events, abort, in_flight: InFlight::new(&self.0.in_flight) }
        };
        self.0.metrics.prompt(job.prompt.len());
        self.0.backend.submit(job);
        Ok(answer)
    }

    /// Puts the engine to sleep. Asleep already: done, except that a deeper level releases more.
    pub(crate) async fn sleep(&self, level: u8, mode: SleepMode) -> Result<(), EngineError> {
        let engine = self.clone();
        run_to_its_end(async move {
            let _one = engine.0.transition.lock().await;
            engine.sleep_now(level, mode).await
        })
        .await
    }

    async fn sleep_now(&self, level: u8, mode: SleepMode) -> Result<(), EngineError> {
        let before = {
            let mut state = lock(&self.0.state);
            let before = *state;
            let deep = before.released == Parts::ALL && before.level >= level;
            if before.paused && (level == 0 || deep) {
                return Ok(());
            }
            state.paused = true;
            state.level = level;
            before
        };
        let begun = self.begin("sleep", level);
        let result = match self.drain(mode, before.paused).await {
            Ok(()) => self.0.backend.release(level).await.map_err(EngineError::Failed),
            Err(e) => Err(e),
        };
        {
            let mut state = lock(&self.0.state);
            match &result {
                Ok(()) => {
                    state.asleep = true;
                    if level > 0 {
                        state.released = Parts::ALL;
                    }
                }
                Err(_) => *state = State { ending: state.ending, ..before },
            }
        }
        if result.is_ok() {
            self.0.metrics.sleeping(Some(level));
        }
        self.end("sleep", level, begun, &result);
        result
    }

    /// Waits until nothing computes, as `mode` says. While paused nothing does: requests kept by an earlier sleep stay kept
    /// unless they are to be aborted, which the release then does.
    async fn drain(&self, mode: SleepMode, paused: bool) -> Result<(), EngineError> {
        match mode {
            SleepMode::Keep => return Ok(()),
            SleepMode::Abort => std::mem::take(&mut *lock(&self.0.abort)).cancel(),
            SleepMode::Wait => {}
        }
        if paused {
            return Ok(());
        }
        let mut count = self.0.in_flight.subscribe();
        let drained = tokio::time::timeout(DRAIN_LIMIT, count.wait_for(|n| *n == 0)).await;
        drained.map_or(Err(EngineError::Busy), |_| Ok(()))
    }

    /// Wakes these parts; awake when nothing is released any more. Awake already: done. `scheduling` resumes an engine
    /// from which nothing was released.
    pub(crate) async fn wake(&self, parts: Parts, scheduling: bool) -> Result<(), EngineError> {
        let engine = self.clone();
        run_to_its_end(async move {
            let _one = engine.0.transition.lock().await;
            engine.wake_now(parts, scheduling).await
        })
        .await
    }

    async fn wake_now(&self, wanted: Parts, scheduling: bool) -> Result<(), EngineError> {
        let before = *lock(&self.0.state);
        let parts = Parts { weights: wanted.weights && before.released.weights, kv_cache: wanted.kv_cache && before.released.kv_cache };
        // Nothing to do for a part that is there, and level 0 has nothing but the scheduling to resume.
        if !before.paused || !(parts.any() || (scheduling && !before.released.any())) {
            return Ok(());
        }
        let left = Parts { weights: before.released.weights && !parts.weights, kv_cache: before.released.kv_cache && !parts.kv_cache };
        let begun = self.begin("wake", before.level);
        let resume = !left.any();
        let result = self.0.backend.restore(parts, before.level, resume).await.map_err(EngineError::Failed);
        self.end("wake", before.level, begun, &result);
        result.as_ref().map_err(Clone::clone)?;
        if resume && !self.0.ready_delay.is_zero() {
            tokio::time::sleep(self.0.ready_delay).await;
        }
        let mut state = lock(&self.0.state);
        state.released = left;
        if resume {
            state.paused = false;
            state.asleep = false;
            state.level = 0;
            self.0.metrics.sleeping(None);
        }
        result
    }

    /// Refuses new requests and aborts the running ones, for good.
    pub(crate) fn shut_down(&self) {
        lock(&self.0.state).ending = true;
        lock(&self.0.abort).cancel();
    }

    fn begin(&self, what: &str, level: u8) -> Instant {
        monotonic::stamp(&format!("{what}_begin"), &json!({"model": self.0.names[0], "level": level}));
        Instant::now()
    }

    fn end(&self, what: &'static str, level: u8, begun: Instant, result: &Result<(), EngineError>) {
        let bytes = self.0.backend.facts().weight_bytes;
        match result {
            Ok(()) => {
                let detail = json!({"model": self.0.names[0], "level": level, "weight_bytes": bytes});
                monotonic::stamp(&format!("{what}_end"), &detail);
                let operation = if what == "wake" { "wake_up" } else { "sleep" };
                self.0.metrics.operation(operation, begun.elapsed());
            }
            Err(e) => {
                tracing::error!(error = %e, "{what} failed");
                let detail = json!({"model": self.0.names[0], "level": level, "error": e.to_string()});
                monotonic::stamp(&format!("{what}_failed"), &detail);
            }
        }
    }
}

/// Runs a transition as a task: a caller that hangs up does not leave it half done.
async fn run_to_its_end(transition: impl Future<Output = Result<(), EngineError>> + Send + 'static) -> Result<(), EngineError> {
    match tokio::spawn(transition).await {
        Ok(result) => result,
        Err(e) => Err(EngineError::Failed(format!("the transition was cut off: {e}"))),
    }
}
