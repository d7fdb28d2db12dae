//! Pods: defaults, admission, validation, graceful end. [`default_template`] and [`validate_template`] serve
//! every kind that holds a Pod template.

mod admission;
mod create;
mod defaults;
mod qos;
mod table;
mod validation;

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::values::{map, map_entry, text};
use super::{fields, texts, typed};
use crate::ApiError;
use crate::registry::{CREATE, Cx, Generation, Kind, Object, READ, Right, Role, Strategy, Subresource};

pub(crate) use defaults::default_template;
pub(crate) use validation::{amount, amounts, validate_template};

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

/// Who may run programs in a Pod. The subresources come later; roles name them already, as those of every cluster do.
const STREAMS: &[&str] = &["attach", "exec", "portforward", "proxy"];

const RIGHTS: &[Right] = &[
    Right::view(&["", "log", "status"]),
    Right::edit(&[""]),
    Right::edit(STREAMS),
    Right::new(Role::Edit, READ, STREAMS),
    Right::new(Role::Edit, CREATE, &["eviction"]),
    Right::node(READ, &[""]),
    Right::node(&["create", "delete"], &[""]),
    Right::node(&["patch", "update"], &["status"]),
    Right::node(CREATE, &["eviction"]),
];

pub(crate) fn row() -> Kind {
    Kind {
        short_names: texts(&["po"]),
        categories: texts(&["all"]),
        subresources: vec![Subresource::binding(), Subresource::eviction(), Subresource::log(), Subresource::status("Pod")],
        fields: fields(FIELDS),
        generation: Generation::Spec,
        returns_deleted: true,
        columns: table::columns(),
        rights: RIGHTS,
        ..typed("", "v1", "Pod", "pods", Pods)
    }
}

struct Pods;

impl Strategy for Pods {
    fn default(&self, object: &mut Object) {
        let spec = map_entry(object, "spec");
        defaults::spec(spec);
        defaults::requests(spec);
        defaults::host_ports(spec);
        super::values::default(spec, "enableServiceLinks", true);
    }

    fn prepare_create(&self, cx: &Cx<'_>, object: &mut Object) {
        create::status(object, cx.now);
        create::own_labels(object);
    }

    fn prepare_update(&self, _: &Cx<'_>, object: &mut Object, old: &Object) {
        // Settled when the Pod was made; who writes a status may leave it out.
        let class = map(old, "status").map_or("", |s| text(s, "qosClass"));
        if !class.is_empty() {
            super::values::default(map_entry(object, "status"), "qosClass", class);
        }
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

    fn row_conditions(&self, object: &Value) -> Option<Value> {
        table::conditions(object)
    }
}
