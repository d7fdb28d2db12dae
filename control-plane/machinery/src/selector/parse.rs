//! The grammar of label selector strings.
//!
//! The text is cut into tokens at white space and the symbols `= ! ( ) , > <`; everything else is a word.
//! `in` and `notin` are words wherever an operator makes no sense, so that labels may have these names.

use super::{Operator, Requirement, SelectorError, check_key};
use crate::field::Path;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Word,
    In,
    NotIn,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    End,
}

/// What a token is where an operator cannot stand.
fn as_value(kind: Kind) -> Kind {
    match kind {
        Kind::In | Kind::NotIn => Kind::Word,
        other => other,
    }
}

struct Tokens<'a> {
    text: &'a str,
    /// Where the next token starts.
    at: usize,
    /// The token already looked at.
    ahead: Option<(Kind, &'a str)>,
}

impl<'a> Tokens<'a> {
    fn peek(&mut self) -> (Kind, &'a str) {
        match self.ahead {
            Some(token) => token,
            None => {
                let token = self.scan();
                self.ahead = Some(token);
                token
            }
        }
    }

    fn take(&mut self) -> (Kind, &'a str) {
        let token = self.peek();
        // The end stays the end, however often it is taken.
        if token.0 != Kind::End {
            self.ahead = None;
        }
        token
    }

    fn scan(&mut self) -> (Kind, &'a str) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        let start = self.at;
        let followed_by_equals = bytes.get(start + 1) == Some(&b'=');
        // A NUL ends the text, as it does for Kubernetes' scanner.
        let (kind, len) = match bytes.get(start) {
            None | Some(0) => (Kind::End, 0),
            Some(b'=') if followed_by_equals => (Kind::DoubleEquals, 2),
            Some(b'!') if followed_by_equals => (Kind::NotEquals, 2),
            Some(b'=') => (Kind::Equals, 1),
            Some(b'!') => (Kind::Not, 1),
            Some(b'(') => (Kind::Open, 1),
            Some(b')') => (Kind::Close, 1),
            Some(b',') => (Kind::Comma, 1),
            Some(b'>') => (Kind::Greater, 1),
            Some(b'<') => (Kind::Less, 1),
            Some(_) => {
                let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<' | 0);
                let len = bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start);
                let kind = match &self.text[start..start + len] {
                    "in" => Kind::In,
                    "notin" => Kind::NotIn,
                    _ => Kind::Word,
                };
                (kind, len)
            }
        };
        self.at = start + len;
        (kind, &self.text[start..self.at])
    }
}

fn error<T>(text: String) -> Result<T, SelectorError> {
    Err(SelectorError(text))
}

/// The requirements of a selector string, in the order written.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut tokens = Tokens { text, at: 0, ahead: None };
    let mut out = Vec::new();
    loop {
        let (kind, literal) = tokens.peek();
        match as_value(kind) {
            Kind::Word | Kind::Not => {}
            Kind::End => return Ok(out),
            _ => return error(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
        }
        out.push(requirement(&mut tokens).map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?);
        match tokens.take() {
            (Kind::End, _) => return Ok(out),
            (Kind::Comma, _) => {
                let (kind, literal) = tokens.peek();
                if !matches!(as_value(kind), Kind::Word | Kind::Not) {
                    return error(format!("found '{literal}', expected: identifier after ','"));
                }
            }
            (_, literal) => return error(format!("found '{literal}', expected: ',' or 'end of string'")),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, SelectorError> {
    let (mut kind, mut literal) = tokens.take();
    let absent = kind == Kind::Not;
    if absent {
        (kind, literal) = tokens.take();
    }
    if as_value(kind) != Kind::Word {
        return error(format!("found '{literal}', expected: identifier"));
    }
    if let Some(wrong) = check_key(literal, &Path::root()) {
        return error(wrong.to_string());
    }
    if absent {
        return Requirement::new(literal, Operator::DoesNotExist, Vec::new());
    }
    if matches!(tokens.peek().0, Kind::End | Kind::Comma) {
        return Requirement::new(literal, Operator::Exists, Vec::new());
    }
    let operator = match tokens.take() {
        (Kind::In, _) => Operator::In,
        (Kind::NotIn, _) => Operator::NotIn,
        (Kind::Equals, _) => Operator::Equals,
        (Kind::DoubleEquals, _) => Operator::DoubleEquals,
        (Kind::NotEquals, _) => Operator::NotEquals,
        (Kind::Greater, _) => Operator::GreaterThan,
        (Kind::Less, _) => Operator::LessThan,
        (_, found) => return error(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")),
    };
    let values = match operator {
        Operator::In | Operator::NotIn => values(tokens)?,
        _ => vec![exact_value(tokens)?],
    };
    Requirement::new(literal, operator, values)
}

/// One value, which may be left out.
fn exact_value(tokens: &mut Tokens<'_>) -> Result<String, SelectorError> {
    if matches!(tokens.peek().0, Kind::End | Kind::Comma) {
        return Ok(String::new());
    }
    let (kind, literal) = tokens.take();
    if as_value(kind) == Kind::Word {
        return Ok(literal.to_owned());
    }
    error(format!("found '{literal}', expected: identifier"))
}

/// A list in parentheses. An empty place between commas is the empty value, and `()` is a list of it.
fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, SelectorError> {
    let (kind, literal) = tokens.take();
    if kind != Kind::Open {
        return error(format!("found '{literal}' expected: '('"));
    }
    let (kind, literal) = tokens.peek();
    match as_value(kind) {
        Kind::Word | Kind::Comma => {}
        Kind::Close => {
            tokens.take();
            return Ok(vec![String::new()]);
        }
        _ => return error(format!("found '{literal}', expected: ',', ')' or identifier")),
    }
    let mut out = Vec::new();
    loop {
        let (kind, literal) = tokens.take();
        match as_value(kind) {
            Kind::Word => {
                out.push(literal.to_owned());
                match tokens.peek() {
                    (Kind::Comma, _) => {}
                    (Kind::Close, _) => break,
                    (_, found) => return error(format!("found '{found}', expected: ',' or ')'")),
                }
            }
            Kind::Comma => {
                if out.is_empty() {
                    out.push(String::new());
                }
                match tokens.peek().0 {
                    Kind::Close => {
                        out.push(String::new());
                        break;
                    }
                    Kind::Comma => {
                        tokens.take();
                        out.push(String::new());
                    }
                    _ => {}
                }
            }
            _ => return error(format!("found '{literal}', expected: ',', or identifier")),
        }
    }
    tokens.take(); // the closing parenthesis
    Ok(out)
}
