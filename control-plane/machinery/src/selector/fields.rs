//! Field selectors: `metadata.name=a,status.phase!=Running`.
//!
//! Which fields a kind knows is its registry entry's business; here a selector is a list of terms. A comma,
//! an equals sign or a backslash inside a value is written with a backslash before it.

use std::borrow::Cow;
use std::fmt;

use super::SelectorError;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldRequirement {
    /// The field, such as `metadata.name`.
    pub field: String,
    /// True for `!=`.
    pub negated: bool,
    /// The value, without escapes.
    pub value: String,
}

/// A field selector: all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// A selector with these conditions.
    pub fn new(requirements: Vec<FieldRequirement>) -> Self {
        Self { requirements }
    }

    /// The selector that a query string writes.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms: Vec<&str> = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|t| !t.is_empty()) {
            let Some((field, negated, value)) = split_term(term) else {
                return Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            requirements.push(FieldRequirement { field: field.to_owned(), negated, value: unescape(value)? });
        }
        Ok(Self { requirements })
    }

    /// Whether it selects an object whose fields `get` looks up; an absent field is the empty string.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.requirements.iter().all(|r| {
            let value = get(&r.field).unwrap_or_default();
            (value == r.value.as_str()) != r.negated
        })
    }

    /// True when every object is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The value that `field` must have, where the selector asks for one.
    pub fn exact_match(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.field == field && !r.negated).map(|r| r.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if r.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", r.field, escape(&r.value))?;
        }
        Ok(())
    }
}

/// `value` as it must stand in a field selector.
pub fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// Cuts at the commas that have no backslash before them.
fn split_terms(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

/// Field, negation and raw value of a term.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.bytes().enumerate().position(|(i, b)| b == b'=' || (b == b'!' && term.as_bytes().get(i + 1) == Some(&b'=')))?;
    let (field, rest) = term.split_at(at);
    let (negated, len) = match rest.as_bytes() {
        [b'!', ..] => (true, 2),
        [_, b'=', ..] => (false, 2),
        _ => (false, 1),
    };
    Some((field, negated, &rest[len..]))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let rest = other.map(String::from).unwrap_or_default();
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{rest}")));
                }
            },
            ',' | '=' => {
                return Err(SelectorError(format!("invalid field selector: unescaped character in value: {}", u32::from(c))));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        let get = |field: &str| (field == "metadata.name").then_some(Cow::Borrowed("a"));
        let matches = |text| FieldSelector::parse(text).unwrap().matches(get);
        assert!(matches("") && matches("metadata.name=a") && matches("metadata.name==a,spec.nodeName=") && matches("x!=1"));
        assert!(!matches("metadata.name!=a") && !matches("x=1"));
    }

    #[test]
    fn escapes() {
        for (text, message) in [
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), message);
        }
        assert_eq!(FieldSelector::parse("a=1,,b=2,").unwrap().to_string(), "a=1,b=2");
    }
}
