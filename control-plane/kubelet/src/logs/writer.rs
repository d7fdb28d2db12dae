//! From a container's pipe to its log.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use dormouse_runtime::clock::SharedClock;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::cri::{self, Stream};
use super::{Progress, RunLog};

/// A longer line is written in parts.
const LINE_BYTES: usize = 16 << 10;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    bytes: u64,
}

impl Sink {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, bytes: 0 })
    }
}

impl RunLog {
    /// Appends whole lines; begins a new file when this one is full.
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        // A write to the page cache takes microseconds: no reason to leave the task for it.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Progress = *self.progress.borrow();
        if sink.bytes >= self.file_bytes {
            next.file += 1;
            *sink = Sink::open(&self.path(next.file))?;
            if let Some(old) = Self::oldest(next.file).checked_sub(1) {
                let _ = std::fs::remove_file(self.path(old));
            }
        }
        sink.file.write_all(lines)?;
        sink.bytes += lines.len() as u64;
        next.bytes += lines.len() as u64;
        // Sent under the lock, or two streams could publish out of order.
        self.progress.send_replace(next);
        Ok(())
    }
}

/// Copies what comes out of `pipe` into `log` until the pipe ends.
pub(crate) async fn copy(mut pipe: pipe::Receiver, stream: Stream, log: Arc<RunLog>, clock: SharedClock) {
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = vec![0_u8; LINE_BYTES];
    let mut lines = Vec::new();
    let mut broken = false;
    loop {
        let n = match pipe.read(&mut chunk).await {
            Ok(n) => n,
            Err(error) => {
                tracing::warn!(%error, "reading a container's output failed");
                0
            }
        };
        let now = clock.now();
        lines.clear();
        split(&mut pending, &chunk[..n], n == 0, &mut |text, partial| cri::write(&mut lines, now, stream, partial, text));
        // A full disk must not block the container: its output is then lost, which is said once.
        if !lines.is_empty()
            && let Err(error) = log.append(&lines)
            && !std::mem::replace(&mut broken, true)
        {
            tracing::warn!(%error, dir = %log.dir.display(), "writing a container's log failed");
        }
        if n == 0 {
            return;
        }
    }
}

/// Cuts `new` (after what was `pending`) into lines and parts of over-long ones; at the `end` also what has no newline.
fn split(pending: &mut Vec<u8>, new: &[u8], end: bool, emit: &mut dyn FnMut(&[u8], bool)) {
    let mut rest = new;
    while let Some(at) = rest.iter().position(|b| *b == b'\n') {
        let (line, after) = (&rest[..at], &rest[at + 1..]);
        rest = after;
        if pending.is_empty() {
            emit(line, false);
        } else {
            pending.extend_from_slice(line);
            emit(pending, false);
            pending.clear();
        }
    }
    pending.extend_from_slice(rest);
    while pending.len() >= LINE_BYTES {
        emit(&pending[..LINE_BYTES], true);
        pending.drain(..LINE_BYTES);
    }
    if end && !pending.is_empty() {
        // As the CRI has it: what ends without a newline is a part that nothing follows.
        emit(pending, true);
        pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut pending, mut out) = (Vec::new(), Vec::new());
        for (i, chunk) in chunks.iter().enumerate() {
            split(&mut pending, chunk, i + 1 == chunks.len(), &mut |t, p| out.push((String::from_utf8_lossy(t).into_owned(), p)));
        }
        out
    }

    #[test]
    fn lines_are_cut_across_chunks() {
        let got = cut(&[b"a\nb", b"c\n\nd", b""]);
        let want = [("a", false), ("bc", false), ("", false), ("d", true)].map(|(t, p)| (t.to_owned(), p));
        assert_eq!(got, want);
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        let long = vec![b'x'; LINE_BYTES + 5];
        let got = cut(&[&long, b"\n", b""]);
        assert_eq!(got.iter().map(|(t, p)| (t.len(), *p)).collect::<Vec<_>>(), [(LINE_BYTES, true), (5, false)]);
    }
}
