//! The populator: launchers ahead of time.

use dormouse_actuation::Role;
use serde_json::json;

use crate::stage::objects::{self, annotation};
use crate::stage::{Stage, limits};

fn hashes(stage: &Stage) -> Vec<String> {
    stage.launcher_pods().iter().map(|p| annotation(p, "launcher-populator-template-hash").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn launchers_are_made_trimmed_and_renewed() {
    let stage = Stage::new().await;
    stage.create(objects::lpp("policy", "lc", 3)).await;
    let ctl = stage.start(Role::Populator, limits());
    let status = async |kind: &str, name: &str, errors: serde_json::Value| {
        let path = format!("{}/{name}", objects::collection(kind));
        stage
            .until_async(&format!("status of {name} is {errors}"), async || {
                let object = stage.shared.api("GET", &path, &serde_json::Value::Null).await.unwrap();
                object["status"]["observedGeneration"] == object["metadata"]["generation"] && object["status"]["errors"] == errors
            })
            .await;
    };
    status("LauncherPopulationPolicy", "policy", json!(["LauncherConfig \"lc\" referenced in CountForLauncher does not exist"])).await;
    assert!(stage.launcher_pods().is_empty());

    stage.create(objects::lc("lc", 2)).await;
    stage.until("three launchers are ready", |s| s.launcher_pods().iter().filter(|p| objects::ready(p)).count() == 3).await;
    status("LauncherPopulationPolicy", "policy", json!(null)).await;
    status("LauncherConfig", "lc", json!(null)).await;
    stage.quiet().await;
    assert_eq!(stage.launcher_pods().len(), 3);
    let count = "fma_launcher_pod_count{lcfg_name=\"lc\",phase=\"unbound\"} 3";
    stage.until_async("they are counted", async || ctl.metrics().contains(count)).await;

    stage
        .patch(
            "LauncherPopulationPolicy",
            "policy",
            json!({"spec": {"countForLauncher": [{"launcherConfigName": "lc", "launcherCount": 1}]}}),
        )
        .await;
    stage.until("one launcher is left", |s| s.launcher_pods().len() == 1).await;

    let old = hashes(&stage);
    stage.patch("LauncherConfig", "lc", json!({"spec": {"podTemplate": {"metadata": {"labels": {"generation": "2"}}}}})).await;
    stage
        .until("the launcher is renewed", |s| s.launcher_pods().len() == 1 && hashes(s) != old && objects::ready(&s.launcher_pods()[0]))
        .await;
    stage.quiet().await;
    assert_eq!(stage.launcher_pods().len(), 1);

    stage.delete("LauncherPopulationPolicy", "policy").await;
    stage.until("none is left", |s| s.launcher_pods().is_empty()).await;
}

#[tokio::test]
async fn both_controllers_side_by_side() {
    let stage = crate::launchers::stage(2).await;
    stage.create(objects::lpp("policy", "lc", 1)).await;
    let _dual = stage.start(Role::DualPods, limits());
    let _populator = stage.start(Role::Populator, limits());
    stage.until("a launcher waits", |s| s.launcher_pods().iter().any(objects::ready)).await;
    stage.create(objects::wants("r1", "qwen", &["GPU-0"])).await;
    stage.serving("r1").await;
    assert_eq!(stage.launcher_pods().len(), 1, "it took the one that was there");
    // A template that changes under a bound launcher renews it only when it is free.
    stage.patch("LauncherConfig", "lc", json!({"spec": {"podTemplate": {"metadata": {"labels": {"generation": "2"}}}}})).await;
    stage.quiet().await;
    let old = hashes(&stage);
    assert!(objects::ready(&stage.pod("r1").unwrap()));
    stage.retire("r1").await;
    stage.until("it is renewed", |s| s.launcher_pods().len() == 1 && hashes(s) != old && objects::ready(&s.launcher_pods()[0])).await;
}

#[tokio::test]
async fn a_malformed_config_is_left_alone() {
    let stage = Stage::new().await;
    let mut lc = objects::lc("lc", 1);
    lc["spec"]["podTemplate"]["spec"]["containers"][0]["name"] = json!("other");
    stage.create(lc).await;
    stage.create(objects::lpp("policy", "lc", 1)).await;
    let _ctl = stage.start(Role::Both, limits());
    let path = format!("{}/lc", objects::collection("LauncherConfig"));
    stage
        .until_async("the status says why", async || {
            let object = stage.shared.api("GET", &path, &serde_json::Value::Null).await.unwrap();
            object["status"]["errors"] == json!(["container \"inference-server\" not found"])
        })
        .await;
    stage.quiet().await;
    assert!(stage.launcher_pods().is_empty());
}
