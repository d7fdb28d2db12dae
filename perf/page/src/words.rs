//! Figures and lists as people read them.

use dormouse_perf_metrics::unit::Unit;
use dormouse_perf_report::json::Json;

pub(crate) use dormouse_perf_report::console::thousands;

/// What is not there.
pub(crate) const ABSENT: &str = "–";
/// A text of somebody else is cut behind so many characters.
const LONG: usize = 600;

/// A figure of so many digits as it needs; whole where it counts something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => ABSENT.to_owned(),
        v if v.is_infinite() => "∞".to_owned(),
        v if v.fract() == 0.0 && v < 1e15 => thousands(value).trim_end_matches('0').trim_end_matches('.').to_owned(),
        v if v >= 1e15 => format!("{value:e}"),
        v if v >= 1.0 => thousands(value),
        v if v >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// A figure in the unit that is shown; with digits behind the point where its column has some.
pub(crate) fn figure(unit: Unit, base: f64) -> String {
    let shown = unit.show(base);
    match unit {
        Unit::Requests | Unit::Tokens | Unit::Count => number(shown),
        _ if shown == 0.0 || (shown.abs() >= 1.0 && shown.abs() < 1e15) => thousands(shown),
        _ => number(shown),
    }
}

/// Nanoseconds as people say them.
pub(crate) fn span(ns: f64) -> String {
    match ns {
        n if !n.is_finite() => ABSENT.to_owned(),
        n if n >= 1e9 => format!("{} s", thousands(n * 1e-9)),
        n if n >= 1e6 => format!("{:.2} ms", n * 1e-6),
        n if n >= 1e3 => format!("{:.1} µs", n * 1e-3),
        n => format!("{n:.0} ns"),
    }
}

/// So many of something.
pub(crate) fn many(n: usize, one: &str, more: &str) -> String {
    let n = u64::try_from(n).unwrap_or(u64::MAX);
    format!("{} {}", number(crate::spread::count(n)), if n == 1 { one } else { more })
}

/// Hundredths.
pub(crate) fn percent(part: usize, of: usize) -> String {
    let count = |n: usize| crate::spread::count(u64::try_from(n).unwrap_or(u64::MAX));
    if of == 0 { ABSENT.to_owned() } else { format!("{:.2} %", 100.0 * count(part) / count(of)) }
}

/// Cut where it is too long.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((at, _)) => format!("{} … ({} characters)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// What has no members, as text.
pub(crate) fn plain(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::Bool(true) => Some("yes".to_owned()),
        Json::Bool(false) => Some("no".to_owned()),
        Json::Number(n) => Some(n.as_f64().filter(|v| v.fract() != 0.0 || v.abs() >= 1e15).map_or_else(|| whole(n), |v| v.to_string())),
        Json::String(text) => Some(cut(text)),
        Json::Array(_) | Json::Object(_) => None,
    }
}

fn whole(n: &serde_json::Number) -> String {
    n.as_f64().map_or_else(|| n.to_string(), |v| format!("{v:.0}"))
}

/// Everything in a value that has no members, with the way to it; at most so many.
pub(crate) fn leaves(value: &Json, most: usize) -> Vec<(String, String)> {
    fn walk(way: &str, value: &Json, most: usize, found: &mut Vec<(String, String)>) {
        if found.len() >= most {
            return;
        }
        let join = |name: &str| if way.is_empty() { name.to_owned() } else { format!("{way}.{name}") };
        match value {
            Json::Object(members) => members.iter().for_each(|(name, inner)| walk(&join(name), inner, most, found)),
            // A list of plain values is read as one.
            Json::Array(list) => match list.iter().map(plain).collect::<Option<Vec<_>>>() {
                Some(all) if !all.is_empty() => found.push((way.to_owned(), cut(&all.join(", ")))),
                _ if list.len() == 1 => walk(way, &list[0], most, found),
                _ => list.iter().enumerate().for_each(|(at, inner)| walk(&join(&at.to_string()), inner, most, found)),
            },
            other => found.extend(plain(other).map(|text| (way.to_owned(), text))),
        }
    }
    let mut found = Vec::new();
    walk("", value, most, &mut found);
    found
}

/// The same in one line.
pub(crate) fn line(value: &Json, but: &[&str]) -> String {
    let all = leaves(value, 40);
    let words = all.into_iter().filter(|(way, _)| !but.contains(&way.as_str()));
    words.map(|(way, text)| format!("{} {text}", way.replace('_', " "))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_say_enough() {
        let all = [0.0, 40.0, 1_200.0, 51.743_8, 0.012_34, 0.000_001_23, f64::INFINITY, f64::NAN, 1e300].map(number);
        assert_eq!(all, ["0", "40", "1,200", "51.74", "0.0123", "1.23e-6", "∞", "–", "1e300"]);
        assert_eq!(figure(Unit::Time, 2e7), "20.00");
        assert_eq!([5.0, 5_500.0, 1.25e6, 3e9].map(span), ["5 ns", "5.5 µs", "1.25 ms", "3.00 s"]);
        assert_eq!((many(1, "request", "requests"), percent(6, 40)), ("1 request".to_owned(), "15.00 %".to_owned()));
    }

    #[test]
    fn settings_are_read_as_a_line() {
        let phase: Json = serde_json::from_str(
            r#"{"name":"profiling","type":"poisson","rate":30.0,"ramp":{"steps":[1,2]},"none":null,"many":[{"a":1},{"a":true}]}"#,
        )
        .unwrap();
        assert_eq!(line(&phase, &["name", "type"]), "rate 30, ramp.steps 1, 2, many.0.a 1, many.1.a yes");
        assert_eq!(leaves(&phase, 2).len(), 2);
        assert!(cut(&"ä".repeat(601)).ends_with("… (601 characters)"));
    }
}
