//! How times, cells, endpoints and units are written.

use jiff::Timestamp;
use jiff::tz::Offset;

/// A time in the zone of people here, without naming it, to the nearest microsecond.
#[must_use]
pub fn local_time(unix_ns: u64, utc_offset_seconds: i32) -> String {
    let microseconds = i64::try_from(unix_ns.saturating_add(500) / 1_000).unwrap_or(0);
    let time = Timestamp::from_microsecond(microseconds).unwrap_or_default();
    let offset = Offset::from_seconds(utc_offset_seconds).unwrap_or(Offset::UTC);
    let time = offset.to_datetime(time);
    // Whole seconds have no fraction.
    time.strftime(if time.subsec_nanosecond() == 0 { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S.%6f" }).to_string()
}

/// An address without what is secret in it.
#[must_use]
pub fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// An endpoint as tables name it: no scheme, no `/metrics`.
#[must_use]
pub fn short_endpoint(url: &str) -> String {
    let url = without_user(url);
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    rest.strip_suffix("/metrics").unwrap_or(rest).to_owned()
}

/// Cells as a line: quoted where they must be.
pub(crate) fn csv_line(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let cell = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
    };
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",") + "\n"
}

/// What a metric's values are in, by the end of its name; what its server says goes first.
#[must_use]
pub fn unit(name: &str, said: &str, help: &str) -> Option<String> {
    if !said.is_empty() {
        return Some(said.to_owned());
    }
    if name.ends_with("_gb_s") {
        return Some("gb/s".to_owned());
    }
    // What state the counted are in does not say what they are.
    let is_state = |word: &str| matches!(word, "running" | "waiting" | "swapped" | "pending" | "queued" | "success" | "failure" | "total");
    let mut words = name.rsplit(['_', ':']).skip_while(|word| is_state(word));
    let unit = match words.next()? {
        "seconds" => "seconds",
        "milliseconds" | "ms" => "milliseconds",
        "microseconds" | "us" => "microseconds",
        "nanoseconds" | "ns" => "nanoseconds",
        "bytes" => "bytes",
        "kilobytes" => "kilobytes",
        "megabytes" => "megabytes",
        "gigabytes" => "gigabytes",
        "tokens" => "tokens",
        "requests" | "request" | "reqs" => "requests",
        "errors" => "errors",
        "blocks" => "blocks",
        "ratio" => "ratio",
        "percent" | "perc" if help.contains("1 means 100") => "ratio",
        "percent" | "perc" => "percent",
        "celsius" => "celsius",
        "joules" => "joule",
        "watts" => "watt",
        "count" => match words.next() {
            Some("error") => "errors",
            Some("block") => "blocks",
            _ => "count",
        },
        _ => return None,
    };
    Some(unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_peer() {
        assert_eq!(local_time(1_795_253_705_735_703_121, 0), "2026-11-21T09:35:05.735703");
        assert_eq!(local_time(1_795_253_827_735_453_559, 0), "2026-11-21T09:37:07.735454");
        assert_eq!(local_time(1_795_253_706_000_000_000, 3_600), "2026-11-21T10:35:06");
        assert_eq!(local_time(0, i32::MAX), "1970-01-01T00:00:00");
        let _ = local_time(u64::MAX, 0);
    }

    #[test]
    fn endpoints_are_short_and_keep_no_secret() {
        assert_eq!(short_endpoint("http://127.0.0.1:8100/metrics"), "127.0.0.1:8100");
        assert_eq!(short_endpoint("https://user:secret@h:1/v1/metrics"), "h:1/v1");
        assert_eq!(without_user("http://h/a@b"), "http://h/a@b");
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(csv_line(["a", "b, c", "d \"e\"", ""]), "a,\"b, c\",\"d \"\"e\"\"\",\n");
    }

    #[test]
    fn units_come_of_names() {
        for (name, wanted) in [
            ("vllm:num_requests_running", Some("requests")),
            ("vllm:prompt_tokens", Some("tokens")),
            ("vllm:ttft_seconds", Some("seconds")),
            ("vllm:request_success", Some("requests")),
            ("x_error_count", Some("errors")),
            ("sglang:token_usage", None),
            ("bytes", Some("bytes")),
        ] {
            assert_eq!(unit(name, "", "").as_deref(), wanted, "{name}");
        }
        assert_eq!(unit("a_perc", "", "1 means 100 percent").as_deref(), Some("ratio"));
        assert_eq!(unit("a", "volts", "").as_deref(), Some("volts"));
    }
}
