//! The embedded engine: real inference with a Llama-family model on the CPU.
//!
//! ```text
//! resolve: name -> folder      config, text (tokenizer), chat (template)
//! map: files -> memory map     weights: map -> working tensors (f32, private memory)
//! model: the computation       cache: keys and values       sampler: logits -> token
//! worker: one thread that owns map, tensors and caches, and steps all sequences together
//! ```
//!
//! Level 1 drops the working tensors and caches and keeps the mapped files; level 2 drops the mapping too. Either way the
//! memory goes back to the operating system ([`memory`]).

mod cache;
mod chat;
mod config;
mod map;
mod memory;
mod model;
mod resolve;
mod sampler;
mod text;
mod weights;
mod worker;

use std::sync::Arc;

use dormouse_devices::LeaseState;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::accelerators::Accelerators;
use crate::args::ServeArgs;
use crate::backend::{Backend, Facts, Message, Parts};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::run::Environment;

pub(crate) use cache::Cache;
pub(crate) use config::Config;
pub(crate) use model::{Model, Segment};
pub(crate) use weights::{Source, WeightsError};

/// The embedded engine.
#[derive(Debug)]
pub(crate) struct Embedded {
    facts: Facts,
    text: text::Text,
    template: chat::Template,
    worker: worker::Handle,
    /// The stand-in for device memory, where the node has a ledger.
    accelerators: Option<Accelerators>,
    /// Whether sleep frees memory.
    sleep_mode: bool,
    dead: watch::Receiver<Option<String>>,
}

impl Embedded {
    /// Finds, maps and loads the model.
    pub(crate) async fn start(
        args: &ServeArgs,
        env: &Environment,
        accelerators: Option<Accelerators>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let folder = resolve::folder(args.model(), &args.revision, env)?;
        let config = Config::read(&folder)?;
        let text = text::Text::read(&folder)?;
        let template = chat::Template::read(&folder)?;
        let max_model_len = config.max_model_len(args.max_model_len)?;
        let settings = worker::Settings {
            folder: folder.clone(),
            end_tokens: config.end_tokens(&folder, &text)?,
            config: config.clone(),
            max_sequences: args.max_num_seqs as usize,
            cache_bytes: env.kv_cache_bytes,
            max_model_len,
            seed: args.seed,
            text: text.clone(),
        };
        let (died, dead) = watch::channel(None);
        let (worker, loaded) = worker::start(settings, metrics, died)?;
        let weight_bytes = loaded.await.map_err(|_| anyhow::anyhow!("the engine thread ended while loading"))??;
        let engine = Self {
            facts: Facts {
                max_model_len,
                vocabulary: Some(config.vocab),
                weight_bytes,
                default_temperature: config.generation.temperature,
                default_top_p: config.generation.top_p,
                default_top_k: config.generation.top_k,
            },
            text,
            template,
            worker,
            accelerators,
            sleep_mode: args.enable_sleep_mode,
            dead,
        };
        if let Some(accelerators) = &engine.accelerators {
            let name = args.served_names().swap_remove(0);
            accelerators.claim(&name, args.model(), &engine.device_bytes()).await?;
        }
        Ok(engine)
    }

    /// What is entered in the ledger while awake: the working tensors, shared among the accelerators.
    fn device_bytes(&self) -> Vec<u64> {
        let count = self.accelerators.as_ref().map_or(1, |a| a.gpus().len());
        vec![self.facts.weight_bytes.div_ceil(count as u64); count]
    }

    async fn enter(&self, state: LeaseState) -> Result<(), String> {
        let Some(accelerators) = &self.accelerators else {
            return Ok(());
        };
        let bytes = match state {
            LeaseState::Asleep if self.sleep_mode => vec![0; accelerators.gpus().len()],
            _ => self.device_bytes(),
        };
        accelerators.resize(&bytes, state).await.map_err(|e| e.to_string())
    }
}

impl Backend for Embedded {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn encode(&self, text: &str, whole: bool) -> Result<Vec<u32>, String> {
        self.text.encode(text, whole)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        self.text.decode(tokens, false)
    }

    fn chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, String> {
        // The template writes the marks itself.
        self.text.encode(&self.template.render(messages, add_generation_prompt), false)
    }

    fn submit(&self, job: Job) {
        self.worker.submit(job);
    }

    fn release(&self, level: u8) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let level = if self.sleep_mode { level } else { 0 };
            self.worker.release(level).await?;
            self.enter(LeaseState::Asleep).await
        }
        .boxed()
    }

    fn restore(&self, parts: Parts, _level: u8, resume: bool) -> BoxFuture<'_, Result<(), String>> {
        async move {
            self.enter(LeaseState::Awake).await?;
            if let Err(e) = self.worker.restore(parts.weights, resume).await {
                self.enter(LeaseState::Asleep).await?;
                return Err(e);
            }
            Ok(())
        }
        .boxed()
    }

    fn dead(&self) -> BoxFuture<'_, String> {
        async move {
            let mut dead = self.dead.clone();
            let thread = async {
                match dead.wait_for(Option::is_some).await {
                    Ok(reason) => reason.clone().unwrap_or_default(),
                    Err(_) => "the engine thread ended".to_owned(),
                }
            };
            let Some(accelerators) = &self.accelerators else {
                return thread.await;
            };
            tokio::select! {
                reason = thread => reason,
                () = accelerators.lost() => "the connection to the node's devices was lost".to_owned(),
            }
        }
        .boxed()
    }
}
