//! Scrapes as they come become files as the peer writes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod figures;
mod gpus;
mod recorded;
mod scraping;

use dormouse_perf_metrics::Window;
use dormouse_perf_report::json::Json;
use dormouse_perf_scrape::collect::{History, When};
use dormouse_perf_scrape::{About, Endpoint, Phase};

/// A second.
const S: u64 = 1_000_000_000;

/// At these tenths of seconds, answered at once.
fn history(scrapes: &[(u64, &str)]) -> History {
    let mut history = History::default();
    for (at, body) in scrapes {
        let at = at * S / 10;
        assert!(history.add(When { sent_ns: at, answered_ns: at, keep: false }, body.as_bytes()));
    }
    history
}

fn endpoint(url: &str, history: History) -> Endpoint {
    Endpoint { url: url.to_owned(), reached: true, history, failures: Vec::new() }
}

/// In tenths of seconds.
fn window(from: u64, to: u64) -> Window {
    Window { start_ns: from * S / 10, end_ns: to * S / 10 }
}

fn phase(name: &str, window: Window) -> Phase {
    Phase { name: name.to_owned(), warmup: name == "warmup", was_cancelled: false, window }
}

fn about(phases: Vec<Phase>) -> About {
    let input_config = Json::Object(Vec::new());
    let (version, benchmark_id) = ("0.13.0".to_owned(), "283178d762cc".to_owned());
    About { version, benchmark_id, input_config, phases, slice_ns: None, utc_offset_seconds: 0 }
}
