//! The command line: vLLM's `serve` arguments that mean something here, and our own `--sim-…`.
//!
//! vLLM has several hundred arguments; manifests use many that change nothing for an engine like ours. [`parse`] keeps
//! what clap knows, drops the rest and names it in one warning. A *known* argument with a bad value stays an error.

use std::num::NonZeroU64;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser};

/// Arguments of an engine of ours.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "serve",
    args_override_self = true,
    about = "Serve a model with OpenAI's API and vLLM's administration routes",
    after_help = "Arguments of vLLM's `serve` that are not listed here are accepted and named in one warning.\n\n\
                  Examples:\n  vllm serve ./tiny --port 8000 --enable-sleep-mode\n  \
                  dormouse engine sim my-model --sim-model-bytes 16GB --sim-ttft 50ms"
)]
pub struct ServeArgs {
    /// Model: a Hugging Face folder, or a name.
    #[arg(value_name = "MODEL")]
    pub model_tag: Option<String>,
    /// Model, the other way to say it.
    #[arg(long = "model", value_name = "MODEL")]
    model_option: Option<String>,
    /// Names under which the model is served; the first one is shown.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub served_model_name: Vec<String>,
    /// Address to listen on; wildcard and loopback mean the Pod's own address in a Pod of ours.
    #[arg(long, default_value = "")]
    pub host: String,
    /// Port to listen on.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Key that requests under /v1 must bring.
    #[arg(long, env = "VLLM_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Sleep frees memory (without it, sleep only stops serving, as in vLLM).
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "no_enable_sleep_mode")]
    pub enable_sleep_mode: bool,
    #[arg(long, action = ArgAction::SetTrue, hide = true)]
    no_enable_sleep_mode: bool,
    /// Share of each GPU that the engine takes while awake.
    #[arg(long, default_value_t = 0.9, value_parser = fraction)]
    pub gpu_memory_utilization: f64,
    /// GPUs that share the model.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub tensor_parallel_size: u32,
    /// Longest prompt and answer together, in tokens; `32k` is 32,000 and `32K` 32,768.
    #[arg(long, value_parser = tokens)]
    pub max_model_len: Option<usize>,
    /// Requests computed at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub max_num_seqs: u32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Branch, tag or commit, for a model of the local Hugging Face cache.
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// What the simulator pretends.
    #[command(flatten)]
    pub sim: SimArgs,
}

/// What the simulator pretends. Times are like `250ms`, `1.5s` or plain seconds; sizes like `8GB`, `80GiB` or bytes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Simulator")]
pub struct SimArgs {
    /// Bytes of the model's weights.
    #[arg(long = "sim-model-bytes", default_value = "8GB", value_parser = bytes)]
    pub model_bytes: u64,
    /// Bytes that a sleeping engine keeps on each GPU.
    #[arg(long = "sim-residue-bytes", default_value = "1GiB", value_parser = bytes)]
    pub residue_bytes: u64,
    /// Time of a start that goes neither to storage nor to the link: imports, compilation, warm-up.
    #[arg(long = "sim-init", default_value = "500ms", value_parser = time)]
    pub init: std::time::Duration,
    /// Time to load the weights at start, instead of the time that storage and link take.
    #[arg(long = "sim-load", value_parser = time)]
    pub load: Option<std::time::Duration>,
    /// Time to first token.
    #[arg(long = "sim-ttft", default_value = "20ms", value_parser = time)]
    pub ttft: std::time::Duration,
    /// Time from token to token.
    #[arg(long = "sim-itl", default_value = "5ms", value_parser = time)]
    pub itl: std::time::Duration,
    /// Spread of both: 0.1 draws each between 90 and 110 per cent.
    #[arg(long = "sim-jitter", default_value_t = 0.0, value_parser = fraction)]
    pub jitter: f64,
    /// Time from the end of a start or wake until it is admitted to the caller.
    #[arg(long = "sim-ready-delay", default_value = "0s", value_parser = time)]
    pub ready_delay: std::time::Duration,
    /// Host link in bytes per second, where there is no device ledger to ask.
    #[arg(long = "sim-link-bytes-per-second", default_value = "50GB", value_parser = nonzero_bytes)]
    pub link: NonZeroU64,
    /// Storage in bytes per second, where there is no device ledger to ask.
    #[arg(long = "sim-storage-bytes-per-second", default_value = "5GB", value_parser = nonzero_bytes)]
    pub storage: NonZeroU64,
    /// Memory of each GPU, where there is no device ledger to ask.
    #[arg(long = "sim-gpu-memory", default_value = "80GiB", value_parser = nonzero_bytes)]
    pub gpu_memory: NonZeroU64,
}

