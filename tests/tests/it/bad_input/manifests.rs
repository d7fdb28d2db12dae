//! What can be wrong with objects: it is said in their status or an event, and others are served meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::{GOOD, SETS, engine, requester};
use crate::support::{Kubectl, Up, condition, name_of, names_of, stays, until};

const SOON: Duration = Duration::from_secs(30);
const MAP: &str = "/api/v1/namespaces/default/configmaps";

/// The problems that the dual-pods controller writes into a requester's status.
fn errors_of(up: &Up, app: &str) -> Vec<String> {
    let pods = up.api().pods(&format!("app={app}"));
    let Some(status) = pods.first().and_then(|p| p["metadata"]["annotations"]["dual-pods.llm-d.ai/status"].as_str()) else {
        return Vec::new();
    };
    let status: Value = serde_json::from_str(status).unwrap();
    status["Errors"].as_array().into_iter().flatten().map(|e| e.as_str().unwrap().to_owned()).collect()
}

fn says(up: &Up, app: &str, parts: &[&str]) {
    until(&format!("the status of {app} has {parts:?}"), SOON, || {
        let errors = errors_of(up, app);
        errors.iter().any(|e| parts.iter().all(|p| e.contains(p))).then_some(())
    });
}

fn served(up: &Up, app: &str) {
    until(&format!("{app} is served"), SOON, || {
        let pods = up.api().pods(&format!("app={app}"));
        pods.iter().any(|p| condition(p, "Ready") && p["metadata"]["deletionTimestamp"].is_null()).then_some(())
    });
    assert_eq!(errors_of(up, app), [""; 0], "what is over is no longer said");
}

