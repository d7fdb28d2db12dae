//! `--extra-inputs`: members that every payload gets.

use crate::json::{self, Members};

/// Members of the user, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraInputs(Members);

impl ExtraInputs {
    /// Of `name:value` pairs, several in one item with commas between, or of JSON objects. A value that is a JSON scalar is one,
    /// any other is text.
    ///
    /// # Errors
    /// The item that is neither.
    pub fn parse(items: &[String]) -> Result<Self, String> {
        let mut members = Members::new();
        for item in items {
            let item = item.trim();
            if item.starts_with('{') {
                let object = Members::parse(item).map_err(|why| format!("{item}: {why}"))?;
                object.iter().for_each(|(name, value)| members.set(name, value));
                continue;
            }
            if item.starts_with('[') {
                let list: Vec<String> = serde_json::from_str(item).map_err(|why| format!("{item}: {why}"))?;
                Self::parse(&list)?.0.iter().for_each(|(name, value)| members.set(name, value));
                continue;
            }
            for pair in pieces(item) {
                let (name, value) = pair.split_once(':').ok_or_else(|| format!("{pair:?} is not name:value"))?;
                let name = name.trim();
                if name.is_empty() {
                    return Err(format!("{pair:?} has no name"));
                }
                let value = if name == "payload_template" { json::string(value) } else { scalar(value.trim()) };
                members.set(name, value);
            }
        }
        Ok(Self(members))
    }

    /// All of them.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.0
    }

    /// Takes one out; text without its quotes.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let value = self.0.remove(name)?;
        Some(serde_json::from_str::<String>(&value).unwrap_or(value))
    }
}

/// At commas that are in no brackets and no quotes. A template is one piece, whatever is in it.
fn pieces(item: &str) -> Vec<&str> {
    if item.starts_with("payload_template:") {
        return vec![item];
    }
    let (mut depth, mut quoted, mut escaped, mut from) = (0usize, false, false, 0);
    let mut found = Vec::new();
    for (at, c) in item.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&item[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&item[from..]);
    found.retain(|piece| !piece.trim().is_empty());
    found
}

/// JSON of a value as it is written on a command line.
fn scalar(value: &str) -> String {
    let word = match &*value.to_ascii_lowercase() {
        "true" => Some("true"),
        "false" => Some("false"),
        "none" | "null" => Some("null"),
        _ => None,
    };
    if let Some(word) = word {
        return word.to_owned();
    }
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(serde_json::Value::Number(_)) => value.to_owned(),
        Ok(serde_json::Value::String(text)) => json::string(&text),
        _ => json::string(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(items: &[&str]) -> Result<String, String> {
        let items: Vec<String> = items.iter().map(|s| (*s).to_owned()).collect();
        Ok(ExtraInputs::parse(&items)?.members().to_json())
    }

    #[test]
    fn pairs_and_objects() {
        assert_eq!(said(&["ignore_eos:true", "temperature:0.70,n:2"]).unwrap(), r#"{"ignore_eos":true,"temperature":0.70,"n":2}"#);
        assert_eq!(said(&[r#"{"a": {"b": [1, 2]}, "c": "x"}"#, "c:y"]).unwrap(), r#"{"a":{"b":[1,2]},"c":"y"}"#);
        assert_eq!(said(&["url:http://x:80/", "none:None", "s:\"5\""]).unwrap(), r#"{"url":"http://x:80/","none":null,"s":"5"}"#);
        assert_eq!(said(&["stop:[1,2],x:01,y:NaN,z:1e3"]).unwrap(), r#"{"stop":"[1,2]","x":"01","y":"NaN","z":1e3}"#);
        assert_eq!(said(&[r#"["a:1","b:2"]"#]).unwrap(), r#"{"a":1,"b":2}"#);
        assert_eq!(said(&["\\:é,\"a,b\":2"]).unwrap(), r#"{"\\":"é","\"a,b\"":2}"#);
        for bad in ["x", ":1", "{", "a:1,b"] {
            assert!(said(&[bad]).is_err(), "{bad}");
        }
    }
}
