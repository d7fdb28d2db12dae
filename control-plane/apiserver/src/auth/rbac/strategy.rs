//! The rules of the four RBAC kinds: names, defaults, validation, and telling the index about every commit.

use dormouse_machinery::field::FieldError;
use serde_json::{Value, json};

use super::{GROUP, aggregate};
use crate::Profile;
use crate::registry::{Cx, Object, Strategy};

/// The strategy of Role, ClusterRole, RoleBinding and ClusterRoleBinding.
#[derive(Debug, Clone, Copy, Default)]
pub struct RbacStrategy;

impl Strategy for RbacStrategy {
    fn default(&self, object: &mut Object) {
        let Some(Value::Object(reference)) = object.get_mut("roleRef") else { return };
        set_group(reference, GROUP);
        for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(subject) = subject
                && matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group"))
            {
                set_group(subject, GROUP);
            }
        }
    }

    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let object = Fields(object);
        if cx.kind.kind.ends_with("Binding") {
            validate_binding(&object, cx.kind.namespaced, problems);
        } else {
            for (index, rule) in object.list("rules").enumerate() {
                validate_rule(&format!("rules[{index}]"), rule, cx.kind.namespaced, problems);
            }
        }
    }

    fn validate_update(&self, cx: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        if cx.kind.kind.ends_with("Binding") && object.get("roleRef") != old.get("roleRef") {
            let value = object.get("roleRef").unwrap_or(&Value::Null);
            problems.push(FieldError::invalid("roleRef", value.clone(), "cannot change roleRef"));
        }
    }

    /// Any segment of a path will do: role names have colons.
    fn validate_name(&self, name: &str, _generate_prefix: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if name == "." || name == ".." {
            problems.push(format!("may not be '{name}'"));
        }
        problems.extend(['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")));
        problems
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, _removed: bool) {
        let name = object.get("metadata").and_then(|m| m["name"].as_str()).unwrap_or_default();
        let storage = &cx.kind.storage;
        let read = || crate::auth::object(cx.server, storage, cx.namespace, name);
        cx.server.auth().rbac().changed(&cx.kind.plural, cx.namespace, name, read);
        if cx.kind.kind == "ClusterRole" && cx.server.profile() == Profile::Full {
            aggregate::settle(cx.server);
        }
    }
}

fn set_group(object: &mut Object, group: &str) {
    if object.get("apiGroup").and_then(Value::as_str).unwrap_or_default().is_empty() {
        object.insert("apiGroup".to_owned(), json!(group));
    }
}

fn validate_rule(path: &str, rule: &Object, namespaced: bool, problems: &mut Vec<FieldError>) {
    let rule = Fields(rule);
    if rule.is_empty_list("verbs") {
        problems.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    let urls = rule.0.get("nonResourceURLs").unwrap_or(&Value::Null);
    if !rule.is_empty_list("nonResourceURLs") {
        let field = format!("{path}.nonResourceURLs");
        if namespaced {
            problems.push(FieldError::invalid(field.as_str(), urls.clone(), "namespaced rules cannot apply to non-resource URLs"));
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|key| !rule.is_empty_list(key)) {
            problems.push(FieldError::invalid(
                field.as_str(),
                urls.clone(),
                "rules cannot apply to both regular resources and non-resource URLs",
            ));
        }
        return;
    }
    if rule.is_empty_list("apiGroups") {
        problems.push(FieldError::required(format!("{path}.apiGroups"), "resource rules must supply at least one api group"));
    }
    if rule.is_empty_list("resources") {
        problems.push(FieldError::required(format!("{path}.resources"), "resource rules must supply at least one resource"));
    }
}

fn validate_binding(binding: &Fields<'_>, namespaced: bool, problems: &mut Vec<FieldError>) {
    let empty = Object::new();
    let reference = Fields(binding.0.get("roleRef").and_then(Value::as_object).unwrap_or(&empty));
    if reference.text("apiGroup") != GROUP {
        problems.push(FieldError::not_supported("roleRef.apiGroup", reference.text("apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
    if !kinds.contains(&reference.text("kind")) {
        problems.push(FieldError::not_supported("roleRef.kind", reference.text("kind"), kinds));
    }
    if reference.text("name").is_empty() {
        problems.push(FieldError::required("roleRef.name", ""));
    }
    for (index, subject) in binding.list("subjects").enumerate() {
        let subject = Fields(subject);
        let path = format!("subjects[{index}]");
        if subject.text("name").is_empty() {
            problems.push(FieldError::required(format!("{path}.name"), ""));
        }
        let (kind, group) = (subject.text("kind"), subject.text("apiGroup"));
        let wanted = match kind {
            "ServiceAccount" => "",
            "User" | "Group" => GROUP,
            _ => {
                problems.push(FieldError::not_supported(format!("{path}.kind"), kind, &["Group", "ServiceAccount", "User"]));
                continue;
            }
        };
        if group != wanted {
            problems.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[wanted]));
        }
        if kind == "ServiceAccount" && !namespaced && subject.text("namespace").is_empty() {
            problems.push(FieldError::required(format!("{path}.namespace"), ""));
        }
    }
}

/// Reading without complaints: what has another type than it should is as good as absent.
struct Fields<'a>(&'a Object);

impl<'a> Fields<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &'a Object> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    }

    fn is_empty_list(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty)
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn rules_need_verbs_groups_and_resources() {
        let mut problems = Vec::new();
        validate_rule("rules[0]", &object(json!({"resources": ["pods"]})), true, &mut problems);
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["rules[0].verbs", "rules[0].apiGroups"]);
        problems.clear();
        validate_rule("r", &object(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]})), true, &mut problems);
        assert_eq!(problems[0].message(), "Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs");
        problems.clear();
        validate_rule("r", &object(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]})), false, &mut problems);
        assert_eq!(problems, []);
    }

    #[test]
    fn bindings_get_groups_and_are_checked() {
        let mut binding = object(json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "sa"}, {"kind": "Robot", "name": "r2"}]}));
        Strategy::default(&RbacStrategy, &mut binding);
        assert_eq!(binding["roleRef"]["apiGroup"], GROUP);
        assert_eq!(binding["subjects"][0]["apiGroup"], GROUP);
        let mut problems = Vec::new();
        validate_binding(&Fields(&binding), true, &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field.as_str(), "subjects[2].kind");
        problems.clear();
        validate_binding(&Fields(&binding), false, &mut problems);
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["roleRef.kind", "subjects[1].namespace", "subjects[2].kind"]);
    }

    #[test]
    fn names_are_segments_of_paths() {
        assert_eq!(RbacStrategy.validate_name("system:node", false), [""; 0]);
        assert_eq!(RbacStrategy.validate_name("a/b%", false), ["may not contain '/'", "may not contain '%'"]);
    }
}
