//! What the recorded answer of a step cannot be given without, found in the step and the state before it.
//!
//! The state is kept as recorded: the definition in force, the object that an update starts from. A need is its mark on the answer, never the mere presence of something that might have mattered:
//! a rule that holds and a hook that is not asked leave no mark, so such steps must pass today.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_apiserver::registry::{Kind, Schema};
use dormouse_apiserver::{ApiServer, RequestInfo};
use dormouse_machinery::field::{self, FieldError};
use dormouse_machinery::patch::{json, merge};
use dormouse_testing::golden::{Need, Rules};
use serde_json::Value;

use super::bindings::Bindings;
use super::step::Step;

const ADMISSION: &str = "admissionregistration.k8s.io";

/// What is known before a step is asked.
pub(super) struct Before<'a> {
    pub(super) server: &'a ApiServer,
    pub(super) bindings: &'a Bindings,
    /// Definitions as the recording shows them, by name.
    pub(super) definitions: &'a BTreeMap<String, Value>,
    /// Mutating policies that the recording has in force.
    pub(super) mutating: &'a BTreeSet<String>,
}

/// The needs of a step.
pub(super) fn of(step: Step<'_>, before: &Before<'_>) -> BTreeSet<Need> {
    let info = step.info();
    let custom = Custom::of(before, &info);
    let marks = [
        (Need::Apply, is_apply(step)),
        // Otherwise owners are a part of the answer, not all of it.
        (Need::Owners, step.request("body")["metadata"]["managedFields"].is_array() && step.method() == "PATCH"),
        (Need::Rules, needs_rules(step, custom.as_ref())),
        (Need::Ratcheting, custom.as_ref().is_some_and(|custom| is_forgiven(step, before, &info, custom))),
        (Need::Conversion, needs_conversion(step, &info, custom.as_ref())),
        (Need::SelectableFields, needs_selectable_fields(step, custom.as_ref())),
        (Need::Webhooks, needs_webhooks(step, &info)),
        (Need::Policies, needs_policies(step, &info) || custom.as_ref().is_some_and(|custom| is_mutated(step, before, custom))),
        (Need::Aggregator, needs_aggregator(step, &info)),
        (Need::Discovery, needs_discovery(step, &info)),
        (Need::OpenApi, info.path.starts_with("/openapi") && step.header("cache-control").is_some()),
    ];
    marks.into_iter().filter(|(_, found)| *found).map(|(need, _)| need).collect()
}

/// The custom resource that a path is about.
struct Custom<'a> {
    definition: &'a Value,
    kind: Arc<Kind>,
}

impl<'a> Custom<'a> {
    fn of(before: &Before<'a>, info: &RequestInfo) -> Option<Self> {
        let definition = before.definitions.get(&format!("{}.{}", info.resource, info.group))?;
        let kind = before.server.registry().snapshot().get(&info.group, &info.version, &info.resource)?.clone();
        Some(Self { definition, kind })
    }

    /// The object in this version after pruning and defaults, and its errors by the schema alone.
    fn settle(&self, object: &mut Value) -> Vec<FieldError> {
        let Schema::Structural(version) = &self.kind.schema else { return Vec::new() };
        version.schema().prune(object);
        version.schema().default(object);
        version.schema().validate(object)
    }

    /// Whether objects are converted by a webhook to be shown in the version asked for.
    fn is_converted(&self) -> bool {
        self.definition["spec"]["conversion"]["strategy"] == "Webhook" && !self.is_stored()
    }

    /// Whether the version asked for is the one in which objects are kept.
    fn is_stored(&self) -> bool {
        let versions = self.definition["spec"]["versions"].as_array();
        versions.into_iter().flatten().any(|v| v["storage"] == true && v["name"] == self.kind.version.as_str())
    }
}

fn is_apply(step: Step<'_>) -> bool {
    step.content_type().starts_with("application/apply-patch") && step.status() != 415
}

/// A rule spoke, in a cause or as a warning; or one was found wanting when the definition was made.
fn needs_rules(step: Step<'_>, custom: Option<&Custom<'_>>) -> bool {
    let causes = step.causes();
    let of_definition = |cause: &Value| {
        ["field", "message"].iter().any(|part| cause[part].as_str().is_some_and(|t| t.contains("x-kubernetes-validations")))
    };
    if causes.iter().any(of_definition) {
        return true;
    }
    let Some(custom) = custom else { return false };
    let rules = Rules::of(custom.definition);
    causes.iter().filter_map(|cause| cause["message"].as_str()).chain(step.warnings()).any(|text| rules.said(text))
}

