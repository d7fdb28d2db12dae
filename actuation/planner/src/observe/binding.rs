//! Reading back what a provider was bound for (actuation 3.4, B.3).

use std::collections::BTreeMap;

use dormouse_apis::names::annotation as key;
use serde_json::Value;

use crate::ids::{InstanceId, Uid};
use crate::instance::gpu_list;
use crate::json::{annotation, label, owned, text};
use crate::state::{Applied, Binding, Recorded, Routing};

/// The binding record: exactly two parts, separated by one blank.
pub(super) fn binding(pod: &Value) -> Option<Binding> {
    let record = annotation(pod, key::REQUESTER)?;
    let mut parts = record.split(' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(uid), Some(name), None) => Some(Binding { uid: Uid::from(uid), name: name.to_owned() }),
        _ => None,
    }
}

/// What a bound launcher recorded, or why it cannot be told.
pub(super) fn recorded(pod: &Value) -> Result<Recorded, String> {
    let name = owned(pod, &["metadata", "name"]);
    let missing = |key: &str| format!("bound launcher Pod {name:?} is missing annotation {key:?}");
    let invalid = |key: &str, why: &dyn std::fmt::Display| format!("bound launcher Pod {name:?} has invalid annotation {key:?}: {why}");
    let required = |key: &str| annotation(pod, key).ok_or_else(|| missing(key));

    let instance = required(key::INSTANCE_ID)?;
    if instance.is_empty() {
        return Err(missing(key::INSTANCE_ID));
    }
    let port_text = required(key::SERVER_PORT)?;
    let port: u16 = port_text
        .parse()
        .map_err(|why| format!("bound launcher Pod {name:?} has invalid annotation {:?} value {port_text:?}: {why}", key::SERVER_PORT))?;
    let config: Value = serde_json::from_str(required(key::VLLM_CONFIG)?).map_err(|why| invalid(key::VLLM_CONFIG, &why))?;
    if !config.is_object() {
        return Err(invalid(key::VLLM_CONFIG, &"not a JSON object"));
    }
    let routing = match annotation(pod, key::ISC_ROUTING_METADATA) {
        Some(json) => serde_json::from_str(json).map_err(|why| invalid(key::ISC_ROUTING_METADATA, &why))?,
        None => old_routing(pod).ok_or_else(|| missing(key::ISC_ROUTING_METADATA))?,
    };
    Ok(Recorded {
        instance: InstanceId::from(instance),
        port,
        gpus: config.get("gpu_uuids").and_then(gpu_list).unwrap_or_default(),
        isc: text(&config, &["annotations", key::INSTANCE_ISC_NAME]).map(str::to_owned),
        config,
        applied: applied(pod, &routing),
        routing,
    })
}

/// Releases up to v0.6.1 recorded only the keys, and applied the values at the binding.
fn old_routing(pod: &Value) -> Option<Routing> {
    let labels = annotation(pod, key::OLD_ISC_LABEL_KEYS);
    let annotations = annotation(pod, key::OLD_ISC_ANNOTATION_KEYS);
    if labels.is_none() && annotations.is_none() {
        return None;
    }
    let take = |keys: Option<&str>, value: &dyn Fn(&str) -> Option<String>| -> BTreeMap<String, String> {
        keys.unwrap_or_default().split_whitespace().filter_map(|key| Some((key.to_owned(), value(key)?))).collect()
    };
    Some(Routing {
        labels: take(labels, &|key| label(pod, key).map(str::to_owned)),
        annotations: take(annotations, &|key| annotation(pod, key).map(str::to_owned)),
    })
}

fn applied(pod: &Value, routing: &Routing) -> Applied {
    let labels = routing.labels.iter().map(|(key, want)| (label(pod, key), want));
    let annotations = routing.annotations.iter().map(|(key, want)| (annotation(pod, key), want));
    let (mut equal, mut present, mut all) = (0usize, 0usize, 0usize);
    for (have, want) in labels.chain(annotations) {
        all += 1;
        present += usize::from(have.is_some());
        equal += usize::from(have == Some(want.as_str()));
    }
    if equal == all {
        Applied::Full
    } else if present == 0 {
        Applied::None
    } else {
        Applied::Partial
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn launcher(annotations: &Value) -> Value {
        json!({"metadata": {"name": "l", "labels": {"r": "1"}, "annotations": annotations}})
    }

    fn complete() -> Value {
        json!({
            key::INSTANCE_ID: "Ixi", key::SERVER_PORT: "8005",
            key::VLLM_CONFIG: r#"{"options":"o","gpu_uuids":["G"],"annotations":{"isc-name":"smol"}}"#,
            key::ISC_ROUTING_METADATA: r#"{"labels":{"r":"1"}}"#,
        })
    }

    #[test]
    fn binding_needs_exactly_two_parts() {
        let bound = |record: &str| binding(&launcher(&json!({key::REQUESTER: record})));
        assert_eq!(bound("u n"), Some(Binding { uid: Uid::from("u"), name: "n".to_owned() }));
        assert_eq!(bound(""), None);
        assert_eq!(bound("u"), None);
        assert_eq!(bound("u n x"), None);
        assert_eq!(bound("u  n"), None);
    }

    #[test]
    fn a_complete_record_is_recovered() {
        let recorded = recorded(&launcher(&complete())).unwrap();
        assert_eq!(recorded.port, 8005);
        assert_eq!(recorded.gpus, vec!["G".into()]);
        assert_eq!(recorded.isc.as_deref(), Some("smol"));
        assert_eq!(recorded.applied, Applied::Full);
    }

    #[test]
    fn each_missing_or_invalid_annotation_is_named() {
        for key in [key::INSTANCE_ID, key::SERVER_PORT, key::VLLM_CONFIG, key::ISC_ROUTING_METADATA] {
            let mut annotations = complete();
            annotations.as_object_mut().unwrap().remove(key);
            let error = recorded(&launcher(&annotations)).unwrap_err();
            assert_eq!(error, format!("bound launcher Pod \"l\" is missing annotation \"{key}\""));
        }
        let mut annotations = complete();
        annotations[key::SERVER_PORT] = json!("x");
        let error = recorded(&launcher(&annotations)).unwrap_err();
        assert!(
            error.starts_with("bound launcher Pod \"l\" has invalid annotation \"dual-pods.llm-d.ai/server-port\" value \"x\": "),
            "{error}"
        );
        let mut annotations = complete();
        annotations[key::VLLM_CONFIG] = json!("{");
        let error = recorded(&launcher(&annotations)).unwrap_err();
        assert!(error.starts_with("bound launcher Pod \"l\" has invalid annotation \"dual-pods.llm-d.ai/vllm-config\": "), "{error}");
    }

    #[test]
    fn older_routing_keys_are_accepted() {
        let mut annotations = complete();
        annotations.as_object_mut().unwrap().remove(key::ISC_ROUTING_METADATA);
        annotations[key::OLD_ISC_LABEL_KEYS] = json!("r gone");
        let recorded = recorded(&launcher(&annotations)).unwrap();
        assert_eq!(recorded.routing.labels, BTreeMap::from([("r".to_owned(), "1".to_owned())]));
        assert_eq!(recorded.applied, Applied::Full);
    }
}
