//! Engines that misbehave: one that dies at start, one whose model is not whole, one that does not hear SIGTERM.

use std::time::Duration;

use serde_json::Value;

use super::{GOOD, SETS, engine, requester};
use crate::support::{Process, Up, condition, name_of, run, until};

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
    patch["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "model", "mountPath": "/model"}]);
    patch["spec"]["volumes"] = serde_json::json!([{"name": "model", "hostPath": {"path": model}}]);
    api.create(SETS, &requester("torn", &patch.to_string()));
    api.create(SETS, &requester("good", &engine("good", &GOOD)));

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
        assert!(!condition(&api.pods(&format!("app={name}"))[0], "Ready"), "its requester is not ready");
    }
    served(&up, "good");
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
