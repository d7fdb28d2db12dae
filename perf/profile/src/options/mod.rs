//! The options of `perf profile`: AIPerf's names, aliases, values and defaults (perf contract 1.2), and our own beside them.
//!
//! Here they are only read. What they mean together is in `config`: each option becomes a member of a configuration document, as
//! a file would have it, and what stands behind is the same for both. What the peer has and we have not built is refused by name
//! (`unbuilt`).

mod endpoint;
mod input;
mod load;
mod ours;
mod output;
mod unbuilt;

use clap::Args;

pub use endpoint::EndpointOptions;
pub use input::{ImageOptions, InputOptions, PromptOptions, RankingOptions};
pub use load::{LoadOptions, ScheduleOptions, WarmupOptions};
pub use ours::OurOptions;
pub use output::{OutputOptions, RepeatOptions, TelemetryOptions, UiOptions};
pub use unbuilt::Unbuilt;

/// Everything that `perf profile` takes.
// A negative number is a wrong value, and no unknown option.
#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ProfileArgs {
    #[command(flatten)]
    pub endpoint: EndpointOptions,
    #[command(flatten)]
    pub input: InputOptions,
    #[command(flatten)]
    pub prompt: PromptOptions,
    #[command(flatten)]
    pub image: ImageOptions,
    #[command(flatten)]
    pub ranking: RankingOptions,
    #[command(flatten)]
    pub schedule: ScheduleOptions,
    #[command(flatten)]
    pub load: LoadOptions,
    #[command(flatten)]
    pub warmup: WarmupOptions,
    #[command(flatten)]
    pub output: OutputOptions,
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    #[command(flatten)]
    pub ui: UiOptions,
    #[command(flatten)]
    pub repeat: RepeatOptions,
    #[command(flatten)]
    pub ours: OurOptions,
    #[command(flatten)]
    pub unbuilt: Unbuilt,
}

/// A number, and not what floats have beside.
fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| format!("{text:?} is no number"))
}

/// The values of an option that may be given several times, with several values each, with commas between them, or as a JSON list.
///
/// # Errors
/// A list that is none.
pub fn list(given: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for text in given {
        if text.trim_start().starts_with('[') {
            let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|why| format!("{text} is no JSON list: {why}"))?;
            all.extend(values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        } else {
            all.extend(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ProfileArgs,
    }

    #[test]
    fn the_table_of_options_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn lists_are_taken_in_every_form() {
        let given = |items: &[&str]| list(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["a,b", "c"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(given(&["[1, \"x,y\"]"]).unwrap(), ["1", "x,y"]);
        assert!(given(&["[1"]).is_err());
    }

    #[test]
    fn a_scalar_that_is_given_twice_is_an_error() {
        let error = Line::try_parse_from(["p", "--isl", "1", "--isl", "2"]).unwrap_err().to_string();
        assert!(error.contains("--isl"), "{error}");
    }

    #[test]
    fn what_is_not_built_is_named() {
        let error = Line::try_parse_from(["p", "-m", "m", "--otel-url", "http://x"]).unwrap_err().to_string();
        assert!(error.contains("--otel-url") && error.contains("not built"), "{error}");
        let error = Line::try_parse_from(["p", "-m", "m", "--concurency", "4"]).unwrap_err().to_string();
        assert!(error.contains("--concurrency"), "{error}");
    }
}
