//! What the peer has and is not built here: known by name, so that a command line that needs it is refused and not misread.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// Options that are refused by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbuilt;

/// Their names.
const NAMES: &[&str] = &[
    "accuracy-benchmark",
    "accuracy-enable-cot",
    "accuracy-grader",
    "accuracy-n-shots",
    "accuracy-system-prompt",
    "accuracy-tasks",
    "accuracy-verbose",
    "agentic-cache-warmup-duration",
    "agentic-warmup-grace-period",
    "allow-dataset-wrap",
    "api-host",
    "api-port",
    "apply-chat-template",
    "audio-batch-size",
    "audio-depths",
    "audio-format",
    "audio-length-mean",
    "audio-length-stddev",
    "audio-num-channels",
    "audio-sample-rates",
    "auto-plot",
    "batch-size-audio",
    "batch-size-video",
    "bo-constraint-mode",
    "burst-phase-starts",
    "cache-bust",
    "concurrency-max",
    "concurrency-min",
    "concurrency-steps",
    "convergence-metric",
    "convergence-mode",
    "convergence-stat",
    "convergence-threshold",
    "dataset-filter",
    "degradation-metric-tag",
    "degradation-stat",
    "degradation-threshold",
    "download-video-content",
    "e2e-sla-ms",
    "error-rate-sla",
    "force-min-tokens",
    "gen-ai-provider",
    "hf-subset",
    "hf-weka-dataset",
    "inter-turn-delay-cap-seconds",
    "isl-max",
    "isl-min",
    "isl-osl-pairs",
    "isl-steps",
    "itl-sla-ms",
    "max-context-length",
    "max-idle-gap-cap-seconds",
    "mlflow-artifact-glob",
    "mlflow-experiment",
    "mlflow-parent-run-id",
    "mlflow-run-name",
    "mlflow-tag",
    "mlflow-tracking-uri",
    "network-latency-automatic",
    "network-latency-mean",
    "network-latency-ping-interval",
    "no-allow-dataset-wrap",
    "no-auto-plot",
    "no-force-min-tokens",
    "no-open-loop-replay",
    "omit-kv-hints",
    "open-loop-replay",
    "open-loop-strict",
    "optuna-acquisition",
    "optuna-sampler",
    "optuna-terminator",
    "osl-max",
    "osl-min",
    "osl-steps",
    "otel-resource-attributes",
    "otel-url",
    "plot-required",
    "profile",
    "replay-speedup",
    "reset-kv-cache",
    "reset-kv-cache-path",
    "reset-kv-cache-timeout-seconds",
    "scenario",
    "search-direction",
    "search-initial-points",
    "search-max-iterations",
    "search-metric",
    "search-percentile-pooling",
    "search-planner",
    "search-random-seed",
    "search-recipe",
    "search-sla",
    "search-sla-tier",
    "search-space",
    "search-stat",
    "search-style",
    "server-profiler",
    "server-profiler-start-path",
    "server-profiler-stop-path",
    "server-profiler-timeout-seconds",
    "slo-attainment-fraction",
    "stream",
    "sweep-variant",
    "synthesis-output-len-multiplier",
    "synthesis-prefix-len-multiplier",
    "synthesis-prefix-root-multiplier",
    "synthesis-prompt-len-multiplier",
    "system-idle-gap-cap-seconds",
    "tokenizer-trust-remote-code",
    "tpot-sla-ms",
    "trace-idle-gap-cap-seconds",
    "trace-session-sample-ratio",
    "trajectory-start-max-ratio",
    "trajectory-start-min-ratio",
    "ttft-sla-ms",
    "unsafe-override",
    "uuid-and-strip",
    "variant",
    "video-audio-codec",
    "video-audio-depth",
    "video-audio-num-channels",
    "video-audio-sample-rate",
    "video-batch-size",
    "video-codec",
    "video-duration",
    "video-format",
    "video-fps",
    "video-height",
    "video-synth-type",
    "video-width",
    "wandb-entity",
    "wandb-project",
    "wandb-run-name",
    "wandb-tag",
    "zmq-dual-bind",
];

/// What to do instead, of those for which there is something.
fn instead(name: &str) -> &'static str {
    match name {
        "tokenizer-trust-remote-code" => ": code of a model's repository is never run here; pass a folder with tokenizer.json",
        "search-recipe" | "search-space" | "search-sla" | "search-metric" => ": see --search and --slo",
        "replay-speedup" => ": see --synthesis-speedup-ratio",
        _ => "",
    }
}

impl Args for Unbuilt {
    fn augment_args(command: Command) -> Command {
        NAMES.iter().fold(command, |command, name| {
            let arg = Arg::new(format!("unbuilt-{name}")).long(*name).hide(true).num_args(0..).action(ArgAction::Append);
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Unbuilt {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = NAMES.iter().find(|name| matches.contains_id(&format!("unbuilt-{name}")));
        match given {
            None => Ok(Self),
            Some(name) => {
                let words = format!("--{name} is an option of AIPerf that is not built here{}\n", instead(name));
                Err(Error::raw(ErrorKind::UnknownArgument, words))
            }
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        Self::from_arg_matches(matches).map(|_| ())
    }
}
