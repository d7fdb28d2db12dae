//! The side of the nodes: what the API server knows how to be asked and only the node of a Pod can answer.
//!
//! A subresource of Pods reads and checks the request, finds the [`Target`] and hands it to the server's [`NodeSide`]; whoever
//! runs nodes names one with [`ApiServer::set_node_side`](crate::ApiServer::set_node_side). Each way of reaching into a Pod is
//! one method here, with a type for its options, and one file in `subresources/`.

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{ApiError, Body};

/// The container of a Pod that a request is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The Pod as it is stored.
    pub pod: &'a Value,
    /// Name of the container, which the Pod has.
    pub container: &'a str,
}

impl<'a> Target<'a> {
    /// The node that the Pod is on; empty before it has one.
    #[must_use]
    pub fn node(&self) -> &'a str {
        self.pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default()
    }
}

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

/// Who reaches the Pods of all nodes.
pub trait NodeSide: Send + Sync {
    /// The log of a container as a body of plain text.
    fn logs<'a>(&'a self, target: Target<'a>, options: LogOptions) -> BoxFuture<'a, Result<Body, ApiError>>;
}
