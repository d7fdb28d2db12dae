//! The log endpoint: ranges for pollers, a stream for followers.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dormouse_runtime::CancellationToken;
use rustix::fs::inotify;
use tokio::sync::Semaphore;

use super::range::{self, Range};
use super::replies::detail;
use crate::logs::LogFile;
use crate::process::sys::Readable;

/// What a follower gets at a time.
const FOLLOW_CHUNK: usize = 64 << 10;
/// Replies above this size are made one at a time, so that memory stays bounded.
const LARGE: u64 = 1 << 20;

static LARGE_READS: Semaphore = Semaphore::const_new(1);
static START_HEADER: HeaderName = HeaderName::from_static("dormouse-log-start");

/// The range that is asked for; the error is its reply.
pub(crate) fn requested(headers: &HeaderMap) -> Result<Option<Range>, Box<Response>> {
    let Some(value) = headers.get(header::RANGE) else { return Ok(None) };
    // Header bytes are Latin-1 to the peer.
    let text: String = value.as_bytes().iter().copied().map(char::from).collect();
    range::parse(&text).map(Some).map_err(|e| Box::new(detail(StatusCode::BAD_REQUEST, &e.to_string())))
}

/// Answers one poll.
pub(crate) async fn poll(log: Arc<LogFile>, range: Option<Range>) -> Response {
    match poll_inner(log, range).await {
        Ok(response) => response,
        Err(error) => detail(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn poll_inner(log: Arc<LogFile>, range: Option<Range>) -> io::Result<Response> {
    let size = log.size()?;
    let kept_from = log.start(size);
    let Some((start, wanted)) = range::part(range, size, kept_from) else { return Ok(unsatisfiable(size, kept_from)) };
    let _one_at_a_time = if wanted > LARGE { LARGE_READS.acquire().await.ok() } else { None };
    let reader = Arc::clone(&log);
    let limit = usize::try_from(wanted).map_err(io::Error::other)?;
    let bytes = tokio::task::spawn_blocking(move || reader.read(start, limit)).await.map_err(io::Error::other)??;
    let Some(last) = (bytes.len() as u64).checked_sub(1) else { return Ok(unsatisfiable(log.size()?, kept_from)) };
    if log.start(size) > start {
        // The front was dropped while it was read.
        return Ok(unsatisfiable(size, log.start(size)));
    }
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let headers = [
        (header::CONTENT_TYPE, octets()),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CONTENT_RANGE, ascii(format!("bytes {start}-{}/{size}", start + last))),
    ];
    Ok((status, headers, bytes).into_response())
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn unsatisfiable(size: u64, kept_from: u64) -> Response {
    let headers = [(header::CONTENT_TYPE, octets()), (header::CONTENT_RANGE, ascii(format!("bytes */{size}")))];
    let mut response = (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
    if kept_from > 0 {
        response.headers_mut().insert(START_HEADER.clone(), ascii(kept_from.to_string()));
    }
    response
}

struct Follower {
    log: Arc<LogFile>,
    at: u64,
    changes: Readable,
    gone: CancellationToken,
    end: CancellationToken,
    _permit: super::Stream,
}

/// Answers with what there is from the range's start and everything that comes, until the instance is deleted.
pub(crate) fn follow(
    log: Arc<LogFile>,
    range: Option<Range>,
    gone: CancellationToken,
    end: CancellationToken,
    permit: Option<super::Stream>,
) -> Response {
    let Some(permit) = permit else { return detail(StatusCode::SERVICE_UNAVAILABLE, "Too many streams are open") };
    let changes = match watch_file(&log) {
        Ok(changes) => changes,
        Err(error) => return detail(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot watch the log: {error}")),
    };
    let at = match range {
        None => 0,
        Some(Range::From { start, .. }) => start,
        Some(Range::Last(length)) => match log.size() {
            Ok(size) => size.saturating_sub(length),
            Err(error) => return detail(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
    };
    let follower = Follower { log, at, changes, gone, end, _permit: permit };
    let stream = futures::stream::unfold(follower, |mut f| async move {
        let chunk = f.next().await.transpose()?;
        Some((chunk, f))
    });
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    (status, [(header::CONTENT_TYPE, octets())], Body::from_stream(stream)).into_response()
}

fn watch_file(log: &LogFile) -> io::Result<Readable> {
    let fd: OwnedFd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&fd, log.path(), inotify::WatchFlags::MODIFY)?;
    Readable::new(fd)
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let last = self.gone.is_cancelled();
            let size = self.log.size()?;
            if self.at > size {
                // Either it asks for the future, or the engine has truncated its log: go on with what comes.
                self.at = size;
            }
            self.at = self.at.max(self.log.start(size));
            if self.at < size {
                let (log, at) = (Arc::clone(&self.log), self.at);
                let bytes = tokio::task::spawn_blocking(move || log.read(at, FOLLOW_CHUNK)).await.map_err(io::Error::other)??;
                if !bytes.is_empty() {
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes.into()));
                }
            }
            if last {
                return Ok(None);
            }
            let mut events = [0_u8; 1024];
            tokio::select! {
                () = self.end.cancelled() => return Ok(None),
                () = self.gone.cancelled() => {}
                read = self.changes.read(&mut events) => { read?; }
            }
        }
    }
}
