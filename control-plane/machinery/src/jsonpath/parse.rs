//! From text to a template.

use super::{JsonPathError, Node, Part, Slice, Template};

/// Longest template.
const MAX_LEN: usize = 64 << 10;
/// How deep unions, filters and keys may be nested in each other.
const MAX_DEPTH: usize = 20;

fn error<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

/// Reads a whole template.
pub(super) fn template(text: &str) -> Result<Template, JsonPathError> {
    if text.len() > MAX_LEN {
        return error(format!("the template is longer than {MAX_LEN} bytes"));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let mut action = Action { rest: &rest[open + 1..], nodes: Vec::new(), depth: 0 };
        action.parse()?;
        parts.push(Part::Action(action.nodes));
        rest = action.rest;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(Template { parts })
}

/// The inside of braces, as it is read.
struct Action<'a> {
    /// What is not read yet.
    rest: &'a str,
    nodes: Vec<Node>,
    depth: usize,
}

impl Action<'_> {
    /// Reads up to and including the closing brace.
    fn parse(&mut self) -> Result<(), JsonPathError> {
        loop {
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Ok(());
            }
            if self.rest.starts_with("[?(") {
                self.filter()?;
                continue;
            }
            if self.rest.starts_with("..") {
                self.recursive()?;
                continue;
            }
            match self.rest.chars().next() {
                None | Some('\r' | '\n') => return error("unclosed action"),
                Some(' ' | '@' | '$') => self.rest = &self.rest[1..],
                Some('[') => self.array()?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => {
                    self.rest = &self.rest[1..];
                    self.field();
                }
                Some(c) if c == '+' || c == '-' || c.is_numeric() => self.number()?,
                Some(c) if is_word(c) => self.word(),
                Some(c) => return error(format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c))),
            }
        }
    }

    /// Reads the expression `text` by itself.
    fn nested(&self, text: &str) -> Result<Vec<Node>, JsonPathError> {
        if self.depth >= MAX_DEPTH {
            return error(format!("expressions are nested deeper than {MAX_DEPTH} levels"));
        }
        let text = format!("{text}}}");
        let mut action = Action { rest: &text, nodes: Vec::new(), depth: self.depth + 1 };
        action.parse()?;
        Ok(action.nodes)
    }

    fn recursive(&mut self) -> Result<(), JsonPathError> {
        if self.nodes.last() == Some(&Node::Recursive) {
            return error("invalid multiple recursive descent");
        }
        self.rest = &self.rest[2..];
        self.nodes.push(Node::Recursive);
        if self.rest.starts_with(is_word) {
            self.field();
        }
        Ok(())
    }

    /// A member name, up to a character that ends names and has no backslash before it.
    fn field(&mut self) {
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = !escaped && ends_name(c);
            escaped = !escaped && c == '\\';
            ends
        });
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        self.nodes.push(if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) });
    }

    fn word(&mut self) {
        let (word, rest) = self.rest.split_at(self.rest.find(ends_name).unwrap_or(self.rest.len()));
        self.rest = rest;
        self.nodes.push(match word {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            word => Node::Word(word.to_owned()),
        });
    }

    fn number(&mut self) -> Result<(), JsonPathError> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let digits = self.rest[sign..].find(|c: char| c != '.' && !c.is_numeric());
        let (text, rest) = self.rest.split_at(digits.map_or(self.rest.len(), |d| d + sign));
        self.rest = rest;
        if let Ok(n) = text.parse() {
            self.nodes.push(Node::Int(n));
        } else if let Ok(f) = text.parse() {
            self.nodes.push(Node::Float(f));
        } else {
            return error(format!("cannot parse number {text}"));
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), JsonPathError> {
        let bytes = self.rest.as_bytes();
        let quote = quote as u8;
        let mut at = 1;
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => return error("unterminated quoted string"),
                Some(b) if *b == quote && bytes[at - 1] != b'\\' => break,
                Some(_) => at += 1,
            }
        }
        let (text, rest) = self.rest.split_at(at + 1);
        self.rest = rest;
        match unquote(&text[1..at], char::from(quote)) {
            Some(text) => self.nodes.push(Node::Text(text)),
            None => return error(format!("unquote string {text} error invalid syntax")),
        }
        Ok(())
    }

    /// `[0]`, `[1:3]`, `[*]`, `['key']`, or several of them with commas.
    fn array(&mut self) -> Result<(), JsonPathError> {
        let end = match self.rest.find([']', '\n']) {
            Some(end) if self.rest[end..].starts_with(']') => end,
            _ => return error("unterminated array"),
        };
        let inside = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        if inside.contains(',') {
            let union = inside.split(',').map(|one| self.nested(&format!("[{}]", one.trim_matches(' '))));
            let union = union.collect::<Result<_, _>>()?;
            self.nodes.push(Node::Union(union));
            return Ok(());
        }
        if let Some(key) = inside.strip_prefix('\'').and_then(|k| k.strip_suffix('\'')).filter(|k| !k.contains('\'')) {
            let nodes = self.nested(&format!(".{key}"))?;
            self.nodes.extend(nodes);
            return Ok(());
        }
        self.nodes.push(Node::Slice(slice(inside)?));
        Ok(())
    }

    /// `[?(path)]` or `[?(path operator value)]`.
    fn filter(&mut self) -> Result<(), JsonPathError> {
        let body = &self.rest[3..];
        let bytes = body.as_bytes();
        let (mut pair, mut closed, mut at) = (None, false, 0);
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => return error("unterminated filter"),
                Some(quote @ (b'"' | b'\'')) => match pair {
                    None => pair = Some(*quote),
                    Some(open) if open == *quote && bytes[at - 1] != b'\\' => closed = true,
                    Some(_) => {}
                },
                Some(b')') if pair.is_some() == closed => break,
                Some(_) => {}
            }
            at += 1;
        }
        let (text, rest) = body.split_at(at);
        let Some(rest) = rest[1..].strip_prefix(']') else { return error("unclosed array expect ]") };
        self.rest = rest;
        let node = match comparison(text) {
            None => Node::Exists(self.nested(text)?),
            Some((left, operator, right)) => {
                Node::Compare { left: self.nested(left)?, operator: operator.to_owned(), right: self.nested(right)? }
            }
        };
        self.nodes.push(node);
        Ok(())
    }
}

