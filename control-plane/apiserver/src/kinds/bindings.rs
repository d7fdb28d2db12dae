//! Bindings of roles, in a namespace and for the cluster.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::{Value, json};

use super::typed;
use super::values::{At, Must, go_struct, map, map_mut, maps, maps_mut, standard_finalizers, text};
use crate::auth::rbac::{self, GROUP};
use crate::registry::{ALL, Column, Cx, Kind, Object, Right, Role, Strategy};
use crate::{table::read, validate};

/// Bindings of a namespace.
pub(super) fn row() -> Kind {
    Kind { rights: const { &[Right::new(Role::Admin, ALL, &[""])] }, ..binding("RoleBinding", "rolebindings") }
}

/// Bindings for the cluster.
pub(super) fn cluster_row() -> Kind {
    Kind { namespaced: false, ..binding("ClusterRoleBinding", "clusterrolebindings") }
}

fn binding(kind: &str, plural: &str) -> Kind {
    Kind {
        columns: vec![
            Column::name(),
            Column::string("Role", "The role that is granted.", |o, _| {
                format!("{}/{}", read::text(o, &["roleRef", "kind"]), read::text(o, &["roleRef", "name"])).into()
            }),
            Column::age(),
            Column::wide("Users", "Users in the binding.", |o, _| subjects(o, "User")),
            Column::wide("Groups", "Groups in the binding.", |o, _| subjects(o, "Group")),
            Column::wide("ServiceAccounts", "Service accounts in the binding.", |o, _| subjects(o, "ServiceAccount")),
        ],
        ..typed(GROUP, "v1", kind, plural, Bindings)
    }
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let names: Vec<String> = read::list(binding, &["subjects"])
        .iter()
        .filter(|s| read::text(s, &["kind"]) == kind)
        .map(|s| match read::text(s, &["namespace"]) {
            namespace if kind == "ServiceAccount" => format!("{namespace}/{}", read::text(s, &["name"])),
            _ => read::text(s, &["name"]).to_owned(),
        })
        .collect();
    names.join(", ").into()
}

struct Bindings;

impl Strategy for Bindings {
    fn default(&self, object: &mut Object) {
        let Some(reference) = map_mut(object, "roleRef") else { return };
        set_group(reference);
        for subject in maps_mut(object, "subjects") {
            if matches!(text(subject, "kind"), "User" | "Group") {
                set_group(subject);
            }
        }
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        standard_finalizers(object, problems);
        validate_binding(object, cx.kind.namespaced, problems);
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        if object.get("roleRef") != old.get("roleRef") {
            let empty = Object::new();
            let shown = go_struct(
                map(object, "roleRef").unwrap_or(&empty),
                &[("APIGroup", "apiGroup", "\"\""), ("Kind", "kind", "\"\""), ("Name", "name", "\"\"")],
            );
            problems.push(FieldError::invalid("roleRef", shown, "cannot change roleRef"));
        }
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        validate::path_segment(name)
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, _: bool) {
        rbac::committed(cx, object);
    }
}

fn set_group(object: &mut Object) {
    if text(object, "apiGroup").is_empty() {
        object.insert("apiGroup".to_owned(), json!(GROUP));
    }
}

fn validate_binding(binding: &Object, namespaced: bool, problems: &mut Vec<FieldError>) {
    let empty = Object::new();
    let reference = map(binding, "roleRef").unwrap_or(&empty);
    if text(reference, "apiGroup") != GROUP {
        problems.push(FieldError::not_supported("roleRef.apiGroup", text(reference, "apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(reference, "kind")) {
        problems.push(FieldError::not_supported("roleRef.kind", text(reference, "kind"), kinds));
    }
    let path = At::Path("roleRef.name");
    Must::BeSetAndPass(validate::path_segment).check(reference, "name", &path, problems);
    for (index, subject) in maps(binding, "subjects").enumerate() {
        let path = At::Path("subjects");
        let path = path.index(index);
        let (name, kind, group) = (text(subject, "name"), text(subject, "kind"), text(subject, "apiGroup"));
        if name.is_empty() {
            problems.push(FieldError::required(path.child("name"), ""));
        }
        let wanted = match kind {
            "ServiceAccount" => {
                Must::Pass(names::dns1123_subdomain).check(subject, "name", &path.child("name"), problems);
                ""
            }
            "User" | "Group" => {
                if name.is_empty() {
                    let why = if kind == "User" { "user name cannot be empty" } else { "group name cannot be empty" };
                    problems.push(FieldError::invalid(path.child("name"), name, why));
                }
                GROUP
            }
            _ => {
                problems.push(FieldError::not_supported(path.child("kind"), kind, &["ServiceAccount", "User", "Group"]));
                continue;
            }
        };
        if group != wanted {
            problems.push(FieldError::not_supported(path.child("apiGroup"), group, &[wanted]));
        }
        if kind == "ServiceAccount" && !namespaced && text(subject, "namespace").is_empty() {
            problems.push(FieldError::required(path.child("namespace"), ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shows;
    use super::*;

    #[test]
    fn bindings_get_groups_and_are_checked() {
        let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "sa"}, {"kind": "Robot", "name": "r2"}]});
        let mut binding = binding.as_object().unwrap().clone();
        Bindings.default(&mut binding);
        assert_eq!(binding["roleRef"]["apiGroup"], GROUP);
        assert_eq!(binding["subjects"][0]["apiGroup"], GROUP);
        let mut problems = Vec::new();
        validate_binding(&binding, true, &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field.as_str(), "subjects[2].kind");
        problems.clear();
        validate_binding(&binding, false, &mut problems);
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["roleRef.kind", "subjects[1].namespace", "subjects[2].kind"]);
    }

    #[test]
    fn cells() {
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"},
            {"kind": "Group", "name": "g"}, {"kind": "Group", "name": "h"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
        shows(
            &row(),
            &binding,
            &[
                ("Name", json!("b")),
                ("Role", json!("Role/r")),
                ("Age", json!("<unknown>")),
                ("Users", json!("u")),
                ("Groups", json!("g, h")),
                ("ServiceAccounts", json!("n/s")),
            ],
        );
    }
}
