//! Requests from bytes: a head by httparse, then a body by length or by chunks. Nothing is read twice, everything is bounded.
//!
//! A [`Reader`] belongs to a connection and is fed what has come; it takes what it understands and says what it has got. A body that came
//! in one piece is lent from the caller's buffer, only one that came in pieces is kept here.

use std::borrow::Cow;

use crate::fault::Fault;

/// A head that is longer is refused.
pub(crate) const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// A body that is longer is refused.
pub(crate) const MAX_BODY: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// What is known of a request before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// The client speaks HTTP/1.0: it knows no chunks.
    pub(crate) version10: bool,
    /// The connection may serve another request.
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) accepts_stream: bool,
    pub(crate) fault: Option<Result<Fault, String>>,
    body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked(Chunk),
}

/// Where in a chunked body the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(usize),
    DataEnd,
    Trailer,
}

/// Why a request cannot be read; the connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
}

fn bad<T>(status: u16, why: &'static str) -> Result<T, Bad> {
    Err(Bad { status, why })
}

/// What a step brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// There has to come more.
    More,
    /// The head is there: [`Reader::head`] has it.
    Head,
    /// The request is complete.
    Complete(Head, Cow<'a, [u8]>),
}

/// Where one connection stands between two requests' bytes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    head: Option<Head>,
    body: Vec<u8>,
}

impl Reader {
    /// The head of the request that is being read.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Takes what it can of `input`; says how many bytes that were.
    pub(crate) fn step<'a>(&mut self, input: &'a [u8]) -> Result<(Step<'a>, usize), Bad> {
        let Some(head) = &mut self.head else {
            return Ok(match parse_head(input)? {
                Some((head, used)) => {
                    self.head = Some(head);
                    (Step::Head, used)
                }
                None => (Step::More, 0),
            });
        };
        let used = match &mut head.body {
            Body::Length(length) => {
                let missing = *length - self.body.len();
                if self.body.is_empty() && input.len() >= missing {
                    return Ok((self.complete(Cow::Borrowed(&input[..missing])), missing));
                }
                let used = missing.min(input.len());
                self.body.extend_from_slice(&input[..used]);
                if used < missing {
                    return Ok((Step::More, used));
                }
                used
            }
            Body::Chunked(chunk) => {
                let (used, end) = chunks(chunk, input, &mut self.body)?;
                if !end {
                    return Ok((Step::More, used));
                }
                used
            }
        };
        let body = std::mem::take(&mut self.body);
        Ok((self.complete(Cow::Owned(body)), used))
    }

    fn complete<'a>(&mut self, body: Cow<'a, [u8]>) -> Step<'a> {
        self.head.take().map_or(Step::More, |head| Step::Complete(head, body))
    }
}

fn parse_head(input: &[u8]) -> Result<Option<(Head, usize)>, Bad> {
    // Empty lines before a request are skipped, as the standard asks; httparse does that for one.
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(input) {
        Ok(httparse::Status::Complete(used)) if used <= MAX_HEAD => used,
        Ok(httparse::Status::Partial) if input.len() <= MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return bad(431, "the head is too long"),
        Err(httparse::Error::Version) => return bad(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        Err(_) => return bad(400, "the head is no HTTP"),
    };
    let method = match request.method.unwrap_or_default() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        _ => Method::Other,
    };
    let target = request.path.unwrap_or_default();
    // A proxy's form: scheme and authority before the path.
    let target = target.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or(target);
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let version10 = request.version == Some(0);
    let mut head = Head {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        version10,
        keep_alive: !version10,
        expects_continue: false,
        accepts_stream: false,
        fault: None,
        body: Body::Length(0),
    };
    let (mut length, mut chunked) = (None, false);
    for header in request.headers.iter() {
        let (name, value) = (header.name, header.value.trim_ascii());
        if name.eq_ignore_ascii_case("content-length") {
            let given =
                std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit())).and_then(|v| v.parse::<usize>().ok());
            let Some(given) = given else { return bad(400, "Content-Length is no number") };
            if length.is_some_and(|before| before != given) {
                return bad(400, "two different Content-Length");
            }
            length = Some(given);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return bad(501, "of transfer encodings only chunked is known here");
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("connection") {
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    head.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && version10 {
                    head.keep_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return bad(417, "of expectations only 100-continue is known here");
            }
            head.expects_continue = !version10;
        } else if name.eq_ignore_ascii_case("accept") {
            head.accepts_stream |= value.windows(17).any(|w| w.eq_ignore_ascii_case(b"text/event-stream"));
        } else if name.eq_ignore_ascii_case("x-mock-fault") {
            head.fault = Some(String::from_utf8_lossy(value).parse());
        }
    }
    if chunked && length.is_some() {
        return bad(400, "both Content-Length and Transfer-Encoding");
    }
    if length.is_some_and(|length| length > MAX_BODY) {
        return bad(413, "the body is too long");
    }
    head.body = if chunked { Body::Chunked(Chunk::Size) } else { Body::Length(length.unwrap_or(0)) };
    Ok(Some((head, used)))
}

