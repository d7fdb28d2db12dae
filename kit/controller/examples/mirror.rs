//! A whole controller in one page: it keeps a copy of each ConfigMap that asks for one.
//!
//! ```sh
//! cargo run -p dormouse-controller --example mirror -- --kubeconfig kubeconfig.yaml &
//! kubectl create configmap original --from-literal=a=1 && kubectl annotate configmap original example.com/copy-to=copy
//! ```
//!
//! Run it twice: one works, the other waits for the lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Parser;
use dormouse_controller::inspect;
use dormouse_controller::lease::{Campaign, Ended, Leader, Timing, identity};
use dormouse_controller::listeners::{self, Ports};
use dormouse_controller::metrics::Metrics;
use dormouse_controller::{
    At, Backoff, CallError, JsonClient, KubeFlags, Note, ObjectKey, Objects, Patch, Queue, Reason, Recorder, Requeue, Source, changes,
    follow, workers,
};
use dormouse_runtime::monotonic::BootClock;
use dormouse_runtime::{CancellationToken, clock, log, shutdown};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Resource, ResourceExt, runtime::watcher};
use serde_json::json;

/// The annotation by which a ConfigMap asks for a copy, and the one by which the copy says whose it is.
const COPY_TO: &str = "example.com/copy-to";
const COPY_OF: &str = "example.com/copy-of";

struct Mirror {
    client: JsonClient,
    recorder: Recorder,
    maps: Mutex<Objects<Arc<ConfigMap>>>,
    queue: Queue<ObjectKey>,
}

impl Mirror {
    fn maps(&self) -> MutexGuard<'_, Objects<Arc<ConfigMap>>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let Some(map) = self.maps().get(&key).cloned() else { return Ok(Requeue::OnChange) };
        let beside = |name: &String| ObjectKey::new(&key.namespace, name);
        // What happens to a copy is its original's concern.
        if let Some(original) = map.annotations().get(COPY_OF).map(beside) {
            self.queue.add(original, Reason::Related);
        }
        let Some(copy) = map.annotations().get(COPY_TO).map(beside) else { return Ok(Requeue::OnChange) };
        let held = self.maps().get(&copy).cloned();
        let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": map.data,
            "metadata": {"name": copy.name, "annotations": {COPY_OF: key.name}}});
        let all = At::all::<ConfigMap>(Some(&key.namespace));
        let made: ConfigMap = match held {
            Some(held) if held.data == map.data => return Ok(Requeue::OnChange),
            Some(held) => self.client.patch(&all.named(held.name_any()), &Patch::Merge(wanted)).await?,
            None => self.client.create(&all, &wanted).await?,
        };
        // The answer is newer than what the watch has shown.
        self.maps().put_answer(&made.metadata.clone(), Arc::new(made));
        self.recorder.record(&map.object_ref(&()), Note::normal("Copied", format!("Copied to {}", copy.name)));
        Ok(Requeue::OnChange)
    }
}

/// Waits for the lease, then works until `shutdown` or until the lease is lost.
pub async fn run(client: Client, campaign: Campaign, metrics: Metrics, shutdown: CancellationToken) -> Ended {
    let calls = JsonClient::from(client.clone()).manager("mirror");
    let election = calls.clone();
    campaign
        .run(&election, shutdown, |Leader { fence, stop }| async move {
            let calls = calls.fence(fence).counted(metrics.calls("mirror"));
            let source = Source { component: "mirror".into(), host: None };
            let mirror = Arc::new(Mirror {
                recorder: Recorder::start(calls.clone(), source, clock::system(), metrics.events("mirror")),
                client: calls,
                maps: Mutex::default(),
                // A copy that is not listed yet would be made again.
                queue: Queue::counted(Backoff::default(), metrics.queue("mirror")).after_lists(1),
            });
            let maps = changes(Api::<ConfigMap>::all(client), watcher::Config::default());
            let work = async {
                tokio::join!(
                    follow(maps, &mirror.maps, &mirror.queue),
                    workers("mirror", &mirror.queue, 2, |key| Arc::clone(&mirror).reconcile(key)),
                );
            };
            tokio::select! { () = work => {}, () = stop.cancelled() => {} }
        })
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        kube: KubeFlags,
        #[arg(long, env = "POD_UID")]
        pod_uid: Option<String>,
    }
    let args = Args::parse();
    log::init(log::Options { verbosity: 2, ..Default::default() });
    let (shutdown, metrics, (inspector, inspected)) = (shutdown::on_signals(), Metrics::default(), inspect::channel());
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    // No debug port: nobody here would answer its questions.
    let shown = listeners::serve(Ports { metrics: 8080, debug: 0 }, registry, inspector, shutdown.child_token());
    // Who waits for the lease is ready: a rolling update ends the one that holds it only then.
    inspected.ready.send_replace(true);
    let (namespace, name, identity) = ("default".into(), "mirror".into(), identity(args.pod_uid.as_deref()));
    let campaign = Campaign { namespace, name, identity, timing: Timing::default(), clock: clock::system(), boot: BootClock::system() };
    let work = run(args.kube.credentials(Some("mirror".into())).client().await?, campaign, metrics, shutdown.clone());
    let ended = tokio::select! { ended = work => ended, () = async { shown.await; std::future::pending().await } => Ended::Released };
    if ended == Ended::Lost { Err("the lease was lost".into()) } else { Ok(()) }
}
