//! What data are asked for: every option of the command line that concerns them (perf contract 1.2), before anything is read.

use std::fmt;
use std::path::PathBuf;

use crate::distribution::Length;
use crate::lengths::{Pairs, RangeRatio};

/// All that decides over a data set. Two of the same give the same one, where there is a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Where it comes from.
    pub source: Source,
    /// How many conversations, of text made up and of pools; 100 when unset. Files of conversations have as many as they hold.
    pub entries: Option<usize>,
    /// The order in which conversations are taken; what suits the source when unset.
    pub sampling: Option<Sampling>,
    /// The root of all chance; from the system when unset.
    pub seed: Option<u64>,
    /// Tokens of a prompt.
    pub isl: Length,
    /// Tokens of an answer; no limit is sent when unset.
    pub osl: Option<Length>,
    /// Pairs of both in place of `isl` and `osl`.
    pub seq_dist: Option<Pairs>,
    /// Uniform windows around the means of both.
    pub range_ratio: Option<RangeRatio>,
    /// What prompts are cut from.
    pub corpus: Corpus,
    /// The benchmark whose windows and random tokens are followed.
    pub style: CorpusStyle,
    /// Texts per request.
    pub batch: usize,
    /// How many beginnings prompts of first turns share.
    pub prefix_pool: usize,
    /// Tokens of each.
    pub prefix_length: u64,
    /// Tokens of one system message for all.
    pub shared_system_length: Option<u64>,
    /// Tokens of a message of the user before the first turn, of each conversation its own.
    pub user_context_length: Option<u64>,
    /// A system message as it stands; before one of the data themselves.
    pub system_prompt: Option<String>,
    /// Turns of a conversation.
    pub turns: Length,
    /// Milliseconds before later turns; none when the mean is nought.
    pub delay: Length,
    /// Every delay times this.
    pub delay_ratio: f64,
    /// Timestamps and delays of files are dropped.
    pub ignore_trace_delays: bool,
    /// Images in each turn.
    pub images: Option<Images>,
    /// A query and passages in place of a prompt.
    pub rankings: Option<Rankings>,
    /// How many models share the prompts.
    pub models: usize,
    /// Which of them gets one.
    pub model_choice: ModelChoice,
    /// Lines of a trace before this time, in milliseconds, are dropped.
    pub start_offset_ms: Option<f64>,
    /// And those behind this one.
    pub end_offset_ms: Option<f64>,
    /// Tokens of a block of a trace; 512 when unset.
    pub block_size: Option<u64>,
    /// Timestamps of a file are divided by it.
    pub speedup: f64,
    /// Lines of a trace with a longer prompt are dropped.
    pub max_isl: Option<u64>,
    /// Longer answers of a trace are cut to this.
    pub max_osl: Option<u64>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            source: Source::Synthetic,
            entries: None,
            sampling: None,
            seed: None,
            isl: Length::of(550.0),
            osl: None,
            seq_dist: None,
            range_ratio: None,
            corpus: Corpus::Sonnet,
            style: CorpusStyle::Vllm,
            batch: 1,
            prefix_pool: 0,
            prefix_length: 0,
            shared_system_length: None,
            user_context_length: None,
            system_prompt: None,
            turns: Length::of(1.0),
            delay: Length::of(0.0),
            delay_ratio: 1.0,
            ignore_trace_delays: false,
            images: None,
            rankings: None,
            models: 1,
            model_choice: ModelChoice::RoundRobin,
            start_offset_ms: None,
            end_offset_ms: None,
            block_size: None,
            speedup: 1.0,
            max_isl: None,
            max_osl: None,
        }
    }
}

/// Where data come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Made up.
    #[default]
    Synthetic,
    /// A file or a folder.
    File {
        /// Which.
        path: PathBuf,
        /// Found out when unset.
        format: Option<FileFormat>,
    },
}

