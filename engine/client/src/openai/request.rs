//! Requests. What is absent is left to the engine.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Members that both kinds of request have.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are OpenAI's and vLLM's")]
pub struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_stop_str_in_output: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_eos: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_of: Option<i64>,
}

/// When a stream tells the token counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// In one more chunk at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// In every chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuous_usage_stats: Option<bool>,
}

/// A text or several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    #[must_use]
    pub fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The four forms of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// A text as tokens.
    Tokens(Vec<u32>),
    /// Several texts.
    Texts(Vec<String>),
    /// Several texts as tokens.
    TokenLists(Vec<Vec<u32>>),
}

/// Body of `POST /v1/completions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompletionRequest {
    /// What to go on with.
    pub prompt: Prompt,
    /// Whether the answer begins with the prompt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// The rest.
    #[serde(flatten)]
    pub common: Common,
}

/// Body of `POST /v1/chat/completions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// The newer name of `max_tokens`, which it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<i64>,
    /// Whether the answer is a message of its own; else the last one is gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_generation_prompt: Option<bool>,
    /// The rest.
    #[serde(flatten)]
    pub common: Common,
}

/// One message of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`.
    pub role: String,
    /// What is said.
    #[serde(default)]
    pub content: Option<Content>,
}

impl ChatMessage {
    /// What a user says.
    #[must_use]
    pub fn user(text: &str) -> Self {
        Self { role: "user".to_owned(), content: Some(Content::Text(text.to_owned())) }
    }
}

/// Content of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts of several kinds.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// `text`, `image_url`, …
    #[serde(rename = "type")]
    pub type_: String,
    /// The text of a part of type `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prompts_come_in_four_forms() {
        let form = |prompt: &str| serde_json::from_str::<CompletionRequest>(&format!("{{\"prompt\":{prompt}}}"));
        assert!(matches!(form("\"a\"").unwrap().prompt, Prompt::Text(_)));
        assert!(matches!(form("[1,2]").unwrap().prompt, Prompt::Tokens(_)));
        assert!(matches!(form("[\"a\"]").unwrap().prompt, Prompt::Texts(_)));
        assert!(matches!(form("[[1],[2]]").unwrap().prompt, Prompt::TokenLists(_)));
        assert!(form("7").is_err() && form("[-1]").is_err());
        assert!(serde_json::from_str::<CompletionRequest>("{}").is_err());
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        let common = Common { model: Some("m".into()), stream: Some(true), ..Common::default() };
        let chat =
            ChatRequest { messages: vec![ChatMessage::user("hi")], max_completion_tokens: None, add_generation_prompt: None, common };
        let wire = json!({"messages": [{"role": "user", "content": "hi"}], "model": "m", "stream": true});
        assert_eq!(serde_json::to_value(&chat).unwrap(), wire);
        let completion = CompletionRequest { prompt: Prompt::Tokens(vec![1]), echo: false, common: Common::default() };
        assert_eq!(serde_json::to_value(&completion).unwrap(), json!({"prompt": [1]}));
    }
}