impl ServeArgs {
    /// The model, as given.
    pub fn model(&self) -> &str {
        self.model_option.as_deref().or(self.model_tag.as_deref()).unwrap_or_default()
    }

    /// The names under which it is served; never empty.
    pub fn served_names(&self) -> Vec<String> {
        if self.served_model_name.is_empty() { vec![self.model().to_owned()] } else { self.served_model_name.clone() }
    }
}

/// vLLM's switches that take no value and are not recognisable by their prefix; needed to know whether the word behind an
/// argument we do not have is its value.
const FOREIGN_SWITCHES: [&str; 8] = [
    "--allow-credentials",
    "--async-scheduling",
    "--calculate-kv-scales",
    "--enforce-eager",
    "--headless",
    "--return-tokens-as-token-ids",
    "--skip-tokenizer-init",
    "--trust-remote-code",
];
const SWITCH_PREFIXES: [&str; 5] = ["--no-", "--enable-", "--disable-", "--log-", "--use-"];

/// Reads arguments (what follows `serve`) and tells which of them were unknown.
///
/// # Errors
/// A known argument with a bad value, no model, or `--help`; the error prints itself and knows its exit code.
pub fn parse(argv: &[String]) -> Result<(ServeArgs, Vec<String>), clap::Error> {
    let mut command = ServeArgs::command();
    command.build();
    let takes_value = |name: &str| command.get_arguments().find(|a| a.get_long() == Some(name)).map(|a| a.get_action().takes_values());
    let mut kept = vec!["serve".to_owned()];
    let mut unknown = Vec::new();
    let mut words = argv.iter().peekable();
    if words.peek().is_some_and(|w| *w == "serve") {
        words.next();
    }
    while let Some(word) = words.next() {
        // vLLM's short form of an argument we do have.
        let word = if word == "-tp" { "--tensor-parallel-size" } else { word };
        if matches!(word, "-h" | "--help") || !word.starts_with('-') || word == "-" {
            kept.push(word.to_owned());
            continue;
        }
        let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        // vLLM takes `--max_model_len` for `--max-model-len`.
        let name = name.replace('_', "-");
        match takes_value(name.trim_start_matches('-')) {
            Some(takes) if name.starts_with("--") => {
                match value {
                    // The value may begin with a dash: keep it attached.
                    Some(value) => kept.push(format!("{name}={value}")),
                    None => kept.push(name.clone()),
                }
                // One value at least belongs to it, whatever it looks like; clap judges it.
                if takes && value.is_none() && words.peek().is_some_and(|w| !w.starts_with("--")) {
                    kept.extend(words.next().cloned());
                }
            }
            _ => {
                let switch = FOREIGN_SWITCHES.contains(&name.as_str()) || SWITCH_PREFIXES.iter().any(|p| name.starts_with(p));
                if value.is_none() && !switch {
                    while words.next_if(|w| !w.starts_with('-')).is_some() {}
                }
                unknown.push(name);
            }
        }
    }
    let args = ServeArgs::try_parse_from(kept)?;
    if args.model().is_empty() {
        let text = "no model given: name a Hugging Face folder or a model, as in `vllm serve ./tiny`\n";
        return Err(ServeArgs::command().error(ErrorKind::MissingRequiredArgument, text));
    }
    Ok((args, unknown))
}

/// A share above 0 (or 0 itself, for jitter) and at most 1.
fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// A number with decimals and the unit behind it.
fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((value, unit.trim())),
        _ => Err(format!("{text:?} is not a number")),
    }
}

/// A whole number out of a decimal one, if it fits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn whole(value: f64) -> Result<u64, String> {
    // 2^63 is exact; beyond it nothing here makes sense.
    if (0.0..9_223_372_036_854_775_808.0).contains(&value) { Ok(value.round() as u64) } else { Err("too large".into()) }
}

