//! The world as data, with all that chance decides taken out: generated names, UIDs, versions, times.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Stage, objects};

impl Stage {
    /// All Pods as far as the controllers wrote them, and all engines.
    pub(crate) fn snapshot(&self) -> Value {
        let pods = self.pods();
        let mut tokens: BTreeMap<String, String> = BTreeMap::new();
        for pod in &pods {
            let token = if pod["metadata"]["annotations"].get("stage/gpus").is_some() {
                objects::name(pod).to_owned()
            } else {
                objects::label(pod, "launcher-config-name")
                    .map_or_else(|| format!("DIRECT-{}", objects::label(pod, "model").unwrap_or_default()), |lc| format!("LAUNCHER-{lc}"))
            };
            tokens.insert(pod["metadata"]["uid"].as_str().unwrap().to_owned(), format!("UID-{token}"));
            tokens.insert(objects::name(pod).to_owned(), token);
        }
        let mut shown: Vec<Value> = pods.iter().map(|pod| normal(pod, &tokens)).collect();
        shown.sort_by_key(ToString::to_string);
        json!({"pods": shown, "engines": self.shared.ledger.engines().iter().map(|e| format!("{e:?}")).collect::<Vec<_>>()})
    }
}

fn normal(pod: &Value, tokens: &BTreeMap<String, String>) -> Value {
    let meta = &pod["metadata"];
    let mut annotations = meta["annotations"].as_object().cloned().unwrap_or_default();
    if let Some(stamp) = annotations.get_mut("dormouse.dev/last-used") {
        // Which instances have a time, not which time.
        let ids: Vec<String> =
            serde_json::from_str::<Map<String, Value>>(stamp.as_str().unwrap()).map(|m| m.keys().cloned().collect()).unwrap_or_default();
        *stamp = json!(ids);
    }
    // They cover the UID of the `LauncherConfig`.
    for hash in ["launcher-config-hash", "launcher-populator-template-hash"] {
        annotations.remove(&format!("dual-pods.llm-d.ai/{hash}"));
    }
    let text = json!({
        "name": meta["name"], "labels": meta["labels"], "annotations": annotations, "finalizers": meta["finalizers"],
        "deleting": !meta["deletionTimestamp"].is_null(), "ready": objects::ready(pod), "phase": pod["status"]["phase"],
    });
    let mut text = text.to_string();
    for (from, to) in tokens {
        text = text.replace(from, to);
    }
    serde_json::from_str(&text).unwrap()
}
