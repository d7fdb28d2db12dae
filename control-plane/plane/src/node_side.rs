//! What the API server asks of a Pod's node, answered by the kubelet there.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use dormouse_apiserver::node_side::{LogOptions, NodeSide, Target};
use dormouse_apiserver::{ApiError, ApiServer, Body};
use dormouse_kubelet::Handle;
use dormouse_kubelet::logs::{LogQuery, Stream};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

/// The kubelets by node, until the plane ends.
#[derive(Default)]
struct Kubelets {
    nodes: RwLock<BTreeMap<String, Arc<Handle>>>,
}

/// The kubelets that a server reaches. They hold clients of that server, so that it and they would keep each other for ever:
/// the server lets go of them when this is dropped, however the plane ends.
pub(crate) struct Reachable(Arc<Kubelets>);

impl Reachable {
    /// None yet.
    pub(crate) fn of(server: &ApiServer) -> Self {
        let kubelets = Arc::new(Kubelets::default());
        server.set_node_side(Arc::clone(&kubelets) as _);
        Self(kubelets)
    }

    pub(crate) fn add(&self, kubelet: &Arc<Handle>) {
        let mut nodes = self.0.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(kubelet.node_name().to_owned(), Arc::clone(kubelet));
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        self.0.nodes.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl NodeSide for Kubelets {
    fn logs<'a>(&'a self, target: Target<'a>, options: LogOptions) -> BoxFuture<'a, Result<Body, ApiError>> {
        let text = |path: &str| target.pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kubelet = self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(target.node()).cloned();
        let query = LogQuery {
            uid: text("/metadata/uid"),
            pod: text("/metadata/name"),
            container: target.container.to_owned(),
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
        async move {
            let Some(kubelet) = kubelet else {
                return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", query.pod)));
            };
            let reader = kubelet.logs(query).await.map_err(|e| ApiError::bad_request(e.to_string()))?;
            Ok(Body::from_stream(reader.into_stream()))
        }
        .boxed()
    }
}
