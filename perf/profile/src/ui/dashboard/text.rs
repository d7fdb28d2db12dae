//! Text and numbers as they stand on a screen: as wide as they may be, and no wider.

use std::borrow::Cow;

use ratatui_core::style::Style;
use ratatui_core::text::Span;

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, or as much of it as goes before a `…`; line ends and tabs are blanks.
pub(super) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    let plain = if text.contains(|c: char| c.is_control()) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
    } else {
        Cow::Borrowed(text)
    };
    if width(&plain) <= most {
        return plain;
    }
    let Some(room) = most.checked_sub(1) else { return Cow::Borrowed("") };
    let mut kept = String::new();
    let mut taken = 0;
    let span = Span::raw(plain.as_ref());
    for piece in span.styled_graphemes(Style::new()) {
        let wide = width(piece.symbol);
        if taken + wide > room {
            break;
        }
        taken += wide;
        kept.push_str(piece.symbol);
    }
    kept.push('…');
    Cow::Owned(kept)
}

/// Seconds as a clock has them: `0:07`, `12:34`, `1:02:03`.
pub(super) fn clock(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
    let all = seconds.round() as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..1000 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{} days", hours / 24),
    }
}

/// A count with its thousands apart; large ones in millions.
pub(super) fn number(n: u64) -> String {
    if n >= 100_000_000 {
        return format!("{} M", number(n / 1_000_000));
    }
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Something per second.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 1000.0 {
        return format!("{per_second:.1}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
    number(per_second.round() as u64)
}

/// Digits behind the point with which a value of a line is said whose largest is this.
pub(super) fn decimals(largest: f64) -> usize {
    match largest {
        x if x < 10.0 => 2,
        x if x < 1000.0 => 1,
        _ => 0,
    }
}

/// A share of a hundred.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A bar of so many columns, full to an eighth of one.
pub(super) fn bar(share: f64, columns: usize) -> (String, String) {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "columns of a screen")]
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let full = format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8]);
    let rest = columns - eighths.div_ceil(8);
    (full, "░".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_by_columns() {
        for (text, most, want) in [
            ("mock-model", 10, "mock-model"),
            ("mock-model", 9, "mock-mod…"),
            ("模型模型", 8, "模型模型"),
            ("模型模型", 7, "模型模…"),
            ("模型模型", 6, "模型…"),
            ("a\nb\tc\u{1b}[31m", 20, "a b c [31m"),
            ("anything", 1, "…"),
            ("anything", 0, ""),
            ("", 0, ""),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
        ] {
            let got = cut(text, most);
            assert_eq!(got, want);
            assert!(width(&got) <= most);
        }
    }

    #[test]
    fn numbers_are_short() {
        let clocks: Vec<String> = [0.0, 6.6, 754.0, 3723.0, 1e9].into_iter().map(clock).collect();
        assert_eq!(clocks, ["0:00", "0:07", "12:34", "1:02:03", "11574 days"]);
        let numbers: Vec<String> = [0, 999, 1000, 1_234_567, 99_999_999, 123_456_789_012].into_iter().map(number).collect();
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567", "99,999,999", "123,456 M"]);
        assert_eq!((rate(12.34), rate(1234.6)), ("12.3".to_owned(), "1,235".to_owned()));
        assert_eq!((percent(0.004), percent(1.0)), ("0.4 %".to_owned(), "100 %".to_owned()));
    }

    #[test]
    fn bars_are_as_wide_as_they_may_be() {
        for share in [0.0, 0.001, 0.33, 0.5, 0.999, 1.0, 7.0, -1.0, f64::NAN] {
            for columns in [0, 1, 7, 20] {
                let (full, rest) = bar(share, columns);
                assert_eq!(width(&full) + width(&rest), columns, "{share} of {columns}");
            }
        }
    }
}
