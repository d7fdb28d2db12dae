//! `config.json` and `generation_config.json` of a Hugging Face folder, as far as the Llama family needs them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::text::Text;

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "model folder {folder} has no {file}: put the model's own there, or make a small model with `dormouse engine make-model DIR`",
        folder = .path.parent().unwrap_or(.path).display(),
        file = .path.file_name().unwrap_or_default().display()
    )]
    Missing { path: PathBuf },
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not understood: {why}", path = .path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{path}: {why}; the embedded engine serves the Llama family (llama, mistral, qwen2)", path = .path.display())]
    Unsupported { path: PathBuf, why: String },
    #[error(
        "User-specified max_model_len ({wanted}) is greater than the derived max_model_len \
         (max_position_embeddings={limit} in the model's config.json)"
    )]
    TooLong { wanted: usize, limit: usize },
}

/// Largest JSON file read: a tokenizer with 250,000 words is about 20 MB.
pub(super) const MAX_JSON: u64 = 64 << 20;

/// Reads a file that must not be absurdly large.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(ConfigError::Missing { path: path.to_owned() }),
        Err(e) => Err(unreadable(e)),
        Ok(m) if m.len() > MAX_JSON => {
            let why = format!("{} bytes are too many (at most {MAX_JSON})", m.len());
            Err(ConfigError::Malformed { path: path.to_owned(), why })
        }
        Ok(_) => std::fs::read(path).map_err(unreadable),
    }
}

/// Reads a JSON file; `None` when it does not exist.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ConfigError> {
    let bytes = match read_bounded(path) {
        Err(ConfigError::Missing { .. }) => return Ok(None),
        other => other?,
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|e| ConfigError::Malformed { path: path.to_owned(), why: e.to_string() })
}

/// One token or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Tokens {
    One(u32),
    Many(Vec<u32>),
}

impl Tokens {
    fn list(&self) -> Vec<u32> {
        match self {
            Self::One(one) => vec![*one],
            Self::Many(many) => many.clone(),
        }
    }
}

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    #[serde(alias = "rope_parameters")]
    rope_scaling: Option<Value>,
    max_position_embeddings: Option<usize>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    eos_token_id: Option<Tokens>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
}

/// What the model would like to be sampled with.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Generation {
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<usize>,
    eos_token_id: Option<Tokens>,
}

/// How positions turn into angles.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    Linear { factor: f64 },
    Llama3 { factor: f64, low: f64, high: f64, original: f64 },
}

/// A model's shape.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    pub(crate) eps: f64,
    pub(crate) rope_theta: f64,
    pub(crate) rope_scaling: RopeScaling,
    pub(crate) max_positions: usize,
    pub(crate) tied: bool,
    pub(crate) generation: Generation,
    ends: Vec<u32>,
}

