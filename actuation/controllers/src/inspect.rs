//! Looking into a running controller: whether it is ready, and how it sees each node.
//!
//! The loop owns its state; who looks asks it and is answered between two plans. What is shown is what decisions depend on:
//! names, bindings, answers, failures, calls under way. Environments and command lines of engines may hold secrets and
//! stay out.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dormouse_planner::NodeState;
use dormouse_planner::action::{ActionKey, EngineRef, Target};
use dormouse_planner::ids::{GpuUuid, InstanceId, Uid};
use dormouse_planner::memory::Instance;
use dormouse_planner::state::{Binding, Launcher, PodMeta, RequesterKind};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

/// Questions that may wait for the loop; a further one is refused.
const QUESTIONS: usize = 4;
/// Time to be answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody wants to see the state.
pub(crate) type Question = oneshot::Sender<Value>;

/// Looks into the loop of a controller.
#[derive(Debug, Clone)]
pub struct Inspector {
    ready: watch::Receiver<bool>,
    questions: mpsc::Sender<Question>,
}

/// What the loop holds of it.
pub(crate) struct Inspected {
    pub ready: watch::Sender<bool>,
    pub questions: mpsc::Receiver<Question>,
}

/// Both ends.
pub(crate) fn channel() -> (Inspector, Inspected) {
    let (ready_tx, ready) = watch::channel(false);
    let (questions, asked) = mpsc::channel(QUESTIONS);
    (Inspector { ready, questions }, Inspected { ready: ready_tx, questions: asked })
}

impl Inspector {
    /// Whether everything watched was listed once, so that it plans.
    #[must_use]
    pub fn ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// How the controller sees its nodes; `None` when it is too busy to say, or has ended.
    pub async fn state(&self) -> Option<Value> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(reply).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }
}

/// `/healthz` and `/readyz`.
pub(crate) fn health(inspector: Inspector) -> Router {
    async fn readyz(State(inspector): State<Inspector>) -> Response {
        if inspector.ready() {
            "ok".into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not everything that is watched was listed yet\n").into_response()
        }
    }
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz)).with_state(inspector)
}

/// The debug port: `/debug/state`, with `?node=` for one node.
pub(crate) fn debug(inspector: Inspector) -> Router {
    async fn state(State(inspector): State<Inspector>, Query(query): Query<BTreeMap<String, String>>) -> Response {
        let Some(mut state) = inspector.state().await else {
            return (StatusCode::SERVICE_UNAVAILABLE, "the controller is busy\n").into_response();
        };
        if let (Some(node), Some(nodes)) = (query.get("node"), state["nodes"].as_object_mut()) {
            nodes.retain(|name, _| name == node);
        }
        state["process"] = process();
        axum::Json(state).into_response()
    }
    async fn pprof() -> Response {
        (StatusCode::NOT_FOUND, "profiles are made with perf here; /debug/state shows what the controller sees\n").into_response()
    }
    Router::new()
        .route("/debug/state", get(state))
        .route("/debug/pprof", get(pprof))
        .route("/debug/pprof/{*profile}", get(pprof))
        .with_state(inspector)
}

/// This process as the kernel and the runtime count it.
fn process() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    json!({"threads": number("Threads:"), "residentKiB": number("VmRSS:"), "tasks": tasks})
}

