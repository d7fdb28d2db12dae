//! Reading a log with the options of `kubectl logs`.

use std::io::{self, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream as AsyncStream;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::cri::{self, Stream};
use super::{Progress, RunLog};

/// Read at one time.
const CHUNK: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// UID of the Pod.
    pub uid: String,
    /// Name of the Pod, for messages.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// Stay and send what comes until the run ends.
    pub follow: bool,
    /// The run before the last.
    pub previous: bool,
    /// Only what is younger than so many seconds.
    pub since_seconds: Option<i64>,
    /// Only what is not older than this.
    pub since_time: Option<Timestamp>,
    /// A time before each line.
    pub timestamps: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only what was written to this stream.
    pub stream: Option<Stream>,
}

/// A log being read.
pub struct LogReader {
    log: Arc<RunLog>,
    progress: watch::Receiver<Progress>,
    query: LogQuery,
    since: Option<Timestamp>,
    number: u64,
    file: Option<File>,
    pending: Vec<u8>,
    /// The last line sent was a part: what follows belongs to it.
    within_line: bool,
    left: u64,
    done: bool,
}

impl LogReader {
    /// Positions a reader of `log`.
    pub(crate) async fn open(log: Arc<RunLog>, query: LogQuery, now: Timestamp) -> io::Result<Self> {
        let progress = log.progress.subscribe();
        let current = *progress.borrow();
        let ago = query.since_seconds.and_then(|s| now.checked_sub(SignedDuration::from_secs(s)).ok());
        let mut reader = Self {
            since: query.since_time.into_iter().chain(ago).max(),
            left: query.limit_bytes.unwrap_or(u64::MAX),
            log,
            progress,
            query,
            number: RunLog::oldest(current.file),
            file: None,
            pending: Vec::new(),
            within_line: false,
            done: false,
        };
        if let Some(lines) = reader.query.tail_lines {
            reader.seek_tail(lines, current.file).await?;
        }
        Ok(reader)
    }

    /// The text as a stream; it ends with the log, or when the run ends if it is followed.
    pub fn into_stream(self) -> impl AsyncStream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut reader| async move {
            let chunk = reader.next().await.transpose()?;
            Some((chunk, reader))
        })
    }

    /// Goes back from the end by `lines` lines, over older files if need be.
    async fn seek_tail(&mut self, mut lines: u64, current: u64) -> io::Result<()> {
        let oldest = self.number;
        for number in (oldest..=current).rev() {
            let Ok(mut file) = File::open(self.log.path(number)).await else { break };
            let mut at = file.seek(SeekFrom::End(0)).await?;
            self.number = number;
            let mut last = true;
            let mut chunk = vec![0; CHUNK];
            while at > 0 {
                let n = usize::try_from(at.min(CHUNK as u64)).unwrap_or(CHUNK);
                at -= n as u64;
                file.seek(SeekFrom::Start(at)).await?;
                file.read_exact(&mut chunk[..n]).await?;
                for i in (0..n).rev() {
                    // The newline at the very end closes the last line and opens none.
                    if chunk[i] != b'\n' || std::mem::take(&mut last) && lines > 0 {
                        continue;
                    }
                    lines = lines.saturating_sub(1);
                    if lines == 0 {
                        file.seek(SeekFrom::Start(at + i as u64 + 1)).await?;
                        self.file = Some(file);
                        return Ok(());
                    }
                }
            }
            // The file's first line has no newline before it.
            lines = lines.saturating_sub(1);
            if lines == 0 || number == oldest {
                file.seek(SeekFrom::Start(0)).await?;
                self.file = Some(file);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = vec![0; CHUNK];
        while !self.done && self.left > 0 {
            let seen = *self.progress.borrow_and_update();
            if self.file.is_none() {
                // A reader that was too slow lost what was removed meanwhile.
                self.number = self.number.max(RunLog::oldest(seen.file));
                match File::open(self.log.path(self.number)).await {
                    Ok(file) => self.file = Some(file),
                    Err(e) if e.kind() == io::ErrorKind::NotFound && self.number < seen.file => {
                        self.number += 1;
                        continue;
                    }
                    Err(e) => return Err(e),
                }
            }
            let Some(file) = &mut self.file else { continue };
            let n = file.read(&mut chunk).await?;
            if n > 0 {
                self.pending.extend_from_slice(&chunk[..n]);
                let out = self.take_lines();
                if !out.is_empty() {
                    return Ok(Some(out));
                }
            } else if self.number < seen.file {
                self.file = None;
                self.number += 1;
            } else {
                self.done = seen.ended || !self.query.follow || self.progress.changed().await.is_err();
            }
        }
        Ok(None)
    }

    /// What the complete lines in `pending` are for the reader.
    fn take_lines(&mut self) -> Bytes {
        let mut out = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = (&rest[..at], &rest[at + 1..]);
            rest = after;
            let Some(line) = cri::parse(line) else { continue };
            let wanted_stream = self.query.stream.is_none_or(|s| s == line.stream);
            let young = self.since.is_none_or(|since| cri::time(&line).is_none_or(|t| t >= since));
            if !wanted_stream || !young {
                continue;
            }
            if self.query.timestamps && !self.within_line {
                out.extend_from_slice(line.time);
                out.push(b' ');
            }
            out.extend_from_slice(line.text);
            if !line.partial {
                out.push(b'\n');
            }
            self.within_line = line.partial;
        }
        self.pending = rest.to_vec();
        let keep = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        out.truncate(keep);
        self.left -= keep as u64;
        Bytes::from(out)
    }
}
