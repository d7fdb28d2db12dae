//! The grammar of label selector strings.
//!
//! The text is cut into tokens at white space and the symbols `= ! ( ) , > <`; everything else is a word.
//! `in` and `notin` are words wherever an operator makes no sense, so that labels may have these names.

use super::{Operator, Requirement, SelectorError, check_key};
use crate::field::Path;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
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
fn as_value(token: Token) -> Token {
    match token {
        Token::In | Token::NotIn => Token::Word,
        other => other,
    }
}

struct Tokens<'a> {
    text: &'a str,
    /// Where the next token starts.
    at: usize,
    /// The token already looked at.
    ahead: Option<(Token, &'a str)>,
}

impl<'a> Tokens<'a> {
    fn peek(&mut self) -> (Token, &'a str) {
        match self.ahead {
            Some(token) => token,
            None => {
                let token = self.scan();
                self.ahead = Some(token);
                token
            }
        }
    }

    fn take(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        // The end stays the end, however often it is taken.
        if token.0 != Token::End {
            self.ahead = None;
        }
        token
    }

    fn scan(&mut self) -> (Token, &'a str) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        let start = self.at;
        let followed_by_equals = bytes.get(start + 1) == Some(&b'=');
        // A NUL ends the text, as it does for Kubernetes' scanner.
        let (token, len) = match bytes.get(start) {
            None | Some(0) => (Token::End, 0),
            Some(b'=') if followed_by_equals => (Token::DoubleEquals, 2),
            Some(b'!') if followed_by_equals => (Token::NotEquals, 2),
            Some(b'=') => (Token::Equals, 1),
            Some(b'!') => (Token::Not, 1),
            Some(b'(') => (Token::Open, 1),
            Some(b')') => (Token::Close, 1),
            Some(b',') => (Token::Comma, 1),
            Some(b'>') => (Token::Greater, 1),
            Some(b'<') => (Token::Less, 1),
            Some(_) => {
                let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<' | 0);
                let len = bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start);
                let token = match &self.text[start..start + len] {
                    "in" => Token::In,
                    "notin" => Token::NotIn,
                    _ => Token::Word,
                };
                (token, len)
            }
        };
        self.at = start + len;
        (token, &self.text[start..self.at])
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
        let (token, literal) = tokens.peek();
        match as_value(token) {
            Token::Word | Token::Not => {}
            Token::End => return Ok(out),
            _ => return error(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
        }
        out.push(requirement(&mut tokens).map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?);
        match tokens.take() {
            (Token::End, _) => return Ok(out),
            (Token::Comma, _) => {
                let (token, literal) = tokens.peek();
                if !matches!(as_value(token), Token::Word | Token::Not) {
                    return error(format!("found '{literal}', expected: identifier after ','"));
                }
            }
            (_, literal) => return error(format!("found '{literal}', expected: ',' or 'end of string'")),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, SelectorError> {
    let (mut token, mut literal) = tokens.take();
    let absent = token == Token::Not;
    if absent {
        (token, literal) = tokens.take();
    }
    if as_value(token) != Token::Word {
        return error(format!("found '{literal}', expected: identifier"));
    }
    if let Some(wrong) = check_key(literal, &Path::root()) {
        return error(wrong.to_string());
    }
    if absent {
        return Requirement::new(literal, Operator::DoesNotExist, Vec::new());
    }
    if matches!(tokens.peek().0, Token::End | Token::Comma) {
        return Requirement::new(literal, Operator::Exists, Vec::new());
    }
    let operator = match tokens.take() {
        (Token::In, _) => Operator::In,
        (Token::NotIn, _) => Operator::NotIn,
        (Token::Equals, _) => Operator::Equals,
        (Token::DoubleEquals, _) => Operator::DoubleEquals,
        (Token::NotEquals, _) => Operator::NotEquals,
        (Token::Greater, _) => Operator::GreaterThan,
        (Token::Less, _) => Operator::LessThan,
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
    if matches!(tokens.peek().0, Token::End | Token::Comma) {
        return Ok(String::new());
    }
    let (token, literal) = tokens.take();
    if as_value(token) == Token::Word {
        return Ok(literal.to_owned());
    }
    error(format!("found '{literal}', expected: identifier"))
}

/// A list in parentheses. An empty place between commas is the empty value, and `()` is a list of it.
fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, SelectorError> {
    let (token, literal) = tokens.take();
    if token != Token::Open {
        return error(format!("found '{literal}' expected: '('"));
    }
    let (token, literal) = tokens.peek();
    match as_value(token) {
        Token::Word | Token::Comma => {}
        Token::Close => {
            tokens.take();
            return Ok(vec![String::new()]);
        }
        _ => return error(format!("found '{literal}', expected: ',', ')' or identifier")),
    }
    let mut out = Vec::new();
    loop {
        let (token, literal) = tokens.take();
        match as_value(token) {
            Token::Word => {
                out.push(literal.to_owned());
                match tokens.peek() {
                    (Token::Comma, _) => {}
                    (Token::Close, _) => break,
                    (_, found) => return error(format!("found '{found}', expected: ',' or ')'")),
                }
            }
            Token::Comma => {
                if out.is_empty() {
                    out.push(String::new());
                }
                match tokens.peek().0 {
                    Token::Close => {
                        out.push(String::new());
                        break;
                    }
                    Token::Comma => {
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
