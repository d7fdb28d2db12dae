//! What changes while a Pod runs: what its volumes show, its images, its deadline.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::plane::{NODE, PATIENCE, Plane, sh, sh_with};
use super::shim::eventually;

fn maps(plane: &Plane) -> Api<ConfigMap> {
    Api::namespaced(plane.client.clone(), "default")
}

async fn create_map(plane: &Plane, name: &str, data: Value) {
    let map = json!({"metadata": {"name": name}, "data": data});
    maps(plane).create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
}

async fn patch_map(plane: &Plane, name: &str, data: Value) {
    maps(plane).patch(name, &PatchParams::default(), &Patch::Merge(&json!({"data": data}))).await.unwrap();
}

/// The root of a volume on the host.
fn root(plane: &Plane, pod: &Value, volume: &str) -> PathBuf {
    plane.dir.path().join(NODE).join("pods").join(pod["metadata"]["uid"].as_str().unwrap()).join("volumes").join(volume)
}

/// Waits until the container has said this.
async fn until_said(plane: &Plane, pod: &Value, text: &str) {
    let begun = std::time::Instant::now();
    while !plane.log(pod, "c", |_| ()).await.unwrap().contains(text) {
        assert!(begun.elapsed() < PATIENCE, "never said {text:?}: {:?}", plane.log(pod, "c", |q| q.tail_lines = Some(3)).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounted_objects_are_followed_and_sub_paths_are_not() {
    let plane = Plane::start().await;
    create_map(&plane, "live", json!({"colour": "red", "gone": "soon"})).await;
    let secrets: Api<Secret> = Api::namespaced(plane.client.clone(), "default");
    let secret = json!({"metadata": {"name": "live"}, "stringData": {"word": "old"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let script = "while :; do echo \"$(cat /cm/colour) $(ls /cm | tr '\\n' ,) $(cat /all/word) $(cat /all/d/labels) $(cat /sub) $(ls /late)\"; sleep 0.05; done";
    let mounts = json!({"volumeMounts": [
        {"name": "cm", "mountPath": "/cm"}, {"name": "all", "mountPath": "/all"}, {"name": "late", "mountPath": "/late"},
        {"name": "cm", "mountPath": "/sub", "subPath": "colour"}]});
    let labels = json!({"items": [{"path": "d/labels", "fieldRef": {"fieldPath": "metadata.labels"}}]});
    let volumes = json!([
        {"name": "cm", "configMap": {"name": "live"}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "live"}}, {"downwardAPI": labels}]}},
        {"name": "late", "configMap": {"name": "late", "optional": true}}]);
    plane.create("p", json!({"volumes": volumes, "containers": [sh_with(script, mounts)]})).await;
    let pod = plane.until_ready("p").await;
    until_said(&plane, &pod, "red colour,gone, old app=\"p\" red \n").await;

    patch_map(&plane, "live", json!({"colour": "blue", "gone": null, "new": "here"})).await;
    until_said(&plane, &pod, "blue colour,new, old app=\"p\" red \n").await;
    let patch = json!({"stringData": {"word": "fresh"}});
    secrets.patch("live", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    until_said(&plane, &pod, "blue colour,new, fresh app=\"p\" red \n").await;
    let patch = json!({"metadata": {"labels": {"app": "q"}}});
    plane.pods().patch("p", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    until_said(&plane, &pod, "blue colour,new, fresh app=\"q\" red \n").await;
    create_map(&plane, "late", json!({"k": "v"})).await;
    until_said(&plane, &pod, "red k\n").await;

    // What is gone leaves what it last was; what is optional goes.
    maps(&plane).delete("live", &DeleteParams::default()).await.unwrap();
    assert_eq!(plane.until_event("p", "FailedMount").await, "MountVolume.SetUp failed for volume \"cm\" : configmap \"live\" not found");
    maps(&plane).delete("late", &DeleteParams::default()).await.unwrap();
    let late = root(&plane, &pod, "late");
    eventually("the optional file goes", || !late.join("k").exists()).await;
    assert_eq!(std::fs::read_to_string(root(&plane, &pod, "cm").join("colour")).unwrap(), "blue");
    let stamped = std::fs::read_dir(late).unwrap().map(|e| e.unwrap().file_name()).filter(|n| n.to_str().unwrap().starts_with("..2"));
    assert_eq!(stamped.count(), 1, "old folders are removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_be_shown_is_told_once_and_an_immutable_one_is_not_followed() {
    let plane = Plane::start().await;
    create_map(&plane, "keyed", json!({"k": "one"})).await;
    let fixed = json!({"metadata": {"name": "fixed"}, "data": {"k": "one"}, "immutable": true});
    maps(&plane).create(&PostParams::default(), &serde_json::from_value(fixed).unwrap()).await.unwrap();
    let items = json!([{"key": "k", "path": "d/f", "mode": 0o440}]);
    let volumes = json!([{"name": "v", "configMap": {"name": "keyed", "items": items}}, {"name": "f", "configMap": {"name": "fixed"}}]);
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "f", "mountPath": "/f"}]});
    plane.create("p", json!({"volumes": volumes, "containers": [sh_with("exec sleep 1000", mounts)]})).await;
    let pod = plane.until_ready("p").await;
    let (v, f) = (root(&plane, &pod, "v").join("d/f"), root(&plane, &pod, "f").join("k"));
    maps(&plane).delete("fixed", &DeleteParams::default()).await.unwrap();
    create_map(&plane, "fixed", json!({"k": "two"})).await;
    for data in [json!({"k": null, "l": "x"}), json!({"l": "y"})] {
        patch_map(&plane, "keyed", data).await;
        let want = "MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: k";
        assert_eq!(plane.until_event("p", "FailedMount").await, want);
        assert_eq!(std::fs::read_to_string(&v).unwrap(), "one");
    }
    patch_map(&plane, "keyed", json!({"k": "three"})).await;
    eventually("the new state is shown", || std::fs::read_to_string(&v).unwrap() == "three").await;
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&v).unwrap().permissions().mode() & 0o777, 0o440);
    assert_eq!(std::fs::read_to_string(&f).unwrap(), "one");
    let told = plane.events("p").await.into_iter().filter(|(reason, _)| reason == "FailedMount").count();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_image_restarts_the_container_whatever_the_policy() {
    let plane = Plane::start().await;
    plane.create("p", json!({"restartPolicy": "Never", "containers": [sh("exec sleep 1000")]})).await;
    plane.until_ready("p").await;
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "other:2"}]}});
    plane.pods().patch("p", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    let pod = plane.until("p", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let c = &pod["status"]["containerStatuses"][0];
    assert_eq!((&c["image"], &c["lastState"]["terminated"]["exitCode"]), (&json!("other:2"), &json!(143)));
    plane.until_event_with("p", "Killing", "Container c definition changed, will be restarted").await;
    plane.until_event_with("p", "Pulled", "Container image \"other:2\" means").await;
    plane.until_ready("p").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_may_come_later() {
    let plane = Plane::start().await;
    plane.create("p", json!({"containers": [sh("exec sleep 1000")]})).await;
    plane.until_ready("p").await;
    let patch = json!({"spec": {"activeDeadlineSeconds": 1}});
    plane.pods().patch("p", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let pod = plane.until_phase("p", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 143);
}