/// Left side, operator and right side of a filter that compares.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(['!', '<', '>', '=']).filter(|at| *at > 0)?;
    let rest = &text[start..];
    let mut len = rest.find(|c| !matches!(c, '!' | '<' | '>' | '=' | '~')).unwrap_or(rest.len());
    if len == rest.len() {
        // Something must be left to compare with.
        len -= 1;
    }
    (len > 0).then(|| (&text[..start], &rest[..len], &rest[len..]))
}

fn slice(text: &str) -> Result<Slice, JsonPathError> {
    let text = if text == "*" { ":" } else { text };
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| part.strip_prefix('-').unwrap_or(part).bytes().all(|b| b.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(|p| number(p)) {
        return error(format!("invalid array index {text}"));
    }
    let read = |at: usize| match parts.get(at) {
        None | Some(&"") => Ok(None),
        Some(part) => part.parse::<i64>().map(Some).or_else(|_| error(format!("array index {part} is not a number"))),
    };
    let (start, end, step) = (read(0)?, read(1)?, read(2)?);
    let end_derived = parts.len() == 1;
    let end = if end_derived { Some(start.unwrap_or(0).saturating_add(1)) } else { end };
    Ok(Slice { start, end, end_derived, step })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn ends_name(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// The text of a literal, with Go's escapes.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let escape = rest.chars().next()?;
        // Where the digits of a code stand, and their base.
        let code = match escape {
            'x' => Some((1..3, 16)),
            'u' => Some((1..5, 16)),
            'U' => Some((1..9, 16)),
            '0'..='7' => Some((0..3, 8)),
            _ => None,
        };
        if let Some((digits, radix)) = code {
            let number = u32::from_str_radix(rest.get(digits.clone())?, radix).ok()?;
            out.push(char::from_u32(number)?);
            rest = &rest[digits.end..];
            continue;
        }
        out.push(match escape {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            c if c == quote => c,
            _ => return None,
        });
        rest = &rest[escape.len_utf8()..];
    }
    out.push_str(rest);
    Some(out)
}