/// A size with its unit, in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (value, unit) = split_unit(text)?;
    let factor = match unit.to_ascii_lowercase().trim_end_matches("/s") {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "ti" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("unknown unit {other:?}; use B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")),
    };
    whole(value * factor)
}

fn nonzero_bytes(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(bytes(text)?).ok_or_else(|| "must not be zero".to_owned())
}

fn time(text: &str) -> Result<std::time::Duration, String> {
    let (value, unit) = split_unit(text)?;
    let seconds = match unit {
        "" | "s" => value,
        "ms" => value / 1e3,
        "us" => value / 1e6,
        "m" => value * 60.0,
        other => return Err(format!("unknown unit {other:?}; use us, ms, s or m")),
    };
    std::time::Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// vLLM's way to write token counts: `k` is thousand, `K` is 1024, and so on.
fn tokens(text: &str) -> Result<usize, String> {
    let (value, unit) = split_unit(text)?;
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "K" => 1024.0,
        "m" => 1e6,
        "M" => 1024.0 * 1024.0,
        other => return Err(format!("unknown unit {other:?}; use k, K, m or M")),
    };
    match usize::try_from(whole(value * factor)?) {
        Ok(0) | Err(_) => Err("must be a positive number of tokens".to_owned()),
        Ok(count) => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (ServeArgs, Vec<String>) {
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&argv).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    #[test]
    fn a_line_of_the_recipe_is_understood() {
        let (args, unknown) = parsed(
            "--port=8000 --model meta-llama/Llama-3.1-8B --enable-sleep-mode --max-model-len=32768 \
             --gpu_memory_utilization 0.825 --served-model-name a b",
        );
        assert_eq!((args.port, args.model(), args.enable_sleep_mode), (8000, "meta-llama/Llama-3.1-8B", true));
        assert_eq!(args.max_model_len, Some(32768));
        assert!((args.gpu_memory_utilization - 0.825).abs() < 1e-9);
        assert_eq!(args.served_names(), ["a", "b"]);
        assert!(unknown.is_empty());
    }

    #[test]
    fn unknown_arguments_are_named_and_take_their_values_along() {
        let (args, unknown) = parsed(
            "serve m --dtype float32 --enforce-eager --kv-cache-dtype=auto --lora-modules a=b c=d -O3 \
             --no-enable-prefix-caching --port 1 -tp 2 -pp 2 --limit-mm-per-prompt.image 2",
        );
        assert_eq!((args.model(), args.port, args.tensor_parallel_size), ("m", 1, 2));
        let named = [
            "--dtype",
            "--enforce-eager",
            "--kv-cache-dtype",
            "--lora-modules",
            "-O3",
            "--no-enable-prefix-caching",
            "-pp",
            "--limit-mm-per-prompt.image",
        ];
        assert_eq!(unknown, named);
        assert_eq!(parsed("--enforce-eager m").0.model(), "m");
        assert_eq!(parsed("m --port 1 --port 2").0.port, 2, "the last one wins");
        assert!(!parsed("m --enable-sleep-mode --no-enable-sleep-mode").0.enable_sleep_mode);
    }

    #[test]
    fn bad_values_of_known_arguments_are_errors_with_exit_code_2() {
        for line in ["m --port x", "m --gpu-memory-utilization 1.5", "m --max-model-len 0", "", "--port 80", "a b"] {
            let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&argv).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parse(&["--help".to_owned()]).unwrap_err().exit_code(), 0);
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("12"), Ok(12));
        assert_eq!(bytes("5e9"), Ok(5_000_000_000));
        assert!(bytes("-1").is_err() && bytes("1XB").is_err() && bytes("1e30").is_err() && nonzero_bytes("0").is_err());
        assert_eq!(time("250ms"), Ok(std::time::Duration::from_millis(250)));
        assert_eq!(time("1.5"), Ok(std::time::Duration::from_millis(1500)));
        assert_eq!((tokens("32k"), tokens("32K"), tokens("7")), (Ok(32_000), Ok(32_768), Ok(7)));
    }
}
