//! The string formats that are checked. Others are documentation.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::names;

type Check = fn(&str) -> bool;

/// Name without hyphens, and the check.
const FORMATS: [(&str, Check); 26] = [
    ("bsonobjectid", |s| s.len() == 24 && all_hex(s)),
    ("byte", is_base64),
    ("cidr", is_cidr),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", is_duration),
    ("email", is_email),
    ("hexcolor", |s| {
        let digits = s.strip_prefix('#').unwrap_or(s);
        matches!(digits.len(), 3 | 6) && all_hex(digits)
    }),
    ("hostname", is_hostname),
    ("ipv4", |s| s.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |s| s.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |s| is_isbn10(s) || is_isbn13(s)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |s| names::dns1123_subdomain(s).is_empty()),
    ("k8sshortname", |s| names::dns1123_label(s).is_empty()),
    ("mac", is_mac),
    ("password", |_| true),
    ("rgbcolor", is_rgb),
    ("ssn", is_ssn),
    ("uri", is_uri),
    ("uuid", |s| is_uuid(s, None, false)),
    ("uuid3", |s| is_uuid(s, Some(b'3'), false)),
    ("uuid4", |s| is_uuid(s, Some(b'4'), true)),
    ("uuid5", |s| is_uuid(s, Some(b'5'), true)),
];

/// Whether the format (without hyphens) is one that is checked.
pub(super) fn known(name: &str) -> bool {
    FORMATS.iter().any(|(n, _)| *n == name)
}

/// Whether `text` has the format (without hyphens); unknown formats hold for all.
pub(super) fn holds(name: &str, text: &str) -> bool {
    FORMATS.iter().find(|(n, _)| *n == name).is_none_or(|(_, check)| check(text))
}

fn all_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Standard base64 with padding; nothing is not base64.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let max = if address.parse::<Ipv4Addr>().is_ok() {
            32
        } else if address.parse::<Ipv6Addr>().is_ok() {
            128
        } else {
            return false;
        };
        all_digits(bits) && (bits.len() == 1 || !bits.starts_with('0')) && bits.parse::<u32>().is_ok_and(|b| b <= max)
    })
}

/// Thirteen to nineteen digits with a right last one, spaces and hyphens aside.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter(|c| !matches!(c, ' ' | '-')).map_while(|c| c.to_digit(10)).collect();
    let complete = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-'));
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { d * 2 / 10 + d * 2 % 10 }).sum();
    complete && (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_date(text: &str) -> bool {
    let shape = text.len() == 10 && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    shape && text.parse::<jiff::civil::Date>().is_ok()
}

/// RFC 3339 with any case of its letters.
fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let two =
        |at: usize, max: u8| time.get(at..at + 2).filter(|t| all_digits(t)).and_then(|t| t.parse::<u8>().ok()).is_some_and(|n| n <= max);
    let colon = |at: usize| time.as_bytes().get(at) == Some(&b':');
    if !(is_date(date) && two(0, 23) && colon(2) && two(3, 59) && colon(5) && two(6, 59)) {
        return false;
    }
    let mut zone = &time[8..];
    if let Some(fraction) = zone.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        zone = &fraction[digits..];
    }
    match zone.as_bytes() {
        [b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].into_iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// `1h30m`, or a number and a word: `3 days`.
fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned == "0" || go_duration(unsigned) || worded_duration(text)
}

fn go_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (digits, tail) = rest.split_at(number);
        if !digits.bytes().any(|b| b.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let Some(unit) = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].into_iter().find(|unit| {
            // `m` must not take the first letter of `ms`.
            tail.strip_prefix(unit).is_some_and(|t| t.is_empty() || t.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        }) else {
            return false;
        };
        rest = &tail[unit.len()..];
    }
    !text.is_empty()
}

