//! The launcher flow: instances inside launchers, and what becomes of them.

use std::time::{Duration, Instant};

use dormouse_actuation::Role;
use dormouse_controller::{Change, changes};
use dormouse_planner::limits::{Limits, ReclaimOrder};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::stage::objects::{self, annotation, label};
use crate::stage::{Stage, limits};

/// A stage with a `LauncherConfig` `lc` of so many instances, and `InferenceServerConfig`s `qwen`, `llama`, `phi`.
pub(crate) async fn stage(max: u32) -> Stage {
    let stage = Stage::new().await;
    stage.create(objects::lc("lc", max)).await;
    for (name, port) in [("qwen", 9001), ("llama", 9002), ("phi", 9003)] {
        stage.create(objects::isc(name, port, "lc")).await;
    }
    stage
}

/// A requester for this config, waited for.
async fn serve(stage: &Stage, requester: &str, isc: &str, gpu: &str) {
    stage.create(objects::wants(requester, isc, &[gpu])).await;
    stage.serving(requester).await;
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Models that engines of the stage run, and whether they are awake.
fn engines(stage: &Stage) -> Vec<bool> {
    stage.shared.ledger.engines().iter().map(|e| e.awake).collect()
}

#[tokio::test]
async fn cold_warm_hot() {
    let stage = stage(3).await;
    let ctl = stage.start(Role::DualPods, Limits { check_gpu_memory: true, ..limits() });
    serve(&stage, "r1", "qwen", "GPU-0").await;
    stage
        .until("the launcher is an endpoint", |s| {
            let (launcher, requester) = (s.launcher_pods().remove(0), s.pod("r1").unwrap());
            let config: Value = serde_json::from_str(annotation(&launcher, "vllm-config").unwrap_or("{}")).unwrap();
            label(&launcher, "serves") == Some("qwen")
                && launcher["metadata"]["annotations"]["route/to"] == "qwen"
                && label(&launcher, "sleeping") == Some("false")
                && annotation(&launcher, "server-port") == Some("9001")
                && config["options"] == "--model qwen --port 9001"
                && label(&requester, "instance") == annotation(&launcher, "instance-id")
                && label(&requester, "dual") == launcher["metadata"]["name"].as_str()
                && requester["metadata"]["finalizers"] == json!(["dual-pods.llm-d.ai/requester"])
        })
        .await;
    let launcher = uid(&stage.launcher_pods()[0]);
    stage.retire("r1").await;
    stage
        .until("it sleeps unbound and is no endpoint", |s| {
            let launcher = s.launcher_pods().remove(0);
            ["requester", "instance-id", "server-port", "vllm-config", "isc-routing-metadata"]
                .iter()
                .all(|k| annotation(&launcher, k).is_none())
                && label(&launcher, "serves").is_none()
                && label(&launcher, "dual").is_none()
                && label(&launcher, "sleeping") == Some("true")
                && launcher["metadata"]["finalizers"].is_null()
                && launcher["metadata"]["annotations"]["dormouse.dev/last-used"].is_string()
        })
        .await;
    assert_eq!(engines(&stage), [false]);

    serve(&stage, "r2", "llama", "GPU-0").await; // warm
    stage.retire("r2").await;
    serve(&stage, "r3", "qwen", "GPU-0").await; // hot
    assert_eq!(stage.launcher_pods().len(), 1);
    assert_eq!(uid(&stage.launcher_pods()[0]), launcher);
    assert_eq!((stage.told("launcher-", "create"), stage.told("engine", "wake_up")), (2, 1));
    stage.retire("r3").await;
    let metrics = ctl.metrics();
    for (path, isc) in [("cold", "qwen"), ("warm", "llama"), ("hot", "qwen")] {
        let line = format!("path=\"{path}\",instancesDeleted=\"0\",isc_name=\"{isc}\"}} 1");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("fma_http_latency_seconds_count{purpose=\"wake\",method=\"POST\",exported_namespace=\"default\",isc_name=\"qwen\",status_code=\"200\"} 1"), "{metrics}");
}

#[tokio::test]
async fn two_models_swap_on_one_gpu() {
    let stage = stage(3).await;
    let _ctl = stage.start(Role::DualPods, limits());
    serve(&stage, "a1", "qwen", "GPU-0").await;
    stage.retire("a1").await;
    serve(&stage, "b1", "llama", "GPU-0").await;
    for round in 0..3 {
        let (old, new) = (["b", "a"][round % 2], ["a", "b"][round % 2]);
        let (old, new) = (format!("{old}{}", 1 + round.div_ceil(2)), format!("{new}{}", 2 + round / 2));
        let isc = if new.starts_with('a') { "qwen" } else { "llama" };
        // Together: the one that leaves must sleep before the other wakes; the ledger watches.
        stage.create(objects::wants(&new, isc, &["GPU-0"])).await;
        stage.delete("Pod", &old).await;
        stage.serving(&new).await;
        stage.gone(&old).await;
    }
    assert_eq!(stage.launcher_pods().len(), 1);
    assert_eq!(stage.told("launcher-", "create"), 2);
}

/// Three models in turn on a launcher for two; gives the models that are left.
async fn reclaim(order: ReclaimOrder) -> Vec<String> {
    let stage = stage(2).await;
    let _ctl = stage.start(Role::DualPods, Limits { reclaim: order, sleepers_per_gpu: 2, ..limits() });
    let mut ids = Vec::new();
    // qwen is made first and used last.
    for (requester, isc) in [("r1", "qwen"), ("r2", "llama"), ("r3", "qwen"), ("r4", "phi")] {
        serve(&stage, requester, isc, "GPU-0").await;
        stage.until("it is recorded", |s| label(&s.pod(requester).unwrap(), "instance").is_some()).await;
        ids.push((label(&stage.pod(requester).unwrap(), "instance").unwrap().to_owned(), isc.to_owned()));
        stage.retire(requester).await;
    }
    let left = stage.launcher().ids();
    assert_eq!(stage.told("launcher-", "delete"), 1);
    left.iter().map(|id| ids.iter().find(|(known, _)| known == id).unwrap().1.clone()).collect()
}

#[tokio::test]
async fn the_cap_is_kept_by_giving_up_the_least_recently_used() {
    assert_eq!(reclaim(ReclaimOrder::Lru).await, ["qwen", "phi"]);
}

#[tokio::test]
async fn the_cap_is_kept_by_giving_up_the_first_made() {
    assert_eq!(reclaim(ReclaimOrder::Fifo).await, ["llama", "phi"]);
}

#[tokio::test]
async fn an_edited_config_makes_sleepers_obsolete_at_once_and_the_awake_at_unbind() {
    let stage = stage(3).await;
    let _ctl = stage.start(Role::DualPods, limits());
    serve(&stage, "r1", "qwen", "GPU-0").await;
    stage.retire("r1").await;
    stage.patch("InferenceServerConfig", "qwen", json!({"spec": {"modelServerConfig": {"options": "--model qwen --fast"}}})).await;
    stage.until("the obsolete sleeper is deleted", |s| s.shared.ledger.engines().is_empty()).await;

    serve(&stage, "r2", "qwen", "GPU-0").await;
    stage.patch("InferenceServerConfig", "qwen", json!({"spec": {"modelServerConfig": {"options": "--model qwen --faster"}}})).await;
    stage.quiet().await;
    assert!(objects::ready(&stage.pod("r2").unwrap()), "who serves goes on");
    assert_eq!(engines(&stage), [true]);
    stage.retire("r2").await;
    stage.until("it is deleted and not slept", |s| s.shared.ledger.engines().is_empty()).await;
    assert_eq!(stage.told("engine", "sleep"), 1, "only the first was put to sleep");
}

#[tokio::test]
async fn an_instance_that_stops_takes_its_requester_along() {
    let stage = stage(3).await;
    let _ctl = stage.start(Role::DualPods, limits());
    serve(&stage, "r1", "qwen", "GPU-0").await;
    let launcher = stage.launcher();
    launcher.crash(&launcher.ids()[0]);
    stage.gone("r1").await;
    // The event may be the last thing that happens, so that nothing else tells when to look.
    let told = async {
        let told = |e: &Value| e["reason"] == "InstanceEnded" && e["involvedObject"]["name"] == "r1" && e["type"] == "Warning";
        loop {
            let events = stage.shared.api("GET", "/api/v1/events", &Value::Null).await.unwrap();
            if events["items"].as_array().unwrap().iter().any(told) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("an event says why");
    stage
        .until("the launcher is unbound and empty", |s| {
            annotation(&s.launcher_pods()[0], "requester").is_none() && s.launcher().ids().is_empty()
        })
        .await;
    serve(&stage, "r2", "qwen", "GPU-0").await;
    assert_eq!(stage.launcher_pods().len(), 1);
}

/// Whoever watches the requester of a dead engine sees it not ready before it is deleted. Prints how long after the death.
#[tokio::test]
async fn a_gated_requester_of_a_dead_engine_is_not_ready_before_it_is_deleted() {
    let stage = stage(3).await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::gated(objects::wants("r1", "qwen", &["GPU-0"]))).await;
    stage.serving("r1").await;
    let pods: Api<Pod> = Api::namespaced(stage.shared.client.clone(), "default");
    let mut changes = Box::pin(changes(pods, watcher::Config::default().fields("metadata.name=r1")));
    assert!(matches!(changes.next().await, Some(Change::Reset(all)) if all.len() == 1));
    let launcher = stage.launcher();
    launcher.crash(&launcher.ids()[0]);
    let died = Instant::now();
    let mut unready = None;
    let seen = async {
        while let Some(change) = changes.next().await {
            let Change::Apply(pod) = change else { return };
            let deleting = pod.metadata.deletion_timestamp.is_some();
            if !objects::ready(&serde_json::to_value(&pod).unwrap()) && !deleting {
                unready.get_or_insert_with(|| died.elapsed());
            }
            if deleting {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the requester is deleted");
    let unready = unready.expect("it was seen not ready before its deletion");
    dormouse_runtime::output::error_line(&format!("a dead engine's requester is seen not ready after {unready:?} (promise: 100 ms)"));
}

#[tokio::test]
async fn a_launcher_that_is_deleted_takes_its_requester_along() {
    let stage = stage(3).await;
    let _ctl = stage.start(Role::DualPods, limits());
    serve(&stage, "r1", "qwen", "GPU-0").await;
    stage.until("the finalizer holds", |s| !s.pod("r1").unwrap()["metadata"]["finalizers"].is_null()).await;
    let launcher = objects::name(&stage.launcher_pods()[0]).to_owned();
    stage.delete("Pod", &launcher).await;
    stage.gone("r1").await;
    stage.gone(&launcher).await;
}

#[tokio::test]
async fn what_is_missing_is_said_and_waited_for() {
    let stage = Stage::new().await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::wants("r1", "qwen", &["GPU-0"])).await;
    let says = |s: &Stage, what: &str| s.problems("r1").iter().any(|p| p.starts_with(what));
    stage.until("the config is missed", |s| says(s, "failed to get InferenceServerConfig \"qwen\": ")).await;
    stage.create(objects::isc("qwen", 9001, "lc")).await;
    stage.until("its launcher config is missed", |s| says(s, "failed to get LauncherConfig \"lc\": ")).await;
    stage.create(objects::lc("lc", 1)).await;
    stage.serving("r1").await;
}

#[tokio::test]
async fn a_restarted_controller_goes_on() {
    let stage = stage(3).await;
    let ctl = stage.start(Role::DualPods, limits());
    serve(&stage, "r1", "qwen", "GPU-0").await;
    serve(&stage, "r2", "llama", "GPU-1").await;
    stage.until("statuses are written", |s| ["r1", "r2"].iter().all(|r| annotation(&s.pod(r).unwrap(), "status").is_some())).await;
    stage.quiet().await;
    ctl.kill().await;
    stage.shared.fuse.arm(usize::MAX, crate::stage::When::Before);
    let ctl = stage.start(Role::DualPods, limits());
    let looks = |l: &String| l.ends_with("is_sleeping");
    stage
        .until_async("it has looked at the engines", async || {
            stage.shared.fuse.log().iter().rev().take_while(|l| !l.contains("-- armed")).filter(|l| looks(l)).count() >= 2
        })
        .await;
    stage.quiet().await;
    assert_eq!(stage.shared.fuse.effects(), 0, "nothing is to be done: {:#?}", stage.shared.fuse.log());
    ctl.kill().await;
    // Deleted while nobody looks.
    stage.delete("Pod", "r1").await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.gone("r1").await;
    serve(&stage, "r3", "qwen", "GPU-0").await;
    assert_eq!(stage.told("launcher-", "create"), 2, "r3 got the sleeper of r1");
}
