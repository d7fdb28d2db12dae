//! An engine of the host that names no host: all Pods share the host's network, so it listens at its Pod's address.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::until_phase;
use crate::support::{Kubectl, Up};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn an_engine_of_the_host_listens_at_its_pods_address() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none", "--engine", "host"]);
    let k = kubectl.on(&up);
    // Says what it was called with, in the place of a real one.
    let folder = up.folder().join("venv");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("vllm");
    std::fs::write(&file, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();

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
