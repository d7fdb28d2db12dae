//! The head of an answer: kept as it came, with places in it.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::Error;

/// More header fields than any server sends.
const FIELDS: usize = 128;

/// Status, reason and header fields of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// As it came; empty while none has come to its end.
    bytes: Vec<u8>,
    status: u16,
    minor: u8,
    reason: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Head {
    /// A head that another reader has read: that of HTTP/2, which gives no reason.
    #[must_use]
    pub fn of<'a>(status: u16, fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut head = Self { status, minor: 1, ..Self::default() };
        for (name, value) in fields {
            let (begin, middle) = (head.bytes.len(), head.bytes.len() + name.len());
            head.bytes.extend_from_slice(name.as_bytes());
            head.bytes.extend_from_slice(value);
            head.fields.push((begin..middle, middle..head.bytes.len()));
        }
        head
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the answer says that the request was done.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The version: 0 of HTTP/1.0, 1 of HTTP/1.1.
    #[must_use]
    pub fn minor_version(&self) -> u8 {
        self.minor
    }

    /// The status in the server's words; often empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.bytes.get(self.reason.clone()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }

    /// Names and values of its fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(self.bytes.get(name.clone())?).ok()?, self.bytes.get(value.clone())?)))
    }

    /// The values of the fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field of this name, where it is text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The members of all fields of this name that hold lists, without blanks.
    pub(crate) fn tokens(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
    }

    /// Forgets what it holds, but not the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        (self.status, self.minor, self.reason) = (0, 0, 0..0);
    }

    /// Reads a head that is `bytes` to the last one, its empty line included.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.clear();
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        config.allow_multiple_spaces_in_response_status_delimiters(true);
        config.ignore_invalid_headers_in_responses(true);
        match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Error::MalformedHead("it has no end")),
            Err(httparse::Error::TooManyHeaders) => return Err(Error::MalformedHead("it has too many fields")),
            Err(httparse::Error::Status) => return Err(Error::MalformedHead("no status")),
            Err(httparse::Error::Version) => return Err(Error::MalformedHead("not HTTP/1")),
            Err(_) => return Err(Error::MalformedHead("a line that is no field")),
        }
        // The slices lie in `bytes`, so that their places are the same in a copy of it.
        let place = |part: &[u8]| {
            let begin = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            begin..begin + part.len()
        };
        self.status = response.code.unwrap_or_default();
        self.minor = response.version.unwrap_or_default();
        self.reason = response.reason.map_or(0..0, |reason| place(reason.as_bytes()));
        self.fields.extend(response.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value))));
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
