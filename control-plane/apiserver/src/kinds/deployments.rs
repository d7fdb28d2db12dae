//! Deployments.

use dormouse_machinery::field::FieldError;
use serde_json::{Value, json};

use super::replicated;
use super::values::{At, default, go_struct, int, map, map_entry, not_negative, text};
use crate::registry::{Column, Cx, Kind, Object, Right, Strategy};
use crate::table::read;

pub(super) fn row() -> Kind {
    let columns = [
        Column::string("Ready", "Number of the pod with ready state", |o, _| {
            format!("{}/{}", read::int(o, &["status", "readyReplicas"]), read::int(o, &["spec", "replicas"])).into()
        }),
        Column::string("Up-to-date", "The number of pods with the present template.", |o, _| {
            read::int(o, &["status", "updatedReplicas"]).into()
        }),
        Column::string("Available", "The number of pods that have been ready for long enough.", |o, _| {
            read::int(o, &["status", "availableReplicas"]).into()
        }),
    ];
    Kind {
        columns: replicated::columns(columns, "How pods of this deployment are recognised."),
        rights: const { &[Right::view(&["", "scale", "status"]), Right::edit(&["", "rollback", "scale"])] },
        ..replicated::row("Deployment", "deployments", "deploy", Deployments)
    }
}

const TYPES: &[&str] = &["Recreate", "RollingUpdate"];

struct Deployments;

impl Strategy for Deployments {
    fn default(&self, object: &mut Object) {
        let spec = replicated::default_spec(object);
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
        object.insert("status".to_owned(), json!({}));
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        if let Some(spec) = replicated::validate(cx, object, problems) {
            deployment(spec, &At::Path("spec"), problems);
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        replicated::validate_update(object, old, problems);
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        replicated::validate_status(object, problems);
        let collisions = |o: &Object| map(o, "status").and_then(|s| int(s, "collisionCount"));
        if let (now, Some(was)) = (collisions(object), collisions(old))
            && now.is_none_or(|now| now < was)
        {
            problems.push(FieldError::invalid("status.collisionCount", now.unwrap_or(0), "cannot be decremented"));
        }
    }
}

fn deployment(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    not_negative(spec, "revisionHistoryLimit", path, problems);
    if let Some(strategy) = map(spec, "strategy") {
        let path = path.child("strategy");
        if !TYPES.contains(&text(strategy, "type")) {
            let shown = go_struct(strategy, &[("Type", "type", "\"\""), ("RollingUpdate", "rollingUpdate", "null")]);
            problems.push(FieldError::not_supported(path, shown, TYPES));
        }
        let rolling = strategy.get("rollingUpdate").and_then(Value::as_object);
        if text(strategy, "type") == "Recreate" && rolling.is_some() {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            problems.push(FieldError::forbidden(path.child("rollingUpdate"), why));
        }
        // Numbers of another type are nobody's business.
        let rolling = rolling.filter(|_| text(strategy, "type") == "RollingUpdate");
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
        let unavailable = rolling.map_or("", |r| text(r, "maxUnavailable"));
        if percentage(unavailable).is_some_and(|percent| percent > 100) {
            let why = "must not be greater than 100%";
            problems.push(FieldError::invalid(path.child("rollingUpdate.maxUnavailable"), unavailable, why));
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

#[cfg(test)]
mod tests {
    use super::super::shows;
    use super::*;

    #[test]
    fn cells() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y:1"}]}});
        let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}, "template": template},
            "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1}});
        shows(
            &row(),
            &deployment,
            &[
                ("Name", json!("d")),
                ("Ready", json!("2/3")),
                ("Up-to-date", json!(1)),
                ("Available", json!(0)),
                ("Age", json!("<unknown>")),
                ("Containers", json!("a,b")),
                ("Images", json!("x,y:1")),
                ("Selector", json!("app=d")),
            ],
        );
    }
}
