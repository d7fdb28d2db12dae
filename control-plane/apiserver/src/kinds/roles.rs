//! Roles, in a namespace and for the cluster.

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::typed;
use super::values::{At, label_selector, list, map, maps, standard_finalizers};
use crate::auth::rbac::{self, GROUP};
use crate::registry::{self, ALL, Cx, Kind, Object, Right, Strategy};
use crate::validate;

/// Roles of a namespace.
pub(super) fn row() -> Kind {
    Kind { rights: const { &[Right::new(registry::Role::Admin, ALL, &[""])] }, ..typed(GROUP, "v1", "Role", "roles", Roles) }
}

/// Roles for the cluster.
pub(super) fn cluster_row() -> Kind {
    Kind { namespaced: false, ..typed(GROUP, "v1", "ClusterRole", "clusterroles", Roles) }
}

struct Roles;

impl Strategy for Roles {
    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        standard_finalizers(object, problems);
        for (index, rule) in maps(object, "rules").enumerate() {
            validate_rule(&format!("rules[{index}]"), rule, cx.kind.namespaced, problems);
        }
        if let Some(aggregation) = map(object, "aggregationRule") {
            let path = At::Path("aggregationRule.clusterRoleSelectors");
            if is_empty(aggregation, "clusterRoleSelectors") {
                problems.push(FieldError::required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
            }
            for (i, selector) in maps(aggregation, "clusterRoleSelectors").enumerate() {
                label_selector(Some(selector), &path.index(i), problems);
            }
        }
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        validate::path_segment(name)
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, _: bool) {
        rbac::committed(cx, object);
    }
}

fn validate_rule(path: &str, rule: &Object, namespaced: bool, problems: &mut Vec<FieldError>) {
    if is_empty(rule, "verbs") {
        problems.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
    }
    let urls = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
    if !is_empty(rule, "nonResourceURLs") {
        let field = format!("{path}.nonResourceURLs");
        if namespaced {
            problems.push(FieldError::invalid(field.as_str(), urls.clone(), "namespaced rules cannot apply to non-resource URLs"));
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|key| !is_empty(rule, key)) {
            problems.push(FieldError::invalid(
                field.as_str(),
                urls.clone(),
                "rules cannot apply to both regular resources and non-resource URLs",
            ));
        }
        return;
    }
    if is_empty(rule, "apiGroups") {
        problems.push(FieldError::required(format!("{path}.apiGroups"), "resource rules must supply at least one api group"));
    }
    if is_empty(rule, "resources") {
        problems.push(FieldError::required(format!("{path}.resources"), "resource rules must supply at least one resource"));
    }
}

fn is_empty(rule: &Object, key: &str) -> bool {
    list(rule, key).is_empty()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
mod tests {
    use serde_json::json;

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
}
