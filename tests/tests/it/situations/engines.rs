//! Engines of the host: one that names no host (all Pods share the host's network, so it listens at its Pod's address), and
//! those that no device ledger knows of.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{SOON, until_phase};
use crate::support::{Kubectl, Up, repository, run, until};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn an_engine_of_the_host_listens_at_its_pods_address() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none", "--engine", "host"]);
    let k = kubectl.on(&up);
    // Says what it was called with, in the place of a real one.
    let folder = up.folder().join("venv");
    std::fs::create_dir(&folder).unwrap();
    for name in ["vllm", "python3"] {
        let file = folder.join(name);
        std::fs::write(&file, "#!/bin/sh\necho \"$@\"\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    let container = |name: &str, command: &[&str]| {
        json!({"name": name, "image": "docker.io/vllm/vllm-openai:v0.10.2", "command": command,
               "env": [{"name": "PATH", "value": "/opt/venv:/usr/bin:/bin"}],
               "volumeMounts": [{"name": "venv", "mountPath": "/opt/venv"}]})
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engines"},
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "venv", "hostPath": {"path": folder}}],
            "containers": [
                container("shell", &["sh", "-c", "exec vllm serve m --port 8000"]),
                container("direct", &["/opt/venv/vllm", "serve", "m", "--port", "8000"]),
                // Found where only the container has it.
                container("bare", &["vllm", "serve", "m", "--port", "8000"]),
                container("module", &["sh", "-c", "python3 -u -m vllm.entrypoints.openai.api_server --model m"]),
                container("bare-module", &["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"]),
                container("other-module", &["sh", "-c", "python3 -m http.server"]),
                container("wildcard", &["sh", "-c", "vllm serve m --host 0.0.0.0"]),
                container("named", &["sh", "-c", "vllm serve m --host 127.1.1.1"]),
                container("version", &["sh", "-c", "vllm --version"]),
            ],
        },
    });
    up.api().create(PODS, &pod);
    let pod = until_phase(&k, "engines", "Succeeded");
    let ip = pod["status"]["podIP"].as_str().expect("an address");
    for (container, line) in [
        ("shell", format!("serve m --port 8000 --host {ip}")),
        ("direct", format!("serve m --port 8000 --host {ip}")),
        ("bare", format!("serve m --port 8000 --host {ip}")),
        ("module", format!("-u -m vllm.entrypoints.openai.api_server --model m --host {ip}")),
        ("bare-module", format!("-m vllm.entrypoints.openai.api_server --model m --host {ip}")),
        ("other-module", "-m http.server".to_owned()),
        ("wildcard", format!("serve m --host 0.0.0.0 --host {ip}")),
        ("named", "serve m --host 127.1.1.1".to_owned()),
        ("version", "--version".to_owned()),
    ] {
        assert_eq!(k.ok(&format!("logs engines -c {container}")).trim_end(), line, "{container}");
    }

    // Where the host has none, its end says so.
    let mut lonely = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lonely"}, "spec": {"restartPolicy": "Never"}});
    lonely["spec"]["containers"] = json!([{"name": "c", "image": "any", "command": ["sh", "-c", "vllm serve m"],
                                           "env": [{"name": "PATH", "value": "/bin"}]}]);
    up.api().create(PODS, &lonely);
    until_phase(&k, "lonely", "Failed");
    let log = k.ok("logs lonely");
    assert!(log.contains("--engine host") && log.contains("none on the PATH"), "{log}");
    up.end();
}

/// Engines without a way to the ledger, as real ones are: of the direct flow, of a launcher, and a Pod's own.
#[test]
fn engines_beside_the_ledger_are_seen_with_their_memory_unknown() {
    let Some(kubectl) = Kubectl::find() else { return };
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "- match: '*/vllm-openai:*'\n  env: {DORMOUSE_DEVICES: ''}\n").unwrap();
    let up = Up::start(&["--gpus-per-node", "4", "--images", rules.path().to_str().unwrap()]);
    let k = kubectl.on(&up);
    let launcher = std::fs::read_to_string(repository().join("examples/launcher.yaml")).unwrap();
    let dev_mode = "      VLLM_SERVER_DEV_MODE: \"1\"\n";
    k.feed("apply -f -", &launcher.replace(dev_mode, &format!("{dev_mode}      DORMOUSE_DEVICES: \"\"\n")));
    k.ok("apply -f examples/direct.yaml");
    let plain = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"},
        "spec": {"containers": [{"name": "c", "image": "any", "command": ["sleep", "1000"],
                                 "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
    });
    up.api().create(PODS, &plain);
    // An engine that uses the ledger stays as it was.
    let known = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "known"},
        "spec": {"containers": [{"name": "c", "image": "any", "command": ["dormouse", "engine", "sim", "--model", "known"],
                                 "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
    });
    up.api().create(PODS, &known);
    let told = |verb: &str| run(Up::command(up.folder()).args([verb, "--name", up.name(), "-o", "json"]), "", SOON).out;
    let gpus = || -> Vec<serde_json::Value> {
        let status: serde_json::Value = serde_json::from_str(&told("status")).unwrap();
        status["nodes"][0]["gpus"].as_array().unwrap().clone()
    };
    let shown = |field: &str, what: &str| {
        let has = |gpu: &serde_json::Value, field: &str| {
            gpu[field].as_array().unwrap().iter().any(|name| name.as_str().unwrap().starts_with(what))
        };
        gpus().iter().filter(|gpu| has(gpu, field)).map(|gpu| (has(gpu, "unknown"), gpu["used_bytes"] == 0)).collect::<Vec<_>>()
    };
    for (what, unknown) in [("alpha", true), ("direct-", true), ("plain", true), ("known", false)] {
        until(&format!("{what} is awake on one GPU"), SOON, || (shown("awake", what) == [(unknown, unknown)]).then_some(()));
    }
    let devices: serde_json::Value = serde_json::from_str(&told("devices")).unwrap();
    let listed = devices["dormouse-1"]["gpus"].as_array().unwrap().iter().flat_map(|gpu| gpu["unaccounted"].as_array().unwrap());
    let mut listed: Vec<String> = listed.map(|engine| engine["name"].as_str().unwrap().chars().take(5).collect()).collect();
    listed.sort();
    assert_eq!(listed, ["alpha", "direc", "plain"], "{devices}");
    let table = run(Up::command(up.folder()).args(["devices", "--name", up.name()]), "", SOON).out;
    assert_eq!(table.matches("unknown of 80.0 GiB").count(), 3, "{table}");
    for set in ["alpha", "direct"] {
        k.ok(&format!("scale rs/{set} --replicas=0"));
    }
    for what in ["alpha", "direct-"] {
        until(&format!("{what} sleeps"), SOON, || (shown("asleep", what) == [(true, true)]).then_some(()));
    }
    up.end();
}
