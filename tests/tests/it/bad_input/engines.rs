//! Engines that misbehave: one that dies at start, one whose model is not whole, one that does not hear SIGTERM.

use std::time::Duration;

use serde_json::{Value, json};

use super::{GOOD, SETS, engine, requester};
use crate::support::{Process, Up, condition, name_of, repository, run, until};

const SOON: Duration = Duration::from_secs(30);

fn served(up: &Up, app: &str) -> Value {
    until(&format!("{app} is served"), SOON, || {
        let ready = |p: &Value| condition(p, "Ready") && p["metadata"]["deletionTimestamp"].is_null();
        up.api().pods(&format!("app={app}")).into_iter().find(ready)
    })
}

#[test]
fn an_engine_that_cannot_start_shows_its_end_and_others_are_served() {
    let up = Up::start(&["--gpus-per-node", "4", "--controllers", "dual-pods", "--restart-backoff", "1s"]);
    let api = up.api();
    let model = up.folder().join("tiny");
    let made = run(Up::command(up.folder()).args(["engine", "make-model", model.to_str().unwrap(), "--size", "1MB"]), "", SOON);
    assert_eq!(made.code(), Some(0), "{}", made.all());
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();

    api.create(SETS, &requester("dies", &engine("dies", &["sh", "-c", "echo no luck >&2; exit 7"])));
    let mut patch: Value = serde_json::from_str(&engine("torn", &["dormouse", "engine", "embedded", "/model", "--port=8000"])).unwrap();
    patch["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "model", "mountPath": "/model"}]);
    patch["spec"]["volumes"] = json!([{"name": "model", "hostPath": {"path": model}}]);
    api.create(SETS, &requester("torn", &patch.to_string()));
    api.create(SETS, &requester("good", &engine("good", &GOOD)));
    // It runs well, and has no routes to put it to sleep.
    let mut patch: Value = serde_json::from_str(&engine("mute", &GOOD)).unwrap();
    patch["spec"]["containers"][0].as_object_mut().unwrap().remove("env");
    api.create(SETS, &requester("mute", &patch.to_string()));

    for (name, code, words) in [("dies", 7, "no luck"), ("torn", 1, "tokenizer.json")] {
        let provider = until("its end is in the status", SOON, || {
            let pod = api.pods(&format!("engine={name}")).into_iter().next()?;
            let ended = &pod["status"]["containerStatuses"][0];
            [&ended["state"]["terminated"], &ended["lastState"]["terminated"]].iter().any(|t| t["exitCode"] == code).then_some(pod)
        });
        let provider = name_of(&provider);
        until("an event says that it is tried again", SOON, || {
            api.events(&provider).iter().any(|e| e["reason"] == "BackOff" && e["type"] == "Warning").then_some(())
        });
        let log = |previous: bool| api.text(&format!("/api/v1/namespaces/default/pods/{provider}/log?previous={previous}"));
        until("its log says why", SOON, || [log(true), log(false)].iter().flatten().any(|l| l.contains(words)).then_some(()));
        let status = run(Up::command(up.folder()).args(["status", "--name", up.name()]), "", SOON);
        assert!(status.out.contains(&provider) && status.out.contains("BackOff"), "`status` shows it: {}", status.all());
        let requester = until("the requester's status says so too", SOON, || {
            let said =
                |p: &Value| p["metadata"]["annotations"]["dual-pods.llm-d.ai/status"].as_str().is_some_and(|s| s.contains(&provider));
            api.pods(&format!("app={name}")).into_iter().find(said)
        });
        assert!(!condition(&requester, "Ready"), "it is not ready");
    }
    served(&up, "good");
    until("the status says what it lacks", SOON, || {
        let pods = api.pods("app=mute");
        let status = pods.first()?["metadata"]["annotations"]["dual-pods.llm-d.ai/status"].as_str()?;
        status.contains("VLLM_SERVER_DEV_MODE=1").then_some(())
    });
    up.end();
}

/// The flow with launchers: `examples/launcher.yaml`, a second configuration whose engine refuses its options, and a third
/// (`24` of the situations) whose model is too large for the GPU.
#[test]
fn an_instance_that_cannot_start_is_tried_with_pauses_and_says_so() {
    let up = Up::start(&["--gpus-per-node", "2"]);
    let api = up.api();
    let text = std::fs::read_to_string(repository().join("examples/launcher.yaml")).unwrap();
    for object in dormouse_machinery::yaml::documents(&text).unwrap() {
        let collection = match object["kind"].as_str().unwrap() {
            "ServiceAccount" => "/api/v1/namespaces/default/serviceaccounts".to_owned(),
            "Role" => "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles".to_owned(),
            "RoleBinding" => "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings".to_owned(),
            "ReplicaSet" => SETS.to_owned(),
            "LauncherPopulationPolicy" => "/apis/fma.llm-d.ai/v1alpha1/namespaces/default/launcherpopulationpolicies".to_owned(),
            kind => format!("/apis/fma.llm-d.ai/v1alpha1/namespaces/default/{}s", kind.to_lowercase()),
        };
        api.create(&collection, &object);
    }
    served(&up, "alpha");
    let configs = "/apis/fma.llm-d.ai/v1alpha1/namespaces/default/inferenceserverconfigs";
    api.create(
        configs,
        &json!({
            "apiVersion": "fma.llm-d.ai/v1alpha1", "kind": "InferenceServerConfig", "metadata": {"name": "refused"},
            "spec": {"launcherConfigName": "two-engines", "modelServerConfig": {"port": 8009, "options": "--model m --gpu-memory-utilization 7"}},
        }),
    );
    let case = std::fs::read_to_string(repository().join("tests/cases/kubernetes/24-bad-options.yaml")).unwrap();
    api.create(configs, &dormouse_machinery::yaml::documents(&case).unwrap()[0]);
    let ended = |code: &str| {
        let mut all = api.list("/api/v1/namespaces/default/events");
        all.retain(|e| e["reason"] == "InstanceEnded" && e["type"] == "Warning" && e["message"].as_str().unwrap().contains(code));
        all
    };
    // One after the other: the second GPU is free for one of them.
    for (config, code, words) in
        [("bad", "exit code 1", "do not fit into 72.00 GiB"), ("refused", "exit code 2", "--gpu-memory-utilization")]
    {
        let mut set = requester(config, "");
        set["spec"]["template"]["metadata"]["annotations"] = json!({"dual-pods.llm-d.ai/inference-server-config": config});
        api.create(SETS, &set);
        // Each death takes the requester with it, as in the peer; its successor's status says why it waits.
        let status = until("a status that tells how it ended", SOON, || {
            let pods = api.pods(&format!("app={config}"));
            pods.iter().find_map(|p| {
                p["metadata"]["annotations"]["dual-pods.llm-d.ai/status"].as_str().filter(|s| s.contains(code)).map(str::to_owned)
            })
        });
        let launcher = until("the status names the launcher", SOON, || {
            let pods = api.pods("app.kubernetes.io/component=launcher");
            pods.iter().map(name_of).find(|name| status.contains(name))
        });
        let log = api.text(&format!("/api/v1/namespaces/default/pods/{launcher}/log?container=inference-server")).unwrap();
        assert!(log.lines().any(|l| l.contains("An engine has ended") && l.contains(words)), "its log tells why: {log}");
        until("an event tells why the requester was deleted", SOON, || (!ended(code).is_empty()).then_some(()));
        if config == "bad" {
            api.merge(&format!("{SETS}/bad"), &json!({"spec": {"replicas": 0}}));
        }
    }
    // Pauses of 1, 2, 4 s: not many in this time.
    std::thread::sleep(Duration::from_secs(4));
    assert!(ended("exit code 2").len() < 6, "it is not tried all the time: {:#?}", ended("exit code 2"));
    served(&up, "alpha");
    // Mended, it is served.
    let options =
        json!({"spec": {"modelServerConfig": {"options": "--model m --enable-sleep-mode", "env_vars": {"VLLM_SERVER_DEV_MODE": "1"}}}});
    api.merge(&format!("{configs}/refused"), &options);
    served(&up, "refused");
    up.end();
}

#[test]
fn an_engine_that_ignores_sigterm_is_killed_after_its_grace() {
    let mut up = Up::start(&["--controllers", "dual-pods"]);
    let stub = ["dormouse", "engine", "stub", "m", "--port=8000", "--ignore-sigterm", "--children=2", "--daemon"];
    up.api().create(SETS, &requester("deaf", &engine("deaf", &stub)));
    served(&up, "deaf");
    let provider = up.api().pods("engine=deaf").remove(0);
    let uid = provider["metadata"]["uid"].as_str().unwrap().to_owned();
    let alive = || Process::all().into_iter().filter(|p| p.variable("DORMOUSE_POD_UID") == Some(&uid)).count();
    assert!(alive() >= 4, "the engine, its children and its daemon run");
    let path = format!("/api/v1/namespaces/default/pods/{}", name_of(&provider));
    let options = "{\"gracePeriodSeconds\": 1}";
    up.api().request("DELETE", &path, "application/json", options).unwrap();
    until("the Pod goes after its grace", SOON, || up.api().get(&path).is_none().then_some(()));
    until("and all of its processes with it", Duration::from_secs(2), || (alive() == 0).then_some(()));
    // Its requester is replaced and served again.
    let next = until("a new provider", SOON, || up.api().pods("engine=deaf").into_iter().find(|p| condition(p, "Ready")));
    assert_ne!(next["metadata"]["uid"], uid.as_str());
    served(&up, "deaf");
    assert!(up.processes().iter().any(|p| p.command.iter().any(|w| w == "--ignore-sigterm")), "another deaf one runs");
    up.end();
}
