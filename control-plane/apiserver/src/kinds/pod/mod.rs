//! Pods: defaults, admission, validation, graceful end. [`default_template`] and [`validate_template`] serve
//! every kind that holds a Pod template.

mod admission;
mod defaults;
mod qos;
mod validation;

use dormouse_machinery::field::FieldError;
use serde_json::{Value, json};

use super::values::{map, map_entry, text};
use super::{fields, row, texts};
use crate::ApiError;
use crate::registry::{Cx, Generation, Kind, Object, Strategy, Subresource, Verb};

pub(crate) use defaults::default_template;
pub(crate) use validation::validate_template;

/// Fields that selectors may name.
const FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        short_names: texts(&["po"]),
        categories: texts(&["all"]),
        subresources: vec![
            Subresource::own("binding", "Binding", &[Verb::Create]),
            Subresource::foreign("eviction", "policy", "v1", "Eviction", &[Verb::Create]),
            Subresource::own("log", "Pod", &[Verb::Get]),
            Subresource::status("Pod"),
        ],
        fields: fields(FIELDS),
        generation: Generation::Spec,
        returns_deleted: true,
        ..row("", "v1", "Pod", "pods", Pods)
    }]
}

struct Pods;

impl Strategy for Pods {
    fn default(&self, object: &mut Object) {
        let spec = map_entry(object, "spec");
        defaults::spec(spec);
        defaults::requests(spec);
        super::values::default(spec, "enableServiceLinks", true);
    }

    fn prepare_create(&self, _: &Cx<'_>, object: &mut Object) {
        let class = map(object, "spec").map_or("BestEffort", qos::class);
        object.insert("status".to_owned(), json!({"phase": "Pending", "qosClass": class}));
    }

    fn admit_create(&self, cx: &Cx<'_>, object: &mut Object) -> Result<(), ApiError> {
        admission::tolerations(object);
        admission::priority(object)?;
        admission::service_account(cx, object)
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        validation::pod(cx, object, problems);
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        validation::update(object, old, problems);
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        validation::status(object, old, problems);
    }

    fn grace(&self, object: &Object, asked: Option<i64>) -> Option<i64> {
        let spec = map(object, "spec");
        let wanted = asked.or_else(|| spec?.get("terminationGracePeriodSeconds")?.as_i64()).unwrap_or(0);
        let unscheduled = spec.is_none_or(|s| text(s, "nodeName").is_empty());
        let phase = object.get("status").and_then(|s| s.get("phase")).and_then(Value::as_str);
        if unscheduled || matches!(phase, Some("Failed" | "Succeeded")) {
            return Some(0);
        }
        Some(if wanted < 0 { 1 } else { wanted })
    }
}
