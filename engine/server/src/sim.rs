//! The simulator: an engine whose memory, loading and speed are modelled on the node's device ledger and links, and
//! whose answers are a function of (seed, model, prompt).
//!
//! Memory: awake it holds `--gpu-memory-utilization` of each of its GPUs, asleep `--sim-residue-bytes`. A start reads the
//! weights from storage and moves them over the link; level 1 moves them to the host and back, level 2 drops them and
//! reads them again. Without `--enable-sleep-mode` sleeping frees nothing, as in vLLM. A wake takes its memory first: when
//! that fails, nothing has moved and the engine stays asleep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_devices::{Bytes, LeaseState};
use dormouse_engine_client::openai::StopReason;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::accelerators::Accelerators;
use crate::args::ServeArgs;
use crate::backend::{Backend, Facts, Message, Parts};
use crate::job::{End, Event, Finish, Job, Outlet, send_text};
use crate::metrics::Metrics;

mod words;

/// Longest prompt and answer where nothing is said.
const DEFAULT_MAX_MODEL_LEN: usize = 32_768;

/// The simulator.
#[derive(Debug)]
pub(crate) struct Simulator {
    facts: Facts,
    accelerators: Accelerators,
    sizes: Sizes,
    /// Whether sleep frees memory.
    sleep_mode: bool,
    /// What lies on the accelerators.
    there: Mutex<Parts>,
    speed: Speed,
    model: String,
    seed: u64,
    /// True while computing; jobs look at it before each token.
    open: watch::Sender<bool>,
    seats: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Bytes per accelerator.
#[derive(Clone, Debug)]
struct Sizes {
    awake: Vec<u64>,
    residue: Vec<u64>,
    weights: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Speed {
    first: Duration,
    next: Duration,
    jitter: f64,
}

impl Simulator {
    /// Takes the memory and loads the weights, in modelled time.
    pub(crate) async fn start(args: &ServeArgs, accelerators: Accelerators, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let model = args.model().to_owned();
        let name = args.served_names().swap_remove(0);
        let sizes = Sizes::new(args, &accelerators)?;
        if let Err(e) = accelerators.claim(&name, &model, &sizes.awake).await {
            anyhow::bail!(start_error(args, &accelerators, &sizes, &e).await);
        }
        tokio::time::sleep(args.sim.init).await;
        if let Some(load) = args.sim.load {
            tokio::time::sleep(load).await;
        } else {
            accelerators.read_storage(args.sim.model_bytes).await?;
            accelerators.to_devices(&sizes.weights).await?;
        }
        Ok(Self {
            facts: Facts {
                max_model_len: args.max_model_len.unwrap_or(DEFAULT_MAX_MODEL_LEN),
                vocabulary: None,
                weight_bytes: args.sim.model_bytes,
                default_temperature: None,
                default_top_p: None,
                default_top_k: None,
            },
            accelerators,
            sizes,
            sleep_mode: args.enable_sleep_mode,
            there: Mutex::new(Parts::ALL),
            speed: Speed { first: args.sim.ttft, next: args.sim.itl, jitter: args.sim.jitter },
            model,
            seed: args.seed,
            open: watch::Sender::new(true),
            seats: Arc::new(Semaphore::new(args.max_num_seqs as usize)),
            metrics,
        })
    }

