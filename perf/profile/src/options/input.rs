//! What is asked.

use std::path::PathBuf;

use clap::Args;

/// Files and the rest of a request.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Input")]
pub struct InputOptions {
    /// Further fields of every body: key:value, or a JSON object
    #[arg(long, num_args = 1.., value_name = "K:V")]
    pub extra_inputs: Vec<String>,
    /// Further headers of every request: Name:Value, or a JSON object
    #[arg(long, short = 'H', num_args = 1.., value_name = "NAME:VALUE")]
    pub header: Vec<String>,
    /// Data set: a file or a folder
    #[arg(long, value_name = "PATH")]
    pub input_file: Option<PathBuf>,
    /// Its format: single_turn, multi_turn, random_pool, mooncake_trace, raw_payload, inputs_json or sharegpt; else it is found out
    #[arg(long, value_name = "FORMAT")]
    pub custom_dataset_type: Option<String>,
    /// A public data set by name: sharegpt, from a local copy given as --input-file
    #[arg(long, value_name = "NAME")]
    pub public_dataset: Option<String>,
    /// How conversations are taken: sequential, random or shuffle
    #[arg(long, value_name = "HOW")]
    pub dataset_sampling_strategy: Option<String>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N")]
    pub random_seed: Option<u64>,
    /// Take no times and delays from the data set
    #[arg(long)]
    pub ignore_trace_delays: bool,
    /// Configuration file; options win over it
    #[arg(long, short = 'f', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What a good request keeps to: metric:limit, in the unit that is shown
    #[arg(long, value_name = "TAG:LIMIT ...")]
    pub goodput: Option<String>,
    /// Divide times of a trace by this
    #[arg(value_parser = super::finite, long, value_name = "X")]
    pub synthesis_speedup_ratio: Option<f64>,
    /// Leave out what is longer
    #[arg(long, value_name = "TOKENS")]
    pub synthesis_max_isl: Option<u64>,
    /// Cut what is asked for to this
    #[arg(long, value_name = "TOKENS")]
    pub synthesis_max_osl: Option<u64>,
}

/// Text that is made.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Prompts")]
pub struct PromptOptions {
    /// Sessions: the run ends behind the last of them
    #[arg(long, visible_aliases = ["num-conversations", "num-sessions"], value_name = "N,...")]
    pub conversation_num: Option<String>,
    /// Conversations in the data set [default: the number of sessions or requests, else 100]
    #[arg(long, visible_alias = "num-prompts", value_name = "N")]
    pub num_dataset_entries: Option<u64>,
    /// Turns of a conversation [default: 1]
    #[arg(long, visible_alias = "session-turns-mean", value_name = "N,...")]
    pub conversation_turn_mean: Option<String>,
    /// Their deviation
    #[arg(value_parser = super::finite, long, visible_alias = "session-turns-stddev", value_name = "N")]
    pub conversation_turn_stddev: Option<f64>,
    /// Time to think before a turn
    #[arg(value_parser = super::finite, long, visible_alias = "session-turn-delay-mean", value_name = "MS")]
    pub conversation_turn_delay_mean: Option<f64>,
    /// Its deviation
    #[arg(value_parser = super::finite, long, visible_alias = "session-turn-delay-stddev", value_name = "MS")]
    pub conversation_turn_delay_stddev: Option<f64>,
    /// Multiplies every delay
    #[arg(value_parser = super::finite, long, visible_alias = "session-delay-ratio", value_name = "X")]
    pub conversation_turn_delay_ratio: Option<f64>,
    /// Texts in a request, of embeddings and rankings
    #[arg(long, short = 'b', visible_aliases = ["batch-size-text", "batch-size"], value_name = "N")]
    pub prompt_batch_size: Option<u64>,
    /// What texts are made of: sonnet or random
    #[arg(long, value_name = "NAME")]
    pub prompt_corpus: Option<String>,
    /// System message, as it is
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["system_prompt_file", "prompt_prefix_pool_size", "shared_system_prompt_length", "user_context_prompt_length"])]
    pub system_prompt: Option<String>,
    /// System message, from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt_prefix_pool_size", "shared_system_prompt_length", "user_context_prompt_length"])]
    pub system_prompt_file: Option<PathBuf>,
    /// Prefixes that prompts share
    #[arg(long, visible_aliases = ["prefix-prompt-pool-size", "num-prefix-prompts"], value_name = "N")]
    pub prompt_prefix_pool_size: Option<u64>,
    /// Tokens of each
    #[arg(long, visible_alias = "prefix-prompt-length", value_name = "TOKENS")]
    pub prompt_prefix_length: Option<u64>,
    /// Tokens of a system message that all sessions share
    #[arg(long, value_name = "TOKENS", conflicts_with = "prompt_prefix_pool_size")]
    pub shared_system_prompt_length: Option<u64>,
    /// Tokens of a message of the user's own before the first turn
    #[arg(long, value_name = "TOKENS", conflicts_with = "prompt_prefix_pool_size", requires = "num_dataset_entries")]
    pub user_context_prompt_length: Option<u64>,
    /// Tokens of a prompt [default: 550]
    #[arg(long = "isl", visible_aliases = ["prompt-input-tokens-mean", "synthetic-input-tokens-mean"], value_name = "TOKENS,...")]
    pub isl: Option<String>,
    /// Their deviation
    #[arg(long = "isl-stddev", visible_aliases = ["prompt-input-tokens-stddev", "synthetic-input-tokens-stddev"], value_name = "TOKENS,...")]
    pub isl_stddev: Option<String>,
    /// Tokens of each block of a trace
    #[arg(long = "isl-block-size", visible_aliases = ["prompt-input-tokens-block-size", "synthetic-input-tokens-block-size"], value_name = "TOKENS")]
    pub isl_block_size: Option<u64>,
    /// Pairs of lengths: ISL,OSL:PERCENT;...
    #[arg(long, visible_alias = "sequence-distribution", value_name = "PAIRS")]
    pub seq_dist: Option<String>,
    /// Lengths within this share of their mean
    #[arg(long, value_name = "R", conflicts_with = "seq_dist", requires = "isl", requires = "osl")]
    pub random_range_ratio: Option<String>,
    /// Whose window and tokens: vllm or sglang
    #[arg(long, value_name = "NAME")]
    pub random_corpus_style: Option<String>,
    /// Tokens of an answer at most
    #[arg(long = "osl", visible_aliases = ["prompt-output-tokens-mean", "output-tokens-mean"], value_name = "TOKENS,...")]
    pub osl: Option<String>,
    /// Their deviation
    #[arg(long = "osl-stddev", visible_aliases = ["prompt-output-tokens-stddev", "output-tokens-stddev"], value_name = "TOKENS,...")]
    pub osl_stddev: Option<String>,
}

