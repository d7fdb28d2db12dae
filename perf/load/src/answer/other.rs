//! Embeddings, rankings, and whatever the answer to a template or a raw payload may be.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Content, Endpoint, Kind, Saying, Usage, text};

/// What of an answer with embeddings is looked at: never the numbers, of which there are thousands.
#[derive(Deserialize)]
struct Embeddings<'a> {
    data: Vec<Embedding<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Embedding<'a> {
    object: Option<&'a str>,
    embedding: Option<IgnoredAny>,
}

/// An answer with embeddings in the common shape; what is in another is read as JSON.
pub(super) fn embeddings(body: &[u8]) -> Option<Saying<'static>> {
    let answer: Embeddings<'_> = serde_json::from_slice(body).ok()?;
    let found = answer.data.iter().any(|one| one.object == Some("embedding") && one.embedding.is_some());
    if !found || answer.error.is_some() {
        return None;
    }
    let usage = answer.usage.and_then(|usage| serde_json::from_str(usage.get()).ok());
    Some(Saying {
        content: Some(Content::bare(Kind::Embedding)),
        usage: usage.as_ref().and_then(Value::as_object).and_then(Usage::read),
        ..Saying::default()
    })
}

/// What an answer says of which the endpoint tells little or nothing.
pub(super) fn saying(endpoint: Endpoint, answer: &Value) -> Saying<'_> {
    let content = match endpoint {
        Endpoint::Embeddings => embedding(answer),
        Endpoint::Rankings => rankings(answer).or_else(|| answer.is_array().then(|| Content::bare(Kind::Rankings))),
        _ => embedding(answer).or_else(|| rankings(answer)).or_else(|| any_text(answer)),
    };
    Saying { content, usage: Usage::of_answer(answer), ..Saying::default() }
}

fn some(answer: &Value, key: &str) -> bool {
    answer.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn embedding(answer: &Value) -> Option<Content<'_>> {
    let of_data = |data: &Vec<Value>| data.iter().any(|one| text(one, "object") == "embedding");
    let found =
        answer.get("data").and_then(Value::as_array).is_some_and(of_data) || some(answer, "embeddings") || some(answer, "embedding");
    found.then(|| Content::bare(Kind::Embedding))
}

fn rankings(answer: &Value) -> Option<Content<'_>> {
    (some(answer, "rankings") || some(answer, "results")).then(|| Content::bare(Kind::Rankings))
}

fn any_text(answer: &Value) -> Option<Content<'_>> {
    let content = |text: &str| Content::of(text.to_owned().into(), "".into(), "".into());
    for key in ["text", "content", "response", "output", "result"] {
        let found = match answer.get(key) {
            Some(Value::String(text)) => content(text),
            Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => {
                content(&texts.iter().filter_map(Value::as_str).collect::<String>())
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    if let Value::String(text) = answer {
        return content(text);
    }
    let choice = answer.get("choices")?.get(0)?;
    let of = |key: &str| choice.get(key).map(|message| text(message, "content")).filter(|text| !text.is_empty());
    content(Some(text(choice, "text")).filter(|text| !text.is_empty()).or_else(|| of("message")).or_else(|| of("delta"))?)
}