fn worded_duration(text: &str) -> bool {
    const UNITS: [&str; 24] = [
        "ns",
        "nano",
        "nanosecond",
        "us",
        "µs",
        "micro",
        "microsecond",
        "ms",
        "milli",
        "millisecond",
        "s",
        "sec",
        "second",
        "m",
        "min",
        "minute",
        "h",
        "hr",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
    ];
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim();
    let single = unit.strip_suffix('s').filter(|u| u.len() > 1).unwrap_or(unit);
    digits > 0 && (UNITS.contains(&unit) || UNITS.contains(&single))
}

/// `local@domain`, or a name and that in angle brackets.
fn is_email(text: &str) -> bool {
    let address = match text.trim_end().strip_suffix('>') {
        Some(open) => match open.rsplit_once('<') {
            Some((_, address)) => address,
            None => return false,
        },
        None => text.trim(),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |s: &str| {
        !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii() && !c.is_whitespace())
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"') && !local[1..local.len() - 1].contains(['"', '\\']);
    let literal =
        domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')).is_some_and(|d| !d.is_empty() && !d.contains(['[', ']', '\\']));
    (quoted || local.split('.').all(atom)) && (literal || domain.split('.').all(atom))
}

/// Labels of letters, digits, symbols and hyphens inside; the last of several has at least two.
fn is_hostname(text: &str) -> bool {
    if text.is_empty() || text.len() > 255 {
        return false;
    }
    let labels: Vec<&str> = text.split('.').collect();
    let symbol = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() && !c.is_whitespace() && !c.is_control();
    let label =
        |l: &&str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(|c| symbol(c) || c == '-');
    labels.iter().all(label) && (labels.len() == 1 || labels.last().is_some_and(|l| l.chars().count() > 1))
}

/// The digits of an ISBN; `X` only last.
fn isbn_digits(text: &str) -> Option<Vec<u32>> {
    let plain: Vec<char> = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let last = plain.len().checked_sub(1)?;
    plain.iter().enumerate().map(|(i, c)| if *c == 'X' && i == last { Some(10) } else { c.to_digit(10) }).collect()
}

fn is_isbn10(text: &str) -> bool {
    isbn_digits(text).is_some_and(|d| d.len() == 10 && (1..).zip(&d).map(|(i, n)| i * n).sum::<u32>() % 11 == 0)
}

fn is_isbn13(text: &str) -> bool {
    isbn_digits(text).is_some_and(|d| {
        d.len() == 13
            && d[12] < 10
            && d.iter().enumerate().map(|(i, n)| if i % 2 == 0 { *n } else { n * 3 }).sum::<u32>().is_multiple_of(10)
    })
}

/// 6, 8 or 20 bytes in pairs with colons or hyphens, or in fours with dots.
fn is_mac(text: &str) -> bool {
    let (separator, width) = match text.as_bytes().get(2) {
        Some(b':') => (':', 2),
        Some(b'-') => ('-', 2),
        _ => ('.', 4),
    };
    let groups: Vec<&str> = text.split(separator).collect();
    matches!(groups.len() * width / 2, 6 | 8 | 20) && groups.iter().all(|g| g.len() == width && all_hex(g))
}

fn is_rgb(text: &str) -> bool {
    let Some(inside) = text.strip_prefix("rgb(").and_then(|t| t.strip_suffix(')')) else { return false };
    let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
    let plain = |p: &&str| all_digits(p) && (p.len() == 1 || !p.starts_with('0')) && p.parse::<u8>().is_ok();
    parts.len() == 3 && parts.iter().all(plain)
}

fn is_ssn(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let separators: Vec<usize> = text.char_indices().filter(|(_, c)| matches!(c, ' ' | '-')).map(|(i, _)| i).collect();
    plain.len() == 9 && all_digits(&plain) && matches!(separators.as_slice(), [] | [3] | [5] | [3, 6])
}

/// What a request may ask for: an absolute URI, or a path from the root.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    let rest = if text.starts_with('/') {
        text
    } else {
        let Some((scheme, rest)) = text.split_once(':') else { return false };
        let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !valid {
            return false;
        }
        rest
    };
    let (path, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match path.strip_prefix("//") {
        Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
        None => ("", path),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.rfind(']') {
        Some(end) => host[end + 1..].strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    let host_bytes = |b: u8| !matches!(b, b' ' | b'<' | b'>' | b'"' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    port.is_none_or(|p| p.is_empty() || all_digits(p)) && host.bytes().all(host_bytes) && escapes(path) && escapes(host)
}

/// Whether every percent sign starts an escape.
fn escapes(text: &str) -> bool {
    text.match_indices('%').all(|(at, _)| text.get(at + 1..at + 3).is_some_and(all_hex))
}

/// Thirty-two hexadecimal digits in the usual groups, hyphens optional.
fn is_uuid(text: &str, version: Option<u8>, variant: bool) -> bool {
    let mut digits = Vec::with_capacity(32);
    for b in text.bytes() {
        match b {
            b'-' if matches!(digits.len(), 8 | 12 | 16 | 20) => {}
            b if b.is_ascii_hexdigit() => digits.push(b.to_ascii_lowercase()),
            _ => return false,
        }
    }
    digits.len() == 32
        && !text.contains("--")
        && version.is_none_or(|v| digits[12] == v)
        && (!variant || matches!(digits[16], b'8' | b'9' | b'a' | b'b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples() {
        let cases: [(&str, &[&str], &[&str]); 20] = [
            (
                "datetime",
                &["2026-11-21T10:00:00Z", "2026-11-21t10:00:00.123+01:00"],
                &["yesterday", "2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21", "2026-11-21T10:00:00", "2026-11-21T10:00:00é"],
            ),
            ("date", &["2024-02-29"], &["2023-02-29", "2023-2-1", ""]),
            ("byte", &["YQ==", "YWJj"], &["", "YQ=", "Y===", "a b="]),
            ("ipv4", &["1.2.3.4"], &["1.2.3", "01.2.3.4", "::1"]),
            ("ipv6", &["::1", "2001:db8::"], &["1.2.3.4", ":::"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "x/8"]),
            ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00:5e:00:53", "zz:00:5e:00:53:01"]),
            (
                "uuid",
                &["123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"],
                &["123e4567", "123e4567--e89b-12d3-a456-426614174000"],
            ),
            (
                "uuid4",
                &["123e4567-e89b-42d3-a456-426614174000"],
                &["123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-42d3-c456-426614174000"],
            ),
            ("hostname", &["a", "example.com", "münchen.de", "1.example.com"], &["", "-a.com", "a..b", "a_b.com", "example.c"]),
            ("email", &["a@b.c", "A B <a@b>"], &["a", "a@", "@b", "a b@c", "<a@b"]),
            (
                "uri",
                &["http://a/b?c=%41", "/a", "mailto:a@b", "https://[::1]:80/"],
                &["", "a", "http://a b/", "http://a:x/", "/%zz", "1a:b"],
            ),
            ("duration", &["1h30m", "1.5s", "-2ms", "0", "3 days", "100ns"], &["", "1", "h", "1x", "1h m"]),
            ("hexcolor", &["#fff", "00ff00"], &["#ff", "#ggg"]),
            ("rgbcolor", &["rgb(0, 255,1)"], &["rgb(256,0,0)", "rgb(1,2)"]),
            ("ssn", &["123-45-6789", "123456789"], &["12-345-6789", "12345678"]),
            ("isbn10", &["0-306-40615-2", "097522980X"], &["0306406153"]),
            ("isbn13", &["978-0-306-40615-7"], &["9780306406158"]),
            ("creditcard", &["4111 1111 1111 1111"], &["4111111111111112", "41"]),
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f1f77bcf86cd79943901"]),
        ];
        for (format, good, bad) in cases {
            assert!(known(format));
            for text in good {
                assert!(holds(format, text), "{format} {text:?}");
            }
            for text in bad {
                assert!(!holds(format, text), "{format} {text:?}");
            }
        }
        assert!(!known("int32") && holds("int32", "x"));
    }
}
