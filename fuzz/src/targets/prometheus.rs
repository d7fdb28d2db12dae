//! What servers say of themselves: a few scrapes, and what is made of them. Lines of `%%` part the scrapes.

use dormouse_perf_metrics::Window;
use dormouse_perf_report::json::Json;
use dormouse_perf_scrape::collect::{Figures, History, Measured, When, figures};
use dormouse_perf_scrape::files::server;
use dormouse_perf_scrape::parse::{Exposition, Labels, MAX_SAMPLES, parse};
use dormouse_perf_scrape::{About, Endpoint, Phase};

use crate::memory;

/// A second.
const S: u64 = 1_000_000_000;

pub(crate) fn check(data: &[u8]) {
    let bodies = bodies(data);
    for body in &bodies {
        read(&String::from_utf8_lossy(body));
    }
    let mut history = History::default();
    // A label, some characters of text, is two texts and its place in an index here.
    memory::at_most((32 << 10) + 1000 * data.len(), || {
        for (at, body) in (0..).zip(&bodies) {
            let at = at * S;
            history.add(When { sent_ns: at, answered_ns: at + S / 10, keep: at.is_multiple_of(3) }, body);
        }
    });
    let window = Window { start_ns: S / 2, end_ns: S * bodies.len() as u64 };
    for slices in [None, Some(S * 3 / 4)] {
        let all = figures(&history, window, slices);
        assert!(all.is_sorted_by_key(|one| (&one.name, &one.labels)));
        all.iter().for_each(sensible);
    }
    written(history, window);
}

fn bodies(data: &[u8]) -> Vec<&[u8]> {
    const BETWEEN: &[u8] = b"%%\n";
    let (mut bodies, mut left) = (Vec::new(), data);
    while let Some(at) = left.windows(BETWEEN.len()).position(|here| here == BETWEEN) {
        bodies.push(&left[..at]);
        left = &left[at + BETWEEN.len()..];
    }
    bodies.push(left);
    bodies
}

fn read(text: &str) {
    let read = memory::at_most(4096 + 400 * text.len(), || parse(text));
    let lines = text.split('\n').filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty()).count();
    assert!(read.samples() + read.odd_lines <= lines && read.samples() <= MAX_SAMPLES && !read.cut);
    let mut names: Vec<&str> = read.families.iter().map(|family| family.name.as_ref()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "two families of one name: {names:?}");
    let ascend = |labels: &Labels<'_>| labels.windows(2).all(|two| two[0].0 < two[1].0);
    assert!(read.families.iter().flat_map(|family| &family.samples).all(|sample| ascend(&sample.labels)));
    // However lines end; NaN is not itself, but says the same.
    let other = text.replace('\n', "\r\n");
    assert_eq!(shown(&parse(&other)), shown(&read));
}

fn shown(read: &Exposition<'_>) -> String {
    format!("{read:?}")
}

fn sensible(one: &Measured) {
    // Of values near the end of all numbers sums are none.
    let ascend = |values: &[f64]| !values.windows(2).any(|two| two[0] > two[1] + (two[0].abs() + two[1].abs()) * 1e-9);
    match &one.figures {
        Figures::Gauge(gauge) => {
            assert!(gauge.count > 0 && ascend(&[gauge.min, gauge.avg, gauge.max]) && (gauge.std.is_nan() || gauge.std >= 0.0), "{one:?}");
            assert!(ascend(&gauge.percentiles) && ascend(&[gauge.min, gauge.percentiles[0]]) && ascend(&[gauge.percentiles[8], gauge.max]));
        }
        Figures::Counter(_) => {}
        Figures::Histogram(histogram) => {
            assert!(histogram.buckets.is_sorted_by_key(|(_, upto)| upto), "{one:?}");
            assert!(histogram.percentiles.is_none_or(|percentiles| ascend(&percentiles)), "{one:?}");
        }
    }
}

/// The files are JSON, and tables.
fn written(history: History, window: Window) {
    let phase = Phase { name: "profiling".to_owned(), warmup: false, was_cancelled: false, window };
    let about = About {
        version: "0".to_owned(),
        benchmark_id: String::new(),
        input_config: Json::Null,
        phases: vec![phase],
        slice_ns: Some(S),
        utc_offset_seconds: 0,
    };
    let endpoints = [Endpoint { url: "http://localhost:1/metrics".to_owned(), reached: true, history, failures: Vec::new() }];
    let documents = [server::document(&endpoints, &about), server::phase_document(&endpoints, &about, 0)];
    for json in documents.into_iter().chain(server::lines(&endpoints)) {
        let again: Json = serde_json::from_str(&serde_json::to_string(&json).unwrap()).unwrap();
        assert_eq!(again, json);
    }
    let _ = server::csv(&endpoints, &about);
}
