//! Reading requests: what of them this engine understands.

use dormouse_engine_client::openai::{ChatMessage, Content};
use serde::de::DeserializeOwned;

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

/// Parses a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::invalid(format!("the request's body is not understood: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
