//! The API server's log requests, answered by the kubelet of the Pod's node.

use std::collections::BTreeMap;

use dormouse_apiserver::logs::{LogOptions, PodLogs};
use dormouse_apiserver::{ApiError, Body};
use dormouse_kubelet::{Handle, LogQuery, Logs, Stream};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

/// The logs of all nodes.
pub(crate) struct NodeLogs {
    nodes: BTreeMap<String, Logs>,
}

impl NodeLogs {
    pub(crate) fn new(kubelets: &[Handle]) -> Self {
        Self { nodes: kubelets.iter().map(|k| (k.node_name().to_owned(), k.logs().clone())).collect() }
    }
}

impl PodLogs for NodeLogs {
    fn logs<'a>(&'a self, pod: &'a Value, container: &'a str, options: LogOptions) -> BoxFuture<'a, Result<Body, ApiError>> {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        async move {
            let node = text("/spec/nodeName");
            let Some(logs) = self.nodes.get(&node) else {
                return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", text("/metadata/name"))));
            };
            let query = LogQuery {
                uid: text("/metadata/uid"),
                pod: text("/metadata/name"),
                container: container.to_owned(),
                follow: options.follow,
                previous: options.previous,
                since_seconds: options.since_seconds,
                since_time: options.since_time,
                timestamps: options.timestamps,
                tail_lines: options.tail_lines,
                limit_bytes: options.limit_bytes,
                stream: match options.stream.as_deref() {
                    Some("Stdout") => Some(Stream::Stdout),
                    Some("Stderr") => Some(Stream::Stderr),
                    _ => None,
                },
            };
            let reader = logs.open(query).await.map_err(|e| ApiError::bad_request(e.to_string()))?;
            Ok(Body::from_stream(reader.into_stream()))
        }
        .boxed()
    }
}
