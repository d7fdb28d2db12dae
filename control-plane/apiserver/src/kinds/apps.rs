//! Deployments and ReplicaSets.

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::selector::Selector;
use serde_json::{Value, json};

use super::pod::{default_template, validate_template};
use super::values::{At, default, immutable, int, map, map_entry, not_negative, one_of, text};
use super::{row, texts};
use crate::registry::{Cx, Generation, Kind, Object, ScalePaths, Strategy, Subresource};

pub(super) fn rows() -> Vec<Kind> {
    let scaled = |kind: &str, plural: &str, short: &str, strategy: Apps| Kind {
        short_names: texts(&[short]),
        categories: texts(&["all"]),
        subresources: vec![Subresource::scale(), Subresource::status(kind)],
        generation: Generation::Spec,
        scale: Some(ScalePaths {
            spec_replicas: "spec.replicas".to_owned(),
            status_replicas: "status.replicas".to_owned(),
            selector: Some("spec.selector".to_owned()),
        }),
        ..row("apps", "v1", kind, plural, strategy)
    };
    let mut sets = scaled("ReplicaSet", "replicasets", "rs", Apps { deployment: false });
    sets.fields = super::fields(&["status.replicas"]);
    vec![scaled("Deployment", "deployments", "deploy", Apps { deployment: true }), sets]
}

struct Apps {
    deployment: bool,
}

impl Strategy for Apps {
    fn default(&self, object: &mut Object) {
        let spec = map_entry(object, "spec");
        default(spec, "replicas", 1);
        default_template(map_entry(spec, "template"));
        if !self.deployment {
            return;
        }
        default(spec, "revisionHistoryLimit", 10);
        default(spec, "progressDeadlineSeconds", 600);
        let strategy = map_entry(spec, "strategy");
        default(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            let rolling = map_entry(strategy, "rollingUpdate");
            default(rolling, "maxUnavailable", "25%");
            default(rolling, "maxSurge", "25%");
        }
    }

    fn prepare_create(&self, _: &Cx<'_>, object: &mut Object) {
        let status = if self.deployment { json!({}) } else { json!({"replicas": 0}) };
        object.insert("status".to_owned(), status);
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let path = At::Path("spec");
        let Some(spec) = map(object, "spec") else {
            problems.push(FieldError::required(path, ""));
            return;
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
        if self.deployment {
            deployment(spec, &path, problems);
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        if let (Some(new), Some(old)) = (map(object, "spec"), map(old, "spec")) {
            immutable(new, old, "selector", &At::Path("spec"), problems);
        }
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, _: &Object, problems: &mut Vec<FieldError>) {
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

fn deployment(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    not_negative(spec, "revisionHistoryLimit", path, problems);
    if let Some(strategy) = map(spec, "strategy") {
        let path = path.child("strategy");
        one_of(strategy, "type", &["Recreate", "RollingUpdate"], &path, problems);
        let rolling = strategy.get("rollingUpdate").and_then(Value::as_object);
        if text(strategy, "type") == "Recreate" && rolling.is_some() {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            problems.push(FieldError::forbidden(path.child("rollingUpdate"), why));
        }
        for field in ["maxUnavailable", "maxSurge"] {
            let value = rolling.and_then(|r| r.get(field));
            let path = path.child("rollingUpdate");
            let path = path.child(field);
            match value {
                Some(Value::Number(n)) if n.as_i64().unwrap_or(0) < 0 => {
                    problems.push(FieldError::invalid(path, n.clone(), "must be greater than or equal to 0"));
                }
                Some(Value::String(s)) if percentage(s).is_none() => {
                    let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                    problems.push(FieldError::invalid(path, s.as_str(), why));
                }
                _ => {}
            }
        }
        let zero = |field: &str| match rolling.and_then(|r| r.get(field)) {
            Some(Value::String(s)) => percentage(s) == Some(0),
            Some(value) => value.as_i64() == Some(0),
            None => true,
        };
        if text(strategy, "type") == "RollingUpdate" && zero("maxUnavailable") && zero("maxSurge") {
            let value = rolling.and_then(|r| r.get("maxUnavailable")).cloned().unwrap_or(Value::Null);
            problems.push(FieldError::invalid(path.child("rollingUpdate.maxUnavailable"), value, "may not be 0 when `maxSurge` is 0"));
        }
    }
    if let Some(deadline) = int(spec, "progressDeadlineSeconds") {
        not_negative(spec, "progressDeadlineSeconds", path, problems);
        if deadline <= int(spec, "minReadySeconds").unwrap_or(0) {
            let why = "must be greater than minReadySeconds";
            problems.push(FieldError::invalid(path.child("progressDeadlineSeconds"), deadline, why));
        }
    }
}

fn percentage(text: &str) -> Option<u32> {
    text.strip_suffix('%').filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}
