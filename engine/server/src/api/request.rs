//! Reading requests: what of them this engine understands.

use dormouse_engine_client::openai::{ChatMessage, Content};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::backend::Message;

/// A message as text.
pub(super) fn message(wire: ChatMessage) -> Result<Message, ApiError> {
    let content = match wire.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let mut texts = Vec::new();
            for part in parts {
                match part.text.filter(|_| part.type_ == "text") {
                    Some(text) => texts.push(text),
                    None => {
                        let why = format!("this model reads text only, not content of type {:?}", part.type_);
                        return Err(ApiError::bad_value("messages", why));
                    }
                }
            }
            texts.join("\n")
        }
    };
    Ok(Message { role: wire.role, content })
}

/// Members that are whole numbers, alone or in lists.
const WHOLE: [&str; 9] = ["best_of", "max_completion_tokens", "max_tokens", "min_tokens", "n", "prompt", "seed", "stop_token_ids", "top_k"];

/// Parses a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let unclear = |e: serde_json::Error| ApiError::invalid(format!("the request's body is not understood: {e}"));
    let mut body: Value = serde_json::from_slice(body).map_err(unclear)?;
    for name in WHOLE {
        body.get_mut(name).map_or(Ok(()), |value| whole(name, value))?;
    }
    serde_json::from_value(body).map_err(unclear)
}

/// Turns 5.0 into 5, as pydantic reads it for vLLM.
fn whole(name: &'static str, value: &mut Value) -> Result<(), ApiError> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| whole(name, item)),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            // By way of digits, which are checked where a cast would saturate.
            let integer = (float.fract() == 0.0).then(|| format!("{float:.0}").parse::<i64>().ok()).flatten();
            let integer =
                integer.ok_or_else(|| ApiError::bad_value(name, format!("{name}: Input should be a valid integer, got {number}")))?;
            *value = integer.into();
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_engine_client::openai::{ChatRequest, CompletionRequest, Prompt};

    use super::*;

    #[test]
    fn whole_floats_are_integers_and_others_name_their_member() {
        let body =
            r#"{"prompt": [7.0, 8], "max_tokens": 5.0, "n": 1e0, "seed": -3.0, "stop_token_ids": [2.0], "top_p": 0.5, "min_tokens": null}"#;
        let request: CompletionRequest = parse(body.as_bytes()).unwrap();
        let c = &request.common;
        assert!(matches!(&request.prompt, Prompt::Tokens(tokens) if *tokens == [7, 8]));
        assert_eq!((c.max_tokens, c.n, c.seed, c.min_tokens, c.top_p), (Some(5), Some(1), Some(-3), None, Some(0.5)));
        assert_eq!(c.stop_token_ids, Some(vec![2]));
        for (member, value) in
            [("max_tokens", "5.5"), ("n", "0.1"), ("seed", "1e300"), ("stop_token_ids", "[1, 2.5]"), ("prompt", "[[1.5]]")]
        {
            let body = format!(r#"{{"prompt": "a", "{member}": {value}}}"#);
            let error = parse::<CompletionRequest>(body.as_bytes()).unwrap_err().body().error;
            assert!(error.code == 400 && error.param.as_deref() == Some(member) && error.message.contains(member), "{error:?}");
        }
        let chat = r#"{"messages": [], "max_completion_tokens": 5.0}"#;
        assert_eq!(parse::<ChatRequest>(chat.as_bytes()).unwrap().max_completion_tokens, Some(5));
        assert!(parse::<ChatRequest>(b"[]").is_err() && parse::<ChatRequest>(b"7.5").is_err());
    }

    #[test]
    fn messages_hold_text_or_parts_of_text() {
        let message = |content: &str| {
            let wire: ChatMessage = parse(format!("{{\"role\":\"user\",\"content\":{content}}}").as_bytes()).unwrap();
            message(wire)
        };
        assert_eq!(message("\"a\"").unwrap().content, "a");
        assert_eq!(message("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]").unwrap().content, "a\nb");
        assert_eq!(message("null").unwrap().content, "");
        assert!(message("[{\"type\":\"image_url\",\"image_url\":{}}]").is_err());
    }
}
