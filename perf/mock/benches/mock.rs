//! What the server costs: answers per second and CPU per answer, by write pattern, against the smallest client there is (one
//! thread, the same event loop, no parsing); then how late its timers are. `cargo bench -p dormouse-perf-mock --bench mock`.
//!
//! CPU of the server is that of the process without the client's thread. Figures are of one machine at one hour: compare only those of one run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use clap::Parser;
use dormouse_perf_mock::{MockServerArgs, Server};
use dormouse_perf_net::{EventLoop, Listen, Options, Turn, accept, connect, listen, now, read, write};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: MockServerArgs,
}

fn server(options: &str) -> Server {
    let words = ["mock", "--port", "0"].into_iter().chain(options.split_whitespace());
    Server::start(&Cli::parse_from(words).args).unwrap()
}

fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn request(stream: bool, tokens: u32) -> Vec<u8> {
    let body = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"one two three four five six seven eight nine ten\"}}],\"model\":\"mock-model\",\
         \"stream\":{stream},\"max_completion_tokens\":{tokens},\"stream_options\":{{\"include_usage\":true}}}}"
    );
    let length = body.len();
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

struct Slot {
    stream: TcpStream,
    /// Bytes of a whole body that are missing; unknown until the first head.
    missing: usize,
    tail: [u8; 7],
}

/// So many answers over so many connections, one after another on each.
fn closed_loop(server: SocketAddr, connections: usize, answers: usize, stream: bool, tokens: u32) -> (f64, f64, f64) {
    let request = request(stream, tokens);
    let mut event_loop = EventLoop::new(Options::default()).unwrap();
    let mut slots: Vec<Slot> =
        (0..connections).map(|_| Slot { stream: connect(server, None).unwrap(), missing: 0, tail: [0; 7] }).collect();
    for (at, slot) in slots.iter().enumerate() {
        event_loop.add(&slot.stream, at as u64).unwrap();
    }
    let (mut begun, mut done, mut length) = (0, 0, None);
    let (mut turn, mut buffer) = (Turn::default(), vec![0; 1 << 18]);
    let mut started = vec![false; connections];
    let (start, process, own) = (now(), cpu(ClockId::ProcessCPUTime), cpu(ClockId::ThreadCPUTime));
    while done < answers {
        event_loop.wait(&mut turn).unwrap();
        for event in &turn.events {
            let at = usize::try_from(event.token).unwrap();
            let slot = &mut slots[at];
            if event.writable && !started[at] {
                started[at] = true;
                begun += 1;
                assert_eq!(write(&slot.stream, &request).unwrap(), Some(request.len()));
            }
            if !event.readable {
                continue;
            }
            let Some(n) = read(&slot.stream, &mut buffer).unwrap() else { continue };
            let bytes = &buffer[..n];
            let complete = if stream {
                let keep = n.min(7);
                slot.tail.rotate_left(keep);
                slot.tail[7 - keep..].copy_from_slice(&bytes[n - keep..]);
                slot.tail == *b"\r\n0\r\n\r\n"
            } else {
                // Answers of one run are equally long.
                let length = *length.get_or_insert(n);
                slot.missing = if slot.missing == 0 { length } else { slot.missing }.checked_sub(n).unwrap();
                slot.missing == 0
            };
            if complete {
                done += 1;
                if begun < answers {
                    begun += 1;
                    assert_eq!(write(&slot.stream, &request).unwrap(), Some(request.len()));
                }
            }
        }
    }
    let seconds = (now() - start) as f64 * 1e-9;
    let own = cpu(ClockId::ThreadCPUTime) - own;
    let served = cpu(ClockId::ProcessCPUTime) - process - own;
    let each = 1e6 / answers as f64;
    (answers as f64 / seconds, served * each, own * each)
}

/// The least a server can do: it reads, and writes what the mock server has written, looking at neither.
struct Bare(SocketAddr);

