//! A line of a log file: `2016-10-06T00:17:09.669794202Z stdout F text`. `P` marks a part of a line that goes on.

use std::io::Write;

use jiff::Timestamp;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) time: &'a [u8],
    pub(super) stream: Stream,
    /// The line goes on in the next one.
    pub(super) partial: bool,
    pub(super) text: &'a [u8],
}

/// Appends one line, newline included.
pub(super) fn write(out: &mut Vec<u8>, time: Timestamp, stream: Stream, partial: bool, text: &[u8]) {
    let nanos = time.subsec_nanosecond();
    let seconds = Timestamp::from_second(time.as_nanosecond().div_euclid(1_000_000_000).try_into().unwrap_or(0)).unwrap_or(time);
    // Always nine digits, so that lines sort as text.
    let prefix = seconds.strftime("%Y-%m-%dT%H:%M:%S");
    let nanos = nanos.rem_euclid(1_000_000_000);
    let _ = write!(out, "{prefix}.{nanos:09}Z {} {} ", stream.as_str(), if partial { 'P' } else { 'F' });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Reads one line, without its newline; `None` for what is no such line.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = parts.next()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = match parts.next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Line { time, stream, partial, text: parts.next()? })
}

/// The time of a line.
pub(super) fn time(line: &Line<'_>) -> Option<Timestamp> {
    std::str::from_utf8(line.time).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_round_trip() {
        let t: Timestamp = "2016-10-06T00:17:09.669794202Z".parse().unwrap();
        let mut out = Vec::new();
        write(&mut out, t, Stream::Stdout, false, b"a b  c");
        assert_eq!(out, b"2016-10-06T00:17:09.669794202Z stdout F a b  c\n");
        let line = parse(&out[..out.len() - 1]).unwrap();
        assert_eq!((line.text, line.partial, time(&line)), (&b"a b  c"[..], false, Some(t)));
        out.clear();
        write(&mut out, Timestamp::UNIX_EPOCH, Stream::Stderr, true, b"");
        assert_eq!(out, b"1970-01-01T00:00:00.000000000Z stderr P \n");
        assert!(parse(b"garbage").is_none() && parse(b"").is_none() && parse(b"t stdout X y").is_none());
    }
}
