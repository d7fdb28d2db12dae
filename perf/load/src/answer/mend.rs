//! JSON as servers write it although it is none.
//!
//! Python's writer says `NaN` and `Infinity`, as counts and as log probabilities; a token may end within a character, in its bytes
//! or between the two halves of an escape; a line's end within a text may come as it is. None of that is a reason to lose a token:
//! the first becomes `null`, the second U+FFFD, the third an escape. Only what cannot be read otherwise is looked at.

use serde_json::Value;

/// The JSON value that `data` is, or was meant to be.
pub(super) fn json(data: &[u8]) -> Option<Value> {
    serde_json::from_slice(data).ok().or_else(|| {
        // Nothing else is worth a second look.
        if !matches!(data.first(), Some(b'{' | b'[')) {
            return None;
        }
        serde_json::from_str(&mended(&String::from_utf8_lossy(data))).ok()
    })
}

fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut left = text;
    let mut in_string = false;
    while let Some(next) = left.chars().next() {
        let (taken, put) = match next {
            '"' => {
                in_string = !in_string;
                (1, None)
            }
            '\\' if in_string => escape(left),
            '\0'..='\x1f' if in_string => {
                out.push_str(&format!("\\u{:04x}", u32::from(next)));
                (1, Some(""))
            }
            _ if in_string => (next.len_utf8(), None),
            _ => {
                let number = ["-Infinity", "Infinity", "NaN"].into_iter().find(|name| left.starts_with(name));
                number.map_or((next.len_utf8(), None), |name| (name.len(), Some("null")))
            }
        };
        let (piece, later) = left.split_at(taken);
        out.push_str(put.unwrap_or(piece));
        left = later;
    }
    out
}

/// The length of the escape at the beginning, and what is put in its place: half a character is none.
fn escape(text: &str) -> (usize, Option<&'static str>) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    match unit(text) {
        Some(0xd800..=0xdbff) => match unit(&text[6..]) {
            Some(0xdc00..=0xdfff) => (12, None),
            _ => (6, Some("\\ufffd")),
        },
        Some(0xdc00..=0xdfff) => (6, Some("\\ufffd")),
        Some(_) => (6, None),
        // The character behind a backslash, whichever.
        None => (1 + text.chars().nth(1).map_or(0, char::len_utf8), None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_meant_is_read() {
        for (data, wanted) in [
            (br#"{"a": NaN, "b": [-Infinity, Infinity], "NaN": "NaN"}"#.as_slice(), json!({"a": null, "b": [null, null], "NaN": "NaN"})),
            (
                br#"{"a": "\ud83d", "b": "\ude00x", "c": "\ud83d\ude00", "d": "\ud83d\n", "e": "\\ud83d"}"#,
                json!({"a": "\u{fffd}", "b": "\u{fffd}x", "c": "\u{1f600}", "d": "\u{fffd}\n", "e": "\\ud83d"}),
            ),
            (b"{\"a\": \"\xe4\xb8\", \"b\": \"x\ny\"}", json!({"a": "\u{fffd}", "b": "x\ny"})),
            (b"[1]", json!([1])),
        ] {
            assert_eq!(json(data), Some(wanted), "{}", String::from_utf8_lossy(data));
        }
        for broken in [b"{\"a\": ".as_slice(), b"NaN", b"hello", b"{\"a\": \"\\", b"{\"\\u12", b"[\"\\\xe4\"]"] {
            assert_eq!(json(broken), None, "{}", String::from_utf8_lossy(broken));
        }
    }

    proptest! {
        #[test]
        fn what_is_json_is_not_touched(text in "[ -~\n\u{e4}\u{4e16}\u{1f600}]{0,20}", number in any::<i32>()) {
            let value = json!({ &text: [text, number, null] });
            let written = value.to_string();
            prop_assert_eq!(mended(&written), written);
        }

        #[test]
        fn any_text_is_mended_or_not(text in "(\\PC|[\"\\\\u0d8e{}\\[]){0,40}") {
            let _ = json(format!("{{{text}").as_bytes());
        }
    }
}
