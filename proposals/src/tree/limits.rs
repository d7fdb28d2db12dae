//! What is not parsed: it is too large, no text, or nested so deep that no person wrote it.

use super::error::Trouble;
use super::listing::Read;

/// Bytes of the largest file that is read.
pub(super) const LARGEST: usize = 2 << 20;

/// Lists and quotations in one another.
const DEEPEST: usize = 64;

/// The text of a file; `Err` holds the size of one that was not read for it.
pub(super) fn text_of(path: &str, bytes: Result<Vec<u8>, usize>) -> Read {
    let bytes = bytes.map_err(|size| {
        let why = format!("it has {size} bytes, more than {LARGEST}");
        Trouble::new(path, why, "split it, or put what is no text into files of its own")
    })?;
    let text = String::from_utf8(bytes).map_err(|why| {
        let why = format!("byte {} is not UTF-8", why.utf8_error().valid_up_to());
        Trouble::new(path, why, "save it as UTF-8")
    })?;
    let deep = nesting(&text);
    if deep > DEEPEST {
        let why = format!("lists and quotations are {deep} deep in one another, more than {DEEPEST}");
        return Err(Trouble::new(path, why, "make it flatter"));
    }
    Ok(text)
}

/// About how deep lists and quotations stand in one another: marks at the beginning of a line count, and lists of lines before it
/// that reach as far in as its first mark.
fn nesting(text: &str) -> usize {
    let mut deepest = 0;
    // Columns at which the contents of open lists begin.
    let mut open: Vec<usize> = Vec::new();
    for line in text.lines() {
        let bytes = line.as_bytes();
        // Most lines are text, and say nothing.
        if !matches!(bytes.first(), Some(b' ' | b'\t' | b'>' | b'-' | b'*' | b'+' | b'0'..=b'9')) {
            continue;
        }
        let (mut at, mut column, mut marks) = (0, 0, 0);
        let mut begun: Vec<usize> = Vec::new();
        let (mut first, mut quoted) = (None, None);
        while let Some(byte) = bytes.get(at) {
            let blank = |at: usize| bytes.get(at).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
            match byte {
                b' ' => column += 1,
                b'\t' => column += 4 - column % 4,
                b'>' => {
                    quoted.get_or_insert(column);
                    marks += 1;
                    column += 1;
                }
                b'-' | b'*' | b'+' if blank(at + 1) => {
                    first.get_or_insert(column);
                    column += 1;
                    begun.push(column);
                }
                b'0'..=b'9' => {
                    let digits = bytes[at..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
                    let end = at + digits;
                    if digits > 9 || !matches!(bytes.get(end), Some(b'.' | b')')) || !blank(end + 1) {
                        break;
                    }
                    first.get_or_insert(column);
                    at = end;
                    column += digits + 1;
                    begun.push(column);
                }
                _ => break,
            }
            at += 1;
        }
        // A line that goes on lazily leaves lists open that its blanks do not reach; only a mark ends them for certain.
        if let Some(first) = first.or(quoted) {
            open.retain(|begin| *begin <= first);
            deepest = deepest.max(open.len() + begun.len() + marks);
            open.extend(begun);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted() {
        for (text, deep) in [
            ("text\n", 0),
            ("- a\n- b\n", 1),
            ("- a\n  - b\n    1. c\n- d\n", 3),
            ("> - a\n> - b\n", 2),
            ("> > a\n", 2),
            ("> - a\n>   - b\n", 3),
            ("- - - a\n", 3),
            ("1234567890. a\n**b**\n---\n", 0),
        ] {
            assert_eq!(nesting(text), deep, "{text:?}");
        }
        assert_eq!(nesting(&">".repeat(10_000)), 10_000);
        assert_eq!(nesting(&"- ".repeat(10_000)), 10_000);
        let stairs: String = (0..200).map(|deep| format!("{}- x\n", "  ".repeat(deep))).collect();
        assert_eq!(nesting(&stairs), 200);
    }

    #[test]
    fn what_is_no_text_is_told() {
        let why = |bytes| text_of("a.md", bytes).unwrap_err().to_string();
        assert!(why(Err(3 << 20)).contains("3145728 bytes"));
        assert!(why(Ok(vec![b'a', 0xff])).contains("byte 1 is not UTF-8; save it as UTF-8"));
        assert!(why(Ok(b">".repeat(10_000))).contains("10000 deep"));
        assert_eq!(text_of("a.md", Ok(b"a".to_vec())).unwrap(), "a");
    }
}
