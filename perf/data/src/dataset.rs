//! Conversations by number, and the order in which they are taken (perf contract 3.5).
//!
//! A conversation is a pure function of the seed and its number: what is made up is made when it is asked for, by whoever asks.

use std::sync::{Arc, OnceLock};

use dormouse_perf_load::seeds::Seed;
use image::RgbImage;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;

use crate::conversation::{Conversation, Turn};
use crate::distribution::Length;
use crate::error::Error;
use crate::files::{self, Content};
use crate::image::only_size;
use crate::lengths::wide;
use crate::pictures;
use crate::prompt::Prompts;
use crate::spec::{CorpusStyle, FileFormat, ImageSource, Images, ModelChoice, Sampling, Source, Spec};
use crate::tokenizer::Tokenizer;

/// Conversations when nothing says how many.
pub const ENTRIES: usize = 100;

/// What kind of data they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Made up.
    Synthetic,
    /// Of a file.
    File(FileFormat),
}

impl Format {
    /// Its name as an option.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Synthetic => "synthetic",
            Self::File(format) => format.name(),
        }
    }

    /// Its lines have times of their own.
    #[must_use]
    pub fn is_trace(self) -> bool {
        matches!(self, Self::File(format) if format.is_trace())
    }
}

/// Conversations. Threads share it.
#[derive(Debug)]
pub struct Dataset {
    pub(crate) spec: Spec,
    pub(crate) seed: Seed,
    pub(crate) prompts: Option<Prompts>,
    /// Beginnings that prompts share, with their tokens.
    pub(crate) prefixes: OnceLock<Vec<(String, usize)>>,
    /// The system message of all.
    pub(crate) shared: OnceLock<String>,
    /// How many turns there are up to the end of each conversation.
    pub(crate) turn_ends: OnceLock<Vec<usize>>,
    /// What images are made of, where they show something.
    pub(crate) pictures: Vec<RgbImage>,
    content: Content,
    format: Format,
    len: usize,
}

/// Makes a data set; of a file, when all of it is good.
///
/// # Errors
/// What is wrong with the options or the file.
pub fn open(spec: &Spec, tokenizer: Option<Arc<Tokenizer>>) -> Result<Dataset, Error> {
    check(spec)?;
    let seed = Seed(spec.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0));
    let prompts = tokenizer.map(|t| Prompts::new(t, spec.corpus, spec.style));
    let (content, format) = match &spec.source {
        Source::Synthetic => (Content::Synthetic, Format::Synthetic),
        Source::File { path, format } => {
            let (content, format) = files::read(path, *format, spec, prompts.as_ref().map(Prompts::tokenizer))?;
            (content, Format::File(format))
        }
    };
    let asked = spec.entries.unwrap_or(ENTRIES);
    let len = match &content {
        Content::Synthetic | Content::Pools(_) => asked,
        Content::Held(held) => held.len(),
        Content::Trace(trace) => trace.sessions.len(),
    };
    let made_up = match &content {
        Content::Synthetic => spec.batch > 0 || spec.rankings.is_some(),
        Content::Trace(trace) => trace.makes_text(),
        Content::Held(_) | Content::Pools(_) => false,
    };
    let made_up = made_up || spec.shared_system_length.is_some() || spec.user_context_length.is_some();
    if made_up && prompts.is_none() {
        return Err(Error::option("--tokenizer", "text of a given length cannot be made up without a tokenizer"));
    }
    if len == 0 {
        return Err(match &spec.source {
            Source::File { path, .. } => Error::file(path, "no conversation is left in it"),
            Source::Synthetic => Error::option("--num-dataset-entries", "must be at least 1"),
        });
    }
    let mut data = Dataset {
        spec: spec.clone(),
        seed,
        prompts,
        prefixes: OnceLock::new(),
        shared: OnceLock::new(),
        turn_ends: OnceLock::new(),
        pictures: Vec::new(),
        content,
        format,
        len,
    };
    if let (Source::Synthetic, Some(images @ Images { source: ImageSource::Folder { path, .. }, batch: 1.., .. })) =
        (&spec.source, &spec.images)
    {
        data.pictures = pictures::read(path, only_size(images, &data))?;
    }
    Ok(data)
}

