//! Regular expressions of schemas.
//!
//! They are written for Go's engine. Ours has the same language but for a few spellings, which are
//! rewritten: `\d`, `\w`, `\s` and `\b` mean ASCII, an opening bracket needs no escape inside brackets, braces
//! that are no repetition stand for themselves, and `\Q...\E` quotes.

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};

/// Largest compiled expression.
const SIZE_LIMIT: usize = 16 << 20;

/// A pattern, compiled when it is first used: most patterns of most definitions never are.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    compiled: Arc<OnceLock<Result<Regex, String>>>,
}

impl Pattern {
    /// A pattern as written in a schema.
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), compiled: Arc::default() }
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern occurs in `text`; the error says why it is no pattern.
    pub fn is_match(&self, text: &str) -> Result<bool, &str> {
        match self.compiled() {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(error) => Err(error),
        }
    }

    /// Why it is no pattern.
    pub fn error(&self) -> Option<&str> {
        self.compiled().as_ref().err().map(String::as_str)
    }

    fn compiled(&self) -> &Result<Regex, String> {
        self.compiled.get_or_init(|| {
            RegexBuilder::new(&translate(&self.source)).size_limit(SIZE_LIMIT).nest_limit(100).build().map_err(|e| {
                let text = e.to_string();
                // The last line says what; those before draw an arrow at the rewritten text.
                text.lines().last().unwrap_or(&text).trim_start_matches("error: ").to_owned()
            })
        })
    }
}

/// The pattern in the spelling of our engine.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut rest = source;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let Some(escaped) = tail.chars().next() else {
                    out.push('\\');
                    break;
                };
                let after = &tail[escaped.len_utf8()..];
                match escaped {
                    'd' | 'w' | 's' | 'D' | 'W' | 'S' => out.push_str(class(escaped, in_class)),
                    'b' | 'B' if !in_class => {
                        out.push_str("(?-u:\\");
                        out.push(escaped);
                        out.push(')');
                    }
                    'Q' if !in_class => {
                        let (quoted, after) = after.split_once("\\E").unwrap_or((after, ""));
                        out.push_str(&regex::escape(quoted));
                        rest = after;
                        continue;
                    }
                    'p' | 'P' | 'x' if after.starts_with('{') && after.contains('}') => {
                        let (name, after) = after.split_once('}').unwrap_or((after, ""));
                        out.push('\\');
                        out.push(escaped);
                        out.push_str(name);
                        out.push('}');
                        rest = after;
                        continue;
                    }
                    _ => {
                        out.push('\\');
                        out.push(escaped);
                    }
                }
                rest = after;
                continue;
            }
            '[' if in_class => {
                // A named class such as [:alpha:] keeps its brackets.
                if let Some(end) = tail.strip_prefix(':').and_then(|t| t.find(":]")) {
                    let len = 1 + 1 + end + 2;
                    out.push_str(&rest[..len]);
                    rest = &rest[len..];
                    continue;
                }
                out.push_str("\\[");
            }
            '[' => {
                in_class = true;
                out.push('[');
                rest = tail;
                // A bracket that closes at once is an element.
                if let Some(tail) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = tail;
                }
                if let Some(tail) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = tail;
                }
                continue;
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // Two of these are operators on classes for us.
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && tail.starts_with('-') => out.push_str("\\-"),
            '{' if !in_class && !is_repetition(tail) => out.push_str("\\{"),
            '}' if !in_class && !closes_repetition(&out) => out.push_str("\\}"),
            c => out.push(c),
        }
        rest = tail;
    }
    out
}

/// The ASCII class of an escape, as an element of a class or alone.
fn class(escape: char, in_class: bool) -> &'static str {
    match (escape, in_class) {
        ('d', true) => "0-9",
        ('d', false) => "[0-9]",
        ('w', true) => "0-9A-Za-z_",
        ('w', false) => "[0-9A-Za-z_]",
        ('s', true) => "\\t\\n\\f\\r ",
        ('s', false) => "[\\t\\n\\f\\r ]",
        ('D', true) => "[^0-9]",
        ('D', false) => "[^0-9]",
        ('W', _) => "[^0-9A-Za-z_]",
        _ => "[^\\t\\n\\f\\r ]",
    }
}

/// Whether what follows an opening brace makes it a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(tail: &str) -> bool {
    let Some((inside, _)) = tail.split_once('}') else { return false };
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    !from.is_empty() && from.bytes().chain(to.bytes()).all(|b| b.is_ascii_digit())
}

/// Whether the brace to come ends a repetition that the output has open.
fn closes_repetition(out: &str) -> bool {
    out.rfind('{').is_some_and(|at| {
        let escaped = out[..at].bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        !escaped && !out[at..].contains('}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).is_match(text).unwrap()
    }

    #[test]
    fn classes_are_ascii() {
        assert!(matches("^\\d+$", "42") && !matches("^\\d+$", "٤٢"));
        assert!(matches("^[\\w-]+$", "a_-") && !matches("^[\\w-]+$", "é"));
        assert!(matches("^[^\\s]+$", "a\u{a0}") && !matches("^[^\\D]$", "a"));
        assert!(matches("\\bfoo\\b", "é foo é") && matches("^.$", "é"));
    }

    #[test]
    fn spellings_of_go() {
        assert!(matches("^[^[]+$", "ab") && !matches("^[^[]+$", "a["));
        assert!(matches("^[[:alpha:]]+$", "ab") && matches("^[]a]+$", "]a"));
        assert!(matches("^a{2}{x}$", "aa{x}") && matches("^{a,}$", "{a,}") && matches("^\\pL\\p{L}$", "éa"));
        assert!(matches("^\\Qa.b\\E$", "a.b") && !matches("^\\Qa.b\\E$", "axb"));
        assert!(matches("^[a&&b~~--]+$", "&~-"));
        assert!(matches("^[a-z]([-a-z0-9]*[a-z0-9])?$", "a-b"));
    }

    #[test]
    fn what_is_no_pattern() {
        for pattern in ["(", "[a", "a{3,2}", "*", "\\", "(?=a)", "\\1"] {
            assert!(Pattern::new(pattern).error().is_some(), "{pattern}");
            assert!(Pattern::new(pattern).is_match("").is_err());
        }
        assert!(Pattern::new(&"(a{1000}){1000}".repeat(3)).error().is_some());
    }
}
