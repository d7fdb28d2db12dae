//! Where requests go, and as what.

use clap::Args;

/// The endpoint.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoint")]
pub struct EndpointOptions {
    /// Models, one or several
    #[arg(long = "model-names", visible_alias = "model", short = 'm', num_args = 1.., value_name = "NAME")]
    pub models: Vec<String>,
    /// Which model a request gets: round_robin, random, or weighted, by weights of a configuration file
    #[arg(long, value_name = "HOW")]
    pub model_selection_strategy: Option<String>,
    /// Path in place of the endpoint type's own
    #[arg(long, visible_alias = "endpoint", value_name = "PATH")]
    pub custom_endpoint: Option<String>,
    /// chat, completions, responses, messages, embeddings, nim_rankings, cohere_rankings, hf_tei_rankings, template or raw [default: chat]
    #[arg(long, value_name = "TYPE")]
    pub endpoint_type: Option<String>,
    /// Ask for answers piece by piece
    #[arg(long)]
    pub streaming: bool,
    /// Addresses of the server; sessions take turns [default: http://localhost:8000]
    #[arg(long, short, num_args = 1.., value_name = "URL")]
    pub url: Vec<String>,
    /// How addresses are taken: round_robin
    #[arg(long, value_name = "HOW")]
    pub url_strategy: Option<String>,
    /// How long a request may take in all, connecting included [default: 21600]
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub request_timeout_seconds: Option<f64>,
    /// How long to wait for the model before the load; 0: not at all
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub wait_for_model_timeout: Option<f64>,
    /// What to wait for: models, inference or both [default: inference]
    #[arg(long, value_name = "WHAT")]
    pub wait_for_model_mode: Option<String>,
    /// Time between two looks [default: 5]
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub wait_for_model_interval: Option<f64>,
    /// Key of the API
    #[arg(long, value_name = "KEY", env = "OPENAI_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// The only one there is: http
    #[arg(long, visible_alias = "transport-type", value_name = "NAME", hide = true)]
    pub transport: Option<String>,
    /// Ask for max_tokens instead of max_completion_tokens
    #[arg(long)]
    pub use_legacy_max_tokens: bool,
    /// Take token counts from the server's usage
    #[arg(long)]
    pub use_server_token_count: bool,
    /// Ask for usage in each piece
    #[arg(long)]
    pub per_chunk_usage: bool,
    /// How connections are used: pooled, never or sticky-user-sessions [default: pooled]
    #[arg(long, value_name = "HOW")]
    pub connection_reuse_strategy: Option<String>,
    /// Header that has the session's name, in place of X-Correlation-ID
    #[arg(long, value_name = "NAME")]
    pub session_header: Option<String>,
    /// Encoding of bodies: application/json
    #[arg(long, value_name = "TYPE", hide = true)]
    pub request_content_type: Option<String>,
    /// Tokenizer: a folder or file (tokenizer.json), or a name that is in a local cache [default: the model's name]
    #[arg(long, value_name = "NAME", help_heading = "Tokenizer")]
    pub tokenizer: Option<String>,
    /// Revision in that cache
    #[arg(long, value_name = "REVISION", help_heading = "Tokenizer")]
    pub tokenizer_revision: Option<String>,
}