/// What holds whatever the data.
fn check(spec: &Spec) -> Result<(), Error> {
    if let Some(ratio) = spec.range_ratio {
        ratio.fits(spec.style).map_err(|why| Error::option("--random-range-ratio", why))?;
        if spec.seq_dist.is_some() {
            return Err(Error::option("--random-range-ratio", "excludes --seq-dist"));
        }
    }
    if spec.speedup.is_nan() || spec.speedup <= 0.0 {
        return Err(Error::option("--synthesis-speedup-ratio", "must be above 0"));
    }
    if spec.block_size == Some(0) {
        return Err(Error::option("--isl-block-size", "must be at least 1"));
    }
    let generated = spec.shared_system_length.is_some() || spec.user_context_length.is_some();
    if spec.system_prompt.is_some() && (generated || spec.prefix_pool > 0) {
        return Err(Error::option("--system-prompt", "excludes made-up system messages, contexts and prefixes"));
    }
    if generated && spec.prefix_pool > 0 {
        return Err(Error::option("--prompt-prefix-pool-size", "excludes made-up system messages and contexts"));
    }
    if let ModelChoice::Weighted(weights) = &spec.model_choice {
        let sum = weights.iter().sum::<f64>();
        if weights.len() != spec.models || weights.iter().any(|w| w.is_nan() || *w < 0.0) || !(sum > 0.0 && sum.is_finite()) {
            return Err(Error::option("--model-selection-strategy", "weighted needs a weight for each model, and one above 0"));
        }
    }
    Ok(())
}

