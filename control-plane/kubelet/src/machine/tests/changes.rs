//! Objects that change under a running Pod, and Pods that end other than by their containers.

use super::*;

fn images(names: &[&str]) -> Event {
    Event::Updated(Update { images: names.iter().map(|n| (*n).to_owned()).collect(), ..Update::default() })
}

fn killed_for(w: &World) -> Vec<String> {
    let killing = |a: &Action| match a {
        Action::Record(r) if r.reason == "Killing" => Some(r.message.clone()),
        _ => None,
    };
    w.log.iter().filter_map(killing).collect()
}

#[test]
fn a_pod_that_was_not_taken_says_nothing_of_containers() {
    let mut p = pod(json!({"initContainers": [{"name": "i", "image": "x"}], "containers": [app(json!({}))]}));
    p.status = serde_json::from_value(json!({"phase": "Pending", "qosClass": "Burstable"})).unwrap();
    let mut w = World::new(&p);
    assert_eq!(w.send(Event::Rejected { reason: "OutOfcpu".into(), message: "no".into() }), ["Release"]);
    let status = w.json();
    assert_eq!((&status["phase"], &status["reason"], &status["message"]), (&json!("Failed"), &json!("OutOfcpu"), &json!("no")));
    for absent in ["containerStatuses", "initContainerStatuses", "conditions", "hostIP"] {
        assert!(status.get(absent).is_none(), "{absent}: {status}");
    }
    assert!(status["startTime"].is_string() && status["qosClass"] == "Burstable");

    // The next kubelet tells the same, and does not leave a condition of an earlier run as it was.
    p.status = serde_json::from_value(status).unwrap();
    assert_eq!(World::new(&p).json(), serde_json::to_value(p.status.as_ref().unwrap()).unwrap());
    p.status = serde_json::from_value(json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T00:00:00Z"}]}))
    .unwrap();
    let mut w = World::new(&p);
    w.send(Event::Rejected { reason: "NodeAffinity".into(), message: "no".into() });
    assert_eq!(w.condition("Ready").0, "False");
}

#[test]
fn an_overdue_pod_fails_when_its_processes_are_gone() {
    let mut w = World::prepared(json!({"activeDeadlineSeconds": 5, "containers": [app(json!({})), {"name": "d", "image": "nope"}]}));
    w.started(0, 0);
    w.send(Event::StartFailed { container: 1, attempt: 0, failure: Failure::Config, message: "why".into() });
    w.send(Event::Updated(Update { active_deadline: Some(S(4)), ..Update::default() }));
    assert_eq!(w.wait(S(4)), ["Event DeadlineExceeded", "Event Killing", "Stop 0"]);
    assert_eq!((w.phase().as_str(), w.json()["reason"].clone()), ("Pending", Value::Null), "not while a process lives");
    w.exited(0, 0, 143);
    let status = w.json();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
    assert_eq!(status["message"], "Pod was active on the node longer than the specified deadline");
    let states: Vec<&Value> = status["containerStatuses"].as_array().unwrap().iter().map(|c| &c["state"]["terminated"]).collect();
    assert_eq!((&states[0]["reason"], &states[0]["exitCode"]), (&json!("Error"), &json!(143)));
    let unknown = json!({"exitCode": 137, "reason": "ContainerStatusUnknown",
                         "message": "The container could not be located when the pod was terminated"});
    assert_eq!(states[1], &unknown);
}

#[test]
fn a_deadline_that_is_set_or_lowered_counts_from_the_start() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    w.started(0, 0);
    assert_eq!(w.next(), None);
    w.mono += S(10);
    let active = |seconds| Event::Updated(Update { active_deadline: Some(S(seconds)), ..Update::default() });
    w.send(active(60));
    assert_eq!(w.next(), Some(S(50)));
    assert_eq!(w.send(active(10)), ["Event DeadlineExceeded", "Event Killing", "Stop 0"]);
}

