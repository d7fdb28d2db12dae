//! Pods that cannot run as they are written, and what is said of them; images that mean something.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plane::{NODE, Plane, sh, sh_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_of_a_variable_that_is_not_defined_starts_nothing() {
    let plane = Plane::start().await;
    // PATH is ours and not the Pod's.
    let mounts = json!({"volumeMounts": [{"name": "e", "mountPath": "/all"}, {"name": "e", "mountPath": "/mine", "subPathExpr": "logs/$(PATH)$(NO)"}]});
    let spec = json!({"restartPolicy": "Never", "volumes": [{"name": "e", "emptyDir": {}}], "containers": [sh_with("true", mounts)]});
    let created = plane.create("p", spec).await;
    let waits = |p: &Value| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError";
    let pod = plane.until("p", "waiting", waits).await;
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!((&waiting["message"], &pod["status"]["phase"]), (&json!("missing value for NO, PATH"), &json!("Pending")));
    assert_eq!(plane.until_event("p", "Failed").await, "Error: missing value for NO, PATH");
    let folder = plane.dir.path().join(NODE).join("pods").join(created.metadata.uid.unwrap()).join("volumes/e");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "no folder is made of the expression");
    let why = plane.log(&pod, "c", |_| ()).await.unwrap_err();
    assert_eq!(why, "container \"c\" in pod \"p\" is waiting to start: CreateContainerConfigError");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_pod_says_only_why() {
    let plane = Plane::start().await;
    plane.create("p", json!({"containers": [sh_with("true", json!({"resources": {"requests": {"cpu": "999"}}}))]})).await;
    let pod = plane.until_phase("p", "Failed").await;
    let status = &pod["status"];
    let message = status["message"].as_str().unwrap();
    assert!(status["reason"] == "OutOfcpu" && message.starts_with("Pod was rejected: Node didn't have enough resource: cpu"), "{status}");
    assert!(status.get("containerStatuses").is_none() && status["startTime"].is_string() && status["qosClass"] == "Burstable", "{status}");
    assert_eq!(plane.until_event("p", "OutOfcpu").await, message.strip_prefix("Pod was rejected: ").unwrap());
    let why = plane.log(&pod, "c", |_| ()).await.unwrap_err();
    assert_eq!(why, format!("container \"c\" in pod \"p\" is not available: {message}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_path_that_is_missing_becomes_a_folder() {
    let plane = Plane::start().await;
    let path = plane.dir.path().join("made/by/the/pod");
    let volumes = json!([{"name": "h", "hostPath": {"path": path.to_str().unwrap()}}]);
    let mounts = json!({"volumeMounts": [{"name": "h", "mountPath": "/h", "subPath": "in"}]});
    plane.create("p", json!({"restartPolicy": "Never", "volumes": volumes, "containers": [sh_with("echo x > /h/file", mounts)]})).await;
    plane.until_phase("p", "Succeeded").await;
    assert_eq!(std::fs::read_to_string(path.join("in/file")).unwrap(), "x\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_containers_own_tmp_hides_is_named() {
    let plane = Plane::start().await;
    let here = tempfile::tempdir_in("/tmp").unwrap();
    let path = here.path().to_str().unwrap();
    let script = format!("cat {path}/model; echo > /tmp/not-on-the-host; exec sleep 1000");
    plane.create("p", json!({"containers": [sh(&script)]})).await;
    std::fs::write(here.path().join("model"), "").unwrap();
    plane.create("q", json!({"containers": [sh(&script)]})).await;
    let message = plane.until_event("q", "HiddenByPrivateTmp").await;
    assert!(message.contains(&format!("{path}/model,")) && message.contains("hostPath") && !message.contains("not-on"), "{message}");
    let volumes = json!([{"name": "h", "hostPath": {"path": path}}]);
    let mounts = json!({"volumeMounts": [{"name": "h", "mountPath": path}]});
    plane.create("r", json!({"volumes": volumes, "containers": [sh_with(&script, mounts)]})).await;
    plane.until_ready("r").await;
    plane.until_event("r", "Started").await;
    assert!(plane.events("r").await.iter().all(|(reason, _)| reason != "HiddenByPrivateTmp"));
}

/// A name is looked for as the container sees its PATH; what only the host has there is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_only_the_hosts_tmp_has_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let plane = Plane::start().await;
    let here = tempfile::tempdir_in("/tmp").unwrap();
    let tool = here.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = here.path().to_str().unwrap();
    let container = |more: Value| {
        let mut c =
            json!({"name": "c", "image": "any", "command": ["tool"], "env": [{"name": "PATH", "value": format!("{path}:/usr/bin:/bin")}]});
        c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        c
    };
    plane.create("p", json!({"containers": [container(json!({}))]})).await;
    let message = plane.until_event("p", "HiddenByPrivateTmp").await;
    assert!(message.contains(tool.to_str().unwrap()) && message.contains("hostPath"), "{message}");
    let volumes = json!([{"name": "h", "hostPath": {"path": path}}]);
    let mounts = json!({"volumeMounts": [{"name": "h", "mountPath": path}]});
    plane.create("q", json!({"volumes": volumes, "containers": [container(mounts)]})).await;
    plane.until_ready("q").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_waits_for_its_end() {
    let plane = Plane::start().await;
    plane
        .create(
            "p",
            json!({"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 30,
                             "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}),
        )
        .await;
    let begun = Instant::now();
    let pod = plane.until_phase("p", "Failed").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(begun.elapsed() < Duration::from_secs(20), "it heeds the signal");
    assert_eq!(plane.log(&pod, "c", |_| ()).await.unwrap(), "Shutting down, got signal: Terminated\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_of_an_image_are_programs_of_ours() {
    let plane = Plane::start().await;
    // The program of this test says what it is and ends with 2.
    let script = "pwd; ls; for how in 'python3 helper.py' ./helper_too.py 'python3 /app/helper.py'; do $how 2>&1; echo $?; done";
    let container = json!({"name": "c", "image": "reg/helper:1", "command": ["bash", "-c", script]});
    plane.create("p", json!({"restartPolicy": "Never", "containers": [container]})).await;
    let pod = plane.until_phase("p", "Succeeded").await;
    let said = "this program is for the tests of dormouse-kubelet\n2\n";
    assert_eq!(plane.log(&pod, "c", |_| ()).await.unwrap(), format!("/app\nhelper.py\nhelper_too.py\n{said}{said}{said}"));
    plane.create("plain", json!({"restartPolicy": "Never", "containers": [sh("pwd; echo $PATH")]})).await;
    let pod = plane.until_phase("plain", "Succeeded").await;
    let said = plane.log(&pod, "c", |_| ()).await.unwrap();
    assert!(said.starts_with("/\n") && !said.contains("/.dormouse/last"), "{said}");
}
