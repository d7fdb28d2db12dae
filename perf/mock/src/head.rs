//! The head of an answer and the frame of its body, as bytes.

use crate::answer::push_number;

/// How the client knows where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    /// Where the connection does.
    ToClose,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Top<'a> {
    pub(crate) status: u16,
    pub(crate) version10: bool,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) framing: Framing,
    /// Says that the connection ends after it.
    pub(crate) close: bool,
    /// Further lines, each with its end.
    pub(crate) more: &'a str,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const EVENTS: &str = "text/event-stream; charset=utf-8";
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Top<'_> {
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.version10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        push_number(u64::from(self.status), out);
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        if let Some(content_type) = self.content_type {
            out.extend_from_slice(b"\r\ncontent-type: ");
            out.extend_from_slice(content_type.as_bytes());
        }
        match self.framing {
            Framing::Length(length) => {
                out.extend_from_slice(b"\r\ncontent-length: ");
                push_number(length as u64, out);
            }
            Framing::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked"),
            Framing::ToClose => {}
        }
        if self.close {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.more.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a chunk. An empty one would end the body and is left out.
pub(crate) fn push_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let digits = (usize::BITS - bytes.len().leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[bytes.len() >> (4 * digit) & 15]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Mock Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_their_size_before_them() {
        for size in [1, 15, 16, 255, 256, 70_000] {
            let mut out = Vec::new();
            push_chunk(&vec![b'x'; size], &mut out);
            assert!(out.starts_with(format!("{size:x}\r\nx").as_bytes()) && out.ends_with(b"x\r\n"));
        }
    }
}
