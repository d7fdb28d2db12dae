//! `perf config`: what a configuration means in full, and what is wrong with one.
//!
//! | Module | Idea |
//! |---|---|
//! | `expand` | the whole document with every default, as it can be read again |
//! | `validate` | everything that is wrong with files, each with its place |
//! | `checks` | what can be wrong with a document without a server: for `validate`, and for `perf doctor` |
//! | `places` | which member is to blame, and in which line it stands |

pub mod checks;
pub mod expand;
pub mod places;
#[cfg(test)]
mod tests;
pub mod validate;

use clap::{Args, Subcommand};

pub use expand::ExpandArgs;
pub use validate::ValidateArgs;

/// Arguments of `perf config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the whole configuration that a file and options mean, with every default; --config reads it again
    #[command(
        after_help = "Examples:\n  dormouse perf config expand bench.yaml\n  dormouse perf config expand -m my-model --concurrency 8,16 --variations\n  dormouse perf config expand bench.yaml --output json --streaming\n\nSecrets are left out: a key of the API is read from OPENAI_API_KEY again. What is drawn, or found in data, has no default here."
    )]
    Expand(Box<ExpandArgs>),
    /// Say of each configuration file, and each data set, what is wrong with it; exit code 2 when something is
    #[command(
        after_help = "Examples:\n  dormouse perf config validate bench.yaml other.yaml\n  dormouse perf config validate --dataset trace.jsonl --custom-dataset-type mooncake_trace"
    )]
    Validate(ValidateArgs),
}

/// Runs it to its end.
///
/// # Errors
/// What is wrong, as exit code 2.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Expand(args) => expand::run(args),
        What::Validate(args) => validate::run(args),
    }
}
