//! Bodies that come compressed although nobody asked.

use std::io::Write;

use dormouse_perf_load::exchange::{Cause, Progress};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{CHAT, DONE, SSE, at_once, chunked, failure, finish, read, say, succeeded, times};

#[test]
fn events_come_when_their_bytes_do() {
    let head = format!("{SSE}Content-Encoding: gzip\r\n");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut pieces: Vec<Vec<u8>> = [say("a"), say(" b"), finish("stop"), DONE.to_owned()]
        .iter()
        .map(|event| {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        })
        .collect();
    pieces.push(encoder.finish().unwrap());
    let answered = read(CHAT, &chunked(&head, &pieces));
    succeeded(&answered);
    assert_eq!((times(&answered), answered.text.as_str()), (vec![20, 30], "a b"));
    assert_eq!(answered.counters.body_bytes, pieces.iter().map(|piece| piece.len() as u64).sum::<u64>(), "as they were sent");
    // What the proxy keeps to the end comes at the end; a head of the coding before it is nothing.
    let whole = pieces.concat();
    let answered = read(CHAT, &chunked(&head, &[&whole[..10], &whole[10..]]));
    assert_eq!(times(&answered), [30, 30]);
    // The coding's end is missing: the stream had said its own, or had not.
    let cut = read(CHAT, &chunked(&head, &pieces[..4]));
    succeeded(&cut);
    let cut = read(CHAT, &chunked(&head, &pieces[..2]));
    assert_eq!((failure(&cut).cause, &*failure(&cut).class), (Cause::Truncated, "ClientPayloadError"));
    let refused = read(
        CHAT,
        &[b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\n\r\n".to_vec(), {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(b"why").unwrap();
            encoder.finish().unwrap()
        }],
    );
    assert_eq!(failure(&refused).message, "why");
}

#[test]
fn other_codings_are_errors_that_name_them() {
    let (progress, answered) = at_once(CHAT, format!("{SSE}Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc").as_bytes());
    assert_eq!(progress, Progress::Hopeless);
    assert_eq!((failure(&answered).cause, &*failure(&answered).class), (Cause::Coding, "ContentEncodingError"));
    assert!(failure(&answered).message.contains("\"br\""));
    let (_, answered) = at_once(CHAT, format!("{SSE}Content-Encoding: gzip\r\n\r\n{}", say("a")).as_bytes());
    assert_eq!(failure(&answered).cause, Cause::Coding);
}
