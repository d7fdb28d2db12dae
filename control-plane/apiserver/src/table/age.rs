//! Ages as `kubectl` prints them: two units at most, fewer digits the older.

use jiff::Timestamp;
use serde_json::Value;

/// Text for a time that is not set.
pub(crate) const UNKNOWN: &str = "<unknown>";
/// Text for a time that is none, or lies ahead.
pub(crate) const INVALID: &str = "<invalid>";

/// The age of an RFC 3339 time in a field; absent is unknown.
pub(crate) fn since(field: &Value, now: Timestamp) -> String {
    match field.as_str() {
        None | Some("") => UNKNOWN.to_owned(),
        Some(text) => text.parse::<Timestamp>().map_or_else(|_| INVALID.to_owned(), |at| human(seconds(at, now))),
    }
}

/// Whole seconds from `at` to `now`, cut towards zero as Go does.
fn seconds(at: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(at).as_secs()
}

/// A duration in the fewest characters that still tell.
pub(crate) fn human(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    // A pair of units whose smaller part is left out when it is nothing.
    let pair = |big: i64, big_unit: char, small: i64, small_unit: char| {
        let (whole, rest) = (seconds / big, seconds % big / small);
        if rest == 0 { format!("{whole}{big_unit}") } else { format!("{whole}{big_unit}{rest}{small_unit}") }
    };
    match seconds {
        ..-1 => INVALID.to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => pair(MINUTE, 'm', 1, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => pair(HOUR, 'h', MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair(DAY, 'd', HOUR, 'h'),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair(YEAR, 'y', DAY, 'd'),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_change_where_kubectl_changes_them() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn absent_and_broken_times() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(since(&Value::Null, now), "<unknown>");
        assert_eq!(since(&"soon".into(), now), "<invalid>");
        assert_eq!(since(&"2026-01-01T00:00:00Z".into(), now), "60s");
        assert_eq!(since(&"2026-01-01T00:00:00.500000Z".into(), now), "59s");
    }
}
