//! What Deployments and ReplicaSets have in common: a count, a selector and a Pod template.

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::selector::Selector;
use serde_json::Value;

use super::pod::{default_template, validate_template};
use super::values::{At, Must, Rules, default, immutable, int, label_selector, list, map, map_entry, standard_finalizers};
use super::{texts, typed};
use crate::registry::{Column, Cx, Generation, Kind, Object, ScalePaths, Strategy, Subresource};
use crate::table::read;

/// A row of this family.
pub(super) fn row(kind: &str, plural: &str, short: &str, strategy: impl Strategy + 'static) -> Kind {
    Kind {
        short_names: texts(&[short]),
        categories: texts(&["all"]),
        subresources: vec![Subresource::scale(ScalePaths::replicas()), Subresource::status(kind)],
        generation: Generation::Spec,
        ..typed("apps", "v1", kind, plural, strategy)
    }
}

/// The columns of a row: these in the middle, what belongs to the template at the end.
pub(super) fn columns(own: impl IntoIterator<Item = Column>, selector: &str) -> Vec<Column> {
    let mut columns = vec![Column::name()];
    columns.extend(own);
    columns.extend([
        Column::age(),
        Column::wide("Containers", "Names of each container in the template.", |o, _| containers(o, "name")),
        Column::wide("Images", "Images referenced by each container in the template.", |o, _| containers(o, "image")),
        Column::wide("Selector", selector, |o, _| read::selector(read::at(o, &["spec", "selector"])).into()),
    ]);
    columns
}

fn containers(object: &Value, field: &str) -> Value {
    read::containers(read::at(object, &["spec", "template", "spec"]), field).into()
}

/// One replica of the template as it is when nothing is said.
pub(super) fn default_spec(object: &mut Object) -> &mut Object {
    let spec = map_entry(object, "spec");
    default(spec, "replicas", 1);
    default_template(map_entry(spec, "template"));
    spec
}

/// Problems of the common part; answers the spec when there is one.
pub(super) fn validate<'a>(cx: &Cx<'_>, object: &'a Object, problems: &mut Vec<FieldError>) -> Option<&'a Object> {
    let path = At::Path("spec");
    let Some(spec) = map(object, "spec") else {
        problems.push(FieldError::required(path, ""));
        return None;
    };
    standard_finalizers(object, problems);
    COUNTS.check(spec, &path, problems);
    selector(spec, &path, problems);
    if let Some(template) = map(spec, "template") {
        validate_template(cx, template, &path.child("template"), problems);
        if let Some(pod) = map(template, "spec") {
            FOREVER.check(pod, &path.child("template.spec"), problems);
        }
    }
    Some(spec)
}

const COUNTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#writing-a-deployment-spec",
    rows: &[("replicas", Must::NotBeNegative), ("minReadySeconds", Must::NotBeNegative)],
};

/// Its Pods never end by themselves.
const FOREVER: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-template",
    rows: &[
        ("restartPolicy", Must::BeOneOf(&["Always"])),
        ("activeDeadlineSeconds", Must::BeAbsent("activeDeadlineSeconds in ReplicaSet is not Supported")),
    ],
};

/// A selector stays.
pub(super) fn validate_update(object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    if let (Some(new), Some(old)) = (map(object, "spec"), map(old, "spec")) {
        immutable(new, old, "selector", &At::Path("spec"), problems);
    }
}

const STATUS: Rules = Rules {
    page: "https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/#DeploymentStatus",
    rows: &[
        ("observedGeneration", Must::NotBeNegative),
        ("replicas", Must::NotBeNegative),
        ("fullyLabeledReplicas", Must::NotBeNegative),
        ("updatedReplicas", Must::NotBeNegative),
        ("readyReplicas", Must::NotBeNegative),
        ("availableReplicas", Must::NotBeNegative),
        ("unavailableReplicas", Must::NotBeNegative),
        ("collisionCount", Must::NotBeNegative),
    ],
};

/// Counts that contradict each other.
pub(super) fn validate_status(object: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("status");
    let Some(status) = map(object, "status") else { return };
    STATUS.check(status, &path, problems);
    let count = |field: &str| int(status, field).unwrap_or(0);
    for field in ["fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        if count(field) > count("replicas") {
            problems.push(FieldError::invalid(path.child(field), count(field), "cannot be greater than status.replicas"));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let why = "cannot be greater than readyReplicas";
        problems.push(FieldError::invalid(path.child("availableReplicas"), count("availableReplicas"), why));
    }
}

fn selector(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let path = path.child("selector");
    let selector = spec.get("selector").unwrap_or(&Value::Null);
    match selector.as_object() {
        None => problems.push(FieldError::required(path, "")),
        Some(object) => {
            label_selector(Some(object), &path, problems);
            let is_empty = |member: &str| map(object, member).is_none_or(Object::is_empty) && list(object, member).is_empty();
            if is_empty("matchLabels") && is_empty("matchExpressions") {
                problems.push(FieldError::invalid(path, selector.clone(), "empty selector is invalid for deployment"));
            }
        }
    }
    match Selector::from_label_selector(selector) {
        Err(_) => problems.push(FieldError::invalid(path, selector.clone(), "invalid label selector")),
        Ok(parsed) => {
            let template = spec.get("template").cloned().unwrap_or(Value::Null);
            if !parsed.matches_object(&template) {
                let labels = template.pointer("/metadata/labels").cloned().unwrap_or(Value::Null);
                let field = Path::new("spec.template.metadata.labels");
                problems.push(FieldError::invalid(field, labels, "`selector` does not match template `labels`"));
            }
        }
    }
}
