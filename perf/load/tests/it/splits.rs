//! How the bytes are cut into reads changes nothing but stamps, and no bytes make it panic.

use std::io::Write;

use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::{Answered, Ask, Cause, Counters, Exchange, Limits, Outcome, Piece, Progress, Stamps};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;

use crate::{DONE, delta, event, finish, say};

const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Chat,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Rankings,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::Any,
];

/// What came, without stamps and reads.
fn read<'a>(ask: Ask, limits: Limits, reads: impl Iterator<Item = &'a [u8]>) -> (Answered, bool) {
    let mut exchange = Exchange::new(ask, limits);
    let mut more = true;
    for bytes in reads {
        more = more && exchange.read(1, bytes) == Progress::More;
    }
    exchange.end(2);
    let mut answered = exchange.take();
    answered.stamps = Stamps::default();
    answered.counters = Counters { reads: 0, body_reads: 0, bytes: 0, body_bytes: 0, ..answered.counters };
    answered.pieces = answered.pieces.iter().map(|piece| Piece::new(0, piece.kind())).collect();
    // That depends on whether what is behind comes in the same read.
    answered.reusable = false;
    (answered, more)
}

fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut reads = Vec::new();
    for length in lengths {
        let (read, later) = bytes.split_at((*length).min(bytes.len()));
        reads.push(read);
        bytes = later;
    }
    reads.push(bytes);
    reads
}

/// Events as servers send them, and some that they do not.
fn any_event() -> impl Strategy<Value = String> {
    let odd = [
        ": ping\n\n",
        "data:\n\n",
        "event: message\nid: 1\n",
        "data: {\"a\":\"b\nc\"}\n\n",
        "data: {\"error\":{\"message\":\"x\"}}\n\n",
        "event: error\r\n: why\r\n\r\n",
        "data: {broken\n\n",
        "{\"bare\": 1}\n\n",
        "\r\n",
        "\r",
        DONE,
    ];
    prop_oneof![
        6 => "[a-z \"\\\\\n\u{e4}\u{4e16}\u{1f680}]{0,6}".prop_map(|text| say(&text)),
        2 => "[a-z]{0,6}".prop_map(|text| event(&delta(json!({"reasoning": text, "content": "x"}))).replace('\n', "\r\n")),
        1 => Just(finish("stop")),
        1 => (0_u64..9).prop_map(|n| event(&json!({"choices": [], "usage": {"completion_tokens": n, "prompt_tokens_details": null}}))),
        3 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

/// A body as one of the ways of HTTP.
fn framed(body: &[u8], how: u8, media_type: &str, gzip: bool, pieces: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 200 OK\r\n{media_type}");
    let mut body = body.to_vec();
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).unwrap();
        body = encoder.finish().unwrap();
        head += "Content-Encoding: gzip\r\n";
    }
    match how {
        0 => [format!("{head}\r\n").as_bytes(), &body].concat(),
        1 => [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
        _ => {
            let mut all = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for piece in body.chunks(pieces) {
                all.extend(crate::chunk(piece));
            }
            all.extend(b"0\r\nA: b\r\n\r\n");
            all
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_answer(
        events in prop::collection::vec(any_event(), 0..8),
        how in 0_u8..3,
        media_type in prop::sample::select(vec!["Content-Type: text/event-stream\r\n", "Content-Type: text/plain\r\n", ""]),
        (gzip, streaming) in (any::<bool>(), any::<bool>()),
        endpoint in prop::sample::select(ENDPOINTS.to_vec()),
        pieces in 1_usize..200,
        cuts in prop::collection::vec(0_usize..60, 0..40),
        missing in prop_oneof![3 => Just(0_usize), 1 => 0_usize..60],
    ) {
        let mut bytes = framed(events.concat().as_bytes(), how, media_type, gzip, pieces);
        bytes.truncate(bytes.len() - missing.min(bytes.len()));
        let ask = Ask { endpoint, streaming };
        let whole = read(ask, Limits::default(), [bytes.as_slice()].into_iter());
        prop_assert_eq!(&read(ask, Limits::default(), cut(&bytes, &cuts).into_iter()), &whole);
        prop_assert_eq!(&read(ask, Limits::default(), bytes.chunks(1)), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic(
        events in prop::collection::vec(any_event(), 0..5),
        how in 0_u8..3,
        gzip in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        endpoint in prop::sample::select(ENDPOINTS.to_vec()),
        cuts in prop::collection::vec(0_usize..60, 0..20),
        (event, body, message) in (1_usize..300, 1_usize..800, 0_usize..40),
    ) {
        let mut bytes = framed(events.concat().as_bytes(), how, "Content-Type: text/event-stream\r\n", gzip, 50);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = Limits { event, body, message, ..Limits::default() };
        let ask = Ask { endpoint, streaming: true };
        let (answered, _) = read(ask, limits, cut(&bytes, &cuts).into_iter());
        // A byte that is no character becomes one of three bytes.
        prop_assert!(answered.text.len() <= 3 * body && answered.pieces.len() <= body);
    }

    #[test]
    fn nor_does_noise(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0_usize..60, 0..20)) {
        for head in [b"".as_slice(), b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n"] {
            let bytes = [head, &bytes].concat();
            let ask = Ask { endpoint: Endpoint::Any, streaming: true };
            let whole = read(ask, Limits::default(), [bytes.as_slice()].into_iter());
            let in_pieces = read(ask, Limits::default(), cut(&bytes, &cuts).into_iter());
            if matches!(&whole.0.outcome, Outcome::Failed(failure) if failure.cause == Cause::Coding) {
                // How much was decoded before the fault is the decoder's secret.
                prop_assert_eq!(in_pieces.0.outcome, whole.0.outcome);
            } else {
                prop_assert_eq!(in_pieces, whole);
            }
        }
    }
}