    fn there(&self) -> Parts {
        *self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes to hold when these parts are on the accelerators.
    fn needed(&self, parts: Parts) -> Vec<u64> {
        let s = &self.sizes;
        (0..s.awake.len())
            .map(|i| match (parts.weights, parts.kv_cache) {
                (true, true) => s.awake[i],
                (true, false) => s.residue[i] + s.weights[i],
                (false, true) => s.awake[i].saturating_sub(s.weights[i]).max(s.residue[i]),
                (false, false) => s.residue[i],
            })
            .collect()
    }

    async fn release_now(&self, level: u8) -> Result<(), String> {
        self.open.send_replace(false);
        let there = self.there();
        if level == 0 {
            return Ok(());
        }
        let result = async {
            if !self.sleep_mode {
                tracing::warn!("sleep without --enable-sleep-mode: serving stops, no memory is freed");
                return self.accelerators.resize(&self.sizes.awake, LeaseState::Asleep).await;
            }
            if level == 1 && there.weights {
                self.accelerators.to_host(&self.sizes.weights).await?;
            }
            self.accelerators.resize(&self.sizes.residue, LeaseState::Asleep).await
        };
        match result.await {
            Ok(()) => {
                *self.there.lock().unwrap_or_else(PoisonError::into_inner) = Parts::default();
                Ok(())
            }
            Err(e) => {
                self.open.send_replace(true);
                Err(e.to_string())
            }
        }
    }

    async fn restore_now(&self, parts: Parts, level: u8, resume: bool) -> Result<(), String> {
        let before = self.there();
        let after = Parts { weights: before.weights || parts.weights, kv_cache: before.kv_cache || parts.kv_cache };
        if parts.any() {
            let needed = if self.sleep_mode { self.needed(after) } else { self.sizes.awake.clone() };
            // First the room, then the move.
            self.accelerators.resize(&needed, LeaseState::Awake).await.map_err(|e| e.to_string())?;
            if let Err(e) = self.fetch(parts, level).await {
                let needed = self.needed(before);
                self.accelerators.resize(&needed, LeaseState::Asleep).await.map_err(|e| e.to_string())?;
                return Err(e.to_string());
            }
            *self.there.lock().unwrap_or_else(PoisonError::into_inner) = after;
        }
        if resume {
            self.open.send_replace(true);
        }
        Ok(())
    }

    async fn fetch(&self, parts: Parts, level: u8) -> Result<(), dormouse_devices::ClientError> {
        if !self.sleep_mode || !parts.weights {
            return Ok(());
        }
        if level >= 2 {
            self.accelerators.read_storage(self.facts.weight_bytes).await?;
        }
        self.accelerators.to_devices(&self.sizes.weights).await
    }
}

impl Sizes {
    fn new(args: &ServeArgs, accelerators: &Accelerators) -> anyhow::Result<Self> {
        let gpus = accelerators.gpus();
        let share = args.gpu_memory_utilization;
        // Utilisation is a fraction: the product fits where the total did.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let awake: Vec<u64> = gpus.iter().map(|g| (g.total_bytes as f64 * share).round() as u64).collect();
        let weights = vec![args.sim.model_bytes.div_ceil(gpus.len() as u64); gpus.len()];
        for (gpu, awake) in gpus.iter().zip(&awake) {
            let needed = weights[0].saturating_add(args.sim.residue_bytes);
            anyhow::ensure!(
                needed <= *awake,
                "No available memory for the cache blocks: {} of weights and {} beside them do not fit into {} ({share} of \
                 the {} of GPU {}). Try increasing `gpu_memory_utilization` when initializing the engine.",
                Bytes(weights[0]),
                Bytes(args.sim.residue_bytes),
                Bytes(*awake),
                Bytes(gpu.total_bytes),
                gpu.index,
            );
        }
        Ok(Self { awake, residue: vec![args.sim.residue_bytes; gpus.len()], weights })
    }
}

/// What vLLM says when the memory it wants is taken, and what CUDA would have said.
async fn start_error(args: &ServeArgs, accelerators: &Accelerators, sizes: &Sizes, error: &dormouse_devices::ClientError) -> String {
    if !error.is_out_of_memory() {
        return error.to_string();
    }
    let free = accelerators.free().await.unwrap_or_default();
    let short = accelerators.gpus().iter().zip(free).zip(&sizes.awake).find(|((_, free), want)| free < want);
    let Some(((gpu, free), want)) = short else {
        return error.to_string();
    };
    format!(
        "Free memory on device cuda:{} ({}/{}) on startup is less than desired GPU memory utilization ({}, {}). Decrease \
         GPU memory utilization or reduce GPU memory used by other processes. {error}",
        gpu.index,
        Bytes(free),
        Bytes(gpu.total_bytes),
        args.gpu_memory_utilization,
        Bytes(*want),
    )
}

impl Backend for Simulator {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn encode(&self, text: &str, _whole: bool) -> Result<Vec<u32>, String> {
        Ok(words::tokens(text))
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        Ok(tokens.iter().map(|t| format!(" <{t}>")).collect())
    }

