//! Why a text is no JSON, in the words of Python's decoder. PURE.
//!
//! Only run after the real parser has refused a text: it finds position and message of the first problem as the
//! peer's `json.loads` reports them. Positions count characters.

/// Position and message of the first problem; none if Python would accept the text.
pub(crate) fn first_problem(text: &str) -> Option<(usize, &'static str)> {
    let chars: Vec<char> = text.chars().collect();
    let mut scan = Scan { chars: &chars, depth: 0 };
    let start = scan.blanks(0);
    match scan.value(start) {
        Ok(end) => {
            let end = scan.blanks(end);
            (end != chars.len()).then_some((end, "Extra data"))
        }
        Err(problem) => Some(problem),
    }
}

type Problem = (usize, &'static str);

/// Deeper nesting is refused before the stack is in danger; Python's own limit is of that order too.
const MAX_DEPTH: usize = 500;

struct Scan<'a> {
    chars: &'a [char],
    depth: usize,
}

impl Scan<'_> {
    fn at(&self, i: usize) -> Option<char> {
        self.chars.get(i).copied()
    }

    fn blanks(&self, mut i: usize) -> usize {
        while matches!(self.at(i), Some(' ' | '\t' | '\n' | '\r')) {
            i += 1;
        }
        i
    }

    /// The value at `i`, which must not be a blank; returns the position after it.
    fn value(&mut self, i: usize) -> Result<usize, Problem> {
        match self.at(i) {
            Some('"') => self.string(i),
            Some('{') => self.nested(i, Self::object),
            Some('[') => self.nested(i, Self::array),
            Some('-' | '0'..='9') => self.number(i),
            _ => {
                for word in ["null", "true", "false", "NaN", "Infinity"] {
                    if word.chars().eq(self.chars[i.min(self.chars.len())..].iter().copied().take(word.len())) {
                        return Ok(i + word.len());
                    }
                }
                Err((i, "Expecting value"))
            }
        }
    }

    fn nested(&mut self, i: usize, scan: fn(&mut Self, usize) -> Result<usize, Problem>) -> Result<usize, Problem> {
        if self.depth == MAX_DEPTH {
            return Err((i, "Too deeply nested"));
        }
        self.depth += 1;
        let end = scan(self, i);
        self.depth -= 1;
        end
    }

    fn object(&mut self, open: usize) -> Result<usize, Problem> {
        let mut i = self.blanks(open + 1);
        if self.at(i) == Some('}') {
            return Ok(i + 1);
        }
        loop {
            if self.at(i) != Some('"') {
                return Err((i, "Expecting property name enclosed in double quotes"));
            }
            i = self.string(i)?;
            i = self.blanks(i);
            if self.at(i) != Some(':') {
                return Err((i, "Expecting ':' delimiter"));
            }
            i = self.blanks(i + 1);
            i = self.value(i)?;
            i = self.blanks(i);
            match self.at(i) {
                Some('}') => return Ok(i + 1),
                Some(',') => i = self.blanks(i + 1),
                _ => return Err((i, "Expecting ',' delimiter")),
            }
        }
    }

    fn array(&mut self, open: usize) -> Result<usize, Problem> {
        let mut i = self.blanks(open + 1);
        if self.at(i) == Some(']') {
            return Ok(i + 1);
        }
        loop {
            i = self.value(i)?;
            i = self.blanks(i);
            match self.at(i) {
                Some(']') => return Ok(i + 1),
                Some(',') => i = self.blanks(i + 1),
                _ => return Err((i, "Expecting ',' delimiter")),
            }
        }
    }

    fn string(&self, open: usize) -> Result<usize, Problem> {
        let mut i = open + 1;
        loop {
            match self.at(i) {
                None => return Err((open, "Unterminated string starting at")),
                Some('"') => return Ok(i + 1),
                Some('\\') => match self.at(i + 1) {
                    None => return Err((open, "Unterminated string starting at")),
                    Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => i += 2,
                    Some('u') => {
                        let hex = (2..6).all(|k| self.at(i + k).is_some_and(|c| c.is_ascii_hexdigit()));
                        if !hex {
                            return Err((i + 1, "Invalid \\uXXXX escape"));
                        }
                        i += 6;
                    }
                    Some(_) => return Err((i, "Invalid \\escape")),
                },
                Some(c) if u32::from(c) < 0x20 => return Err((i, "Invalid control character at")),
                Some(_) => i += 1,
            }
        }
    }

    fn number(&self, start: usize) -> Result<usize, Problem> {
        let digits = |mut i: usize| {
            while self.at(i).is_some_and(|c| c.is_ascii_digit()) {
                i += 1;
            }
            i
        };
        let mut i = start;
        if self.at(i) == Some('-') {
            i += 1;
            if self.chars[i..].starts_with(&['I', 'n', 'f', 'i', 'n', 'i', 't', 'y']) {
                return Ok(i + 8);
            }
        }
        i = match self.at(i) {
            Some('0') => i + 1,
            Some('1'..='9') => digits(i),
            _ => return Err((start, "Expecting value")),
        };
        if self.at(i) == Some('.') && digits(i + 1) > i + 1 {
            i = digits(i + 1);
        }
        if matches!(self.at(i), Some('e' | 'E')) {
            let from = if matches!(self.at(i + 1), Some('+' | '-')) { i + 2 } else { i + 1 };
            if digits(from) > from {
                i = digits(from);
            }
        }
        Ok(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations taken from CPython 3.11.
    #[test]
    fn pythons_words_and_positions() {
        let cases = [
            ("{bad", 1, "Expecting property name enclosed in double quotes"),
            ("", 0, "Expecting value"),
            ("  x", 2, "Expecting value"),
            ("{\"a\" 1}", 5, "Expecting ':' delimiter"),
            ("{\"a\": 1 \"b\"}", 8, "Expecting ',' delimiter"),
            ("{\"a\": }", 6, "Expecting value"),
            ("{\"a\": 1,}", 8, "Expecting property name enclosed in double quotes"),
            ("[1,]", 3, "Expecting value"),
            ("[1 2]", 3, "Expecting ',' delimiter"),
            ("{} x", 3, "Extra data"),
            ("01", 1, "Extra data"),
            ("-", 0, "Expecting value"),
            ("\"abc", 0, "Unterminated string starting at"),
            ("{\"a", 1, "Unterminated string starting at"),
            ("\"a\\x\"", 2, "Invalid \\escape"),
            ("\"a\\u12\"", 3, "Invalid \\uXXXX escape"),
            ("\"a\nb\"", 2, "Invalid control character at"),
            ("{\"é\": 1 x}", 8, "Expecting ',' delimiter"),
        ];
        for (text, at, message) in cases {
            assert_eq!(first_problem(text), Some((at, message)), "{text:?}");
        }
        for fine in ["{}", " [1, 2.5e3, -0.1, null, true, NaN, -Infinity, \"\\u00e9\\n\"] "] {
            assert_eq!(first_problem(fine), None, "{fine:?}");
        }
        assert_eq!(first_problem(&"[".repeat(100_000)).map(|p| p.1), Some("Too deeply nested"));
    }
}