/// An update whose answer is silent about an error that the new object has, and the old one had.
fn is_forgiven(step: Step<'_>, before: &Before<'_>, info: &RequestInfo, custom: &Custom<'_>) -> bool {
    if !matches!(step.method(), "PUT" | "PATCH") || !matches!(step.status(), 200 | 422) || info.subresource == "scale" {
        return false;
    }
    let Some(stored) = before.server.store().table(&custom.kind.storage).get(&dormouse_store::key(&info.namespace, &info.name)) else {
        return false;
    };
    let mut old: Value = serde_json::from_slice(stored.bytes()).unwrap();
    let Some(mut new) = updated(step, before.bindings, &old) else { return false };
    // What belongs to the other part is not written.
    let other = if info.subresource == "status" { "spec" } else { "status" };
    match old.get(other) {
        Some(kept) => new[other] = kept.clone(),
        None => drop(new.as_object_mut().and_then(|new| new.remove(other))),
    }
    let (had, has) = (custom.settle(&mut old), custom.settle(&mut new));
    let told = step.causes();
    has.iter().any(|error| {
        had.contains(error) && !field::causes(std::slice::from_ref(error)).iter().any(|c| told.contains(&serde_json::to_value(c).unwrap()))
    })
}

/// What an update makes of `old`.
fn updated(step: Step<'_>, bindings: &Bindings, old: &Value) -> Option<Value> {
    let body = bindings.fill_value(step.request("body"));
    match (step.method(), step.content_type()) {
        ("PUT", _) => Some(body),
        (_, "application/json-patch+json") => json::Patch::from_value(body).ok()?.apply(old.clone()).ok(),
        (_, "application/merge-patch+json") => {
            let mut new = old.clone();
            merge::apply(&mut new, &body);
            Some(new)
        }
        _ => None,
    }
    .filter(Value::is_object)
}

/// An object is shown in a version that only the webhook can make, or the webhook is blamed, or configured.
fn needs_conversion(step: Step<'_>, info: &RequestInfo, custom: Option<&Custom<'_>>) -> bool {
    let wanted = step.request("body")["spec"]["conversion"]["strategy"] == "Webhook";
    let refused = step.causes().iter().any(|cause| cause["field"].as_str().is_some_and(|field| field.starts_with("spec.conversion")));
    if wanted || refused || step.message().contains("conversion webhook") {
        return true;
    }
    let version = format!("{}/{}", info.group, info.version);
    custom.is_some_and(Custom::is_converted) && step.objects().iter().any(|object| object["apiVersion"] == version)
}

/// Fields that cannot be selected by are refused, or those of a version that is not the stored one are selected by.
fn needs_selectable_fields(step: Step<'_>, custom: Option<&Custom<'_>>) -> bool {
    let refused = step.causes().iter().any(|cause| cause["field"].as_str().is_some_and(|field| field.contains("selectableFields")));
    let other = custom.is_some_and(|custom| !custom.is_stored());
    let selects = step.path().contains("fieldSelector=") && !step.path().contains("fieldSelector=metadata.");
    refused || (other && selects && step.status() == 200)
}

fn needs_webhooks(step: Step<'_>, info: &RequestInfo) -> bool {
    let asked = step.0["calls"].as_array().into_iter().flatten().any(|call| call["request"]["kind"] != "ConversionReview");
    let blamed =
        ["admission webhook \"", "calling webhook \"", "is forbidden: expression '"].iter().any(|mark| step.message().contains(mark));
    let configured = info.group == ADMISSION && info.resource.ends_with("webhookconfigurations");
    asked || blamed || configured
}

fn needs_policies(step: Step<'_>, info: &RequestInfo) -> bool {
    let spoke =
        |text: &str| text.contains("ValidatingAdmissionPolicy '") || (text.contains("policy '") && text.contains("' with binding '"));
    let configured = info.group == ADMISSION && info.resource.contains("admissionpolic");
    configured || spoke(step.message()) || step.warnings().into_iter().any(spoke)
}

/// A mutating policy is in force, and the answer to a creation is not what the body and the schema make.
fn is_mutated(step: Step<'_>, before: &Before<'_>, custom: &Custom<'_>) -> bool {
    if before.mutating.is_empty() || step.method() != "POST" || !matches!(step.status(), 201 | 422) {
        return false;
    }
    let mut made = before.bindings.fill_value(step.request("body"));
    let errors = custom.settle(&mut made);
    if step.status() == 422 {
        return errors.is_empty();
    }
    let mut shown = step.response().clone();
    let theirs = shown["metadata"].as_object_mut().unwrap();
    for member in ["creationTimestamp", "generation", "managedFields", "namespace", "resourceVersion", "uid"] {
        theirs.remove(member);
    }
    made.as_object_mut().unwrap().remove("status");
    shown.as_object_mut().unwrap().remove("status");
    made != shown
}

/// The aggregator in front, or a server without the core group, speaks of the groups there are.
fn needs_aggregator(step: Step<'_>, info: &RequestInfo) -> bool {
    let group = "apiregistration.k8s.io";
    info.group == group || step.response().to_string().contains(group) || (info.path == "/api" && step.status() == 404)
}

/// Discovery refuses a form, or says how long an answer may be kept.
fn needs_discovery(step: Step<'_>, info: &RequestInfo) -> bool {
    let about_groups = !info.is_resource && (info.path == "/api" || info.path.starts_with("/apis"));
    let kept = step.header("etag").is_some() || (step.status() == 404 && step.header("cache-control").is_some());
    about_groups && (kept || matches!(step.status(), 304 | 406))
}
