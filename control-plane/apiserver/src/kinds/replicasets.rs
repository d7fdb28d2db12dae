//! ReplicaSets.

use dormouse_machinery::field::FieldError;
use serde_json::json;

use super::{fields, replicated};
use crate::registry::{Column, Cx, Kind, Object, Right, Strategy};
use crate::table::read::int;

pub(super) fn row() -> Kind {
    let columns = [
        Column::integer("Desired", "The wanted number of pods.", |o, _| int(o, &["spec", "replicas"]).into()),
        Column::integer("Current", "The number of pods there are.", |o, _| int(o, &["status", "replicas"]).into()),
        Column::integer("Ready", "The number of pods that are ready.", |o, _| int(o, &["status", "readyReplicas"]).into()),
    ];
    Kind {
        columns: replicated::columns(columns, "How pods of this set are recognised."),
        fields: fields(&["status.replicas"]),
        rights: const { &[Right::view(&["", "scale", "status"]), Right::edit(&["", "scale"])] },
        ..replicated::row("ReplicaSet", "replicasets", "rs", ReplicaSets)
    }
}

struct ReplicaSets;

impl Strategy for ReplicaSets {
    fn default(&self, object: &mut Object) {
        replicated::default_spec(object);
    }

    fn prepare_create(&self, _: &Cx<'_>, object: &mut Object) {
        object.insert("status".to_owned(), json!({"replicas": 0}));
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        replicated::validate(cx, object, problems);
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        replicated::validate_update(object, old, problems);
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, _: &Object, problems: &mut Vec<FieldError>) {
        replicated::validate_status(object, problems);
    }
}

#[cfg(test)]
mod tests {
    use super::super::shows;
    use super::*;

    #[test]
    fn cells() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y:1"}]}});
        let set = json!({"metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}, "template": template},
            "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1}});
        shows(
            &row(),
            &set,
            &[
                ("Name", json!("d")),
                ("Desired", json!(3)),
                ("Current", json!(3)),
                ("Ready", json!(2)),
                ("Age", json!("<unknown>")),
                ("Containers", json!("a,b")),
                ("Images", json!("x,y:1")),
                ("Selector", json!("app=d")),
            ],
        );
    }
}
