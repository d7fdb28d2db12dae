//! Engine instances inside launchers: what is asked for, what is reported, and when the two are the same (actuation 2.6).
//!
//! The ID is our own hash. Whether an instance can be reused, or has become obsolete, is decided by comparing *content*
//! (command line, environment, GPUs with their order), so that instances made by another release, or by the peer, are
//! recognised under their own IDs. Routing labels are no part of the content: they are put on the Pod at the binding.

use std::collections::BTreeMap;

use dormouse_apis::names::annotation;
use dormouse_names::env::CUDA_VISIBLE_DEVICES;
use serde_json::{Map, Value, json};

use crate::hashes;
use crate::ids::{GpuUuid, InstanceId};
use crate::memory::{Instance, InstanceReport};
use crate::state::{Configs, Isc, IscSpec};

/// Variables that a launcher sets by itself and echoes; they say nothing about what was asked for.
const INJECTED_ENV: [&str; 2] = [CUDA_VISIBLE_DEVICES, "CUDA_DEVICE_ORDER"];

/// The instance that an `InferenceServerConfig` calls for on given GPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its ID, unless one of the same content exists under another.
    pub id: InstanceId,
    /// Port of its engine.
    pub port: u16,
    /// Body of the call that creates it.
    pub body: Value,
}

/// The instance that `spec`, found under `name`, calls for on `gpus`.
#[must_use]
pub fn wanted(name: &str, spec: &IscSpec, gpus: &[GpuUuid]) -> Wanted {
    let options = command_line(spec);
    let content = json!({"options": options, "env": spec.env, "gpus": gpus});
    let mut body = Map::new();
    body.insert("options".to_owned(), Value::from(options));
    if !gpus.is_empty() {
        body.insert("gpu_uuids".to_owned(), json!(gpus));
    }
    if !spec.env.is_empty() {
        body.insert("env_vars".to_owned(), json!(spec.env));
    }
    let port = spec.port.to_string();
    body.insert("annotations".to_owned(), json!({annotation::INSTANCE_INFERENCE_PORT: port, annotation::INSTANCE_ISC_NAME: name}));
    Wanted { id: hashes::instance_id(&content), port: spec.port, body: Value::Object(body) }
}

/// What the launcher is given as options: the port comes last, after exactly one blank.
fn command_line(spec: &IscSpec) -> String {
    format!("{} --port {}", spec.options, spec.port)
}

/// Text of a create body as the annotation `vllm-config` and golden files have it: options, GPUs, environment, annotations.
#[must_use]
pub fn body_text(body: &Value) -> String {
    let mut parts = Vec::new();
    for key in ["options", "gpu_uuids", "env_vars", "annotations"] {
        if let Some(value) = body.get(key) {
            parts.push(format!("\"{key}\":{value}"));
        }
    }
    format!("{{{}}}", parts.join(","))
}

/// Whether an instance is what `spec` calls for on `gpus`.
#[must_use]
pub fn same_content(instance: &Instance, spec: &IscSpec, gpus: &[GpuUuid]) -> bool {
    instance.gpus.as_deref().unwrap_or_default() == gpus && same_but_gpus(instance, spec)
}

fn same_but_gpus(instance: &Instance, spec: &IscSpec) -> bool {
    instance.options == command_line(spec) && asked(&instance.env) == asked(&spec.env)
}

fn asked(env: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    env.iter().filter(|(key, _)| !INJECTED_ENV.contains(&key.as_str())).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

impl Instance {
    /// The port its engine listens on, if it says a usable one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.annotations.get(annotation::INSTANCE_INFERENCE_PORT)?.parse().ok().filter(|port| *port != 0)
    }

    /// The `InferenceServerConfig` it was made for.
    #[must_use]
    pub fn isc(&self) -> Option<&str> {
        self.annotations.get(annotation::INSTANCE_ISC_NAME).map(String::as_str)
    }

    /// Made for an `InferenceServerConfig` and on GPUs, and no such config wants this content any more (gap `a14`).
    ///
    /// A config that exists and cannot be read wants everything: its author is about to correct it.
    #[must_use]
    pub fn obsolete(&self, configs: &Configs) -> bool {
        let Some(name) = self.isc() else { return false };
        if self.gpus.as_ref().is_none_or(Vec::is_empty) {
            return false;
        }
        if matches!(configs.iscs.get(name), Some(Isc { spec: Err(_), .. })) {
            return false;
        }
        !configs.iscs.values().any(|isc| isc.spec.as_ref().is_ok_and(|spec| same_but_gpus(self, spec)))
    }
}

