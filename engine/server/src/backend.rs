//! What the engine front needs of something that computes answers: the embedded model or the simulator.

use futures::future::BoxFuture;

use crate::job::Job;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// What lies on the accelerator and can be given back by itself, with vLLM's tag names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) weights: bool,
    pub(crate) kv_cache: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self { weights: true, kv_cache: true };
    pub(crate) fn any(self) -> bool {
        self.weights || self.kv_cache
    }
}

/// Facts that do not change while the engine runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Longest prompt and answer together, in tokens.
    pub(crate) max_model_len: usize,
    /// Tokens there are; absent when any number is one.
    pub(crate) vocabulary: Option<usize>,
    /// Bytes of the weights as held while awake.
    pub(crate) weight_bytes: u64,
    /// `temperature`, `top_p`, `top_k` of the model, where it has an opinion.
    pub(crate) default_temperature: Option<f64>,
    pub(crate) default_top_p: Option<f64>,
    pub(crate) default_top_k: Option<usize>,
}

/// Something that computes answers.
///
/// The engine front guarantees: `release` and `restore` are never called at the same time as one another; `submit` is
/// not called between a `release` and the `restore` that completes it (jobs already there may be, when they are kept).
pub(crate) trait Backend: Send + Sync + 'static {
    fn facts(&self) -> &Facts;

    /// Text to tokens; `whole` says that the text begins a prompt, so that the model's beginning mark is set before it.
    fn encode(&self, text: &str, whole: bool) -> Result<Vec<u32>, String>;

    /// Tokens to text, for echoes.
    fn decode(&self, tokens: &[u32]) -> Result<String, String>;

    /// A conversation to the tokens that make the model go on with it.
    fn chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, String>;

    /// Takes a job; its end is an event of its own.
    fn submit(&self, job: Job);

    /// Stops computing and gives memory back: level 0 nothing, 1 all but the host's copy of the weights, 2 that too.
    /// Jobs that still run are kept without their caches until all is restored.
    fn release(&self, level: u8) -> BoxFuture<'_, Result<(), String>>;

    /// Takes memory again for these parts, which were released at `level`; computes again when `resume` is set.
    fn restore(&self, parts: Parts, level: u8, resume: bool) -> BoxFuture<'_, Result<(), String>>;

    /// Completes, with the reason, when the backend can never answer again.
    fn dead(&self) -> BoxFuture<'_, String>;
}