    fn chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, String> {
        let mut text: String = messages.iter().map(|m| format!("{}: {}\n", m.role, m.content)).collect();
        if add_generation_prompt {
            text.push_str("assistant:");
        }
        Ok(words::tokens(&text))
    }

    fn submit(&self, job: Job) {
        let answer = words::Answer::new(self.seed, &self.model, &job);
        let (seats, open, speed) = (self.seats.clone(), self.open.subscribe(), self.speed);
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            let (end, tokens, mut outlet) = compute(&job, answer, &seats, open, speed, &metrics).await;
            let Some((finish, stop)) = end else {
                return; // nobody listens any more
            };
            if stop.is_none() {
                send_text(&job, outlet.rest(), tokens);
            }
            let _ = job.events.send(Event::End { finish, stop, tokens });
        });
    }

    fn release(&self, level: u8) -> BoxFuture<'_, Result<(), String>> {
        self.release_now(level).boxed()
    }

    fn restore(&self, parts: Parts, level: u8, resume: bool) -> BoxFuture<'_, Result<(), String>> {
        self.restore_now(parts, level, resume).boxed()
    }

    fn dead(&self) -> BoxFuture<'_, String> {
        async {
            self.accelerators.lost().await;
            "the connection to the node's devices was lost, as when a GPU falls off the bus".to_owned()
        }
        .boxed()
    }
}

/// One answer, token by token, in modelled time. `None`: the client has gone.
async fn compute(
    job: &Job,
    mut answer: words::Answer,
    seats: &Semaphore,
    mut open: watch::Receiver<bool>,
    speed: Speed,
    metrics: &Metrics,
) -> (Option<End>, usize, Outlet) {
    let mut outlet = Outlet::new(&job.params);
    let producing = async {
        let _seat = {
            let _waiting = Raised::new(&metrics.waiting);
            seats.acquire().await
        };
        let _running = Raised::new(&metrics.running);
        // Deadlines, not delays: the timer's coarseness does not add up.
        let mut due = Instant::now() + scaled(speed.first, speed.jitter, &mut answer);
        loop {
            tokio::time::sleep_until(due).await;
            if !*open.borrow() {
                if open.wait_for(|open| *open).await.is_err() {
                    return (Finish::Abort, None);
                }
                due = Instant::now();
            }
            let Some((token, text)) = answer.next(job.params.ignore_eos || outlet.tokens() < job.params.min_tokens) else {
                return (Finish::Stop, None);
            };
            let (shown, hit) = outlet.push(&text);
            send_text(job, shown, outlet.tokens());
            if let Some(hit) = hit {
                return (Finish::Stop, Some(StopReason::Text(hit)));
            }
            if outlet.tokens() > job.params.min_tokens && job.params.stop_token_ids.contains(&token) {
                return (Finish::Stop, Some(StopReason::Token(token)));
            }
            if outlet.tokens() >= job.params.max_tokens {
                return (Finish::Length, None);
            }
            due += scaled(speed.next, speed.jitter, &mut answer);
        }
    };
    let end = tokio::select! {
        end = producing => Some(end),
        () = job.abort.cancelled() => Some((Finish::Abort, None)),
        () = job.events.closed() => None,
    };
    let tokens = outlet.tokens();
    (end, tokens, outlet)
}

fn scaled(time: Duration, jitter: f64, answer: &mut words::Answer) -> Duration {
    if jitter == 0.0 { time } else { time.mul_f64(1.0 + jitter * answer.spread()) }
}

/// A gauge that is one higher as long as this lives.
struct Raised<'a>(&'a prometheus_client::metrics::gauge::Gauge<i64, std::sync::atomic::AtomicI64>);

impl<'a> Raised<'a> {
    fn new(gauge: &'a prometheus_client::metrics::gauge::Gauge<i64, std::sync::atomic::AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