impl Dataset {
    /// How many conversations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: there is at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What kind of data they are.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The seed they were made of; drawn from the system when none was given.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed.0
    }

    /// The first record says when it is to leave.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        let first = match &self.content {
            Content::Synthetic | Content::Pools(_) => None,
            Content::Held(held) => held.first().and_then(|c| c.turns.first()),
            Content::Trace(trace) => trace.sessions.first().and_then(|s| s.rows.first()).map(|r| &r.turn),
        };
        first.is_some_and(|turn| turn.timestamp_ms.is_some())
    }

    /// How many turns all conversations have together.
    #[must_use]
    pub fn turns(&self) -> usize {
        match &self.content {
            Content::Synthetic if self.spec.turns.is_fixed() => self.len.saturating_mul(self.turn_count(0)),
            Content::Synthetic => (0..self.len).map(|k| self.turn_count(wide(k))).sum(),
            Content::Pools(_) => self.len,
            Content::Held(held) => held.iter().map(|c| c.turns.len()).sum(),
            Content::Trace(trace) => trace.sessions.iter().map(|s| s.rows.len()).sum(),
        }
    }

    /// Conversation `k`. Of data made up there are more than [`Self::len`]; those of a file come again.
    #[must_use]
    pub fn conversation(&self, k: usize) -> Conversation {
        let number = wide(k);
        let mut made = match &self.content {
            Content::Synthetic => self.made_up(number),
            Content::Pools(pools) => files::draw(pools, &mut self.stream("dataset.loader.random_pool", number), self.spec.batch),
            Content::Held(held) => held.get(k % self.len.max(1)).cloned().unwrap_or_default(),
            Content::Trace(trace) => trace.conversation(k % self.len.max(1), self.seed, self.prompts.as_ref()),
        };
        if made.id.is_empty() {
            made.id = self.id(number);
        }
        self.preface(&mut made, number);
        self.limits(&mut made.turns, number);
        self.models(&mut made.turns, number);
        made
    }

    pub(crate) fn stream(&self, name: &str, item: u64) -> ChaCha12Rng {
        self.seed.stream_of(name, item)
    }

    fn id(&self, number: u64) -> String {
        if self.spec.seed.is_some() {
            return format!("session_{number:06}");
        }
        let bytes: [u8; 16] = self.stream("composer.conversation.id", number).random();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// What stands before the first turn.
    fn preface(&self, made: &mut Conversation, number: u64) {
        if let Some(prompt) = &self.spec.system_prompt {
            made.system = Some(match made.system.take() {
                Some(own) => format!("{prompt}\n\n{own}"),
                None => prompt.clone(),
            });
        }
        let Some(prompts) = &self.prompts else { return };
        if let Some(tokens) = self.spec.shared_system_length {
            let shared = self.shared.get_or_init(|| prompts.text(tokens, 0, &mut self.stream("dataset.prompt.system", 0)));
            made.system = Some(match made.system.take() {
                Some(own) => format!("{shared}\n\n{own}"),
                None => shared.clone(),
            });
        }
        if let Some(tokens) = self.spec.user_context_length {
            made.context = Some(prompts.text(tokens, number, &mut self.stream("dataset.prompt.context", number)));
        }
    }

    /// Limits of answers, where the data set none.
    fn limits(&self, turns: &mut [Turn], number: u64) {
        let mut lengths = self.stream("composer.turn.max_tokens", number);
        let mut pairs = self.stream("models.sequence.distribution", number);
        for turn in turns.iter_mut().filter(|t| t.raw.is_none()) {
            let drawn = match (&self.spec.seq_dist, &self.spec.osl, self.spec.range_ratio) {
                (Some(dist), ..) => Some(dist.draw(&mut pairs).1),
                (None, Some(osl), Some(ratio)) => Some(self.windowed(osl, ratio.output, 0, &mut lengths)),
                (None, Some(osl), None) => Some(osl.integer(&mut lengths)),
                (None, None, _) => None,
            };
            turn.max_tokens = turn.max_tokens.or(drawn);
        }
    }

    /// Which model each turn asks.
    fn models(&self, turns: &mut [Turn], number: u64) {
        let models = self.spec.models;
        if models < 2 {
            return;
        }
        let mut rng = self.stream("composer.turn.model_selection", number);
        let before = crate::lengths::size(number).wrapping_mul(self.usual_turns());
        for (at, turn) in turns.iter_mut().enumerate() {
            turn.model = Some(match &self.spec.model_choice {
                ModelChoice::RoundRobin => before.wrapping_add(at) % models,
                ModelChoice::Random => rng.random_range(0..models),
                ModelChoice::Weighted(weights) => {
                    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
                    let found = weights.iter().position(|w| {
                        left -= w;
                        left < 0.0
                    });
                    found.or_else(|| weights.iter().rposition(|w| *w > 0.0)).unwrap_or(0)
                }
            });
        }
    }

    /// How many turns come before the next conversation, where all have as many.
    fn usual_turns(&self) -> usize {
        match self.content {
            Content::Synthetic => crate::lengths::size(Length::of(self.spec.turns.mean()).integer(&mut self.stream("", 0))),
            _ => 1,
        }
    }

    /// A length of a window; vLLM takes the tokens off that a tokenizer sets around a text.
    pub(crate) fn windowed(&self, length: &Length, ratio: f64, marks: usize, rng: &mut ChaCha12Rng) -> u64 {
        let mean = Length::of(length.mean()).integer(rng);
        let mean = if self.spec.style == CorpusStyle::Vllm { mean.saturating_sub(wide(marks)).max(1) } else { mean };
        let drawn = crate::lengths::within(crate::lengths::window(mean, ratio, self.spec.style), rng);
        length.counted(crate::lengths::float(drawn))
    }

    /// The numbers of conversations in the order in which they are to be taken, without end.
    #[must_use]
    pub fn order(&self) -> Order {
        let usual = if self.format == Format::File(FileFormat::RandomPool) { Sampling::Shuffle } else { Sampling::Sequential };
        let kind = match self.spec.sampling.unwrap_or(usual) {
            Sampling::Sequential => Kind::Sequential(0),
            Sampling::Random => Kind::Random(self.seed.stream("dataset.sampler.random")),
            Sampling::Shuffle => Kind::Shuffle(self.seed.stream("dataset.sampler.shuffle"), Vec::new()),
        };
        Order { len: self.len, kind }
    }
}

/// Numbers of conversations, without end.
#[derive(Clone, Debug)]
pub struct Order {
    len: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Sequential(usize),
    Random(ChaCha12Rng),
    /// What is left of this round, the next one last.
    Shuffle(ChaCha12Rng, Vec<usize>),
}

impl Iterator for Order {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match &mut self.kind {
            Kind::Sequential(next) => {
                let at = *next;
                *next = (at + 1) % self.len.max(1);
                Some(at)
            }
            Kind::Random(rng) => Some(rng.random_range(0..self.len.max(1))),
            Kind::Shuffle(rng, left) => {
                if left.is_empty() {
                    left.extend(0..self.len.max(1));
                    left.shuffle(rng);
                }
                left.pop()
            }
        }
    }
}
