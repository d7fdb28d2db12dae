//! How much it can send, against a server that answers at once.

use crate::bare;
use crate::world::{Mock, folder, median, profile, resident};

const CONNECTIONS: usize = 100;
const TURNS: usize = 3;

pub(crate) fn run() {
    println!("ceiling, {CONNECTIONS} connections, medians of {TURNS}; processor time in microseconds per request");
    println!(
        "{:<28} {:>10} {:>12} {:>12} {:>10} {:>10} {:>8}",
        "writes of an answer", "client", "requests/s", "events/s", "client us", "server us", "ratio"
    );
    let folder = folder();
    for (pattern, server, streaming, requests) in [
        ("whole body, one write", "--chunks-per-write 0", false, 200_000),
        ("16 tokens, one write", "--chunks-per-write 0", true, 100_000),
        ("16 tokens, 16 writes", "--chunks-per-write 1", true, 30_000),
    ] {
        let mock = Mock::start(&format!("--output-tokens 16 {server}"));
        let events = if streaming { 18.0 } else { 1.0 };
        let (mut bare_rates, mut our_rates) = (Vec::new(), Vec::new());
        let (mut bare_cpu, mut our_cpu, mut bare_server, mut our_server) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let before = mock.cpu();
            let (rate, cpu) = bare::run(&mock.address, CONNECTIONS, requests, streaming);
            bare_server.push((mock.cpu() - before) / requests as f64);
            bare_rates.push(rate);
            bare_cpu.push(cpu / requests as f64);
            let before = mock.cpu();
            let stream = if streaming { "--streaming" } else { "" };
            let ran = profile(&mock, &folder, &format!("{stream} --concurrency {CONNECTIONS} --request-count {requests}"));
            our_server.push((mock.cpu() - before) / requests as f64);
            our_rates.push(ran.figure("request_throughput.avg"));
            our_cpu.push(ran.cpu / requests as f64);
        }
        let (bare, ours) = (median(bare_rates), median(our_rates));
        let row = |client: &str, rate: f64, cpu: Vec<f64>, server: Vec<f64>, ratio: f64| {
            let (cpu, server) = (median(cpu) * 1e6, median(server) * 1e6);
            println!("{pattern:<28} {client:>10} {rate:>12.0} {:>12.0} {cpu:>10.1} {server:>10.1} {ratio:>8.2}", rate * events);
        };
        row("hyper", bare, bare_cpu, bare_server, 1.0);
        row("dormouse", ours, our_cpu, our_server, ours / bare);
    }
    println!("(ours: the whole process, with start, records, token counts and files; hyper: its one thread and nothing else)");
    let _ = std::fs::remove_dir_all(folder);
}

/// From nothing to the first request, and memory.
pub(crate) fn start() {
    let folder = folder();
    let mock = Mock::start("--output-tokens 16 --chunks-per-write 0");
    let base = "--use-server-token-count --request-count 1";
    let wall = median((0..11).map(|_| profile(&mock, &folder, base).wall).collect());
    let with = median((0..11).map(|_| profile(&mock, &folder, "--request-count 1").wall).collect());
    println!("\none request, from start to end of the process: {:.0} ms without a tokenizer, {:.0} ms with", wall * 1e3, with * 1e3);
    let small = resident(&mock, &folder, "--use-server-token-count --concurrency 100 --request-count 1000");
    let large = resident(&mock, &folder, "--use-server-token-count --streaming --concurrency 100 --request-count 501000");
    println!(
        "resident: {:.1} MiB at a thousand requests; {:.0} bytes more for each of half a million streamed ones",
        small / 1024.0,
        (large - small) * 1024.0 / 500_000.0
    );
    let _ = std::fs::remove_dir_all(folder);
}
