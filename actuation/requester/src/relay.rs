//! The log relay: appends text of the real engine's log to a sink (the requester's standard output), each byte once.
//!
//! Held: how many bytes were accepted. A sender names the position of its chunk; overlap is cut, a gap is refused with the
//! length so far, so that a sender that does not know where it was can find out.

use std::io::Write;

/// The relay of one requester.
pub(crate) struct Relay {
    accepted: u64,
    sink: Box<dyn Write + Send>,
}

/// What became of a chunk. Prints as the reply (launcher 4.7).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Receipt {
    #[error("Accepted startPos={start}, chunkLength={length}, but that has nothing new; still contentLength={accepted}\r\n")]
    NothingNew { start: i64, length: usize, accepted: u64 },
    #[error("Accepted startPos={start}, chunkLength={length}; addedContentLength={added}, new contentLength={accepted}\r\n")]
    Added { start: i64, length: usize, added: usize, accepted: u64 },
    #[error("Starting position {0} is unacceptable because it is negative\r\n")]
    Negative(i64),
    #[error("Starting position {start} is beyond the current contentLength={accepted}\r\n")]
    Gap { start: i64, accepted: u64 },
    #[error("Failed to write log chunk: {0}\r\n")]
    WriteFailed(String),
}

impl Relay {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { accepted: 0, sink }
    }

    /// Takes a chunk that starts at `start`. Blocks while the sink does. After a failed write the accepted length is what
    /// was written, so that a sender can go on from there.
    pub(crate) fn accept(&mut self, start: i64, chunk: &[u8]) -> Receipt {
        let (length, accepted) = (chunk.len(), self.accepted);
        let Ok(from) = u64::try_from(start) else { return Receipt::Negative(start) };
        if from > accepted {
            return Receipt::Gap { start, accepted };
        }
        // Below the chunk's length when there is anything new.
        let known = usize::try_from(accepted - from).unwrap_or(usize::MAX);
        if known >= length {
            return Receipt::NothingNew { start, length, accepted };
        }
        let mut new = &chunk[known..];
        while !new.is_empty() {
            match self.sink.write(new) {
                Ok(0) => return Receipt::WriteFailed("nothing can be written".to_owned()),
                Ok(n) => {
                    self.accepted += n as u64;
                    new = &new[n..];
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Receipt::WriteFailed(e.to_string()),
            }
        }
        if let Err(e) = self.sink.flush() {
            return Receipt::WriteFailed(e.to_string());
        }
        Receipt::Added { start, length, added: length - known, accepted: self.accepted }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>, Arc<Mutex<Option<usize>>>);
    impl Write for Sink {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            let mut out = self.0.lock().unwrap();
            let room = self.1.lock().unwrap().map_or(b.len(), |limit| (limit - out.len()).min(b.len()));
            if room == 0 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            out.extend_from_slice(&b[..room]);
            Ok(room)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Row 9 of the requester's table.
    #[test]
    fn random_overlapping_chunks_make_a_prefix() {
        let text: Vec<u8> = (0..600_u32).map(|i| b'a' + u8::try_from(i * i % 26).unwrap()).collect();
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let sink = Sink::default();
            let mut relay = Relay::new(Box::new(sink.clone()));
            while sink.0.lock().unwrap().len() < text.len() {
                let start = rng.random_range(0..text.len());
                let end = (start + rng.random_range(0..80)).min(text.len());
                let before = sink.0.lock().unwrap().len();
                let outcome = relay.accept(i64::try_from(start).unwrap(), &text[start..end]);
                let out = sink.0.lock().unwrap();
                assert!(text.starts_with(&out), "seed {seed}");
                let refused = matches!(outcome, Receipt::Gap { .. });
                assert_eq!(refused, start > before, "seed {seed}");
            }
        }
    }

    #[test]
    fn after_a_failed_write_the_rest_can_be_sent_again() {
        let sink = Sink::default();
        *sink.1.lock().unwrap() = Some(4);
        let mut relay = Relay::new(Box::new(sink.clone()));
        assert!(matches!(relay.accept(0, b"abcdef"), Receipt::WriteFailed(_)));
        assert_eq!(relay.accept(9, b"x"), Receipt::Gap { start: 9, accepted: 4 });
        *sink.1.lock().unwrap() = None;
        assert_eq!(relay.accept(0, b"abcdef"), Receipt::Added { start: 0, length: 6, added: 2, accepted: 6 });
        assert_eq!(*sink.0.lock().unwrap(), b"abcdef");
        assert_eq!(relay.accept(i64::MAX, b""), Receipt::Gap { start: i64::MAX, accepted: 6 });
    }
}
