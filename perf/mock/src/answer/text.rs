//! A growing text of events, and numbers in it.

/// Events one after another, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<usize>,
}

impl Text {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was pushed since the last end is an event.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The events.
    pub(crate) fn events(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }
}

/// How counts of usage are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Odd {
    No,
    Float,
    Null,
    Negative,
    Huge,
    Text,
}

impl Odd {
    pub(crate) fn push(self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::No => push_number(count as u64, out),
            Self::Float => {
                push_number(count as u64, out);
                out.extend_from_slice(b".0");
            }
            Self::Null => out.extend_from_slice(b"null"),
            Self::Negative => out.extend_from_slice(b"-1"),
            Self::Huge => out.extend_from_slice(b"1e30"),
            Self::Text => out.extend_from_slice(b"\"many\""),
        }
    }
}

/// Appends a number in decimal digits.
pub(crate) fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_where_they_ended() {
        let mut text = Text::default();
        for event in ["one", "", "three"] {
            text.push(event.as_bytes());
            text.end();
        }
        assert_eq!(text.events().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        text.clear();
        assert_eq!(text.events().count(), 0);
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 987_654_321, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
        let mut out = Vec::new();
        Odd::Float.push(4, &mut out);
        assert_eq!(out, b"4.0");
    }
}
