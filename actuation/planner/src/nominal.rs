//! The Pod that a direct requester calls for (2.1-2.5).
//!
//! Requester, patch, node and GPUs in; the complete Pod to create and its nominal hash out. Nothing is cached here, so an edit
//! of the patch takes effect with the next plan (G24).

use dormouse_apis::names::{annotation, finalizer, label};
use dormouse_machinery::patch::strategic;
use dormouse_machinery::yaml;
use serde_json::{Map, Value, json};

use crate::ids::{GpuUuid, join_gpus};
use crate::json::{at, list_mut, map_mut, text};
use crate::podspec::{container_mut, de_individualise, engine_port, no_gpus, pin, set_env};
use crate::state::{NodeInfo, PodMeta};
use crate::{canonical, hashes};

/// A provider as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nominal {
    /// The Pod to create, born bound.
    pub(crate) pod: Value,
    /// What tells whether an existing provider is the same.
    pub(crate) hash: String,
}

/// What decides a nominal Pod, beside the requester.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The node.
    pub(crate) node: &'a NodeInfo,
    /// GPUs as the requester reported them.
    pub(crate) gpus: &'a [GpuUuid],
    /// Their indices, in the same order.
    pub(crate) indices: &'a [u32],
    /// Label keys that the hash leaves out.
    pub(crate) ignored_labels: &'a [String],
}

/// Builds the nominal Pod.
///
/// # Errors
/// With the text that follows `failed to construct the nominal server-providing Pod: ` in the status.
pub(crate) fn build(requester: &PodMeta, patch: &str, place: Place<'_>) -> Result<Nominal, String> {
    let patch = render(patch, &place.node.name)?;
    let merged = strategic::apply(canonical::pod_type()?, base(&requester.object), patch)
        .map_err(|why| format!("failed to apply server patch: {why}"))?;
    let canonical = check(&merged)?;
    let hash = hash(canonical, place);
    let mut pod = merged;
    pin(&mut pod, place.node);
    engine_port(&pod)?;
    let container = container_mut(&mut pod)?;
    let indices: Vec<String> = place.indices.iter().map(u32::to_string).collect();
    set_env(container, "CUDA_VISIBLE_DEVICES", &indices.join(","));
    no_gpus(container, true);
    identify(&mut pod, requester, &hash, place.gpus);
    Ok(Nominal { pod, hash })
}

/// Labels and namespace, and the spec without what is peculiar to one Pod.
fn base(requester: &Value) -> Value {
    let mut metadata = Map::new();
    for key in ["labels", "namespace"] {
        if let Some(value) = at(requester, &["metadata", key]) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    let mut spec = requester.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    de_individualise(&mut spec);
    json!({"metadata": metadata, "spec": spec})
}

/// Strictness: no unknown fields, no wrong types, and a Pod.
fn check(merged: &Value) -> Result<Value, String> {
    let failed = |why: String| format!("failed to unmarshal patched pod: {why}");
    let kind = (text(merged, &["apiVersion"]).unwrap_or("v1"), text(merged, &["kind"]).unwrap_or("Pod"));
    if kind != ("v1", "Pod") {
        return Err(failed(format!("it is of kind {:?} in {:?}, not a Pod", kind.1, kind.0)));
    }
    let canonical = canonical::pod(merged).map_err(failed)?;
    match canonical.unknown {
        Some(unknown) => Err(failed(unknown)),
        None => Ok(canonical.value),
    }
}

fn hash(mut pod: Value, place: Place<'_>) -> String {
    for key in ["apiVersion", "kind", "status"] {
        map_mut(&mut pod, &[]).remove(key);
    }
    for key in place.ignored_labels {
        crate::json::remove(&mut pod, &["metadata", "labels"], key);
    }
    hashes::nominal(&pod, place.indices, place.gpus, &place.node.name)
}

fn identify(pod: &mut Value, requester: &PodMeta, hash: &str, gpus: &[GpuUuid]) {
    let top = map_mut(pod, &[]);
    top.insert("apiVersion".to_owned(), Value::from("v1"));
    top.insert("kind".to_owned(), Value::from("Pod"));
    top.remove("status");
    let metadata = map_mut(pod, &["metadata"]);
    metadata.insert("generateName".to_owned(), Value::from(format!("{}-dual-", requester.name)));
    let finalizers = list_mut(pod, &["metadata"], "finalizers");
    if !finalizers.iter().any(|have| have.as_str() == Some(finalizer::PROVIDER)) {
        finalizers.push(Value::from(finalizer::PROVIDER));
    }
    let annotations = map_mut(pod, &["metadata", "annotations"]);
    annotations.insert(annotation::NOMINAL.to_owned(), Value::from(hash));
    annotations.insert(annotation::REQUESTER.to_owned(), Value::from(format!("{} {}", requester.uid, requester.name)));
    annotations.insert(annotation::ACCELERATORS.to_owned(), Value::from(join_gpus(gpus)));
    let labels = map_mut(pod, &["metadata", "labels"]);
    labels.insert(label::DUAL.to_owned(), Value::from(requester.name.as_str()));
    labels.insert(label::SLEEPING.to_owned(), Value::from("false"));
}

/// The longest patch text that a template may make.
const RENDERED_MAX: usize = 1 << 20;

/// Renders the template and reads the text as YAML.
fn render(patch: &str, node: &str) -> Result<Value, String> {
    let template = gotmpl::Template::new("serverPatch")
        .missing_key(gotmpl::MissingKey::Error)
        .max_range_iters(10_000)
        .parse(patch)
        .map_err(|why| format!("parse template: {why}"))?;
    // `LocalVolume` is declared by the peer and always empty.
    let data = gotmpl::tmap! { "NodeName" => node, "LocalVolume" => "" };
    let mut text = Bounded(String::new());
    template.execute_fmt(&mut text, &data).map_err(|why| format!("failed to execute server patch template: {why}"))?;
    let value = yaml::from_str(&text.0).map_err(|why| format!("failed to convert server patch yaml to json: {why}"))?;
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(_) => Ok(value),
        _ => Err("failed to apply server patch: invalid JSON document".to_owned()),
    }
}

/// A text with an end.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > RENDERED_MAX {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