/// Images that are made; both means above 0, or a folder, switch them on.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// Width in pixels
    #[arg(value_parser = super::finite, long, value_name = "PX")]
    pub image_width_mean: Option<f64>,
    /// Its deviation
    #[arg(value_parser = super::finite, long, value_name = "PX")]
    pub image_width_stddev: Option<f64>,
    /// Height in pixels
    #[arg(value_parser = super::finite, long, value_name = "PX")]
    pub image_height_mean: Option<f64>,
    /// Its deviation
    #[arg(value_parser = super::finite, long, value_name = "PX")]
    pub image_height_stddev: Option<f64>,
    /// Images in a request
    #[arg(long, visible_alias = "batch-size-image", value_name = "N")]
    pub image_batch_size: Option<u64>,
    /// png, jpeg, or random: either for each image [default: png]
    #[arg(long, value_name = "FORMAT")]
    pub image_format: Option<String>,
    /// noise, or a folder of PNG and JPEG files, which are scaled [default: noise]
    #[arg(long, value_name = "noise|DIR")]
    pub image_source: Option<String>,
    /// How pictures of a folder are taken: random-with-replacement, shuffle-cycle or sequential-cycle [default: random-with-replacement]
    #[arg(long, value_name = "HOW")]
    pub image_source_sampling: Option<String>,
}

/// Queries and passages of rankings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Rankings")]
pub struct RankingOptions {
    /// Passages of a request
    #[arg(value_parser = super::finite, long, value_name = "N")]
    pub rankings_passages_mean: Option<f64>,
    /// Their deviation
    #[arg(value_parser = super::finite, long, value_name = "N")]
    pub rankings_passages_stddev: Option<f64>,
    /// Tokens of a passage
    #[arg(value_parser = super::finite, long, value_name = "TOKENS")]
    pub rankings_passages_prompt_token_mean: Option<f64>,
    /// Their deviation
    #[arg(value_parser = super::finite, long, value_name = "TOKENS")]
    pub rankings_passages_prompt_token_stddev: Option<f64>,
    /// Tokens of a query
    #[arg(value_parser = super::finite, long, value_name = "TOKENS")]
    pub rankings_query_prompt_token_mean: Option<f64>,
    /// Their deviation
    #[arg(value_parser = super::finite, long, value_name = "TOKENS")]
    pub rankings_query_prompt_token_stddev: Option<f64>,
}