/// Takes what it can of a chunked body; says how much, and whether the body has ended.
fn chunks(chunk: &mut Chunk, input: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), Bad> {
    /// A line of sizes, extensions or trailers is not longer.
    const LINE: usize = 4 << 10;
    let mut used = 0;
    loop {
        let rest = &input[used..];
        match chunk {
            Chunk::Size => match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((at, size))) => {
                    used += at;
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    if size > MAX_BODY - body.len() {
                        return bad(413, "the body is too long");
                    }
                    *chunk = if size == 0 { Chunk::Trailer } else { Chunk::Data(size) };
                }
                Ok(httparse::Status::Partial) if rest.len() <= LINE => return Ok((used, false)),
                _ => return bad(400, "a chunk has no size"),
            },
            Chunk::Data(size) => {
                let part = (*size).min(rest.len());
                body.extend_from_slice(&rest[..part]);
                used += part;
                *size -= part;
                if *size > 0 {
                    return Ok((used, false));
                }
                *chunk = Chunk::DataEnd;
            }
            Chunk::DataEnd => {
                if rest.len() < 2 {
                    return Ok((used, false));
                }
                if !rest.starts_with(b"\r\n") {
                    return bad(400, "a chunk is longer than its size");
                }
                used += 2;
                *chunk = Chunk::Size;
            }
            Chunk::Trailer => match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    used += end + 1;
                    if rest[..end].trim_ascii().is_empty() {
                        return Ok((used, true));
                    }
                }
                None if rest.len() <= LINE => return Ok((used, false)),
                None => return bad(431, "a trailer is too long"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader makes of bytes that come in these pieces: path and body of each request, and why it stopped.
    fn read(bytes: &[u8], piece: usize) -> (Vec<(String, Vec<u8>)>, Option<Bad>) {
        let (mut reader, mut pending, mut got) = (Reader::default(), Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            pending.extend_from_slice(part);
            loop {
                match reader.step(&pending) {
                    Ok((Step::Complete(head, body), used)) => {
                        got.push((head.path, body.into_owned()));
                        pending.drain(..used);
                    }
                    Ok((step, used)) => {
                        let more = step == Step::More;
                        pending.drain(..used);
                        if more {
                            break;
                        }
                    }
                    Err(bad) => return (got, Some(bad)),
                }
            }
        }
        (got, None)
    }

    const PIPELINED: &[u8] = b"POST /a?x=1 HTTP/1.1\r\nhost: h\r\nContent-Length: 5\r\n\r\nhelloGET http://h:1/b HTTP/1.1\r\n\r\n\
        POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nt: 1\r\n\r\nGET /d HTTP/1.0\r\n\r\n";

    #[test]
    fn requests_are_the_same_in_pieces_of_any_size() {
        let wanted: Vec<(String, Vec<u8>)> = [("/a", &b"hello"[..]), ("/b", b""), ("/c", b"abc0123456789"), ("/d", b"")]
            .map(|(path, body)| (path.to_owned(), body.to_vec()))
            .to_vec();
        for piece in 1..PIPELINED.len() {
            assert_eq!(read(PIPELINED, piece), (wanted.clone(), None), "{piece}");
        }
    }

    #[test]
    fn a_head_says_what_matters() {
        let bytes = b"POST /v1/x?q#f HTTP/1.1\r\nExpect: 100-continue\r\naccept: a, text/event-stream\r\nX-Mock-Fault: crlf\r\nconnection: TE, close\r\n\r\n";
        let head = parse_head(bytes).unwrap().unwrap().0;
        assert!(head.expects_continue && head.accepts_stream && !head.keep_alive && !head.version10);
        assert_eq!((head.path.as_str(), head.query.as_str(), head.fault), ("/v1/x", "q", Some(Ok(Fault::Crlf))));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let status = |bytes: &[u8]| read(bytes, bytes.len().max(1)).1.map(|bad| bad.status);
        assert_eq!(status(b"nonsense\r\n\r\n"), Some(400));
        assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(505));
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), Some(400));
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n"), Some(400));
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"), Some(400));
        assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n"), Some(501));
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"), Some(413));
        assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n"), Some(413));
        assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n"), Some(400));
        assert_eq!(status(&[b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; MAX_HEAD]].concat()), Some(431));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize, at in 0..PIPELINED.len(), byte in any::<u8>()) {
            let _ = read(&bytes, piece);
            let mut spoilt = PIPELINED.to_vec();
            spoilt[at] = byte;
            let _ = read(&spoilt, piece);
        }
    }
}
