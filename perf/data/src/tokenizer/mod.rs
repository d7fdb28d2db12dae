//! Text to tokens and back, with a `tokenizer.json` that lies on this machine, or a vocabulary that is in the program. The network is
//! never asked.

#[cfg(feature = "tiktoken")]
mod tiktoken;

use std::collections::HashSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tokenizers::Tokenizer as Inner;
use tokenizers::tokenizer::PostProcessor as _;

use crate::prompt::Prose;

/// Names of tokens that begin a text, for want of a `tokenizer_config.json`.
const BEGINNINGS: [&str; 4] = ["<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>"];
/// Names of tokens that end one.
const ENDS: [&str; 6] = ["</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>"];
/// Vocabularies of OpenAI; the first name is the peer's, for one of them.
const BUILT_IN: [&str; 7] = ["builtin", "cl100k_base", "o200k_base", "o200k_harmony", "p50k_base", "p50k_edit", "r50k_base"];

/// Why there is no tokenizer: what was looked for, where, and what to pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// None of that name lies here.
    #[error(
        "no tokenizer {name:?}: looked for {}; nothing is downloaded: pass --tokenizer DIR with a folder that has a \
         tokenizer.json, or --input-file FILE with --use-server-token-count, which needs none",
        list(looked)
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// It is one of those that this program was built without.
    #[error(
        "tokenizer {name:?} is not in this program, which was built without the feature tiktoken: pass --tokenizer DIR with a folder \
         that has a tokenizer.json, or --input-file FILE with --use-server-token-count, which needs none"
    )]
    LeftOut {
        /// What was asked for.
        name: String,
    },
    /// The file is none, or cannot be read.
    #[error("tokenizer {}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What tokenizers of all formats do.
trait Scheme: Send + Sync {
    /// Tokens of a text, without those that are set around it.
    fn encode(&self, text: &str) -> Vec<u32>;
    /// How many they are.
    fn count(&self, text: &str) -> usize;
    /// The text of tokens; special ones by their names, or left out.
    fn decode(&self, ids: &[u32], marks: bool) -> String;
    /// How a token is spelt in the vocabulary.
    fn spelling(&self, id: u32) -> Option<String>;
}

impl Scheme for Inner {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    fn count(&self, text: &str) -> usize {
        self.encode_fast(text, false).map(|encoding| encoding.len()).unwrap_or_default()
    }

    fn decode(&self, ids: &[u32], marks: bool) -> String {
        (**self).decode(ids, !marks).unwrap_or_default()
    }

    fn spelling(&self, id: u32) -> Option<String> {
        self.id_to_token(id)
    }
}

/// A tokenizer. Threads share it.
pub struct Tokenizer {
    scheme: Box<dyn Scheme>,
    source: String,
    /// Ids that stand for text, in order.
    vocabulary: Vec<u32>,
    /// All ids, in order.
    all: Vec<u32>,
    begin: Option<u32>,
    end: Option<u32>,
    /// How many tokens it sets around a text.
    marks: usize,
    /// The corpus as it reads it, once it is asked for.
    prose: OnceLock<Prose>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Where the folders of the Hub's cache are, of the environment given.
fn caches(var: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let filled = |name: &str| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let mut places = Vec::new();
    places.extend(filled("HF_HUB_CACHE"));
    places.extend(filled("HUGGINGFACE_HUB_CACHE"));
    places.extend(filled("HF_HOME").map(|home| home.join("hub")));
    places.extend(filled("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")));
    places.extend(filled("HOME").map(|home| home.join(".cache/huggingface/hub")));
    let mut seen = HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

/// The `tokenizer.json` of a model in a cache, at a revision.
fn cached(cache: &Path, name: &str, revision: &str) -> Option<PathBuf> {
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    let commit = fs::read_to_string(model.join("refs").join(revision)).ok();
    let snapshot = model.join("snapshots").join(commit.as_deref().map_or(revision, str::trim));
    let file = snapshot.join("tokenizer.json");
    if file.is_file() {
        return Some(file);
    }
    if revision != "main" {
        return None;
    }
    // A cache that was copied may lack its refs.
    let mut found: Vec<_> = fs::read_dir(model.join("snapshots"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("tokenizer.json")))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found.pop()
}

/// A name of the Hub, and no way out of the cache's folder.
fn is_hub_name(name: &str) -> bool {
    let part =
        |p: &str| !p.is_empty() && !p.starts_with('.') && p.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    name.split('/').count() <= 2 && name.split('/').all(part)
}

impl Tokenizer {
    /// Of a folder with a `tokenizer.json`, of such a file, or of a model in this machine's cache of the Hub.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn load(name: &str) -> Result<Self, TokenizerError> {
        Self::load_revision(name, "main")
    }