#[test]
fn bad_maps_and_patches_are_said_in_the_status() {
    let up = Up::start(&["--gpus-per-node", "4", "--gpu-map", "none", "--controllers", "dual-pods"]);
    let api = up.api();
    let map = |data: &Value| {
        let _ = api.request("DELETE", &format!("{MAP}/gpu-map"), "application/json", "");
        api.create(MAP, &json!({"metadata": {"name": "gpu-map"}, "data": {"dormouse-1": data.to_string()}}));
    };
    api.create(SETS, &requester("first", &engine("first", &GOOD)));
    says(&up, "first", &["GPU map ConfigMap gpu-map is not available"]);
    map(&json!({"GPU-77": 0}));
    says(&up, "first", &["UUID GPU-0 is not known"]);
    assert_eq!(api.pods("engine").len(), 0, "nothing is made meanwhile");
    // An entry that is no JSON costs its node and nothing else.
    api.merge(&format!("{MAP}/gpu-map"), &json!({"data": {"dormouse-2": "GPU-9: 0", "dormouse-1": null, "dormouse-3": r#"{"GPU-0": 0}"#}}));
    says(&up, "first", &["UUID GPU-0 is on Node dormouse-3, not dormouse-1"]);
    until("the log names the entry", SOON, || {
        let controller = name_of(api.pods("app.kubernetes.io/component=dual-pods-controller").first()?);
        let log = api.text(&format!("/api/v1/namespaces/default/pods/{controller}/log"))?;
        log.lines()
            .any(|l| l.starts_with('E') && l.contains("A GPU map entry failed to parse as JSON") && l.contains("dormouse-2"))
            .then_some(())
    });
    map(&json!({"GPU-0": 0, "GPU-1": 1, "GPU-2": 2, "GPU-3": 3}));
    served(&up, "first");

    let patches = [
        ("no-yaml", "spec: [", &["failed to construct the nominal server-providing Pod"][..]),
        ("no-template", "{{ .Nothing", &["failed to construct the nominal server-providing Pod"]),
        ("no-pod", "spec:\n  containers: many\n", &["failed to construct the nominal server-providing Pod", "spec.containers"]),
        ("no-object", "- a\n- b\n", &["failed to construct the nominal server-providing Pod"]),
    ];
    for (name, patch, parts) in patches {
        // One after the other: each holds a GPU while it waits.
        api.create(SETS, &requester(name, patch));
        says(&up, name, parts);
        assert_eq!(names_of(&api.pods("engine")).len(), 1, "nothing is made of {name}");
        api.delete(&format!("{SETS}/{name}"));
        until("it goes although it was never served", SOON, || api.pods(&format!("app={name}")).is_empty().then_some(()));
    }
    api.create(SETS, &requester("second", &engine("second", &GOOD)));
    served(&up, "second");
    served(&up, "first");
    up.end();
}

#[test]
fn an_image_that_is_nothing_here_says_how_to_mend_it() {
    let up = Up::start(&["--controllers", "none"]);
    let api = up.api();
    let pod = |name: &str, container: Value| {
        let object = json!({"metadata": {"name": name}, "spec": {"containers": [container]}});
        api.create("/api/v1/namespaces/default/pods", &object);
    };
    pod("nothing", json!({"name": "main", "image": "registry.example/team/tool:1"}));
    pod("missing", json!({"name": "main", "image": "registry.example/team/tool:1", "command": ["no-such-program"]}));
    pod("good", json!({"name": "main", "image": "registry.example/team/tool:1", "command": ["sleep", "1000"]}));
    for name in ["nothing", "missing"] {
        let message = until("it waits and says why", SOON, || {
            let pod = api.pod(name)?;
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            ["ErrImagePull", "ImagePullBackOff"].contains(&reason).then(|| waiting["message"].as_str().unwrap().to_owned())
        });
        for part in ["registry.example/team/tool:1", "--images", "processes"] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        until("an event says it too", SOON, || {
            let events = api.events(name);
            events
                .iter()
                .any(|e| e["type"] == "Warning" && e["message"].as_str().unwrap().contains("registry.example/team/tool:1"))
                .then_some(())
        });
        assert_eq!(api.pod(name).unwrap()["status"]["phase"], "Pending");
    }
    until("the good one runs", SOON, || api.pod("good").filter(|p| condition(p, "Ready")));
    // The line it shows mends it.
    let message = api.pod("missing").unwrap()["status"]["containerStatuses"][0]["state"]["waiting"]["message"].to_string();
    assert!(message.contains("no-such-program"), "{message}");
    up.end();
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    let up = Up::start(&["--controllers", "none"]);
    let refused = |content_type: &str, body: &str| up.api().request("POST", MAP, content_type, body).unwrap_err();
    for (content_type, body) in [
        ("application/yaml", "metadata: {name: x\n"),
        ("application/yaml", "a: &a [*a]\n"),
        ("application/json", "{\"metadata\": "),
        ("application/json", "[]"),
        ("application/vnd.kubernetes.protobuf", "k8s\0nonsense"),
    ] {
        let status = refused(content_type, body);
        assert_eq!(
            (status.code, status.status.map(|s| format!("{s:?}"))),
            (400, Some("Failure".to_owned())),
            "{body:?}: {}",
            status.message
        );
        assert!(!status.message.is_empty());
    }
    assert_eq!(refused("text/html", "<p>").code, 415);
    assert_eq!(up.api().list("/api/v1/nodes").len(), 1, "it goes on");
    if let Some(kubectl) = Kubectl::find() {
        let k = kubectl.on(&up);
        let said = k.args(&["apply", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\n  metadata: {name: x}\n");
        assert!(said.code() == Some(1) && said.err.contains("line 3"), "{}", said.all());
        let said = k.args(&["apply", "-f", "-"], "apiVersion: v1\nkind: Penguin\nmetadata: {name: x}\n");
        assert!(said.code() == Some(1) && said.err.contains("no matches for kind \"Penguin\""), "{}", said.all());
        stays("nothing was made", Duration::from_millis(300), || up.api().get(&format!("{MAP}/x")).is_none());
    }
    up.end();
}
