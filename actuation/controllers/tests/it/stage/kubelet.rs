//! The node side: scheduler and kubelet of the stage.
//!
//! A Pod without a node is bound to the one its selector names. A Pod on the node is run: it gets an address and
//! the stub that its kind calls for, and its status says so at once. A Pod that is being deleted is ended (a
//! requester only once it was told that its engine sleeps, or after 2 s) and then force-deleted, so that only
//! finalizers hold it. One task per Pod.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::{Change, changes};
use dormouse_runtime::clock;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::engine::Engine;
use super::launcher::Launcher;
use super::requester::Requester;
use super::{NODE, NS, Shared, objects};

/// Runs until dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let api: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), NS, &ApiResource::erase::<Pod>(&()));
    let mut events = Box::pin(changes(api, watcher::Config::default()));
    let mut known: HashMap<String, watch::Sender<Value>> = HashMap::new();
    let mut tasks = JoinSet::new();
    while let Some(change) = events.next().await {
        let (seen, gone) = match change {
            Change::Apply(pod) => (vec![pod], vec![]),
            Change::Delete(pod) => (vec![], vec![pod]),
            Change::Reset(all) => (all, vec![]),
        };
        for pod in seen {
            let pod = serde_json::to_value(pod).unwrap();
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            shared.pods.lock().unwrap().insert(uid.clone(), pod.clone());
            if let Some(task) = known.get(&uid) {
                task.send_replace(pod);
            } else {
                let (sender, receiver) = watch::channel(pod);
                known.insert(uid, sender);
                tasks.spawn(one(Arc::clone(&shared), receiver));
            }
        }
        for pod in gone {
            let uid = pod.metadata.uid.unwrap();
            shared.pods.lock().unwrap().remove(&uid);
            known.remove(&uid);
        }
        shared.touch();
    }
}

enum Body {
    Requester(Requester),
    Engine(#[allow(dead_code, reason = "runs until dropped")] Engine),
    Launcher(#[allow(dead_code, reason = "runs until dropped")] Hosted),
}

impl Body {
    /// What it was told; who is no requester is ready from the beginning.
    fn told(&self) -> watch::Receiver<Option<bool>> {
        match self {
            Self::Requester(r) => r.ready.clone(),
            _ => watch::channel(Some(true)).1,
        }
    }
}

/// A launcher that is in the stage's table as long as it runs.
struct Hosted(Arc<Launcher>, Arc<Shared>);

impl Drop for Hosted {
    fn drop(&mut self) {
        self.0.stop();
        self.1.launchers.lock().unwrap().remove(&self.0.name);
    }
}

fn path(pod: &Value) -> String {
    format!("{}/{}", objects::collection("Pod"), objects::name(pod))
}

fn deleting(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// The life of a Pod. `None` from inside: the object is gone.
async fn one(shared: Arc<Shared>, mut pod: watch::Receiver<Value>) {
    let _ = live(&shared, &mut pod).await;
}

async fn live(shared: &Arc<Shared>, pod: &mut watch::Receiver<Value>) -> Option<()> {
    loop {
        let now = pod.borrow_and_update().clone();
        if now["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty()) {
            break;
        }
        let node = now["spec"]["nodeSelector"]["kubernetes.io/hostname"].as_str().unwrap_or(NODE);
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": objects::name(&now)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
        let _ = shared.api("POST", &format!("{}/binding", path(&now)), &binding).await;
        pod.changed().await.ok()?;
    }
    let now = pod.borrow_and_update().clone();
    let ip = shared.net.address();
    let mut container = format!("stage://{ip}");
    let mut body = start(shared, &now, ip).await;
    let mut told = body.told();
    let mut started = format!("{:.0}", clock::system().now());
    let (mut restarts, mut reported) = (0, None);
    loop {
        let (gate, wanted) = {
            let now = pod.borrow_and_update();
            if deleting(&now) {
                break;
            }
            (objects::gate(&now), objects::restarts(&now))
        };
        if restarts < wanted {
            drop(body);
            body = start(shared, &now, ip).await;
            told = body.told();
            (restarts, reported) = (wanted, None);
            container = format!("stage://{ip}/{restarts}");
            started = format!("{:.0}", clock::system().now());
        }
        // Without a probe the container is ready at once, and the gate alone decides.
        let ready = gate.unwrap_or_else(|| told.borrow_and_update().unwrap_or(false));
        if reported != Some(ready) {
            if reported.is_none() {
                shared.stamp(objects::name(&now), "running");
            }
            reported = Some(ready);
            let state = json!({"running": {"startedAt": started}});
            report(shared, &now, ip, (&container, restarts), (ready, ready || gate.is_some()), &state, "Running").await;
        }
        tokio::select! {
            changed = pod.changed() => changed.ok()?,
            Ok(()) = told.changed() => {}
        }
    }
    if let Body::Requester(_) = body {
        // Its engine may still be awake: it stays until it is told otherwise.
        let released = tokio::time::timeout(Duration::from_secs(2), told.wait_for(|t| *t == Some(false)));
        tokio::select! {
            _ = released => {}
            () = gone(pod) => return None,
        }
    }
    drop(body);
    let state = json!({"terminated": {"exitCode": 0, "finishedAt": format!("{:.0}", clock::system().now())}});
    report(shared, &now, ip, (&container, restarts), (false, false), &state, "Succeeded").await;
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": now["metadata"]["uid"]}});
    let _ = shared.api("DELETE", &path(&now), &options).await;
    Some(())
}

/// Waits until the object is gone.
async fn gone(pod: &mut watch::Receiver<Value>) {
    while pod.changed().await.is_ok() {}
}

async fn start(shared: &Arc<Shared>, pod: &Value, ip: Ipv4Addr) -> Body {
    let name = objects::name(pod);
    let split = |list: &str| list.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    if let Some(gpus) = pod["metadata"]["annotations"]["stage/gpus"].as_str() {
        return Body::Requester(Requester::start(shared, ip, 8081, name, split(gpus)).await);
    }
    if objects::label(pod, "launcher-config-name").is_some() {
        let launcher = Launcher::start(shared, ip, name).await;
        shared.launchers.lock().unwrap().insert(name.to_owned(), Arc::clone(&launcher));
        return Body::Launcher(Hosted(launcher, Arc::clone(shared)));
    }
    let gpus = split(objects::annotation(pod, "accelerators").unwrap_or_default());
    Body::Engine(Engine::start(shared, ip, 8000, "direct", &gpus).await)
}

/// `container`: its id, and how often it was restarted; `ready`: the Pod, and its containers.
async fn report(shared: &Shared, pod: &Value, ip: Ipv4Addr, container: (&str, u64), ready: (bool, bool), state: &Value, phase: &str) {
    let text = if ready.0 { "True" } else { "False" };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten().map(|c| {
        json!({"name": c["name"], "image": "stub", "imageID": "", "containerID": container.0, "ready": ready.1,
            "restartCount": container.1, "state": state})
    });
    let status = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": {
        "phase": phase, "podIP": ip.to_string(), "podIPs": [{"ip": ip.to_string()}],
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": text}],
        "containerStatuses": containers.collect::<Vec<_>>(),
    }});
    // A Pod that is gone needs no status.
    let _ = shared.api("PATCH", &format!("{}/status", path(pod)), &status).await;
}