impl Config {
    pub(crate) fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("config.json");
        let raw: Raw = read_json(&path)?.ok_or_else(|| ConfigError::Missing { path: path.clone() })?;
        let generation: Generation = read_json(&folder.join("generation_config.json"))?.unwrap_or_default();
        Self::check(raw, generation, &path)
    }

    /// A configuration that is no file's.
    pub(crate) fn from_json(value: Value) -> Result<Self, ConfigError> {
        let path = Path::new("config.json");
        let malformed = |e: serde_json::Error| ConfigError::Malformed { path: path.to_owned(), why: e.to_string() };
        Self::check(serde_json::from_value(value).map_err(malformed)?, Generation::default(), path)
    }

    fn check(raw: Raw, generation: Generation, path: &Path) -> Result<Self, ConfigError> {
        let unsupported = |why: String| ConfigError::Unsupported { path: path.to_owned(), why };
        if !matches!(raw.model_type.as_str(), "llama" | "mistral" | "qwen2") {
            return Err(unsupported(format!("model_type {:?}", raw.model_type)));
        }
        if let Some(act) = raw.hidden_act.as_deref().filter(|a| *a != "silu") {
            return Err(unsupported(format!("hidden_act {act:?}")));
        }
        let malformed = |why: &str| ConfigError::Malformed { path: path.to_owned(), why: why.to_owned() };
        let kv_heads = raw.num_key_value_heads.unwrap_or(raw.num_attention_heads);
        let sizes = [raw.hidden_size, raw.intermediate_size, raw.num_hidden_layers, raw.num_attention_heads, kv_heads, raw.vocab_size];
        if sizes.iter().any(|s| !(1..=1 << 24).contains(s)) {
            return Err(malformed("a size is zero or absurd"));
        }
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / raw.num_attention_heads);
        if !raw.num_attention_heads.is_multiple_of(kv_heads) {
            return Err(malformed("num_attention_heads is no multiple of num_key_value_heads"));
        }
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(malformed("the size of a head must be even"));
        }
        let mut max_positions = raw.max_position_embeddings.unwrap_or(2048);
        if let Some(window) = raw.sliding_window.filter(|_| raw.use_sliding_window != Some(false)) {
            // Within one window sliding attention is ordinary attention.
            max_positions = max_positions.min(window);
        }
        let scaling = raw.rope_scaling.unwrap_or(Value::Null);
        let mut ends: Vec<u32> = raw.eos_token_id.iter().flat_map(Tokens::list).collect();
        ends.extend(generation.eos_token_id.iter().flat_map(Tokens::list));
        Ok(Self {
            hidden: raw.hidden_size,
            intermediate: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            kv_heads,
            head_dim,
            vocab: raw.vocab_size,
            eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: raw.rope_theta.or_else(|| scaling["rope_theta"].as_f64()).unwrap_or(10_000.0),
            rope_scaling: rope_scaling(&scaling).map_err(unsupported)?,
            max_positions,
            tied: raw.tie_word_embeddings.unwrap_or(false),
            generation,
            ends,
        })
    }

    /// The longest prompt and answer, as wanted or as the model allows.
    pub(crate) fn max_model_len(&self, wanted: Option<usize>) -> Result<usize, ConfigError> {
        match wanted {
            Some(wanted) if wanted > self.max_positions => Err(ConfigError::TooLong { wanted, limit: self.max_positions }),
            Some(wanted) => Ok(wanted),
            None => Ok(self.max_positions),
        }
    }

    /// Tokens that end an answer: of both configurations, the tokenizer's end mark, and the usual ends of a chat turn.
    pub(super) fn end_tokens(&self, folder: &Path, text: &Text) -> Result<Vec<u32>, ConfigError> {
        let mut ends = self.ends.clone();
        let tokenizer: Value = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let eos = &tokenizer["eos_token"];
        let named = eos.as_str().or_else(|| eos["content"].as_str());
        let marks = ["<|im_end|>", "<|eot_id|>"];
        ends.extend(named.into_iter().chain(marks).filter_map(|mark| text.id(mark)));
        ends.sort_unstable();
        ends.dedup();
        Ok(ends)
    }
}

fn rope_scaling(value: &Value) -> Result<RopeScaling, String> {
    let kind = value["rope_type"].as_str().or_else(|| value["type"].as_str()).unwrap_or("default");
    let number = |name: &str| value[name].as_f64().filter(|n| *n > 0.0).ok_or(format!("rope scaling without {name}"));
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: number("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original: number("original_max_position_embeddings")?,
        }),
        other => Err(format!("rope scaling {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(change: &[(&str, Value)]) -> Result<Config, ConfigError> {
        let mut raw = json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "eos_token_id": [1, 2],
            "max_position_embeddings": 4096
        });
        for (name, value) in change {
            raw[*name] = value.clone();
        }
        Config::check(serde_json::from_value(raw).unwrap(), Generation::default(), Path::new("m/config.json"))
    }

    #[test]
    fn shapes_are_read_and_what_cannot_be_served_is_named() {
        let c = check(&[]).unwrap();
        assert_eq!((c.head_dim, c.kv_heads, c.max_positions), (16, 2, 4096));
        assert_eq!(c.ends, [1, 2]);
        for (name, value, text) in [
            ("model_type", json!("gpt2"), "model_type \"gpt2\""),
            ("hidden_act", json!("gelu"), "hidden_act"),
            ("num_key_value_heads", json!(3), "no multiple"),
            ("hidden_size", json!(0), "absurd"),
            ("rope_scaling", json!({"type": "yarn"}), "rope scaling \"yarn\""),
            ("rope_scaling", json!({"rope_type": "llama3"}), "without factor"),
        ] {
            let e = check(&[(name, value)]).unwrap_err().to_string();
            assert!(e.contains(text) && e.contains("config.json"), "{e}");
        }
    }

    #[test]
    fn lengths_beyond_the_model_are_refused_as_vllm_does() {
        let c = check(&[("sliding_window", json!(1024))]).unwrap();
        assert_eq!(c.max_model_len(None).unwrap(), 1024);
        assert!(c.max_model_len(Some(2048)).unwrap_err().to_string().contains("greater than the derived max_model_len"));
        let c = check(&[("sliding_window", json!(1024)), ("use_sliding_window", json!(false))]).unwrap();
        assert_eq!(c.max_model_len(Some(4096)).unwrap(), 4096);
    }

    #[test]
    fn a_missing_file_is_named_with_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let e = Config::read(dir.path()).unwrap_err().to_string();
        assert!(e.contains("has no config.json: ") && e.contains(dir.path().to_str().unwrap()), "{e}");
    }
}
