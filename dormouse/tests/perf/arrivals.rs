//! Open loop: when requests leave, from their records and from the server's arrivals.

use serde_json::Value;

use crate::kit::machine::alone;
use crate::kit::{Mock, Profile, int};

/// Requests in a second, and how many of them.
const RATE: f64 = 100.0;
const COUNT: usize = 300;

struct Sent {
    /// When each could leave, when it did, and when it arrived, in order; seconds.
    could: Vec<f64>,
    left: Vec<f64>,
    arrived: Vec<f64>,
    /// From the phase's begin to the first.
    first: f64,
}

fn sent(options: &str) -> Sent {
    let server = Mock::first("--ttft-ms 5");
    let common = format!("--endpoint-type chat --streaming --request-rate {RATE} --request-count {COUNT} --osl 1 {options}");
    let run = Profile::of(&server.url).first().with(&common).run().measured();
    let records = run.records("profiling");
    assert_eq!((records.len(), server.rows().len()), (COUNT, COUNT));
    let begin = int(&run.json("phase_manifest.json"), "/phases/0/start_ns");
    #[allow(clippy::cast_precision_loss, reason = "seconds of a run")]
    let of = |times: &mut Vec<i64>| {
        times.sort_unstable();
        times.iter().map(|t| (t - begin) as f64 * 1e-9).collect::<Vec<_>>()
    };
    let stamps = |path: &str| records.iter().map(|record: &Value| int(record, path)).collect::<Vec<_>>();
    let could = of(&mut stamps("/metadata/credit_issued_ns"));
    let first = could[0];
    let left = of(&mut stamps("/metadata/request_start_ns"));
    let arrived = of(&mut server.rows().iter().map(|row| row.wall).collect());
    Sent { could, left, arrived, first }
}

fn gaps(times: &[f64]) -> Vec<f64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Kolmogorov's distance from a distribution, times the root of the number: above 1.95 one in a thousand is.
fn distance(mut values: Vec<f64>, below: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "some hundreds")]
    let (n, at) = (values.len() as f64, |k: usize| k as f64);
    let one = |(k, value): (usize, &f64)| (below(*value) - at(k) / n).abs().max((at(k + 1) / n - below(*value)).abs());
    values.iter().enumerate().map(one).fold(0.0, f64::max) * n.sqrt()
}

fn exponential(x: f64) -> f64 {
    1.0 - (-x * RATE).exp()
}

/// Of whole shape: 1 - e^-y (1 + y + y²/2 + …).
fn gamma(shape: u32) -> impl Fn(f64) -> f64 {
    move |x| {
        let y = x * RATE * f64::from(shape);
        let sum = (0..shape).scan(1.0, |term, k| {
            let now = *term;
            *term *= y / f64::from(k + 1);
            Some(now)
        });
        1.0 - (-y).exp() * sum.sum::<f64>()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn constant_is_one_interval_after_the_other() {
    let _alone = alone();
    let sent = sent("--arrival-pattern constant");
    assert!((sent.first - 1.0 / RATE).abs() < 1e-4, "the first could leave after {} s", sent.first);
    // The plan is exact; what became of it is off by no more than a busy machine's slips.
    assert!(gaps(&sent.could).iter().all(|gap| (gap - 1.0 / RATE).abs() < 2e-6), "{:?}", sent.could);
    let late = median(sent.left.iter().zip(&sent.could).map(|(left, could)| left - could).collect());
    assert!((0.0..1e-3).contains(&late), "half of them left {late} s late or more");
    let off = median(gaps(&sent.arrived).iter().map(|gap| (gap - 1.0 / RATE).abs()).collect());
    assert!(off < 1e-3, "half of the arrivals are {off} s off");
}

#[test]
fn poisson_has_exponential_gaps() {
    let _alone = alone();
    let sent = sent("--arrival-pattern poisson");
    for (what, times) in [("could leave", &sent.could), ("left", &sent.left), ("arrived", &sent.arrived)] {
        let far = distance(gaps(times), exponential);
        assert!(far < 1.95, "{what}: {far}");
    }
    assert!(distance(gaps(&sent.could), gamma(4)) > 1.95, "the test tells nothing apart");
}

#[test]
fn gamma_has_gaps_of_its_shape() {
    let _alone = alone();
    let sent = sent("--arrival-pattern gamma --arrival-smoothness 4");
    for (what, times) in [("could leave", &sent.could), ("left", &sent.left), ("arrived", &sent.arrived)] {
        let far = distance(gaps(times), gamma(4));
        assert!(far < 1.95, "{what}: {far}");
    }
    assert!(distance(gaps(&sent.could), exponential) > 1.95, "the test tells nothing apart");
}

#[test]
fn distributions_are_what_they_are_called() {
    assert!((gamma(1)(0.01) - exponential(0.01)).abs() < 1e-12);
    // A half of gamma(4) with mean 1 lies below 0.918.
    assert!((gamma(4)(0.918 / RATE) - 0.5).abs() < 1e-3);
}
