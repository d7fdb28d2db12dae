//! Threads and a server that is only a function.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dormouse_perf_scrape::gpu::DEFAULT_URLS;
use dormouse_perf_scrape::{Collected, Fetched, Options, Scraper};

/// Addresses that were asked.
type Asked = Arc<Mutex<Vec<String>>>;

fn answer(status: u16, body: &str) -> Result<Fetched, String> {
    Ok(Fetched { status, body: body.as_bytes().to_vec() })
}

/// Every reading of it is a millisecond later.
fn clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let now = AtomicU64::new(1_000_000);
    move || now.fetch_add(1_000_000, Ordering::Relaxed)
}

fn options(urls: &[&str]) -> Options {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    Options { urls, interval: Duration::from_millis(2), ..Options::default() }
}

fn start(options: Options, serve: impl Fn(&str, u64) -> Result<Fetched, String> + Send + Sync + 'static) -> (Scraper, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let count = AtomicU64::new(0);
    let fetch = move |url: &str, _: Duration| {
        log.lock().unwrap().push(url.to_owned());
        serve(url, count.fetch_add(1, Ordering::Relaxed))
    };
    (Scraper::start(options, Arc::new(fetch), clock()), asked)
}

fn wait_until(is_so: impl Fn() -> bool) {
    let late = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < late, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_for(asked: &Asked, many: usize) {
    wait_until(|| asked.lock().unwrap().len() >= many);
}

fn fetches(collected: &Collected, number: usize) -> u64 {
    let about = crate::about(vec![crate::phase("profiling", crate::window(0, 1_000))]);
    let json = collected.document(&about);
    let info = json.get("summary").and_then(|s| s.get("endpoint_info")).cloned().unwrap();
    let count = info.get(&collected.endpoints()[number].url).and_then(|i| i.get("total_fetches")?.as_f64()).unwrap();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = count as u64;
    count
}

#[test]
fn it_asks_until_it_is_stopped_and_once_more() {
    let (scraper, asked) = start(options(&["http://a/metrics"]), |_, n| answer(200, &format!("# TYPE c counter\nc_total {n}\n")));
    wait_for(&asked, 4);
    let collected = scraper.stop();
    let many = asked.lock().unwrap().len();
    assert_eq!(fetches(&collected, 0), many as u64);
    assert_eq!(collected.warnings(), [""; 0]);
    assert!(!collected.is_empty());
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(asked.lock().unwrap().len(), many, "somebody asks still");
}

#[test]
fn the_root_is_read_where_the_base_has_none() {
    let urls = ["http://h/v1/metrics", "http://trt/metrics", "http://none/metrics", "http://page/metrics"];
    let serve = |url: &str, _| match url {
        "http://h/metrics" | "http://trt/prometheus/metrics" => answer(200, "g 1\n"),
        "http://trt/metrics" => answer(200, "[{\"iter\": 1}]"),
        "http://page/metrics" => answer(200, "<html></html>"),
        url if url.starts_with("http://none") => Err("connection refused".to_owned()),
        _ => answer(404, "not found"),
    };
    let (scraper, asked) = start(options(&urls), serve);
    for url in ["http://h/metrics", "http://trt/prometheus/metrics", "http://none/metrics", "http://page/prometheus/metrics"] {
        wait_until(|| asked.lock().unwrap().iter().any(|asked| asked == url));
    }
    let collected = scraper.stop();
    let told: Vec<(&str, bool)> = collected.endpoints().iter().map(|e| (e.url.as_str(), e.reached)).collect();
    let wanted = [
        ("http://h/metrics", true),
        ("http://trt/prometheus/metrics", true),
        ("http://none/metrics", false),
        ("http://page/metrics", false),
    ];
    assert_eq!(told, wanted);
    let warnings = collected.warnings();
    assert_eq!(
        warnings,
        [
            "metrics: http://h/v1/metrics has none, http://h/metrics is read instead",
            "metrics: http://trt/metrics has none, http://trt/prometheus/metrics is read instead",
            "metrics: http://none/metrics is left out: connection refused",
            "metrics: http://page/metrics is left out: its answer is not the text format of Prometheus",
        ]
    );
}

#[test]
fn nothing_is_read_twice() {
    let (scraper, asked) = start(options(&["http://h/metrics", "http://h/v1/metrics"]), |url, _| match url {
        "http://h/metrics" => answer(200, "g 1\n"),
        _ => answer(404, ""),
    });
    wait_for(&asked, 5);
    let collected = scraper.stop();
    assert_eq!(collected.endpoints().iter().filter(|e| e.reached).count(), 1);
}

#[test]
fn where_gpus_usually_are_nothing_is_missed() {
    let (scraper, asked) = start(options(&DEFAULT_URLS), |_, _| Err("connection refused".to_owned()));
    wait_for(&asked, 2);
    let collected = scraper.stop();
    assert_eq!((collected.warnings().len(), collected.is_empty()), (0, true));
}

#[test]
fn failures_are_counted_and_said_once() {
    let (scraper, asked) = start(options(&["http://user:secret@a/metrics"]), |_, n| match n {
        0 | 5.. => answer(200, "g 1\n"),
        1 | 2 => answer(500, ""),
        _ => Err("timed out".to_owned()),
    });
    wait_for(&asked, 6);
    let collected = scraper.stop();
    assert_eq!(collected.endpoints()[0].failures, [("it answers with status 500".to_owned(), 2), ("timed out".to_owned(), 2)]);
    assert_eq!(collected.warnings(), ["metrics: http://a/metrics could not be read 4 times, first: it answers with status 500"]);
}

#[test]
fn an_endpoint_that_hangs_or_breaks_keeps_nobody_waiting() {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let hanging = Options {
        last: Duration::from_millis(500),
        ..options(&["http://a/metrics", "http://b/metrics", "http://c/metrics", "http://d/metrics"])
    };
    let of_d = AtomicU64::new(0);
    let (scraper, asked) = start(hanging, move |url, _| match url {
        "http://d/metrics" if of_d.fetch_add(1, Ordering::Relaxed) == 0 => answer(200, "g 1\n"),
        "http://a/metrics" | "http://d/metrics" => {
            let _ = held.lock().unwrap().recv();
            Err("at last".to_owned())
        }
        "http://b/metrics" => panic!("a test"),
        _ => answer(200, "g 1\n"),
    });
    for (url, many) in [("http://a/metrics", 1), ("http://b/metrics", 1), ("http://c/metrics", 2), ("http://d/metrics", 2)] {
        wait_until(|| asked.lock().unwrap().iter().filter(|asked| *asked == url).count() >= many);
    }
    let collected = scraper.stop();
    assert_eq!(
        collected.warnings(),
        [
            "metrics: http://a/metrics is left out: it had not answered when all was over",
            "metrics: whoever asked http://b/metrics failed",
            "metrics: http://d/metrics did not answer any more: its final scrape is missing",
        ]
    );
    assert_eq!(collected.endpoints().iter().map(|e| e.reached).collect::<Vec<_>>(), [false, false, true, true]);
    drop(let_go);
}

#[test]
fn one_that_is_dropped_ends() {
    let (scraper, asked) = start(options(&["http://a/metrics"]), |_, _| answer(200, "g 1\n"));
    wait_for(&asked, 2);
    drop(scraper);
    // The thread has the other end.
    wait_until(|| Arc::strong_count(&asked) == 1);
}
