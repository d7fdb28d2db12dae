//! Request bodies of OpenAI's API with vLLM's additions. Unknown members are ignored, as vLLM does.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::backend::Message;

/// Members that both kinds of request have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Common {
    pub(super) model: Option<String>,
    pub(super) max_tokens: Option<i64>,
    pub(super) min_tokens: Option<i64>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<i64>,
    pub(super) min_p: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) repetition_penalty: Option<f64>,
    pub(super) seed: Option<i64>,
    pub(super) n: Option<i64>,
    pub(super) stop: Option<OneOrMany>,
    pub(super) stop_token_ids: Option<Vec<u32>>,
    pub(super) include_stop_str_in_output: bool,
    pub(super) ignore_eos: bool,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    // What this engine does not do; asked for, it is an error and not silence.
    pub(super) logprobs: Option<Value>,
    pub(super) response_format: Option<Value>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) suffix: Option<String>,
    pub(super) best_of: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
    pub(super) continuous_usage_stats: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The four forms of a prompt.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CompletionRequest {
    pub(super) prompt: Prompt,
    #[serde(default)]
    pub(super) echo: bool,
    #[serde(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) messages: Vec<RawMessage>,
    #[serde(default)]
    pub(super) max_completion_tokens: Option<i64>,
    #[serde(default)]
    pub(super) add_generation_prompt: Option<bool>,
    #[serde(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawMessage {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

impl RawMessage {
    pub(super) fn message(self) -> Result<Message, ApiError> {
        let content = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let mut texts = Vec::new();
                for part in parts {
                    match part.text.filter(|_| part.kind == "text") {
                        Some(text) => texts.push(text),
                        None => {
                            let why = format!("this model reads text only, not content of type {:?}", part.kind);
                            return Err(ApiError::bad_value("messages", why));
                        }
                    }
                }
                texts.join("\n")
            }
        };
        Ok(Message { role: self.role, content })
    }
}

/// Parses a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::invalid(format!("the request's body is not understood: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_come_in_four_forms() {
        let form = |prompt: &str| parse::<CompletionRequest>(format!("{{\"prompt\":{prompt}}}").as_bytes());
        assert!(matches!(form("\"a\"").unwrap().prompt, Prompt::Text(_)));
        assert!(matches!(form("[1,2]").unwrap().prompt, Prompt::Tokens(_)));
        assert!(matches!(form("[\"a\"]").unwrap().prompt, Prompt::Texts(_)));
        assert!(matches!(form("[[1],[2]]").unwrap().prompt, Prompt::TokenLists(_)));
        assert!(form("7").is_err() && form("[-1]").is_err() && parse::<CompletionRequest>(b"{}").is_err());
    }

    #[test]
    fn messages_hold_text_or_parts_of_text() {
        let message = |content: &str| {
            let raw: RawMessage = parse(format!("{{\"role\":\"user\",\"content\":{content}}}").as_bytes()).unwrap();
            raw.message()
        };
        assert_eq!(message("\"a\"").unwrap().content, "a");
        assert_eq!(message("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]").unwrap().content, "a\nb");
        assert_eq!(message("null").unwrap().content, "");
        assert!(message("[{\"type\":\"image_url\",\"image_url\":{}}]").is_err());
    }
}