#[test]
fn what_could_not_have_begun_stays_waiting_when_the_pod_ends() {
    let init = |name: &str| json!({"name": name, "image": "i"});
    let spec = json!({"restartPolicy": "Never", "initContainers": [init("a"), init("b")], "containers": [app(json!({}))]});
    let mut w = World::prepared(spec.clone());
    w.started(0, 0);
    w.exited(0, 0, 1);
    let status = w.json();
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 1);
    assert_eq!(status["initContainerStatuses"][1]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");

    let mut w = World::new(&pod(spec));
    w.send(Event::Tick);
    w.deleted(0);
    assert_eq!(w.json()["initContainerStatuses"][0]["state"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!(w.json()["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");

    // A kubelet that only sees the end says what was said.
    let mut p = pod(json!({"restartPolicy": "Never", "initContainers": [init("a")], "containers": [app(json!({}))]}));
    let ended = |name: &str, reason: &str| {
        json!({"name": name, "image": "img", "imageID": "", "ready": false, "restartCount": 0,
               "state": {"terminated": {"exitCode": 0, "reason": reason}}})
    };
    p.status = serde_json::from_value(json!({"phase": "Failed", "reason": "Evicted", "initContainerStatuses": [ended("a", "Completed")],
                                             "containerStatuses": [ended("c", "OOMKilled")]}))
    .unwrap();
    let status = World::new(&p).json();
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(status["reason"], "Evicted");
}

#[test]
fn another_image_restarts_the_container_at_once() {
    for policy in ["Always", "Never"] {
        let mut w = World::prepared(json!({"restartPolicy": policy, "containers": [app(json!({}))]}));
        w.started(0, 0);
        assert_eq!(w.send(images(&["img"])), Vec::<String>::new());
        assert_eq!(w.send(images(&["img2"])), ["Event Killing", "Stop 0"]);
        assert_eq!(killed_for(&w), ["Container c definition changed, will be restarted"]);
        assert_eq!(w.json()["containerStatuses"][0]["image"], "img", "as long as it runs");
        assert_eq!(w.exited(0, 0, 0), ["Start 0.1"], "{policy}");
        assert_eq!(w.phase(), "Running");
        let c = w.json()["containerStatuses"][0].clone();
        assert!(
            c["state"]["waiting"].is_object() && c["lastState"]["terminated"]["exitCode"] == 0,
            "the API lets nobody leave an end: {c}"
        );
        w.started(0, 1);
        let c = w.json()["containerStatuses"][0].clone();
        assert_eq!((c["image"].clone(), c["restartCount"].clone()), (json!("img2"), json!(1)));
        assert_eq!(w.exited(0, 1, 0).contains(&"Start 0.2".to_owned()), policy == "Always", "the next end follows the policy");
    }
}

#[test]
fn another_image_ends_every_back_off() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    w.started(0, 0);
    w.exited(0, 0, 1);
    w.started(0, 1);
    assert_eq!(w.exited(0, 1, 1), ["Event BackOff"]);
    assert_eq!(w.send(images(&["img2"])), ["Start 0.2"]);
    let failed = |attempt| Event::StartFailed { container: 0, attempt, failure: Failure::Image, message: "nothing".into() };
    w.send(failed(2));
    assert_eq!(w.send(images(&["img3"])), ["Start 0.2"]);
    // A change that overtakes the start: its failure is not waited for, and what comes up is ended.
    assert_eq!(w.send(images(&["img4"])), Vec::<String>::new());
    assert_eq!(w.send(failed(2)), ["Event Failed", "Event Failed", "Start 0.2"]);
    w.send(images(&["img5"]));
    assert_eq!(w.started(0, 2), ["Event Killing", "Stop 0"]);
    assert_eq!(w.exited(0, 2, 143), ["Start 0.3"]);
}

#[test]
fn a_sidecar_follows_its_image_and_an_init_container_does_not() {
    let spec = json!({"initContainers": [{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}],
                      "containers": [app(json!({}))]});
    let mut w = World::prepared(spec);
    w.started(0, 0);
    assert_eq!(w.send(images(&["x2", "x", "img"])), Vec::<String>::new());
    w.exited(0, 0, 0);
    w.started(1, 0);
    w.started(2, 0);
    assert_eq!(w.send(images(&["x3", "x2", "img"])), ["Event Killing", "Stop 1"]);
    assert_eq!(killed_for(&w), ["Init container s definition changed"]);
    assert_eq!(w.exited(1, 0, 143), ["Start 1.1"]);
    // Once the end has begun, nothing is started for an image.
    w.deleted(5);
    assert_eq!(w.send(images(&["x3", "x2", "img2"])), Vec::<String>::new());
    assert_eq!(w.exited(2, 0, 0), Vec::<String>::new());
}

#[test]
fn who_fails_its_probe_is_named_as_the_kubelet_does() {
    let liveness = json!({"livenessProbe": {"exec": {}, "failureThreshold": 1}});
    let mut w = World::prepared(json!({"restartPolicy": "Never", "containers": [app(liveness.clone())]}));
    w.started(0, 0);
    w.probed(ProbeKind::Liveness, false);
    assert_eq!(killed_for(&w), ["Container c failed liveness probe"]);
    let mut sidecar = app(liveness);
    sidecar["restartPolicy"] = json!("Always");
    let mut w = World::prepared(json!({"initContainers": [sidecar], "containers": [{"name": "d", "image": "x"}]}));
    w.started(0, 0);
    w.probed(ProbeKind::Liveness, false);
    assert_eq!(killed_for(&w), ["Init container c failed liveness probe"]);
}

#[test]
fn an_update_says_what_the_object_says() {
    let mut p = pod(json!({"activeDeadlineSeconds": 7, "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}],
                           "initContainers": [{"name": "i", "image": "x"}], "containers": [app(json!({}))]}));
    p.status = serde_json::from_value(json!({"conditions": [{"type": "b", "status": "True"}]})).unwrap();
    let want = Update {
        deletion: Some(S(1)),
        gates: vec![None, Some("True".into())],
        generation: Some(3),
        images: vec!["x".into(), "img".into()],
        active_deadline: Some(S(7)),
    };
    assert_eq!(Update::of(&p, Some(S(1))), want);
}
