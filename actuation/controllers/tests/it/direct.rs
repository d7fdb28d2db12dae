//! The direct flow: a provider Pod per requester, made from it by its patch.

use dormouse_actuation::Role;
use dormouse_planner::limits::Limits;
use serde_json::json;

use crate::stage::objects::{self, annotation, label};
use crate::stage::{NODE, Stage, limits};

/// A stage with a filled `gpu-map`.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.create(objects::gpu_map()).await;
    stage
}

#[tokio::test]
async fn cold_sleeping_hot() {
    let stage = stage().await;
    let ctl = stage.start(Role::DualPods, Limits { check_gpu_memory: true, ..limits() });
    stage.create(objects::direct("a", "m", &["GPU-0"])).await;
    stage.serving("a").await;
    stage
        .until("labels are right", |s| {
            let provider = s.pod("a-dual-").unwrap();
            let requester = s.pod("a").unwrap();
            label(&provider, "sleeping") == Some("false")
                && label(&provider, "dual") == Some("a")
                && label(&requester, "dual") == provider["metadata"]["name"].as_str()
                && annotation(&requester, "status") == Some("{\"Errors\":null}")
                && annotation(&requester, "accelerators") == Some("GPU-0")
                && requester["metadata"]["finalizers"] == json!(["dual-pods.llm-d.ai/requester"])
        })
        .await;
    let first = stage.pod("a-dual-").unwrap();
    stage.retire("a").await;
    stage
        .until("the provider sleeps unbound", |s| {
            s.pod("a-dual-").is_some_and(|p| label(&p, "sleeping") == Some("true") && annotation(&p, "requester").is_none())
        })
        .await;
    assert!(!stage.shared.ledger.engines()[0].awake);

    stage.create(objects::direct("b", "m", &["GPU-0"])).await;
    stage.serving("b").await;
    assert_eq!(stage.pod("a-dual-").unwrap()["metadata"]["uid"], first["metadata"]["uid"], "the same provider serves again");
    assert_eq!(stage.direct_pods().len(), 1);
    assert_eq!(stage.told("engine direct", "wake_up"), 1);
    assert!(stage.told("b", "memory") >= 1, "memory is looked at before a wake");
    for path in ["cold", "hot"] {
        let line =
            format!("fma_actuation_seconds_count{{exported_namespace=\"default\",path=\"{path}\",instancesDeleted=\"0\",isc_name=\"\"}} 1");
        stage.until_async(&line, async || ctl.metrics().contains(&line)).await;
    }
    ctl.kill().await;
}

#[tokio::test]
async fn another_model_waits_for_the_gpu_and_the_sleeper_limit_holds() {
    let stage = stage().await;
    let _ctl = stage.start(Role::DualPods, limits());
    for (requester, model) in [("a", "m1"), ("b", "m2"), ("c", "m3")] {
        stage.create(objects::direct(requester, model, &["GPU-0"])).await;
        stage.serving(requester).await;
        stage.retire(requester).await;
    }
    // One awake may have one sleeper beside it, so the third start deleted the first sleeper.
    stage.until("two providers are left", |s| s.direct_pods().len() == 2).await;
    assert!(stage.pod("a-dual-").is_none(), "the least recently used goes");
    // Both at once on one GPU: the second waits until the first is retired.
    stage.create(objects::direct("d", "m2", &["GPU-0"])).await;
    stage.serving("d").await;
    stage.create(objects::direct("e", "m3", &["GPU-0"])).await;
    stage.until("e is asked for its GPUs", |s| s.told("e", "accelerators") > 0).await;
    stage.quiet().await;
    assert!(!objects::ready(&stage.pod("e").unwrap()));
    stage.delete("Pod", "d").await;
    stage.serving("e").await;
}

#[tokio::test]
async fn a_provider_that_is_deleted_takes_its_requester_along() {
    let stage = stage().await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::direct("a", "m", &["GPU-0"])).await;
    stage.serving("a").await;
    let provider = objects::name(&stage.pod("a-dual-").unwrap()).to_owned();
    stage.until("the finalizer holds", |s| !s.pod("a").unwrap()["metadata"]["finalizers"].is_null()).await;
    stage.delete("Pod", &provider).await;
    stage.gone("a").await;
    stage.gone(&provider).await;
}

#[tokio::test]
async fn a_late_gpu_map_is_waited_for() {
    let stage = Stage::new().await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::direct("a", "m", &["GPU-0"])).await;
    stage.until("the status says why", |s| s.problems("a") == ["GPU map ConfigMap gpu-map is not available"]).await;
    stage.create(objects::gpu_map()).await;
    stage.serving("a").await;
    stage.until("the status is clean", |s| annotation(&s.pod("a").unwrap(), "status") == Some("{\"Errors\":null}")).await;
}

#[tokio::test]
async fn a_cordoned_node_gets_no_new_provider() {
    let stage = stage().await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::direct("a", "m", &["GPU-0"])).await;
    stage.serving("a").await;
    stage.patch("Node", NODE, json!({"spec": {"unschedulable": true}})).await;
    stage.create(objects::direct("b", "m", &["GPU-1"])).await;
    stage.gone("b").await;
    assert!(objects::ready(&stage.pod("a").unwrap()), "a pair that is bound stays");
}

#[tokio::test]
async fn the_old_prefix_is_understood_and_answered() {
    let stage = stage().await;
    let _ctl = stage.start(Role::DualPods, limits());
    stage.create(objects::old_direct("a", "m", &["GPU-0"])).await;
    stage.serving("a").await;
    stage
        .until("both statuses are written", |s| {
            let pod = s.pod("a").unwrap();
            let annotations = &pod["metadata"]["annotations"];
            annotations["dual-pod.llm-d.ai/status"] == annotations["dual-pods.llm-d.ai/status"]
                && annotations["dual-pods.llm-d.ai/status"].is_string()
        })
        .await;
    stage.retire("a").await;
}

#[tokio::test]
async fn a_bad_patch_is_said_in_the_status() {
    let stage = stage().await;
    let _ctl = stage.start(Role::DualPods, limits());
    let mut pod = objects::direct("a", "m", &["GPU-0"]);
    pod["metadata"]["annotations"]["dual-pods.llm-d.ai/server-patch"] = json!("spec: {frobozz: 1}");
    stage.create(pod).await;
    stage
        .until("the status says why", |s| {
            s.problems("a").iter().any(|p| p.starts_with("failed to construct the nominal server-providing Pod: "))
        })
        .await;
    stage.quiet().await;
    assert!(stage.direct_pods().is_empty());
}
