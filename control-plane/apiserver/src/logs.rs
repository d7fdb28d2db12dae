//! Logs of Pods: the API server knows how to be asked, the node side knows where they are.

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{ApiError, Body};

/// What `GET …/pods/<name>/log` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Keep the answer open and send what comes.
    pub follow: bool,
    /// The container's previous run.
    pub previous: bool,
    /// Only what is younger than so many seconds.
    pub since_seconds: Option<i64>,
    /// Only what is younger than this instant.
    pub since_time: Option<jiff::Timestamp>,
    /// A time in front of each line.
    pub timestamps: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// `All` (or absent), `Stdout` or `Stderr`.
    pub stream: Option<String>,
}

/// Who can read logs.
pub trait PodLogs: Send + Sync {
    /// The log of `container` of `pod` (the stored object) as a body of plain text.
    fn logs<'a>(&'a self, pod: &'a Value, container: &'a str, options: LogOptions) -> BoxFuture<'a, Result<Body, ApiError>>;
}
