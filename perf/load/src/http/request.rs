//! The head of a request, as bytes.

/// A part of a request that would not be read as what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSendable {
    /// A method that is no token.
    #[error("{0:?} is no method")]
    Method(String),
    /// A path with blanks, control characters or others than ASCII.
    #[error("{0:?} is no path of a request")]
    Target(String),
    /// A header field whose name is no token.
    #[error("{0:?} is no name of a header field")]
    Name(String),
    /// A header field whose value has a line's end or another control character in it; the value may be a secret.
    #[error("the value of the header field {0:?} has control characters")]
    Value(String),
}

/// Appends the head of a request to `out`: its line, the fields in their order, the length of its body if it has one, the empty
/// line. Nothing is appended when it cannot be sent.
///
/// `target` is path and query; `Host` is one of the fields.
///
/// # Errors
/// What would not be read as what it is.
pub fn write_head<'a>(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    length: Option<usize>,
) -> Result<(), NotSendable> {
    let begin = out.len();
    let written = append(out, method, target, fields, length);
    if written.is_err() {
        out.truncate(begin);
    }
    written
}

fn append<'a>(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    length: Option<usize>,
) -> Result<(), NotSendable> {
    if !is_token(method) {
        return Err(NotSendable::Method(method.to_owned()));
    }
    if target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(NotSendable::Target(target.to_owned()));
    }
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in fields {
        if !is_token(name) {
            return Err(NotSendable::Name(name.to_owned()));
        }
        if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(NotSendable::Value(name.to_owned()));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(length.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