/// Formats of files (perf contract 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A line is a turn; lines of one session belong together.
    SingleTurn,
    /// A line is a conversation.
    MultiTurn,
    /// A line is one of which any may be drawn.
    RandomPool,
    /// A line is a request of a recorded load.
    MooncakeTrace,
    /// A line is a payload.
    RawPayload,
    /// Payloads of sessions, as a run writes them.
    InputsJson,
    /// Conversations of people with a model.
    ShareGpt,
}

impl FileFormat {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::SingleTurn, Self::MultiTurn, Self::RandomPool, Self::MooncakeTrace, Self::RawPayload, Self::InputsJson, Self::ShareGpt];
    /// Formats of the peer that are not read.
    pub const NOT_BUILT: [&'static str; 9] = [
        "bailian_trace",
        "burst_gpt_trace",
        "baseten_trace",
        "sagemaker_data_capture",
        "dag_jsonl",
        "weka_trace",
        "tracelab",
        "speed_bench",
        "openai_batch",
    ];

    /// Its name as an option.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleTurn => "single_turn",
            Self::MultiTurn => "multi_turn",
            Self::RandomPool => "random_pool",
            Self::MooncakeTrace => "mooncake_trace",
            Self::RawPayload => "raw_payload",
            Self::InputsJson => "inputs_json",
            Self::ShareGpt => "sharegpt",
        }
    }

    /// By name; case, `-` and `_` do not matter.
    ///
    /// # Errors
    /// When there is none of that name, or it is not built.
    pub fn parse(name: &str) -> Result<Self, String> {
        let asked = name.to_ascii_lowercase().replace('-', "_");
        if let Some(found) = Self::ALL.into_iter().find(|f| f.name() == asked) {
            return Ok(found);
        }
        if Self::NOT_BUILT.iter().any(|n| *n == asked) || asked.starts_with("speed_bench") {
            return Err(format!("{asked} is not supported yet; supported are {}", Self::names()));
        }
        Err(format!("no format {name}; there are {}", Self::names()))
    }

    /// Whether its lines have times of their own.
    #[must_use]
    pub fn is_trace(self) -> bool {
        self == Self::MooncakeTrace
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In which order conversations, or pictures, are taken (perf contract 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// One after the other, and again from the first.
    Sequential,
    /// Any, each time.
    Random,
    /// All in an order of chance, then all in another.
    Shuffle,
}

/// What prompts are cut from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corpus {
    /// Our own prose, under the peer's name for its own.
    #[default]
    Sonnet,
    /// Tokens without sense.
    Random,
}

/// Whose random data are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorpusStyle {
    /// vLLM: a window on both sides of the mean; tokens without special ones.
    #[default]
    Vllm,
    /// SGLang: a window below the mean; all tokens.
    Sglang,
}

/// Which model gets a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ModelChoice {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// Any, some more often.
    Weighted(Vec<f64>),
}

/// Images made up.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Pixels.
    pub width: Length,
    /// Pixels.
    pub height: Length,
    /// In each turn.
    pub batch: usize,
    /// How they are coded.
    pub format: ImageFormat,
    /// What they show.
    pub source: ImageSource,
}

/// What images show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// Nothing.
    #[default]
    Noise,
    /// The pictures of a folder, scaled.
    Folder {
        /// Which.
        path: PathBuf,
        /// In which order they are taken, over all conversations by their numbers.
        sampling: Sampling,
    },
}

/// Codings of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageFormat {
    /// Without loss.
    #[default]
    Png,
    /// With little loss.
    Jpeg,
    /// Either, each time.
    Random,
}

/// What is ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rankings {
    /// How many passages.
    pub passages: Length,
    /// Tokens of each.
    pub passage: Length,
    /// Tokens of the query.
    pub query: Length,
}

impl Default for Rankings {
    fn default() -> Self {
        Self { passages: Length::of(1.0), passage: Length::of(550.0), query: Length::of(550.0) }
    }
}
