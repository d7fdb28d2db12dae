//! What Deployments and ReplicaSets have in common: a count, a selector and a Pod template.

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::selector::Selector;
use serde_json::Value;

use super::pod::{default_template, validate_template};
use super::values::{At, default, immutable, int, map, map_entry, not_negative, text};
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
    not_negative(spec, "replicas", &path, problems);
    not_negative(spec, "minReadySeconds", &path, problems);
    selector(spec, &path, problems);
    if let Some(template) = map(spec, "template") {
        validate_template(cx, template, &path.child("template"), problems);
        let policy = map(template, "spec").map(|s| text(s, "restartPolicy")).unwrap_or("");
        if !matches!(policy, "" | "Always") {
            problems.push(FieldError::not_supported(path.child("template.spec.restartPolicy"), policy, &["Always"]));
        }
    }
    Some(spec)
}

/// A selector stays.
pub(super) fn validate_update(object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    if let (Some(new), Some(old)) = (map(object, "spec"), map(old, "spec")) {
        immutable(new, old, "selector", &At::Path("spec"), problems);
    }
}

/// Counts that contradict each other.
pub(super) fn validate_status(object: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("status");
    let Some(status) = map(object, "status") else { return };
    let counts = ["replicas", "fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    for field in counts {
        not_negative(status, field, &path, problems);
    }
    let total = int(status, "replicas").unwrap_or(0);
    for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        if let Some(n) = int(status, field).filter(|n| *n > total) {
            problems.push(FieldError::invalid(path.child(field), n, "cannot be greater than status.replicas"));
        }
    }
}

fn selector(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let path = path.child("selector");
    let Some(selector) = spec.get("selector").filter(|s| !s.is_null()) else {
        problems.push(FieldError::required(path, ""));
        return;
    };
    if selector.as_object().is_some_and(serde_json::Map::is_empty) {
        problems.push(FieldError::invalid(path, selector.clone(), "empty selector is invalid for deployment"));
        return;
    }
    match Selector::from_label_selector(selector) {
        Err(error) => problems.push(FieldError::invalid(path, selector.clone(), error.to_string())),
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
