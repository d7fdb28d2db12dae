//! How Go prints values. Kubernetes' messages carry values as Go's `%q`, `%v` and `encoding/json` write
//! them, and hashes of the peers are taken over such text, so the three are needed here to the byte.

use std::fmt::Write as _;

use serde_json::Value;

/// `text` as Go's `%q` writes it: in double quotes, with what cannot be printed escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if printable(c) => out.push(c),
            // Writing to a String cannot fail.
            c => drop(match u32::from(c) {
                n @ 0..=0x7f => write!(out, "\\x{n:02x}"),
                n @ 0x80..=0xffff => write!(out, "\\u{n:04x}"),
                n => write!(out, "\\U{n:08x}"),
            }),
        }
    }
    out.push('"');
    out
}

/// Close to `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space. The
/// table of unassigned code points is left out.
fn printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{f0000}'..))
}

/// `number` as Go's `%v` writes a float: the shortest digits that read back as the same number, with an
/// exponent below 1e-4 and from 1e21 on.
pub fn float(number: f64) -> String {
    shortest(number, -4)
}

/// Shortest digits; exponent form below `10^least` and from 1e21 on.
fn shortest(number: f64, least: i32) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < least || exponent >= 21 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    } else {
        format!("{number}")
    }
}

/// `value` as Go's `encoding/json` writes it: no spaces, keys sorted, `<`, `>`, `&` and the two line
/// separators escaped.
pub fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&json_number(n)),
        Value::String(s) => write_json_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

/// Integers as they are; floats with an exponent below 1e-6 (without a leading zero) and from 1e21 on.
fn json_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(f) if number.is_f64() => {
            let text = shortest(f, -6);
            // Go's encoder turns e-09 into e-9.
            match text.split_once("e-0") {
                Some((digits, one)) => format!("{digits}e-{one}"),
                None => text,
            }
        }
        _ => number.to_string(),
    }
}

fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(quote("a\"b\\\n\u{1}é\u{85}\u{a0}"), "\"a\\\"b\\\\\\n\\x01é\\u0085\\u00a0\"");
    }

    #[test]
    fn floats() {
        for (number, text) in [
            (0.25, "0.25"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5, "-2.5"),
            (5.0, "5"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn json_text() {
        let value = json!({"b": "<a>&\u{2028}\u{7f}", "a": [1, 2.5, 1e21, 1e-7, null, true], "u": u64::MAX});
        assert_eq!(
            json(&value),
            "{\"a\":[1,2.5,1e+21,1e-7,null,true],\"b\":\"\\u003ca\\u003e\\u0026\\u2028\u{7f}\",\"u\":18446744073709551615}"
        );
    }
}
