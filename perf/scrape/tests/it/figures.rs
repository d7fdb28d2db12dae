//! Figures of a window, computed by hand.

use proptest::prelude::*;

use dormouse_perf_scrape::Collected;
use dormouse_perf_scrape::collect::window::{Counter, Gauge, Histogram};
use dormouse_perf_scrape::collect::{Figures, History, Measured, figures};

use crate::{S, history, window};

fn one(history: &History, from: u64, to: u64, slice: Option<u64>) -> Measured {
    let mut all = figures(history, window(from, to), slice);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn counter(history: &History, from: u64, to: u64) -> Counter {
    let Figures::Counter(counter) = one(history, from, to, None).figures else { panic!("no counter") };
    counter
}

fn gauge(history: &History, from: u64, to: u64) -> Gauge {
    let Figures::Gauge(gauge) = one(history, from, to, None).figures else { panic!("no gauge") };
    gauge
}

fn histogram(history: &History, from: u64, to: u64) -> Histogram {
    let Figures::Histogram(histogram) = one(history, from, to, None).figures else { panic!("no histogram") };
    histogram
}

fn close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() < 1e-9, "{got}, not {wanted}");
}

fn counts(values: &[(u64, f64)]) -> History {
    let bodies: Vec<(u64, String)> = values.iter().map(|(at, v)| (*at, format!("# TYPE c counter\nc_total {v}\n"))).collect();
    history(&bodies.iter().map(|(at, body)| (*at, body.as_str())).collect::<Vec<_>>())
}

#[test]
fn rates_are_of_the_window_and_totals_of_the_scrapes_around_it() {
    let history = counts(&[(0, 100.0), (10, 110.0), (20, 150.0), (30, 170.0), (90, 170.0)]);
    let c = counter(&history, 5, 25);
    // From the scrape at 0 to that at 30; between the edges 105 to 160.
    close(c.total, 70.0);
    close(c.rate, 55.0 / 2.0);
    // The pause behind it is in neither.
    let c = counter(&history, 10, 30);
    close(c.total, 60.0);
    close(c.rate, 30.0);
    // Where scraping began late, the rate is of what was seen.
    let late = counts(&[(10, 5.0), (20, 25.0)]);
    close(counter(&late, 0, 20).rate, 20.0);
    close(counter(&late, 0, 20).total, 20.0);
    assert!(figures(&History::default(), window(0, 1), None).is_empty());
    close(counter(&counts(&[(10, 5.0)]), 0, 20).rate, 0.0);
}

#[test]
fn a_server_that_starts_again_loses_nothing() {
    let c = counter(&counts(&[(0, 100.0), (10, 130.0), (20, 20.0), (30, 50.0)]), 0, 30);
    close(c.total, 80.0);
    close(c.rate, 80.0 / 3.0);
}

#[test]
fn what_was_not_told_before_had_not_begun() {
    let other = "# TYPE o gauge\no NaN\n";
    let counted = |n: u64| format!("{other}# TYPE c counter\nc_total {n}\n");
    let (a, b) = (counted(7), counted(9));
    let came = history(&[(0, other), (10, &a), (20, &b)]);
    close(counter(&came, 5, 20).total, 9.0);
    let gone = history(&[(0, &a), (10, other), (20, &b), (30, other), (40, other)]);
    close(counter(&gone, 0, 20).total, 2.0);
    assert!(figures(&gone, window(35, 40), None).is_empty(), "it was gone before");
}

#[test]
fn gauges_are_sampled_from_the_start_to_the_final_scrape() {
    let body = |v: f64| format!("# TYPE g gauge\ng {v}\n");
    let bodies: Vec<String> = [9.0, 2.0, 4.0, 4.0, 6.0, 50.0].into_iter().map(body).collect();
    let at = [0, 10, 20, 30, 40, 50];
    let history = history(&at.into_iter().zip(bodies.iter().map(String::as_str)).collect::<Vec<_>>());
    // 2, 4, 4 inside, 6 is the first behind it; the same body twice is two samples.
    let g = gauge(&history, 5, 35);
    assert_eq!((g.count, g.avg, g.min, g.max), (4, 4.0, 2.0, 6.0));
    close(g.std, (8.0_f64 / 3.0).sqrt());
    close(g.percentiles[3], 3.5);
    let one = gauge(&history, 45, 50);
    assert_eq!((one.count, one.avg, one.std), (1, 50.0, 0.0));
}