/// What the launcher will report of an instance created from `body`.
#[must_use]
pub fn report_from_body(id: &InstanceId, body: &Value) -> InstanceReport {
    InstanceReport {
        id: id.clone(),
        stopped: false,
        exit_code: None,
        options: body.get("options").and_then(Value::as_str).unwrap_or_default().to_owned(),
        gpus: body.get("gpu_uuids").and_then(gpu_list),
        env: text_map(body.get("env_vars")),
        annotations: text_map(body.get("annotations")),
    }
}

pub(crate) fn gpu_list(value: &Value) -> Option<Vec<GpuUuid>> {
    Some(value.as_array()?.iter().filter_map(Value::as_str).map(GpuUuid::from).collect())
}

fn text_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(map)) = value else { return BTreeMap::new() };
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashes::instance_id;
    use crate::ids::Uid;
    use crate::state::Routing;

    fn spec(options: &str) -> IscSpec {
        IscSpec {
            port: 8005,
            options: options.to_owned(),
            env: BTreeMap::new(),
            routing: Routing::default(),
            launcher_config: "l".to_owned(),
        }
    }

    fn reported(wanted: &Wanted) -> Instance {
        let report = report_from_body(&wanted.id, &wanted.body);
        Instance {
            stopped: false,
            exit_code: None,
            options: report.options,
            gpus: report.gpus,
            env: report.env,
            annotations: report.annotations,
            order: 0,
            first_seen: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn body_is_the_golden_one() {
        let wanted = wanted("x", &spec("--model a"), &[GpuUuid::from("GPU-0")]);
        assert_eq!(
            body_text(&wanted.body),
            r#"{"options":"--model a --port 8005","gpu_uuids":["GPU-0"],"annotations":{"inference-port":"8005","isc-name":"x"}}"#
        );
    }

    #[test]
    fn empty_options_keep_the_blank() {
        let wanted = wanted("x", &spec(""), &[]);
        assert_eq!(wanted.body["options"], " --port 8005");
        assert!(wanted.body.get("gpu_uuids").is_none());
    }

    #[test]
    fn id_covers_content_and_order_of_gpus_but_not_the_name() {
        let (a, b) = (GpuUuid::from("GPU-0"), GpuUuid::from("GPU-1"));
        let one = wanted("x", &spec("--model a"), &[a.clone(), b.clone()]);
        assert_eq!(one.id, wanted("y", &spec("--model a"), &[a.clone(), b.clone()]).id);
        assert_ne!(one.id, wanted("x", &spec("--model a"), &[b, a.clone()]).id);
        assert_ne!(one.id, wanted("x", &spec("--model b"), &[a]).id);
        assert_ne!(one.id, instance_id(&Value::Null));
    }

    #[test]
    fn injected_variables_do_not_matter() {
        let gpus = [GpuUuid::from("GPU-0")];
        let mut instance = reported(&wanted("x", &spec("--model a"), &gpus));
        instance.env.insert("CUDA_VISIBLE_DEVICES".to_owned(), "3".to_owned());
        assert!(same_content(&instance, &spec("--model a"), &gpus));
        instance.env.insert("A".to_owned(), "1".to_owned());
        assert!(!same_content(&instance, &spec("--model a"), &gpus));
    }

    #[test]
    fn obsolescence_is_a_matter_of_content() {
        let gpus = [GpuUuid::from("GPU-0")];
        let instance = reported(&wanted("x", &spec("--model a"), &gpus));
        let configs = |name: &str, spec: Result<IscSpec, String>| Configs {
            iscs: [(name.to_owned(), Isc { name: name.to_owned(), uid: Uid::from("u"), spec })].into(),
            ..Configs::default()
        };
        assert!(!instance.obsolete(&configs("x", Ok(spec("--model a")))));
        assert!(!instance.obsolete(&configs("other", Ok(spec("--model a")))));
        assert!(instance.obsolete(&configs("x", Ok(spec("--model b")))));
        assert!(instance.obsolete(&Configs::default()));
        assert!(!instance.obsolete(&configs("x", Err("bad".to_owned()))));
        let mut foreign = instance;
        foreign.annotations.remove("isc-name");
        assert!(!foreign.obsolete(&Configs::default()));
    }
}
