//! Where a body ends, as its head says it, and whether the connection serves again behind it: RFC 9112, sections 6 and 9.

use super::{Error, Head};

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// Behind a chunk of size zero.
    Chunked,
    /// With the connection.
    Connection,
}

/// The framing of the body behind `head`; `to_head` when it answers a HEAD.
pub(super) fn framing(head: &Head, to_head: bool) -> Result<Framing, Error> {
    if to_head || matches!(head.status(), 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    let mut codings = head.tokens("transfer-encoding").filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if let Some(coding) = codings.next() {
        let other = [coding].into_iter().chain(codings).find(|coding| !coding.eq_ignore_ascii_case(b"chunked"));
        return match other {
            None => Ok(Framing::Chunked),
            Some(other) => Err(Error::UnsupportedTransfer(String::from_utf8_lossy(other).into_owned())),
        };
    }
    // A length that was said twice is one length; two lengths are none.
    let mut length = None;
    for said in head.tokens("content-length") {
        let digits = std::str::from_utf8(said).ok().filter(|said| said.bytes().all(|b| b.is_ascii_digit()));
        let said = digits.and_then(|said| said.parse::<u64>().ok()).ok_or(Error::MalformedHead("a content-length that is no number"))?;
        if length.is_some_and(|known| known != said) {
            return Err(Error::MalformedHead("two content-lengths"));
        }
        length = Some(said);
    }
    Ok(length.map_or(Framing::Connection, Framing::Length))
}

/// Whether the connection may serve another request behind this answer.
pub(super) fn persists(head: &Head, framing: Framing) -> bool {
    let (mut close, mut keep) = (false, false);
    for token in head.tokens("connection") {
        close |= token.eq_ignore_ascii_case(b"close");
        keep |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    let by_version = head.minor_version() > 0 || keep;
    // Who says two lengths of one body may mean either.
    let ambiguous = framing == Framing::Chunked && (head.minor_version() == 0 || head.all("content-length").next().is_some());
    by_version && !close && !ambiguous && framing != Framing::Connection && head.status() != 101
}