impl Bare {
    fn start(answer: Vec<u8>) -> Self {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), Listen::default()).unwrap();
        let address = listener.local_addr().unwrap();
        // It ends with the process.
        thread::spawn(move || {
            let mut event_loop = EventLoop::new(Options::default()).unwrap();
            event_loop.add(&listener, u64::MAX - 2).unwrap();
            let (mut conns, mut turn, mut buffer) = (Vec::new(), Turn::default(), vec![0; 1 << 18]);
            loop {
                event_loop.wait(&mut turn).unwrap();
                while let Some(stream) = accept(&listener).unwrap() {
                    event_loop.add(&stream, conns.len() as u64).unwrap();
                    conns.push(stream);
                }
                for event in turn.events.iter().filter(|event| event.readable) {
                    let Some(stream) = usize::try_from(event.token).ok().and_then(|at| conns.get(at)) else { continue };
                    if read(stream, &mut buffer).is_ok_and(|n| n.is_some_and(|n| n > 0)) {
                        let _ = write(stream, &answer);
                    }
                }
            }
        });
        Self(address)
    }
}

/// One whole answer, as it comes.
fn sample(server: &Server, stream: bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.write_all(&request(stream, 16)).unwrap();
    let (mut bytes, mut part) = (Vec::new(), [0; 1 << 16]);
    loop {
        let n = socket.read(&mut part).unwrap();
        bytes.extend_from_slice(&part[..n]);
        if bytes.ends_with(b"\r\n0\r\n\r\n") || !stream {
            return bytes;
        }
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let scale = if std::env::args().any(|arg| arg == "--bench") { 1 } else { 200 };
    println!("{:<34}{:>12}{:>16}{:>16}{:>14}", "50 connections, one thread", "answers/s", "server µs each", "client µs each", "events/s");
    for (name, options, answers, stream) in [
        ("whole body", "", 100_000, false),
        ("16 tokens in one write", "--chunks-per-write 0", 50_000, true),
        ("16 tokens in 16 writes", "", 5_000, true),
    ] {
        for _ in 0..3 {
            let server = server(&format!("--stats-requests 1000000 {options}"));
            let (rate, served, own) = closed_loop(server.address(), 50, answers / scale, stream, 16);
            let events = if stream { rate * 20.0 } else { rate };
            println!("{name:<34}{rate:>12.0}{served:>16.2}{own:>16.2}{events:>14.0}");
            if !name.contains("16 writes") {
                let bare = Bare::start(sample(&server, stream));
                let (rate, served, own) = closed_loop(bare.0, 50, answers / scale, stream, 16);
                println!("{:<34}{rate:>12.0}{served:>16.2}{own:>16.2}", "  the same bytes, unread");
            }
            server.stop().unwrap();
        }
    }
    println!("\n{:<34}{:>12}{:>12}{:>12}{:>12}", "lateness of its own writes, µs", "mean", "worst: p50", "p99", "max");
    for (name, options, connections) in [
        ("100 streams, 5 ms apart", "--ttft-dist uniform:5,25 --itl-ms 5", 100),
        ("the same, spinning", "--ttft-dist uniform:5,25 --itl-ms 5 --spin", 100),
        ("1000 streams, 50 ms apart", "--ttft-dist uniform:5,105 --itl-ms 50", 1000),
    ] {
        let server = server(options);
        closed_loop(server.address(), connections, (connections * 5 / scale).max(connections), true, 50);
        let said: Value = serde_json::from_slice(&server.stats(0)).unwrap();
        let of = |name: &str| said["lateness_ns"][name].as_f64().unwrap() / 1e3;
        // The mean is of all writes; the others are of the worst write of each request.
        let mean = said["writes"]["lateness_mean_ns"].as_f64().unwrap() / 1e3;
        println!("{name:<34}{mean:>12.1}{:>12.1}{:>12.1}{:>12.1}", of("p50"), of("p99"), of("max"));
        server.stop().unwrap();
    }
}
