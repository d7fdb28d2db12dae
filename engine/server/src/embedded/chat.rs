//! Conversations to prompt text.
//!
//! Chat templates are Jinja programs. Running them would need a template engine for what are, in the families served
//! here, four known forms; so the form is recognised by its marks, and written by code. Limits: a template's own system
//! text, tools and dates are not reproduced. A template of another form, or none, gives one line per message,
//! `role: content`.

use std::path::Path;

use serde_json::Value;

use super::config::{ConfigError, read_bounded, read_json};
use crate::backend::Message;

/// The form of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// `<|im_start|>role\ncontent<|im_end|>\n`
    ChatMl,
    /// `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`
    Llama3,
    /// `<|role|>\ncontent</s>\n`
    Zephyr { end: String },
    /// `[INST] content [/INST] answer</s>`
    Inst { begin: String, end: String },
    /// `role: content\n`
    Plain,
}

impl Template {
    pub(crate) fn read(folder: &Path) -> Result<Self, ConfigError> {
        let config: Value = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let text = match read_bounded(&folder.join("chat_template.jinja")) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(ConfigError::Missing { .. }) => template_of(&config),
            Err(e) => return Err(e),
        };
        let token = |name: &str, default: &str| {
            let value = &config[name];
            value.as_str().or_else(|| value["content"].as_str()).unwrap_or(default).to_owned()
        };
        Ok(Self::of(text.as_deref().unwrap_or_default(), token("bos_token", "<s>"), token("eos_token", "</s>")))
    }

    fn of(text: &str, begin: String, end: String) -> Self {
        if text.contains("<|im_start|>") {
            Self::ChatMl
        } else if text.contains("<|start_header_id|>") {
            Self::Llama3
        } else if text.contains("<|user|>") || text.contains("'<|' + message['role']") {
            Self::Zephyr { end }
        } else if text.contains("[INST]") {
            Self::Inst { begin, end }
        } else {
            if !text.is_empty() {
                tracing::warn!("the model's chat template is of no known form; messages become plain lines");
            }
            Self::Plain
        }
    }

    /// The text of a conversation, marks included; `answer` opens the assistant's turn.
    pub(crate) fn render(&self, messages: &[Message], answer: bool) -> String {
        let mut text = String::new();
        match self {
            Self::ChatMl => {
                for m in messages {
                    text.push_str(&format!("<|im_start|>{}\n{}<|im_end|>\n", m.role, m.content));
                }
                if answer {
                    text.push_str("<|im_start|>assistant\n");
                }
            }
            Self::Llama3 => {
                text.push_str("<|begin_of_text|>");
                let head = |role: &str| format!("<|start_header_id|>{role}<|end_header_id|>\n\n");
                for m in messages {
                    text.push_str(&format!("{}{}<|eot_id|>", head(&m.role), m.content.trim()));
                }
                if answer {
                    text.push_str(&head("assistant"));
                }
            }
            Self::Zephyr { end } => {
                for m in messages {
                    text.push_str(&format!("<|{}|>\n{}{end}\n", m.role, m.content));
                }
                if answer {
                    text.push_str("<|assistant|>\n");
                }
            }
            Self::Inst { begin, end } => {
                // A system text stands before the first question.
                let mut system = String::new();
                for m in messages {
                    match m.role.as_str() {
                        "system" => system = format!("{}\n\n", m.content),
                        "assistant" => text.push_str(&format!(" {}{end}", m.content.trim())),
                        _ => {
                            let system = std::mem::take(&mut system);
                            text.push_str(&format!("{begin}[INST] {system}{} [/INST]", m.content.trim()));
                        }
                    }
                }
            }
            Self::Plain => {
                for m in messages {
                    text.push_str(&format!("{}: {}\n", m.role, m.content));
                }
                if answer {
                    text.push_str("assistant:");
                }
            }
        }
        text
    }
}

/// The template in a tokenizer's configuration: a text, or the one called `default` among several.
fn template_of(config: &Value) -> Option<String> {
    match &config["chat_template"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(many) => many.iter().find(|t| t["name"] == "default").and_then(|t| t["template"].as_str()).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn talk() -> Vec<Message> {
        [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Who?")]
            .map(|(role, content)| Message { role: role.into(), content: content.into() })
            .to_vec()
    }

    fn rendered(text: &str) -> String {
        Template::of(text, "<s>".into(), "</s>".into()).render(&talk(), true)
    }

    #[test]
    fn the_known_forms_are_recognised_and_written() {
        assert_eq!(
            rendered("{% for m in messages %}<|im_start|>…"),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello\
             <|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
        );
        assert!(
            rendered("…<|start_header_id|>…")
                .ends_with("<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
        );
        assert!(rendered("…<|user|>…").ends_with("<|user|>\nWho?</s>\n<|assistant|>\n"));
        assert_eq!(rendered("…[INST]…"), "<s>[INST] Be brief.\n\nHi [/INST] Hello</s><s>[INST] Who? [/INST]");
        assert_eq!(rendered(""), "system: Be brief.\nuser: Hi\nassistant: Hello\nuser: Who?\nassistant:");
    }

    #[test]
    fn a_list_of_templates_has_a_default() {
        let config = json!({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}]});
        assert_eq!(template_of(&config).as_deref(), Some("y"));
        assert_eq!(template_of(&json!({})), None);
    }
}