#[test]
fn slices_are_of_equal_length_but_the_last() {
    let history = counts(&[(0, 0.0), (10, 10.0), (20, 30.0), (30, 60.0)]);
    let measured = one(&history, 0, 25, Some(S));
    let told: Vec<(bool, Figures)> = measured.slices.iter().map(|s| (s.is_complete, s.figures.clone())).collect();
    let of = |total: f64, rate: f64| Figures::Counter(Counter { total, rate, rates: None });
    assert_eq!(told, [(true, of(10.0, 10.0)), (true, of(20.0, 20.0)), (false, of(15.0, 30.0))]);
    let Figures::Counter(c) = measured.figures else { panic!("no counter") };
    let [avg, min, max, std] = c.rates.unwrap();
    assert_eq!((avg, min, max), (15.0, 10.0, 20.0));
    close(std, 50.0_f64.sqrt());
    // Slices that are shorter than the time between scrapes go from scrape to scrape.
    let fine = one(&history, 0, 30, Some(S / 100));
    let lengths: Vec<u64> = fine.slices.iter().map(|s| s.window.end_ns - s.window.start_ns).collect();
    assert_eq!(lengths, [S, S, S]);
    assert!(one(&history, 30, 30, Some(S)).slices.is_empty());
}

fn observed(low: u64, mid: u64, all: u64, sum: f64) -> String {
    format!(
        "# TYPE h histogram\nh_bucket{{le=\"0.1\"}} {low}\nh_bucket{{le=\"1\"}} {mid}\nh_bucket{{le=\"+Inf\"}} {all}\nh_sum {sum}\nh_count {all}\n"
    )
}

#[test]
fn histograms_are_differences() {
    let bodies = [observed(5, 5, 5, 0.2), observed(5, 9, 9, 2.2), observed(5, 9, 11, 8.2), observed(1, 1, 1, 0.05)];
    let history = history(&[(0, &bodies[0]), (10, &bodies[1]), (20, &bodies[2]), (30, &bodies[3])]);
    let h = histogram(&history, 0, 20);
    assert_eq!(h.count, 6);
    close(h.sum, 8.0);
    close(h.count_rate, 3.0);
    close(h.sum_rate, 4.0);
    let buckets: Vec<(&str, u64)> = h.buckets.iter().map(|(le, upto)| (le.as_str(), *upto)).collect();
    assert_eq!(buckets, [("0.1", 0), ("1", 4), ("+Inf", 6)]);
    // The two beyond 1 came alone, and were 3 each: they are taken to lie at 1 and 5.
    let p = h.percentiles.unwrap();
    close(p[8], 1.0 + 4.0 * 0.95);
    // 4 between 0.1 and 1: the middles of quarters; the median is between the third and the fourth.
    close(p[4], 0.1 + 0.9 * (2.5 + 3.5) / 8.0);
    // All counts began anew.
    let h = histogram(&history, 0, 30);
    assert_eq!(h.count, 7);
    close(h.sum, 8.05);
    assert_eq!(h.buckets.iter().map(|(_, upto)| *upto).collect::<Vec<_>>(), [1, 5, 7]);
    let none = histogram(&history, 30, 40);
    assert_eq!((none.count, none.percentiles), (0, None));
}

#[test]
fn labels_and_names_are_in_order() {
    let body = "b{x=\"2\"} 1\nb{x=\"1\"} 1\na 1\n";
    let all = figures(&history(&[(0, body)]), window(0, 1), None);
    let told: Vec<(&str, usize)> = all.iter().map(|m| (m.name.as_str(), m.labels.len())).collect();
    assert_eq!(told, [("a", 0), ("b", 1), ("b", 1)]);
    assert_eq!(all[1].labels[0].1, "1");
}

proptest! {
    /// Servers may say anything, at any time, of any window: there are files of it.
    #[test]
    fn nothing_that_is_said_makes_it_panic(
        bodies in proptest::collection::vec((0_u64..9, proptest::collection::vec(
            "(# TYPE [ab] (counter|gauge|histogram)|[ab](_total|_bucket|_sum|_count)?(\\{le=\"(1|2|-1|\\+Inf|NaN|x)\"\\})? (-?[0-9]{1,3}|NaN|\\+Inf|1e308))",
            0..8,
        )), 0..6),
        edges in (0_u64..60, 0_u64..60),
        slice in proptest::option::of(0_u64..3 * S),
    ) {
        let mut history = History::default();
        let mut now = 0;
        for (pause, lines) in &bodies {
            now += pause * S / 10;
            let when = dormouse_perf_scrape::collect::When { sent_ns: now, answered_ns: now + 7, keep: false };
            history.add(when, lines.join("\n").as_bytes());
        }
        let mut about = crate::about(vec![crate::phase("warmup", window(0, edges.0)), crate::phase("profiling", window(edges.0, edges.1))]);
        about.slice_ns = slice;
        let collected = Collected::new(vec![crate::endpoint("http://h/metrics", history)], Vec::new());
        let text = serde_json::to_string(&collected.document(&about)).unwrap();
        prop_assert!(!text.contains("null,\"p") && collected.csv(&about).starts_with('#'));
        let _ = (collected.phase_document(&about, 1), collected.lines().count());
    }
}
