//! What the placeholders of a recording stand for.
//!
//! `<uid:3>` is the same text wherever it stands, `<rv:n>` grows with n, `<hash:n>` is equal where n is; `<time>` and
//! `<age>` are anything. A text such as `<not kept>` alone stands for a part that was left out of the recording.

use std::collections::BTreeMap;

use serde_json::Value;

/// What replaces the address of the recorder's webhook server and its authority: nobody listens there.
const FIXED: [(&str, &str); 3] =
    [("<webhook>", "https://127.0.0.1:1"), ("<ca>", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"), ("<credential>", "0")];
const ANYTHING: [&str; 4] = ["<time>", "<age>", "<continue>", "<rv>"];
const NUMBERED: [&str; 3] = ["<rv:", "<uid:", "<hash:"];
/// Parts left out of a recording.
const LEFT_OUT: [&str; 5] = ["<not kept>", "<the document>", "<protobuf>", "<paths>", "<of the machinery>"];

/// Whether a recorded value says that something was here.
pub(super) fn is_left_out(recorded: &Value) -> bool {
    recorded.as_str().is_some_and(|text| LEFT_OUT.contains(&text))
}

#[derive(Clone, Default)]
pub(super) struct Bindings {
    texts: BTreeMap<String, String>,
    /// Generated names: what the real server made of a prefix, and what ours did.
    names: Vec<(String, String)>,
    token: String,
}

impl Bindings {
    /// A text of a request, with placeholders filled in. A version that nothing has yet is version 1.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = text.replace("<continue>", &self.token).replace("<time>", "2026-01-01T00:00:00Z");
        for (placeholder, value) in FIXED {
            out = out.replace(placeholder, value);
        }
        for (recorded, ours) in &self.names {
            out = out.replace(recorded, ours);
        }
        while let Some(start) = NUMBERED.iter().find_map(|p| out.find(p)) {
            let end = start + out[start..].find('>').unwrap() + 1;
            let value = self.texts.get(&out[start..end]).map_or("1", String::as_str).to_owned();
            out.replace_range(start..end, &value);
        }
        out
    }

    pub(super) fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.fill(s)),
            Value::Array(items) => items.iter().map(|v| self.fill_value(v)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.fill_value(v))).collect::<serde_json::Map<_, _>>().into(),
            other => other.clone(),
        }
    }

    /// What a placeholder stands for.
    pub(super) fn get(&self, placeholder: &str) -> Option<&str> {
        self.texts.get(placeholder).map(String::as_str)
    }

    pub(super) fn bind(&mut self, placeholder: &str, value: &str) {
        self.texts.insert(placeholder.to_owned(), value.to_owned());
    }

    pub(super) fn bind_name(&mut self, recorded: &str, ours: &str) {
        self.names.push((recorded.to_owned(), ours.to_owned()));
    }

    /// Whether `actual` is what `expected` describes; binds placeholders on the way.
    pub(super) fn matches(&mut self, expected: &str, actual: &str) -> bool {
        if self.names.iter().any(|(recorded, ours)| recorded == expected && ours == actual) {
            return true;
        }
        let mut expected = expected.to_owned();
        for (placeholder, value) in FIXED {
            expected = expected.replace(placeholder, value);
        }
        self.matches_from(&expected, actual)
    }

    fn matches_from(&mut self, expected: &str, actual: &str) -> bool {
        let Some(start) = expected.find('<') else { return expected == actual };
        let Some(length) = expected[start..].find('>') else { return expected == actual };
        let (head, placeholder, tail) = (&expected[..start], &expected[start..=start + length], &expected[start + length + 1..]);
        let Some(rest) = actual.strip_prefix(head) else { return false };
        let numbered = NUMBERED.iter().any(|p| placeholder.starts_with(p));
        if !numbered && !ANYTHING.contains(&placeholder) {
            return rest.strip_prefix('<').is_some_and(|rest| self.matches_from(&expected[start + 1..], rest));
        }
        // The value ends where the text after the placeholder begins.
        let stop = tail.chars().next();
        let end = stop.and_then(|c| rest.find(c)).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        if numbered {
            match self.texts.get(placeholder) {
                Some(bound) if bound != value => return false,
                Some(_) => {}
                None => self.bind(placeholder, value),
            }
        }
        if placeholder == "<continue>" {
            value.clone_into(&mut self.token);
        }
        self.matches_from(tail, rest)
    }

    /// Versions must be in the order of their numbers.
    pub(super) fn order(&self) -> Result<(), String> {
        let number = |s: &str| s.trim_end_matches('>').rsplit(':').next().and_then(|n| n.parse::<u64>().ok()).unwrap();
        let mut versions: Vec<(u64, u64)> =
            self.texts.iter().filter(|(k, _)| k.starts_with("<rv:")).map(|(k, v)| (number(k), v.parse().unwrap_or(0))).collect();
        versions.sort_unstable();
        let sorted = versions.windows(2).all(|w| w[0].1 < w[1].1);
        if sorted { Ok(()) } else { Err(format!("versions out of order: {versions:?}")) }
    }
}
