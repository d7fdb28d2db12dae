//! How far its figures are from what the server knows to be true, in the three settings of perf contract 0.2 item 17, with slots
//! that do not start together; and how exactly a constant rate leaves.

use crate::world::{Mock, folder, median, profile};

const TURNS: usize = 5;

pub(crate) fn run() {
    let folder = folder();
    println!("\naccuracy: time to the first token less the server's truth, in ms; medians of {TURNS} (promise: mean 0.3, p99 1)");
    println!("{:<34} {:>10} {:>10} {:>10}", "slots x tokens, interval", "mean", "p99", "events/s");
    for (slots, tokens, ttft, itl, requests, ramp) in
        [(100, 50, 20.0, 5.0, 1_000, 2.0), (500, 50, 20.0, 20.0, 1_500, 4.0), (3_000, 20, 50.0, 200.0, 6_000, 10.0)]
    {
        let mock = Mock::start(&format!("--ttft-ms {ttft} --itl-ms {itl} --output-tokens {tokens}"));
        let (mut means, mut tails, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            mock.reset();
            let options = format!("--streaming --concurrency {slots} --concurrency-ramp-duration {ramp} --request-count {requests}");
            let ran = profile(&mock, &folder, &options);
            let truth = mock.stats();
            let of = |name: &str| truth["first_content_ns"][name].as_f64().unwrap() * 1e-6;
            means.push((ran.figure("time_to_first_token.avg") - of("mean")).abs());
            tails.push((ran.figure("time_to_first_token.p99") - of("p99")).abs());
            rates.push(ran.figure("output_token_throughput.avg"));
        }
        let name = format!("{slots} x {tokens}, {itl} ms");
        println!("{name:<34} {:>10.3} {:>10.3} {:>10.0}", median(means), median(tails), median(rates));
    }
    println!("\nconstant 20,000/s: how late requests leave, best of 3, in us (promise: p99 150 asleep, 100 with --pace spin)");
    let mock = Mock::start("--chunks-per-write 0 --output-tokens 1");
    for pace in ["sleep", "spin"] {
        let best = (0..3).map(|_| {
            let options = format!("--request-rate 20000 --arrival-pattern constant --request-count 60000 --concurrency 1000 --pace {pace}");
            let ran = profile(&mock, &folder, &options);
            (ran.figure("generator.scheduling_error.p99_ms"), ran.figure("generator.scheduling_error.p50_ms"))
        });
        let (p99, p50) = best.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{pace:<34} p50 {:>8.0} p99 {:>8.0}", p50 * 1e3, p99 * 1e3);
    }
    let _ = std::fs::remove_dir_all(folder);
}
