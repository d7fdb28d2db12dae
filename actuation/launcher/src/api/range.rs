//! The `Range` header of the log endpoint. PURE.
//!
//! Accepted, case-sensitive and without blanks: `bytes=S-` and `bytes=S-E`. Numbers are unbounded; what does not fit
//! means "beyond everything".

/// A request for bytes from `start` to `end` inclusive, or to what one reply may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

/// Why a header is refused; prints as `detail` (launcher 1.11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("Unsupported or malformed Range header: {0}")]
    Malformed(String),
    #[error("Range end ({end}) must be >= start ({start})")]
    Backwards { start: u64, end: u64 },
}

/// Parses the header's value.
pub(crate) fn parse(value: &str) -> Result<Range, RangeError> {
    let malformed = || RangeError::Malformed(value.to_owned());
    let (start, end) = value.strip_prefix("bytes=").and_then(|r| r.split_once('-')).ok_or_else(malformed)?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(start) || !(end.is_empty() || digits(end)) {
        return Err(malformed());
    }
    // Only digits are left, so the only possible error is too large a number.
    let number = |s: &str| s.parse().unwrap_or(u64::MAX);
    let start = number(start);
    let end = (!end.is_empty()).then(|| number(end));
    match end {
        Some(end) if end < start => Err(RangeError::Backwards { start, end }),
        end => Ok(Range { start, end }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        assert_eq!(parse("bytes=0-"), Ok(Range { start: 0, end: None }));
        assert_eq!(parse("bytes=007-9"), Ok(Range { start: 7, end: Some(9) }));
        assert_eq!(parse("bytes=1-99999999999999999999999"), Ok(Range { start: 1, end: Some(u64::MAX) }));
        assert_eq!(parse("bytes=5-2").unwrap_err().to_string(), "Range end (2) must be >= start (5)");
        for bad in [
            "",
            "invalid",
            "bytes=-500",
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
}
