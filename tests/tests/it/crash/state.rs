//! The world as data, with all that chance decides taken out: generated names, UIDs, versions, times, addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::support::{Up, condition, name_of, run};

/// Annotation and label keys without their prefix.
fn key(pod: &Value, kind: &str, key: &str) -> Option<String> {
    Some(pod["metadata"][kind].get(format!("dual-pods.llm-d.ai/{key}"))?.as_str()?.to_owned())
}

/// The addresses of Pods.
pub(crate) fn addresses(pods: &[Value]) -> impl Iterator<Item = Ipv4Addr> {
    pods.iter().filter_map(|p| p["status"]["podIP"].as_str()?.parse().ok())
}

/// Pods as far as controllers write them, engines as they and the device ledger say.
pub(crate) fn snapshot(up: &Up) -> Value {
    let pods = up.api().pods("");
    let mut tokens: BTreeMap<String, String> = BTreeMap::new();
    for pod in &pods {
        let asks = key(pod, "annotations", "server-patch").or_else(|| key(pod, "annotations", "inference-server-config"));
        let token = match asks {
            Some(_) => format!("REQUESTER-{}", pod["metadata"]["labels"]["wants"].as_str().unwrap_or_default()),
            None if pod["metadata"]["labels"].get("dual-pods.llm-d.ai/launcher-config-name").is_some() => "LAUNCHER".to_owned(),
            None => "PROVIDER".to_owned(),
        };
        for unique in [pod["metadata"]["uid"].as_str(), pod["status"]["podIP"].as_str()].into_iter().flatten() {
            tokens.insert(unique.to_owned(), format!("OF-{token}"));
        }
        tokens.insert(name_of(pod), token);
    }
    let engines: Vec<Value> = pods.iter().flat_map(|pod| engines(up, pod)).collect();
    let text = json!({"pods": pods.iter().map(pod_state).collect::<Vec<_>>(), "engines": engines, "gpus": ledger(up)});
    let mut text = text.to_string();
    // A name may begin with another one.
    let mut tokens: Vec<_> = tokens.into_iter().collect();
    tokens.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    for (from, to) in tokens {
        text = text.replace(&from, &to);
    }
    let mut state: Value = serde_json::from_str(&text).unwrap();
    for part in state.as_object_mut().unwrap().values_mut() {
        part.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    state
}

fn pod_state(pod: &Value) -> Value {
    let meta = &pod["metadata"];
    let mut annotations = meta["annotations"].as_object().cloned().unwrap_or_default();
    if let Some(stamp) = annotations.get_mut("dormouse.dev/last-used") {
        // Which instances have a time, not which time.
        let times: Map<String, Value> = serde_json::from_str(stamp.as_str().unwrap()).unwrap_or_default();
        *stamp = json!(times.keys().collect::<Vec<_>>());
    }
    // The kubelet's stamps, and what the notifier of a launcher writes when it has looked.
    annotations.retain(|k, _| !["dormouse.dev/timeline", "dual-pods.llm-d.ai/vllm-instance-signature"].contains(&k.as_str()));
    let restarts = pod["status"]["containerStatuses"].as_array().into_iter().flatten().map(|c| &c["restartCount"]).collect::<Vec<_>>();
    json!({
        "name": meta["name"], "labels": meta["labels"], "annotations": annotations, "finalizers": meta["finalizers"],
        "deleting": !meta["deletionTimestamp"].is_null(), "ready": condition(pod, "Ready"), "phase": pod["status"]["phase"],
        "restarts": restarts,
    })
}

/// The engines of a Pod: instances of a launcher, or the one that the Pod is.
fn engines(up: &Up, pod: &Value) -> Vec<Value> {
    let Some(ip) = pod["status"]["podIP"].as_str() else { return Vec::new() };
    let read =
        |url: String| up.api().http(&url).filter(|(status, _)| *status == 200).and_then(|(_, body)| serde_json::from_str(&body).ok());
    let asleep = |port: u64| read(format!("http://{ip}:{port}/is_sleeping")).map(|v: Value| v["is_sleeping"].clone());
    if let Some(list) = read(format!("http://{ip}:8001/v2/vllm/instances")) {
        let one = |i: &Value| {
            let port = i["options"].as_str().and_then(|o| o.split("--port ").nth(1)?.split(' ').next()?.parse().ok());
            json!({"in": pod["metadata"]["name"], "id": i["instance_id"], "status": i["status"], "asleep": port.and_then(asleep)})
        };
        return list["instances"].as_array().into_iter().flatten().map(one).collect();
    }
    // A requester has nothing at an engine's port.
    asleep(8000).map(|asleep| json!({"in": pod["metadata"]["name"], "asleep": asleep})).into_iter().collect()
}

/// What the device ledger says: who holds how much, awake or asleep, and whether anybody asked for memory that was not
/// there. An engine takes nine tenths of its GPU, so that one which wakes beside another that is awake is refused.
fn ledger(up: &Up) -> Vec<Value> {
    let said = run(Up::command(up.folder()).args(["devices", "--name", up.name(), "-o", "json"]), "", std::time::Duration::from_secs(20));
    assert!(said.status.success(), "{}", said.all());
    let nodes: BTreeMap<String, Value> = serde_json::from_str(&said.out).unwrap();
    let gpus = nodes.values().flat_map(|node| node["gpus"].as_array().into_iter().flatten());
    gpus.map(|gpu| {
        let leases = gpu["leases"].as_array().into_iter().flatten();
        let mut leases: Vec<Value> =
            leases.map(|l| json!({"model": l["model"], "bytes": l["bytes"], "state": l["state"], "pod": l["owner"]["pod"]})).collect();
        leases.sort_by_key(ToString::to_string);
        json!({"gpu": gpu["uuid"], "refused": gpu["refused"], "leases": leases})
    })
    .collect()
}
