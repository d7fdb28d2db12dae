//! Places in a text: bytes from nought, lines and columns from one. Columns count characters.

use std::ops::Range;

/// A stretch of bytes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

impl Span {
    /// From one byte to before another.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// What it covers; nothing where it does not lie in the text.
    #[must_use]
    pub fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }

    /// As a range.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A place for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From one.
    pub line: usize,
    /// From one, in characters.
    pub column: usize,
}

/// Where the lines of a text begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<usize>);

impl Lines {
    /// Of a text. A line ends with LF, or with CR LF.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The place of a byte.
    #[must_use]
    pub fn position(&self, text: &str, byte: usize) -> Position {
        let line = self.0.partition_point(|begin| *begin <= byte).max(1);
        let begin = self.0.get(line - 1).copied().unwrap_or(0);
        let before = text.get(begin..byte.min(text.len())).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    /// Where a line begins, counted from one; the end of the text behind the last one.
    #[must_use]
    pub fn begin(&self, line: usize, text: &str) -> usize {
        line.checked_sub(1).and_then(|line| self.0.get(line)).copied().unwrap_or(text.len())
    }

    /// The byte of a line and a column in bytes, both from one, as parsers of Markdown give them.
    #[must_use]
    pub fn byte(&self, line: usize, column: usize, text: &str) -> usize {
        (self.begin(line, text) + column.saturating_sub(1)).min(text.len())
    }
}

/// Lines of a text with their places, without their ends.
pub(crate) fn lines(text: &str, from: usize) -> impl Iterator<Item = (Span, &str)> {
    let mut at = from;
    text.get(from..).unwrap_or_default().split_inclusive('\n').map(move |line| {
        let begin = at;
        at += line.len();
        let bare = line.trim_end_matches(['\n', '\r']);
        (Span::new(begin, begin + bare.len()), bare)
    })
}

/// The part of a line that is no blank, with its place.
pub(crate) fn trimmed(text: &str, span: Span) -> Span {
    let inside = span.of(text);
    let start = span.start + (inside.len() - inside.trim_start().len());
    let end = span.end - (inside.len() - inside.trim_end().len());
    Span::new(start, end.max(start))
}

/// The same text with blanks for each HTML comment, byte for byte as long; lines stay.
#[must_use]
pub fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("<!--") {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        let end = comment.get(4..).and_then(|inside| inside.find("-->")).map_or(comment.len(), |end| end + 7);
        let (comment, behind) = comment.split_at(end);
        out.extend(comment.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' }));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        let text = "a\r\né日x\n";
        let lines = Lines::of(text);
        let place = |at| (lines.position(text, at).line, lines.position(text, at).column);
        assert_eq!((place(0), place(3), place(8), place(text.len())), ((1, 1), (2, 1), (2, 3), (3, 1)));
        assert_eq!(lines.byte(2, 3, text), 5);
        assert_eq!(super::lines(text, 0).map(|(_, line)| line).collect::<Vec<_>>(), ["a", "é日x"]);
    }

    #[test]
    fn comments_become_blanks() {
        for (text, want) in [("a<!-- b\n é -->c", "a      \n       c"), ("x <!--", "x     "), ("<!--->", "      "), ("a -->", "a -->")] {
            assert_eq!(without_comments(text), want);
            assert_eq!(without_comments(text).len(), text.len());
        }
    }
}
