//! Event streams: `engine/client`'s reader of events, and what `perf/load` makes of one.
//!
//! The first byte chooses the reader's limit.

use dormouse_perf_load::sse::{Event, Message, Reader, TooLong, looks_like};

use crate::cuts::cuts;
use crate::{choose, memory};

const LIMITS: [usize; 4] = [4 << 20, 1024, 64, 8];

/// An event, owned.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    lines: Vec<Vec<u8>>,
    name: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    comment: Option<Vec<u8>>,
}

impl Told {
    fn of(event: Event<'_>) -> Self {
        let message = Message::read(event);
        // Where nothing is odd, the two ways to read an event say the same.
        if event.lines().all(|line| line.starts_with(b"data:")) {
            assert_eq!(message.data, event.data());
        }
        Self {
            lines: event.lines().map(<[u8]>::to_vec).collect(),
            name: message.name.map(<[u8]>::to_vec),
            data: message.data.map(std::borrow::Cow::into_owned),
            comment: message.comment.map(<[u8]>::to_vec),
        }
    }
}

fn read(pieces: &[&[u8]], reader: &mut Reader) -> (Vec<Told>, Option<TooLong>) {
    let mut events = Vec::new();
    for piece in pieces {
        let mut left = *piece;
        loop {
            match reader.next(&mut left) {
                Ok(Some(event)) => events.push(Told::of(event)),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(left.is_empty());
    }
    events.extend(reader.rest().map(Told::of));
    assert!(reader.rest().is_none());
    (events, None)
}

/// Lines between empty lines, as one would read them who has all of them.
fn plain(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut before = 0;
    for byte in stream {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' | b'\r' => lines.push(Vec::new()),
            byte => lines.last_mut().unwrap().push(*byte),
        }
        before = *byte;
    }
    lines.split(Vec::is_empty).filter(|event| !event.is_empty()).map(<[Vec<u8>]>::to_vec).collect()
}

pub(crate) fn check(data: &[u8]) {
    let ([limit], stream) = choose(data, [LIMITS.len()]);
    let limit = LIMITS[limit];
    let mut again = Reader::new(limit);
    let all: Vec<_> = cuts(stream).iter().map(|pieces| (read(pieces, &mut Reader::new(limit)), pieces.len())).collect();
    let (whole, _) = &all[0];
    for (cut, pieces) in &all {
        assert_eq!(cut, whole, "in {pieces} pieces");
    }
    // A reader that has read another stream is as new.
    for pieces in cuts(stream).iter().rev() {
        again.restart();
        assert_eq!(&read(pieces, &mut again), whole);
    }
    if whole.1.is_none() {
        let events: Vec<_> = whole.0.iter().map(|event| event.lines.clone()).collect();
        assert_eq!(events, plain(stream));
    }
    // The event under way, twice as large while its buffer grows, and with line ends of two bytes.
    memory::at_most(6 * limit.min(stream.len()) + 512, || {
        let mut reader = Reader::new(limit);
        for mut left in stream.chunks(1) {
            while let Ok(Some(_)) = reader.next(&mut left) {}
        }
    });
    let begins = looks_like(stream);
    for length in 0..stream.len().min(40) {
        let known = looks_like(&stream[..length]);
        assert!(known.is_none() || known == begins, "after {length} bytes {known:?}, then {begins:?}");
    }
}
