//! JSON as bytes: compact, nothing escaped that need not be, members in the order in which they were written.
//!
//! Payloads are put together from pieces, so a value here is its text, known to be JSON, and no tree.

use std::fmt::Write as _;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A string as JSON.
#[must_use]
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    out
}

/// Appends a string as JSON.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f => "",
            _ => continue,
        };
        // All of these are one byte long: both sides of it are ends of characters.
        out.push_str(text.get(from..at).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// The same JSON without blanks, its strings without needless escapes; numbers stay as they were written.
///
/// # Errors
/// When it is not JSON.
pub fn compact(text: &str) -> Result<String, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(squeeze(raw.get()))
}

/// Of what is known to be JSON.
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, quoted) = rest.split_at(at);
        out.extend(before.chars().filter(|c| !c.is_ascii_whitespace()));
        let end = end_of_string(quoted);
        let (written, behind) = quoted.split_at(end);
        match written.contains('\\').then(|| serde_json::from_str::<String>(written)) {
            Some(Ok(plain)) => push_string(&mut out, &plain),
            // Half of a pair of surrogates is no text, but may stand in JSON.
            Some(Err(_)) | None => out.push_str(written),
        }
        rest = behind;
    }
    out.extend(rest.chars().filter(|c| !c.is_ascii_whitespace()));
    out
}

/// The length of the string that begins here, quotes included.
fn end_of_string(quoted: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// Members of an object: names, and values as compact JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(IndexMap<String, String>);

impl Members {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of an object.
    ///
    /// # Errors
    /// When it is no object.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets one; it keeps its place if it had one, else it is the last.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.shift_remove(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As an object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_string(&mut out, name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

impl From<Members> for Vec<(String, String)> {
    fn from(members: Members) -> Self {
        members.0.into_iter().collect()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.set(name, squeeze(value.get()));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Of)
    }
}

/// JSON of any kind, compact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compact(pub String);

impl<'de> Deserialize<'de> for Compact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(squeeze(raw.get())))
    }
}

/// A list, compact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub String);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Compact::deserialize(deserializer)?.0 {
            list if list.starts_with('[') => Ok(Self(list)),
            _ => Err(D::Error::custom("expected a list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_the_library() {
        for text in ["", "a", "é\u{2028}\"\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}/", "\u{0}", "日本語 \"x\""] {
            assert_eq!(string(text), serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn blanks_and_needless_escapes_go_and_numbers_stay() {
        let text = "{ \"b\" : [ 1.0 , 1e5, -0 ] ,\r\n\t\"a \\\" b\\\\\": \"\\u00e9 \\u003c \\n\\/\", \"c\":\"\\ud800 x\" }";
        assert_eq!(compact(text).unwrap(), r#"{"b":[1.0,1e5,-0],"a \" b\\":"é < \n/","c":"\ud800 x"}"#);
        assert!(compact("{").is_err() && compact("1 2").is_err());
    }

    #[test]
    fn members_keep_their_places() {
        let mut members = Members::parse(r#"{"b": 1, "a": [ 2 ], "b": 3}"#).unwrap();
        assert_eq!(members.to_json(), r#"{"b":3,"a":[2]}"#);
        members.set("a", "4");
        members.set("c", "5");
        assert_eq!(members.to_json(), r#"{"b":3,"a":4,"c":5}"#);
        assert!(Members::parse("[]").is_err());
    }
}
