//! The `Range` header of the log endpoint. PURE.
//!
//! Accepted, case-sensitive and without blanks: `bytes=S-`, `bytes=S-E` and `bytes=-N`. Numbers are unbounded; what does
//! not fit means "beyond everything".

/// What a request without an end gets at most.
const OPEN_LIMIT: u64 = 1 << 20;
/// What a request with an end, or for the end, gets at most; a shorter 206 is legal.
const CLOSED_LIMIT: u64 = 16 << 20;

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// From `start` to `end` inclusive, or to what one reply may hold.
    From { start: u64, end: Option<u64> },
    /// The last so many.
    Last(u64),
}

/// Why a header is refused; prints as `detail` (launcher 1.11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("Unsupported or malformed Range header: {0}")]
    Malformed(String),
    #[error("Range end ({end}) must be >= start ({start})")]
    Backwards { start: u64, end: u64 },
    #[error("Range suffix must be positive, not 0")]
    NoSuffix,
}

/// Parses the header's value.
pub(crate) fn parse(value: &str) -> Result<Range, RangeError> {
    let malformed = || RangeError::Malformed(value.to_owned());
    let (start, end) = value.strip_prefix("bytes=").and_then(|r| r.split_once('-')).ok_or_else(malformed)?;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (start.is_empty() && end.is_empty()) || !digits(start) || !digits(end) {
        return Err(malformed());
    }
    // Only digits are left, so the only possible error is too large a number.
    let number = |s: &str| (!s.is_empty()).then(|| s.parse().unwrap_or(u64::MAX));
    match (number(start), number(end)) {
        (None, None | Some(0)) => Err(RangeError::NoSuffix),
        (None, Some(length)) => Ok(Range::Last(length)),
        (Some(start), Some(end)) if end < start => Err(RangeError::Backwards { start, end }),
        (Some(start), end) => Ok(Range::From { start, end }),
    }
}

/// Where one reply begins and how many bytes it has, of a log of `size` bytes whose first ones, up to `kept_from`, are
/// gone; none when there is nothing to answer with.
pub(crate) fn part(range: Option<Range>, size: u64, kept_from: u64) -> Option<(u64, u64)> {
    // Who names no offset wants what there is; who names one must hear that it is gone.
    let (start, limit) = match range {
        None => (kept_from, OPEN_LIMIT),
        Some(Range::From { start, end: None }) => (start, OPEN_LIMIT),
        Some(Range::From { start, end: Some(end) }) => (start, end.saturating_sub(start).saturating_add(1).min(CLOSED_LIMIT)),
        Some(Range::Last(length)) => (size.saturating_sub(length.min(CLOSED_LIMIT)).max(kept_from), CLOSED_LIMIT),
    };
    (start >= kept_from && start < size).then(|| (start, limit.min(size - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        assert_eq!(parse("bytes=0-"), Ok(Range::From { start: 0, end: None }));
        assert_eq!(parse("bytes=007-9"), Ok(Range::From { start: 7, end: Some(9) }));
        assert_eq!(parse("bytes=1-99999999999999999999999"), Ok(Range::From { start: 1, end: Some(u64::MAX) }));
        assert_eq!(parse("bytes=-500"), Ok(Range::Last(500)));
        assert_eq!(parse("bytes=-99999999999999999999999"), Ok(Range::Last(u64::MAX)));
        assert_eq!(parse("bytes=-0").unwrap_err().to_string(), "Range suffix must be positive, not 0");
        assert_eq!(parse("bytes=5-2").unwrap_err().to_string(), "Range end (2) must be >= start (5)");
        for bad in [
            "",
            "invalid",
            "bytes=-",
            "bytes=--5",
            "bytes=- 5",
            "bytes=-5,0-1",
            "bytes=0-1,3-4",
            "Bytes=0-1",
            "items=0-5",
            "bytes= 0-1",
            "bytes=0 -1",
            "bytes=+1-2",
            "bytes=",
            "bytes=1",
            "bytes=1-2 ",
        ] {
            assert_eq!(parse(bad).unwrap_err().to_string(), format!("Unsupported or malformed Range header: {bad}"));
        }
    }

    #[test]
    fn what_a_reply_holds() {
        let from = |start, end| Some(Range::From { start, end });
        let last = |length| Some(Range::Last(length));
        let (mib, size) = (1 << 20, 100 << 20);
        for (range, size, kept, expected) in [
            (None, 30, 0, Some((0, 30))),
            (None, size, 0, Some((0, mib))),
            (None, size, 5, Some((5, mib))),
            (from(29, None), 30, 0, Some((29, 1))),
            (from(30, None), 30, 0, None),
            (from(4, None), 30, 5, None),
            (from(5, Some(5)), 30, 5, Some((5, 1))),
            (from(0, Some(u64::MAX)), 30, 0, Some((0, 30))),
            (from(0, Some(u64::MAX)), size, 0, Some((0, 16 * mib))),
            (last(10), 30, 0, Some((20, 10))),
            (last(30), 30, 0, Some((0, 30))),
            (last(u64::MAX), 30, 0, Some((0, 30))),
            (last(20), 30, 25, Some((25, 5))),
            (last(1), 0, 0, None),
            (None, 0, 0, None),
            // Of too long an end the last part is the one that was asked for.
            (last(size), size, 0, Some((84 * mib, 16 * mib))),
        ] {
            assert_eq!(part(range, size, kept), expected, "{range:?} of {size} from {kept}");
        }
    }
}
