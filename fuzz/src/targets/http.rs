//! Answers of HTTP/1.1, one behind the other.
//!
//! The first byte chooses the limits, the second whether they answer a HEAD.

use dormouse_perf_load::http::{Error, Limits, Part, Reader};

use crate::cuts::cuts;
use crate::{choose, memory};

const LIMITS: [Limits; 3] =
    [Limits { head: 64 << 10, chunk_line: 16 << 10 }, Limits { head: 300, chunk_line: 40 }, Limits { head: 60, chunk_line: 8 }];

/// An answer, as far as it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    head: Option<Head>,
    body: Vec<u8>,
    complete: bool,
    error: Option<Error>,
    reusable: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    minor: u8,
    reason: String,
    fields: Vec<(String, Vec<u8>)>,
}

/// Whether the reader is used again for the next answer, or a new one is taken.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Restarted,
    New,
}

fn read(pieces: &[&[u8]], limits: Limits, to_head: bool, behind: Next) -> Vec<Answer> {
    let mut reader = Reader::new(limits, to_head);
    let mut answers = vec![Answer::default()];
    for piece in pieces {
        let mut left = *piece;
        while !left.is_empty() {
            if reader.is_complete() {
                answers.push(Answer::default());
                if behind == Next::New {
                    reader = Reader::new(limits, to_head);
                }
                reader.restart(to_head);
                assert!(!reader.has_begun() && !reader.may_reuse() && reader.head().fields().next().is_none());
            }
            let answer = answers.last_mut().unwrap();
            loop {
                match reader.next(&mut left) {
                    Ok(Some(Part::Head)) => {
                        assert!(answer.head.is_none() && answer.body.is_empty());
                        let head = reader.head();
                        let fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
                        let (status, minor, reason) = (head.status(), head.minor_version(), head.reason().to_owned());
                        answer.head = Some(Head { status, minor, reason, fields });
                    }
                    Ok(Some(Part::Body(bytes))) => {
                        assert!(answer.head.is_some() && !bytes.is_empty());
                        answer.body.extend_from_slice(bytes);
                    }
                    Ok(Some(Part::End)) => {
                        assert!(reader.is_complete() && answer.head.is_some());
                        (answer.complete, answer.reusable) = (true, reader.may_reuse());
                    }
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(reader.next(&mut b"HTTP/1.1 200 OK\r\n\r\n".as_slice()), Err(error.clone()));
                        assert_eq!((reader.end(), reader.may_reuse()), (Err(error.clone()), false));
                        answer.error = Some(error);
                        return answers;
                    }
                }
            }
            assert!(left.is_empty() || reader.is_complete());
        }
    }
    let answer = answers.last_mut().unwrap();
    if !answer.complete {
        answer.error = reader.end().err();
        answer.complete = answer.error.is_none();
        assert_eq!(reader.end().err(), answer.error);
        assert_eq!(reader.is_complete(), answer.complete);
        assert!(!reader.may_reuse());
    }
    answers
}

pub(crate) fn check(data: &[u8]) {
    let ([limits, to_head], bytes) = choose(data, [LIMITS.len(), 2]);
    let (limits, to_head) = (LIMITS[limits], to_head == 1);
    let whole = read(&[bytes], limits, to_head, Next::Restarted);
    for pieces in cuts(bytes) {
        for behind in [Next::Restarted, Next::New] {
            assert_eq!(read(&pieces, limits, to_head, behind), whole, "in {} pieces", pieces.len());
        }
    }
    for answer in &whole {
        assert!(answer.body.is_empty() || !(to_head || answer.head.as_ref().is_some_and(|head| matches!(head.status, 204 | 304))));
        assert!(answer.head.as_ref().is_none_or(|head| head.status == 101 || !(100..200).contains(&head.status)));
    }
    // The head twice, as it comes and as it is kept, each twice as large while it grows; places of its fields.
    memory::at_most(8 * limits.head.min(bytes.len()) + (16 << 10), || {
        let mut reader = Reader::new(limits, to_head);
        for mut left in bytes.chunks(1) {
            if reader.is_complete() {
                reader.restart(to_head);
            }
            while let Ok(Some(_)) = reader.next(&mut left) {}
        }
    });
}
