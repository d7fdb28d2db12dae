//! Answers: whole, in pieces, refused. The order of the fields is the alphabet's, and so the order on the wire.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A name that is usually one of a few.
type Name = Cow<'static, str>;

/// An answer to either kind of request, or one chunk of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The choices, or the pieces of some; empty in the chunk that tells the usage.
    pub choices: Vec<Choice>,
    /// When, in seconds of the epoch.
    pub created: i64,
    /// In a stream: why it ends early. Then nothing else is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The same in all chunks of an answer.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// `text_completion`, `chat.completion`, `chat.completion.chunk`.
    pub object: Name,
    /// Token counts, where they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One choice. Which of `delta`, `message` and `text` is there says what kind of answer it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// A piece of a streamed conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// Why it has ended: `stop`, `length`, `abort`, …
    pub finish_reason: Option<Name>,
    /// Its number.
    pub index: usize,
    /// Probabilities of the tokens.
    pub logprobs: Option<Value>,
    /// The answer to a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// What in particular stopped it.
    pub stop_reason: Option<StopReason>,
    /// A completion, or a piece of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A piece of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delta {
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Who speaks; in the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Name>,
}

/// A whole message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Its text.
    pub content: Option<String>,
    /// Why there is none.
    pub refusal: Option<String>,
    /// Who speaks.
    pub role: Name,
    /// Calls of tools.
    pub tool_calls: Option<Vec<Value>>,
}

/// What stopped a choice; absent for the model's own end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StopReason {
    /// One of the stop texts.
    Text(String),
    /// One of the stop tokens.
    Token(u32),
}

/// Token counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of all choices together.
    pub completion_tokens: u64,
    /// Of the prompts.
    pub prompt_tokens: u64,
    /// Which of them came from a cache.
    pub prompt_tokens_details: Option<Value>,
    /// Both.
    pub total_tokens: u64,
}

/// The body of a refusal, and the event that ends a stream early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// Why.
    pub error: ErrorBody,
}

/// Why a request was not answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// HTTP status; with others than vLLM a text.
    pub code: Value,
    /// In words.
    pub message: String,
    /// Which member of the request is at fault.
    pub param: Option<Name>,
    /// Which kind of error.
    #[serde(rename = "type")]
    pub type_: Name,
}

/// Body of `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// The models.
    pub data: Vec<Model>,
    /// `list`.
    #[serde(default)]
    pub object: Name,
}

/// A model that is served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Model {
    /// Since when, in seconds of the epoch.
    pub created: i64,
    /// Its name in requests.
    pub id: String,
    /// Longest prompt and answer together, in tokens.
    pub max_model_len: Option<u64>,
    /// `model`.
    pub object: Name,
    /// Whose it is.
    pub owned_by: Name,
    /// What it was derived from.
    pub parent: Option<String>,
    /// Who may do what.
    pub permission: Vec<Value>,
    /// Model as given on the command line.
    pub root: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What was written, member by member as users know it, in the order of the alphabet.
    #[track_caller]
    fn written(value: &impl Serialize, wire: &Value) {
        assert_eq!(serde_json::to_string(value).unwrap(), wire.to_string());
    }

    fn answer(object: &'static str, choices: Vec<Choice>, usage: Option<Usage>) -> Answer {
        Answer { choices, created: 7, error: None, id: "x-1".into(), model: "m".into(), object: object.into(), usage }
    }

    #[test]
    fn whole_answers() {
        let usage = Usage { completion_tokens: 5, prompt_tokens: 3, prompt_tokens_details: None, total_tokens: 8 };
        let message = Message { content: Some("hé \"".into()), refusal: None, role: "assistant".into(), tool_calls: Some(Vec::new()) };
        let choice = Choice { finish_reason: Some("stop".into()), message: Some(message), ..Choice::default() };
        written(
            &answer("chat.completion", vec![choice], Some(usage.clone())),
            &json!({
                "id": "x-1", "object": "chat.completion", "created": 7, "model": "m",
                "choices": [{
                    "index": 0, "message": {"role": "assistant", "content": "hé \"", "refusal": null, "tool_calls": []},
                    "logprobs": null, "finish_reason": "stop", "stop_reason": null,
                }],
                "usage": {"prompt_tokens": 3, "total_tokens": 8, "completion_tokens": 5, "prompt_tokens_details": null},
            }),
        );
        let stop = |index, reason| Choice { index, stop_reason: Some(reason), text: Some(String::new()), ..Choice::default() };
        let choices = vec![stop(0, StopReason::Text("END".into())), stop(1, StopReason::Token(2))];
        let part =
            |index: usize, stop: Value| json!({"index": index, "text": "", "logprobs": null, "finish_reason": null, "stop_reason": stop});
        written(
            &answer("text_completion", choices, None),
            &json!({
                "id": "x-1", "object": "text_completion", "created": 7, "model": "m", "choices": [part(0, json!("END")), part(1, json!(2))],
            }),
        );
    }

    #[test]
    fn chunks() {
        for (delta, wire) in [
            (Delta { content: Some(String::new()), role: Some("assistant".into()) }, json!({"role": "assistant", "content": ""})),
            (Delta { content: Some("a".into()), role: None }, json!({"content": "a"})),
            (Delta::default(), json!({})),
        ] {
            let choice = Choice { delta: Some(delta), ..Choice::default() };
            let chunk = answer("chat.completion.chunk", vec![choice], None);
            let wire = json!({
                "id": "x-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
                "choices": [{"index": 0, "delta": wire, "logprobs": null, "finish_reason": null, "stop_reason": null}],
            });
            written(&chunk, &wire);
            assert_eq!(serde_json::from_value::<Answer>(wire).unwrap(), chunk);
        }
    }

    #[test]
    fn refusals_and_models() {
        let error = ErrorBody { code: 404.into(), message: "none".into(), param: Some("model".into()), type_: "NotFoundError".into() };
        let wire = json!({"error": {"message": "none", "type": "NotFoundError", "param": "model", "code": 404}});
        written(&ErrorAnswer { error: error.clone() }, &wire);
        assert_eq!(serde_json::from_value::<Answer>(wire).unwrap().error, Some(error), "within a stream");

        let model = Model {
            created: 7,
            id: "m".into(),
            max_model_len: Some(40),
            object: "model".into(),
            owned_by: "dormouse".into(),
            root: Some("org/m".into()),
            ..Model::default()
        };
        let wire = json!({"object": "list", "data": [{
            "id": "m", "object": "model", "created": 7, "owned_by": "dormouse", "root": "org/m",
            "parent": null, "max_model_len": 40, "permission": [],
        }]});
        written(&Models { data: vec![model], object: "list".into() }, &wire);
    }

    #[test]
    fn what_some_engine_leaves_out_or_adds_is_no_error() {
        let chunk = r#"{"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"hm"},"new":1}],"usage":null}"#;
        let chunk: Answer = serde_json::from_str(chunk).unwrap();
        assert_eq!((&chunk.choices[0].delta, &chunk.usage), (&Some(Delta::default()), &None));
        let models: Models = serde_json::from_str(r#"{"data":[{"id":"m","owned_by":"x"}]}"#).unwrap();
        assert_eq!((models.data[0].id.as_str(), models.data[0].max_model_len), ("m", None));
    }
}
