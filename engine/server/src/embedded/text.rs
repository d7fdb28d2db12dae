//! Text to tokens and back, with the folder's `tokenizer.json`.

use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;

use super::config::{ConfigError, read_bounded};

/// A tokenizer; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Text(Arc<Tokenizer>);

impl Text {
    pub(crate) fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_bounded(&path)?;
        match Tokenizer::from_bytes(bytes) {
            Ok(mut tokenizer) => {
                // Settings of a training pipeline that would silently shorten prompts.
                tokenizer.with_padding(None);
                let cleared = tokenizer.with_truncation(None).map(|_| ());
                cleared.map_err(|e| ConfigError::Malformed { path, why: e.to_string() })?;
                Ok(Self(Arc::new(tokenizer)))
            }
            Err(e) => Err(ConfigError::Malformed { path, why: e.to_string() }),
        }
    }

    /// Tokens of a text; `marks` adds what the tokenizer sets around a whole prompt.
    pub(crate) fn encode(&self, text: &str, marks: bool) -> Result<Vec<u32>, String> {
        let encoding = self.0.encode_fast(text, marks).map_err(|e| e.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    pub(crate) fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String, String> {
        self.0.decode(tokens, skip_special).map_err(|e| e.to_string())
    }

    /// Number of a token, by its text.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}

/// Turns the tokens of one answer into text as they come.
///
/// A token's text depends on its neighbours (a character may be spread over several, white space belongs to the word
/// behind it), so a short window is decoded again: `begin..read` has been said, and what the whole window says beyond that
/// is new. A window that ends in half a character waits for the rest.
#[derive(Debug)]
pub(crate) struct Decoder {
    text: Text,
    window: Vec<u32>,
    /// Tokens at the head of the window that have been said.
    read: usize,
}

/// Tokens kept as context when the window moves on.
const CONTEXT: usize = 4;
/// A window that grows beyond this is no half character but noise: it is said as it is.
const LONGEST: usize = 32;

impl Decoder {
    pub(crate) fn new(text: Text) -> Self {
        Self { text, window: Vec::new(), read: 0 }
    }

    /// What this token adds to the text; may be nothing yet.
    pub(crate) fn push(&mut self, token: u32) -> Result<String, String> {
        self.window.push(token);
        let said = self.text.decode(&self.window[..self.read], true)?;
        let whole = self.text.decode(&self.window, true)?;
        if whole.ends_with('\u{fffd}') && self.window.len() - self.read < LONGEST {
            return Ok(String::new());
        }
        let new = match whole.strip_prefix(&said) {
            Some(new) => new.to_owned(),
            // The context changed its mind about what it said: keep the new end only.
            None => String::new(),
        };
        let keep = self.window.len().min(CONTEXT);
        self.window.drain(..self.window.len() - keep);
        self.read = self.window.len();
        Ok(new)
    }
}
