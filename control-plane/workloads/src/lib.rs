//! Workload controllers of the embedded plane: ReplicaSet, Deployment, garbage collection by owner,
//! namespace life cycle, default service accounts, collection of Pods on lost nodes and of finished ones, eviction
//! from tainted nodes.
//!
//! Each controller is a module with an index, a pure decision where there is one worth the name, and a
//! reconciler that executes it. They speak to the API as any client does.

mod common;
mod deployment;
mod garbage;
mod namespace;
mod pod_gc;
mod pods;
mod replicaset;
mod resources;
mod taint_eviction;

use std::time::Duration;

use dormouse_controller::metrics::EventCounts;
use dormouse_controller::{JsonClient, Recorder, Source};
use dormouse_runtime::{CancellationToken, SharedClock};
use kube::Client;

/// How the controllers run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Wall time.
    pub clock: SharedClock,
    /// How long a Pod outlives its node object.
    pub pod_gc_delay: Duration,
    /// Finished Pods that are kept; beyond, the oldest go.
    pub terminated_pods: usize,
    /// PEM of the authority that signs the API server's certificate, put into `kube-root-ca.crt` of every namespace.
    pub root_ca_pem: String,
}

/// Runs all of them until `shutdown`.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    let source = Source { component: "kube-controller-manager".to_owned(), host: None };
    let recorder = Recorder::start(JsonClient::from(client.clone()), source, options.clock.clone(), EventCounts::default());
    let all = async {
        tokio::join!(
            replicaset::run(client.clone(), options.clock.clone(), &recorder),
            deployment::run(client.clone(), options.clock.clone(), &recorder),
            garbage::run(client.clone(), &recorder),
            namespace::run(client.clone(), options.clock.clone(), options.root_ca_pem.clone()),
            taint_eviction::run(client.clone(), options.clock.clone(), &recorder),
            pod_gc::run(client.clone(), options.clock.clone(), options.pod_gc_delay, options.terminated_pods),
        );
    };
    tokio::select! { () = all => {}, () = shutdown.cancelled() => {} }
}
