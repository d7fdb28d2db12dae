//! Nodes.

use dormouse_machinery::field::{FieldError, Path};

use super::values::{At, map, maps, one_of, text};
use super::{fields, row, texts};
use crate::registry::{Cx, Kind, Object, Strategy, Subresource};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        short_names: texts(&["no"]),
        subresources: vec![Subresource::status("Node")],
        fields: fields(&["spec.unschedulable"]),
        ..row("", "v1", "Node", "nodes", Nodes)
    }]
}

struct Nodes;

impl Strategy for Nodes {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let Some(spec) = map(object, "spec") else { return };
        let path = At::Path("spec.taints");
        let mut seen = Vec::new();
        for (i, taint) in maps(spec, "taints").enumerate() {
            let path = path.index(i);
            for problem in dormouse_machinery::names::qualified_name(text(taint, "key")) {
                problems.push(FieldError::invalid(path.child("key"), text(taint, "key"), problem));
            }
            for problem in dormouse_machinery::names::label_value(text(taint, "value")) {
                problems.push(FieldError::invalid(path.child("value"), text(taint, "value"), problem));
            }
            if text(taint, "effect").is_empty() {
                problems.push(FieldError::required(path.child("effect"), ""));
            }
            one_of(taint, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &path, problems);
            let this = (text(taint, "key"), text(taint, "effect"));
            if seen.contains(&this) {
                problems.push(FieldError::duplicate(path, serde_json::Value::Object(taint.clone())));
            }
            seen.push(this);
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let field = |o: &Object, key: &str| map(o, "spec").map(|s| text(s, key).to_owned()).unwrap_or_default();
        for key in ["providerID", "podCIDR"] {
            let (new, was) = (field(object, key), field(old, key));
            if !was.is_empty() && new != was {
                let why = "node updates may not change ".to_owned() + key + " except from \"\" to valid";
                problems.push(FieldError::forbidden(Path::new("spec").child(key), why));
            }
        }
    }
}
