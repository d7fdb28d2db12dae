//! What of a payload is read by the model: the texts whose tokens are the length of the input (perf contract 4.6).

use serde_json::Value;

use crate::json::Members;

/// The input of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Its texts, one blank between.
    pub text: String,
    /// Tokens that were given as numbers.
    pub ids: usize,
}

/// Texts as they are found.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    ids: usize,
}

/// Of a payload; of what is none, nothing.
#[must_use]
pub fn of(payload: &[u8]) -> Input {
    let members = std::str::from_utf8(payload).ok().and_then(|text| Members::parse(text).ok()).unwrap_or_default();
    let mut found = Texts::default();
    let value = |name: &str| members.get(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    for name in ["system", "instructions", "messages"] {
        value(name).iter().for_each(|v| found.messages(v));
    }
    found.tools(members.get("tools"));
    for name in ["prompt", "input", "inputs", "query", "passages", "documents", "texts"] {
        value(name).iter().for_each(|v| found.messages(v));
    }
    Input { text: found.texts.join(" "), ids: found.ids }
}

impl Texts {
    fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.texts.push(text.to_owned());
        }
    }

    /// Text, tokens, a message, a part, or a list of any of them.
    fn messages(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.push(text),
            Value::Number(_) => self.ids += 1,
            Value::Array(list) => list.iter().for_each(|v| self.messages(v)),
            Value::Object(object) => {
                for name in ["text", "content"] {
                    object.get(name).iter().filter(|v| !v.is_number()).for_each(|v| self.messages(v));
                }
                let calls = object.get("tool_calls").and_then(Value::as_array);
                for call in calls.into_iter().flatten().filter_map(|call| call.get("function")) {
                    self.call(call);
                }
                if matches!(object.get("type").and_then(Value::as_str), Some("function_call" | "tool_use")) {
                    self.call(value);
                }
                if let Some(output) = object.get("output") {
                    self.messages(output);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn call(&mut self, call: &Value) {
        for name in ["name", "arguments", "input"] {
            match call.get(name) {
                Some(Value::String(text)) => self.push(text),
                Some(Value::Null) | None => {}
                Some(other) => self.push(&other.to_string()),
            }
        }
    }

    fn tools(&mut self, tools: Option<&str>) {
        let tools: Vec<Members> = tools.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        for tool in tools {
            let function = tool.get("function").and_then(|text| Members::parse(text).ok()).unwrap_or(tool);
            for name in ["name", "description"] {
                let text = function.get(name).and_then(|text| serde_json::from_str::<String>(text).ok());
                self.push(&text.unwrap_or_default());
            }
            for name in ["parameters", "input_schema"] {
                self.push(function.get(name).filter(|text| *text != "null").unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> (String, usize) {
        let input = of(payload.as_bytes());
        (input.text, input.ids)
    }

    /// 8.12: the parts are joined with one blank.
    #[test]
    fn all_that_is_read_is_found() {
        let cases = [
            (r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#, "a b", 0),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:x"}}]}]}"#,
                "a",
                0,
            ),
            (
                r#"{"messages":[{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],"tools":[{"type":"function","function":{"name":"g","description":"d","parameters":{"b":1,"a":2}}}]}"#,
                r#"f {} g d {"b":1,"a":2}"#,
                0,
            ),
            (r#"{"prompt":["a","b"],"model":"m"}"#, "a b", 0),
            (r#"{"prompt":[1,2,3]}"#, "", 3),
            (r#"{"input":[[1,2],[3]]}"#, "", 3),
            (r#"{"instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"a"}],"type":"message"}]}"#, "s a", 0),
            (r#"{"query":{"text":"q"},"passages":[{"text":"a"},{"text":"b"}]}"#, "q a b", 0),
            (r#"{"query":"q","documents":["a"]}"#, "q a", 0),
            (r#"{"query":"q","texts":["a"]}"#, "q a", 0),
            ("no json", "", 0),
        ];
        for (payload, said, ids) in cases {
            assert_eq!(text(payload), (said.to_owned(), ids), "{payload}");
        }
    }
}