/// One node.
pub(crate) fn node(state: &NodeState) -> Value {
    let memory = &state.memory;
    let bound = |binding: Option<&Binding>, uid: &Uid| binding.is_some_and(|b| b.uid == *uid);
    let provider = |uid: &Uid| {
        let directs = state.directs.values().filter(|d| bound(d.binding.as_ref(), uid)).map(|d| &d.pod);
        let launchers = state.launchers.values().filter(|l| bound(l.binding.as_ref(), uid)).map(|l| &l.pod);
        directs.chain(launchers).next().map(|pod| pod.name.as_str())
    };
    let requesters = state.requesters.values().map(|r| {
        let stub = state.stub(r);
        let mut shown = pod(&r.pod, provider(&r.pod.uid));
        match &r.kind {
            RequesterKind::Direct { .. } => shown["kind"] = "direct".into(),
            RequesterKind::Launcher { isc } => shown["inferenceServerConfig"] = isc.as_str().into(),
            RequesterKind::Contradictory => shown["kind"] = "contradictory".into(),
        }
        shown["gpus"] = stub.and_then(|s| s.gpus.known()).map_or(Value::Null, |g| gpus(g));
        shown["toldReady"] = stub.and_then(|s| s.relayed).map(|(ready, _)| ready).into();
        shown
    });
    let directs = state.directs.values().map(|d| {
        let mut shown = pod(&d.pod, d.binding.as_ref().map(|b| b.name.as_str()));
        shown["gpus"] = gpus(&d.gpus);
        shown["sleep"] = sleep(state, &EngineRef::direct(&d.pod.uid), &d.pod);
        shown
    });
    let launchers = state.launchers.values().map(|l| {
        let mut shown = pod(&l.pod, l.binding.as_ref().map(|b| b.name.as_str()));
        shown["launcherConfig"] = l.lc.as_str().into();
        shown["followed"] = state.told_by(l).is_some_and(|m| m.followed).into();
        shown["instances"] = instances(state, l);
        shown
    });
    let failures = memory.failures.iter().map(|(key, failure)| {
        json!({"what": what(state, key), "attempts": failure.attempts, "first": failure.first, "last": failure.last,
            "class": format!("{:?}", failure.class), "error": failure.error})
    });
    json!({
        "exists": state.node.exists, "ready": state.node.ready,
        "requesters": requesters.collect::<Vec<_>>(),
        "directProviders": directs.collect::<Vec<_>>(),
        "launchers": launchers.collect::<Vec<_>>(),
        "underWay": memory.in_flight.keys().map(|key| what(state, key)).collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn pod(pod: &PodMeta, bound_to: Option<&str>) -> Value {
    json!({"name": pod.name, "uid": pod.uid, "resourceVersion": pod.rv, "ip": pod.ip, "running": pod.running(), "ready": pod.ready,
        "deleting": pod.deleting.is_some(), "boundTo": bound_to})
}

fn gpus(list: &[GpuUuid]) -> Value {
    list.iter().map(GpuUuid::as_str).collect()
}

fn instances(state: &NodeState, launcher: &Launcher) -> Value {
    let Some(instances) = state.instances(launcher) else { return Value::Null };
    let one = |(id, instance): (&InstanceId, &Instance)| {
        json!({"id": id, "stopped": instance.stopped, "exitCode": instance.exit_code, "gpus": instance.gpus,
            "sleep": sleep(state, &EngineRef::instance(&launcher.pod.uid, id), &launcher.pod)})
    };
    instances.iter().map(one).collect()
}

fn sleep(state: &NodeState, engine: &EngineRef, provider: &PodMeta) -> Value {
    state.sleep(engine, provider).map_or(Value::Null, |sleep| format!("{sleep:?}").into())
}

/// An action by what it does to what, with names in place of UIDs where there are some.
fn what(state: &NodeState, key: &ActionKey) -> String {
    let name = |uid: &Uid| {
        let pods =
            [state.requesters.get(uid).map(|r| &r.pod), state.directs.get(uid).map(|d| &d.pod), state.launchers.get(uid).map(|l| &l.pod)];
        pods.into_iter().flatten().next().map_or_else(|| uid.to_string(), |pod| pod.name.clone())
    };
    let target = match &key.target {
        Target::Pod(uid) => format!("Pod {}", name(uid)),
        Target::Stub(uid) => format!("stub of {}", name(uid)),
        Target::Launcher(uid) => format!("launcher {}", name(uid)),
        Target::Engine(EngineRef { provider, instance: None }) => format!("engine of {}", name(provider)),
        Target::Engine(EngineRef { provider, instance: Some(id) }) => format!("instance {id} of {}", name(provider)),
        Target::NewProvider(uid) => format!("new provider for {}", name(uid)),
        Target::NewLauncher(config, n) => format!("new launcher {n} of {config}"),
        Target::Config(kind, name) => format!("{kind} {name}"),
    };
    format!("{:?} {target}", key.verb)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use dormouse_planner::action::Verb;
    use dormouse_planner::limits::Limits;
    use dormouse_planner::memory::{Failure, FailureClass};
    use jiff::Timestamp;
    use tower::ServiceExt;

    use super::*;
    use crate::world::World;

    async fn ask(app: Router, path: &str) -> (u16, String) {
        let response = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_is_said_when_it_is_there() {
        let (inspector, inspected) = channel();
        assert_eq!(ask(health(inspector.clone()), "/readyz").await.0, 503);
        assert_eq!(ask(health(inspector.clone()), "/healthz").await.0, 200);
        inspected.ready.send_replace(true);
        assert_eq!(ask(health(inspector.clone()), "/readyz").await, (200, "ok".to_owned()));
        // A loop that has ended answers nothing, and nobody waits for it.
        drop(inspected);
        assert_eq!(ask(debug(inspector.clone()), "/debug/state").await.0, 503);
        let (status, text) = ask(debug(inspector), "/debug/pprof/heap").await;
        assert!(status == 404 && text.contains("/debug/state"), "{text}");
    }

    #[tokio::test]
    async fn the_state_is_asked_of_the_loop_and_names_what_it_knows() {
        let mut world = World::new("ns".into(), Limits::default(), false);
        for (uid, name, node) in [("u1", "r1", "n1"), ("u2", "r2", "n2")] {
            world.apply_pod(&Arc::new(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "annotations": {"dual-pods.llm-d.ai/inference-server-config": "isc"}},
                "spec": {"nodeName": node, "containers": [{"name": "inference-server", "image": "i", "env": [{"name": "T", "value": "secret"}]}]},
                "status": {"podIP": "10.0.0.1"},
            })));
        }
        let key = ActionKey { target: Target::Stub(Uid("u1".into())), verb: Verb::ReadGpus, detail: String::new() };
        let (first, error) = (Timestamp::UNIX_EPOCH, "refused".to_owned());
        let failure = Failure { attempts: 2, first, last: first, class: FailureClass::Transient, error };
        world.nodes.get_mut("n1").unwrap().memory.failures.insert(key, failure);

        let (inspector, mut inspected) = channel();
        tokio::spawn(async move {
            while let Some(question) = inspected.questions.recv().await {
                let nodes: serde_json::Map<String, Value> = world.nodes.iter().map(|(n, s)| (n.clone(), node(s))).collect();
                question.send(json!({"nodes": nodes})).unwrap();
            }
        });
        let (status, text) = ask(debug(inspector.clone()), "/debug/state").await;
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, all["nodes"].as_object().unwrap().len()), (200, 2));
        assert_eq!(all["nodes"]["n1"]["requesters"][0]["inferenceServerConfig"], "isc");
        assert_eq!(all["nodes"]["n1"]["failures"][0]["what"], "ReadGpus stub of r1");
        assert!(all["process"]["threads"].as_u64().unwrap() > 0);
        assert!(!text.contains("secret"));
        let one: Value = serde_json::from_str(&ask(debug(inspector), "/debug/state?node=n2").await.1).unwrap();
        assert_eq!(one["nodes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["n2"]);
    }
}