    /// The same at a revision of the Hub.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn load_revision(name: &str, revision: &str) -> Result<Self, TokenizerError> {
        Self::find(name, revision, &caches(|v| env::var(v).ok()))
    }

    fn find(name: &str, revision: &str, caches: &[PathBuf]) -> Result<Self, TokenizerError> {
        let path = Path::new(name);
        let mut looked = vec![path.join("tokenizer.json")];
        if path.is_file() {
            return Self::read(path);
        }
        if looked.first().is_some_and(|file| file.is_file()) {
            return Self::read(&path.join("tokenizer.json"));
        }
        if BUILT_IN.contains(&name) {
            return Self::built_in(name);
        }
        if is_hub_name(name) && is_hub_name(revision) {
            for cache in caches {
                if let Some(file) = cached(cache, name, revision) {
                    return Self::read(&file);
                }
                looked.push(cache.join(format!("models--{}/snapshots/*/tokenizer.json", name.replace('/', "--"))));
            }
        }
        Err(TokenizerError::NotFound { name: name.to_owned(), looked })
    }

    #[cfg(feature = "tiktoken")]
    fn built_in(name: &str) -> Result<Self, TokenizerError> {
        let (scheme, known) = tiktoken::Tiktoken::named(name).ok_or_else(|| TokenizerError::LeftOut { name: name.to_owned() })?;
        let ((vocabulary, all), end) = (scheme.ids(), scheme.end());
        let source = format!("{known}, which is built in");
        Ok(Self { source, vocabulary, all, begin: None, end, marks: 0, prose: OnceLock::new(), scheme: Box::new(scheme) })
    }

    #[cfg(not(feature = "tiktoken"))]
    fn built_in(name: &str) -> Result<Self, TokenizerError> {
        Err(TokenizerError::LeftOut { name: name.to_owned() })
    }

    fn read(path: &Path) -> Result<Self, TokenizerError> {
        let malformed = |why: String| TokenizerError::Malformed { path: path.to_owned(), why };
        let bytes = fs::read(path).map_err(|e| malformed(e.to_string()))?;
        let mut inner = Inner::from_bytes(bytes).map_err(|e| malformed(e.to_string()))?;
        // Settings of a training pipeline that would silently shorten prompts.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        inner.encode_fast("A text, to see that it can.", false).map_err(|e| malformed(e.to_string()))?;

        let added = inner.get_added_tokens_decoder();
        let mut all: Vec<u32> = inner.get_vocab(true).into_values().collect();
        all.sort_unstable();
        all.dedup();
        let vocabulary = all.iter().copied().filter(|id| !added.get(id).is_some_and(|token| token.special)).collect();
        let config = fs::read_to_string(path.with_file_name("tokenizer_config.json")).ok();
        let config: Value = config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let named = |key: &str, usual: &[&str]| {
            let set = &config[key];
            let name = set.as_str().or_else(|| set["content"].as_str());
            name.and_then(|n| inner.token_to_id(n)).or_else(|| usual.iter().find_map(|n| inner.token_to_id(n)))
        };
        let (begin, end) = (named("bos_token", &BEGINNINGS), named("eos_token", &ENDS));
        let marks = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        let source = path.display().to_string();
        Ok(Self { source, vocabulary, all, begin, end, marks, prose: OnceLock::new(), scheme: Box::new(inner) })
    }

    /// The file it was read from, or what is built in.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Tokens of a text, without those that are set around it.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.scheme.encode(text)
    }

    /// How many tokens a text has, without those that are set around it.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        if text.is_empty() { 0 } else { self.scheme.count(text) }
    }

    /// The text of tokens, special ones left out.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        self.scheme.decode(ids, false)
    }

    /// The text of tokens, special ones by their names.
    #[must_use]
    pub fn decode_all(&self, ids: &[u32]) -> String {
        self.scheme.decode(ids, true)
    }

    pub(crate) fn prose(&self) -> &OnceLock<Prose> {
        &self.prose
    }

    /// How a token is spelt in the vocabulary.
    pub(crate) fn spelling(&self, id: u32) -> Option<String> {
        self.scheme.spelling(id)
    }

    /// Ids that stand for text: all but special ones, in order.
    #[must_use]
    pub fn vocabulary(&self) -> &[u32] {
        &self.vocabulary
    }

    /// All ids, in order.
    #[must_use]
    pub fn all_ids(&self) -> &[u32] {
        &self.all
    }

    /// The token that begins a text.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.begin
    }

    /// The token that ends one.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.end
    }

    /// How many tokens it sets around a text, where it is asked to.
    #[must_use]
    pub fn marks(&self) -> usize {
        self.marks
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, LazyLock};

    use super::*;

    pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tokenizer");

    /// The one of the tests.
    pub(crate) fn small() -> Arc<Tokenizer> {
        static SMALL: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| Arc::new(Tokenizer::load(FOLDER).unwrap()));
        SMALL.clone()
    }

    #[test]
    fn texts_come_back() {
        let t = small();
        for text in ["", "The quick brown fox", "naïve 日本", "  two  blanks\n"] {
            assert_eq!(t.decode(&t.encode(text)), text);
            assert_eq!(t.count(text), t.encode(text).len());
        }
        assert_eq!((t.bos(), t.eos(), t.marks()), (Some(0), Some(1), 0));
        assert_eq!((t.vocabulary().len(), t.all_ids().len()), (3996, 4000));
        assert_eq!(t.decode(&[0, 1]), "");
        assert_eq!(t.decode_all(&[0, 1]), "<s></s>");
    }

    #[test]
    fn it_is_found_where_it_lies() {
        assert!(Tokenizer::load(&format!("{FOLDER}/tokenizer.json")).is_ok());
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--org--model");
        let snapshot = model.join("snapshots/abc");
        fs::create_dir_all(&snapshot).unwrap();
        fs::copy(format!("{FOLDER}/tokenizer.json"), snapshot.join("tokenizer.json")).unwrap();
        let places = [cache.path().to_owned()];
        assert!(Tokenizer::find("org/model", "main", &places).is_ok(), "without refs");
        assert!(Tokenizer::find("org/model", "abc", &places).is_ok(), "by commit");
        assert!(Tokenizer::find("org/model", "v2", &places).is_err());
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::write(model.join("refs/v2"), "abc\n").unwrap();
        assert!(Tokenizer::find("org/model", "v2", &places).is_ok());
    }

    #[test]
    fn an_error_says_where_and_what_instead() {
        let why = Tokenizer::find("org/model", "main", &["/nowhere/hub".into()]).unwrap_err().to_string();
        for part in ["org/model", "/nowhere/hub/models--org--model", "--tokenizer DIR", "--use-server-token-count"] {
            assert!(why.contains(part), "{part} in {why}");
        }
        if !cfg!(feature = "tiktoken") {
            let why = Tokenizer::find("builtin", "main", &[]).unwrap_err().to_string();
            assert!(why.contains("tiktoken") && why.contains("--tokenizer DIR"), "{why}");
        }
        assert!(Tokenizer::find("../../etc", "main", &["/".into()]).is_err());
        let file = tempfile::tempdir().unwrap();
        fs::write(file.path().join("tokenizer.json"), "{}").unwrap();
        let why = Tokenizer::load(&file.path().display().to_string()).unwrap_err();
        assert!(matches!(why, TokenizerError::Malformed { .. }), "{why}");
    }

    #[test]
    fn caches_are_those_of_the_environment() {
        let var = |name: &str| match name {
            "HF_HOME" => Some("/hf".to_owned()),
            "HOME" => Some("/home/a".to_owned()),
            _ => None,
        };
        assert_eq!(caches(var), [PathBuf::from("/hf/hub"), PathBuf::from("/home/a/.cache/huggingface/hub")]);
    }
}
