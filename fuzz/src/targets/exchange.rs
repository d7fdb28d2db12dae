//! An answer from the bytes of its connection to what is kept of it.
//!
//! The first byte chooses the endpoint, the second whether a stream was asked for, the third the limits, the fourth how the
//! connection ends, the fifth what the rest is: all the bytes of an answer, or a body, to which a head is made.

use std::io::Write as _;

use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::{Answered, Ask, Break, Cause, Counters, Exchange, Limits, Outcome, Piece, Progress, Stamps};
use dormouse_perf_load::http;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cuts::cuts;
use crate::{choose, memory};

const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Chat,
    Endpoint::Completions,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::Any,
    Endpoint::Embeddings,
    Endpoint::Rankings,
];
const SMALL: Limits = Limits { http: http::Limits { head: 300, chunk_line: 40 }, event: 200, body: 600, message: 20 };
/// Heads that are made; the framing follows.
const HEADS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 429 Slow down\r\n",
];

#[derive(Clone, Copy)]
struct How {
    ask: Ask,
    limits: Limits,
    /// The connection breaks at the end; else it ends.
    breaks: bool,
    record: bool,
}

impl How {
    fn exchange(self) -> Exchange {
        let mut exchange = Exchange::new(self.ask, self.limits);
        if self.record {
            exchange.record();
        }
        exchange
    }

    /// What came but for stamps, and how many bytes are behind it.
    fn read(self, exchange: &mut Exchange, pieces: &[&[u8]]) -> (Answered, Option<usize>) {
        let mut behind = None;
        for piece in pieces {
            match (exchange.read(1, piece), behind) {
                (Progress::Complete { left }, before) => {
                    assert!(left <= piece.len());
                    behind = Some(before.unwrap_or(0) + left);
                }
                (progress, before) => assert!(before.is_none(), "{progress:?} behind the end"),
            }
        }
        if self.breaks {
            exchange.broken(2, Break::TimedOut("too long".to_owned()));
        } else {
            exchange.end(2);
        }
        let mut answered = exchange.take();
        assert_ne!(answered.outcome, Outcome::Unfinished);
        assert_eq!(answered.counters.bytes, pieces.iter().map(|piece| piece.len() as u64).sum::<u64>().min(answered.counters.bytes));
        answered.stamps = Stamps::default();
        answered.counters = Counters { reads: 0, body_reads: 0, bytes: 0, body_bytes: 0, ..answered.counters };
        answered.pieces = answered.pieces.iter().map(|piece| Piece::new(0, piece.kind())).collect();
        answered.raw.iter_mut().for_each(|raw| raw.at = 0);
        // That depends on whether what is behind comes in the same read.
        answered.reusable = false;
        (answered, behind)
    }

    /// The same, however it is cut.
    fn check(self, bytes: &[u8]) -> Answered {
        let whole = self.read(&mut self.exchange(), &[bytes]);
        let mut again = self.exchange();
        for (at, pieces) in cuts(bytes).into_iter().enumerate() {
            let cut = self.read(&mut self.exchange(), &pieces);
            if at % 2 == 0 {
                again.restart(self.ask);
                assert_eq!(self.read(&mut again, &pieces), cut, "begun anew in {} pieces", pieces.len());
            }
            // How much was decoded before the fault is the decoder's secret.
            if !is_corrupt(&whole.0) && !is_corrupt(&cut.0) {
                assert_eq!(cut, whole, "in {} pieces", pieces.len());
            }
        }
        if let Outcome::Success = whole.0.outcome {
            assert!(!whole.0.pieces.is_empty());
        }
        whole.0
    }
}

fn is_corrupt(answered: &Answered) -> bool {
    matches!(&answered.outcome, Outcome::Failed(failure) if failure.cause == Cause::Coding)
}

/// The same body in the ways in which HTTP says where it ends.
fn framed(head: &str, body: &[u8], gzip: bool) -> Vec<Vec<u8>> {
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in cuts(body)[3].iter().filter(|piece| !piece.is_empty()) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut ways = vec![[format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(), chunked];
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        let coded = encoder.finish().unwrap();
        let head = format!("{head}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", coded.len());
        ways.push([head.as_bytes(), &coded].concat());
    }
    ways
}

pub(crate) fn check(data: &[u8]) {
    let ([endpoint, streaming, limits, ending, kind], rest) = choose(data, [ENDPOINTS.len(), 2, 2, 4, 1 + HEADS.len()]);
    let ask = Ask { endpoint: ENDPOINTS[endpoint], streaming: streaming == 0 };
    let limits = [Limits::default(), SMALL][limits];
    let how = How { ask, limits, breaks: ending % 2 == 1, record: ending >= 2 };
    let Some(head) = kind.checked_sub(1).map(|kind| HEADS[kind]) else {
        how.check(rest);
        bounded(how, rest);
        return;
    };
    // What the body says is the same in each way, one of which is cut; gzip is slow, and tried of a part of them.
    let gzip = rest.len() % 4 == 0;
    let ways = framed(head, rest, gzip);
    let cut = how.check(&ways[ways.len() - 1]);
    for way in &ways {
        assert_eq!(how.read(&mut how.exchange(), &[way]).0, cut, "{}", String::from_utf8_lossy(way));
    }
    bounded(how, &ways[1]);
}

/// With limits no more is held than they say, times what a tree of JSON takes of its text.
fn bounded(how: How, bytes: &[u8]) {
    let how = How { limits: SMALL, ..how };
    // A coding's tables, and what may come out of the bytes that are decoded at once.
    let coded = bytes.windows(8).any(|word| word.eq_ignore_ascii_case(b"encoding"));
    let decoder = if coded { (128 << 10) + 2200 * bytes.len().min(2 << 10) } else { 0 };
    memory::at_most(300 * (SMALL.body + SMALL.http.head) + decoder, || how.read(&mut how.exchange(), &[bytes]));
}
