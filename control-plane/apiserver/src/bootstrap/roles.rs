//! The default roles and bindings. What each one is for is in the Kubernetes documentation on RBAC; what it may do with
//! the kinds stands in their rows ([`Right`]).
//!
//! `admin`, `edit` and `view` are made of parts by labels, so that the roles of custom resources can join them.
//! There is no node authoriser here, so that `system:node` is bound to the group of nodes, as older clusters have it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::rbac::GROUP;
use crate::registry::{Kind, READ, Right, Role};

const AUTHENTICATED: &str = "system:authenticated";

/// What the roles of every cluster grant on resources that are not served here: group, plural, rights. Who asks what it may do
/// gets the answer of a real server. A row takes its line with it.
const NOT_SERVED: &[(&str, &str, &[Right])] = &[
    ("", "bindings", &[Right::view(&[""])]),
    ("", "endpoints", &[Right::view(&[""])]),
    ("", "limitranges", &[Right::view(&[""])]),
    ("", "persistentvolumeclaims", &[Right::view(&["", "status"]), Right::edit(&[""]), Right::node(&["get"], &[""])]),
    ("", "persistentvolumes", &[Right::node(&["get"], &[""])]),
    ("", "replicationcontrollers", &[Right::view(&["", "scale", "status"]), Right::edit(&["", "scale"])]),
    ("", "resourcequotas", &[Right::view(&["", "status"])]),
    (
        "",
        "services",
        &[Right::view(&["", "status"]), Right::edit(&["", "proxy"]), Right::new(Role::Edit, READ, &["proxy"]), Right::node(READ, &[""])],
    ),
    ("apps", "controllerrevisions", &[Right::view(&[""])]),
    ("apps", "daemonsets", &[Right::view(&["", "status"]), Right::edit(&[""])]),
    ("apps", "statefulsets", &[Right::view(&["", "scale", "status"]), Right::edit(&["", "scale"])]),
    ("autoscaling", "horizontalpodautoscalers", &[Right::view(&["", "status"]), Right::edit(&[""])]),
    ("batch", "cronjobs", &[Right::view(&["", "status"]), Right::edit(&[""])]),
    ("batch", "jobs", &[Right::view(&["", "status"]), Right::edit(&[""])]),
    ("discovery.k8s.io", "endpointslices", &[Right::view(&[""])]),
    ("networking.k8s.io", "ingresses", &[Right::view(&["", "status"]), Right::edit(&[""])]),
    ("networking.k8s.io", "networkpolicies", &[Right::view(&[""]), Right::edit(&[""])]),
    ("node.k8s.io", "runtimeclasses", &[Right::node(READ, &[""])]),
    ("policy", "poddisruptionbudgets", &[Right::view(&["", "status"]), Right::edit(&[""])]),
];

/// The rules of a role: one for each group and set of verbs.
fn rules(rows: &[Arc<Kind>], role: Role) -> Vec<Value> {
    let served = rows.iter().map(|row| (row.group.as_str(), row.plural.as_str(), row.rights));
    let mut rules: Vec<(&[&str], &str, Vec<String>)> = Vec::new();
    for (group, plural, rights) in served.chain(NOT_SERVED.iter().copied()) {
        for right in rights.iter().filter(|right| right.role == role) {
            let resources = right.of.iter().map(|of| if of.is_empty() { plural.to_owned() } else { format!("{plural}/{of}") });
            match rules.iter_mut().find(|(verbs, of, _)| *verbs == right.verbs && *of == group) {
                Some((_, _, list)) => list.extend(resources),
                None => rules.push((right.verbs, group, resources.collect())),
            }
        }
    }
    let rule = |(verbs, group, mut resources): (&[&str], &str, Vec<String>)| {
        resources.sort();
        json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
    };
    rules.into_iter().map(rule).collect()
}

/// One rule about paths.
fn paths(paths: &[&str]) -> Value {
    json!({"verbs": ["get"], "nonResourceURLs": paths})
}

fn object(kind: &str, name: &str, labels: &[&str]) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    for label in labels {
        metadata["labels"][format!("{GROUP}/aggregate-to-{label}")] = json!("true");
    }
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata})
}

fn role(name: &str, labels: &[&str], rules: Vec<Value>) -> (&'static str, Value) {
    let mut role = object("ClusterRole", name, labels);
    role["rules"] = Value::Array(rules);
    ("clusterroles", role)
}

fn aggregate(name: &str, labels: &[&str]) -> (&'static str, Value) {
    let mut role = object("ClusterRole", name, labels);
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {format!("{GROUP}/aggregate-to-{name}"): "true"}}]});
    role["rules"] = json!([]);
    ("clusterroles", role)
}

fn binding(name: &str, groups: &[&str]) -> (&'static str, Value) {
    let mut binding = object("ClusterRoleBinding", name, &[]);
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name});
    binding["subjects"] = groups.iter().map(|g| json!({"apiGroup": GROUP, "kind": "Group", "name": g})).collect();
    ("clusterrolebindings", binding)
}

/// Every default role and binding with the plural of its kind.
pub(super) fn all(rows: &[Arc<Kind>]) -> Vec<(&'static str, Value)> {
    let granted = |role| rules(rows, role);
    let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
    vec![
        role("cluster-admin", &[], vec![everything, json!({"verbs": ["*"], "nonResourceURLs": ["*"]})]),
        role("system:discovery", &[], vec![paths(&[&discovery[..], &health[..]].concat())]),
        role("system:public-info-viewer", &[], vec![paths(&health)]),
        role("system:monitoring", &[], vec![paths(&["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"])]),
        role("system:basic-user", &[], granted(Role::BasicUser)),
        role("system:auth-delegator", &[], granted(Role::AuthDelegator)),
        role("system:service-account-issuer-discovery", &[], vec![paths(&["/.well-known/openid-configuration", "/openid/v1/jwks"])]),
        role("system:node", &[], granted(Role::Node)),
        role("system:aggregate-to-admin", &["admin"], granted(Role::Admin)),
        role("system:aggregate-to-edit", &["edit"], granted(Role::Edit)),
        role("system:aggregate-to-view", &["view"], granted(Role::View)),
        // After their parts, so that they are filled once.
        aggregate("view", &["edit"]),
        aggregate("edit", &["admin"]),
        aggregate("admin", &[]),
        binding("cluster-admin", &["system:masters"]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding("system:basic-user", &[AUTHENTICATED]),
        binding("system:public-info-viewer", &[AUTHENTICATED, "system:unauthenticated"]),
        binding("system:monitoring", &["system:monitoring"]),
        binding("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
        binding("system:node", &["system:nodes"]),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::User;
    use crate::auth::rbac::{Action, Rbac};

    fn allowed(rbac: &Rbac, user: &User, verb: &str, group: &str, resource: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        rbac.allows(user, &Action::Resource { verb, group, resource, subresource, namespace: "team", name: "" })
    }

    #[test]
    fn default_roles_grant_what_their_names_say() {
        let rbac = Rbac::default();
        let rows: Vec<_> = crate::kinds::builtin().into_iter().map(Arc::new).collect();
        let mut objects = super::all(&rows);
        for role in ["view", "edit", "admin"] {
            objects.push((
                "rolebindings",
                serde_json::json!({"metadata": {"name": role, "namespace": "team"}, "roleRef": {"apiGroup": super::GROUP,
                    "kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": role}]}),
            ));
        }
        for (plural, object) in objects {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            rbac.changed(plural, &text("namespace"), &text("name"), || Some(object.clone()));
        }
        let user = |name: &str| User::new(name, [""; 0]);
        let (view, edit, admin) = (user("view"), user("edit"), user("admin"));
        assert!(allowed(&rbac, &view, "list", "", "pods") && allowed(&rbac, &view, "get", "", "pods/log"));
        assert!(!allowed(&rbac, &view, "get", "", "secrets") && !allowed(&rbac, &view, "create", "", "pods"));
        assert!(allowed(&rbac, &edit, "list", "", "pods") && allowed(&rbac, &edit, "update", "apps", "deployments/scale"));
        assert!(!allowed(&rbac, &edit, "create", super::GROUP, "roles"));
        assert!(allowed(&rbac, &admin, "create", super::GROUP, "roles") && allowed(&rbac, &admin, "delete", "", "secrets"));
        assert!(!allowed(&rbac, &admin, "create", "", "nodes"));
        let path = |user: &User, path| rbac.allows(user, &Action::Path { verb: "get", path });
        assert!(path(&view, "/apis/apps/v1") && path(&User::anonymous(), "/readyz") && path(&User::anonymous(), "/version"));
        assert!(!path(&User::anonymous(), "/apis"));
        assert!(allowed(&rbac, &view, "create", "authorization.k8s.io", "selfsubjectaccessreviews"));
        assert!(!allowed(&rbac, &User::anonymous(), "create", "authorization.k8s.io", "selfsubjectaccessreviews"));
        let node = User::new("system:node:n", ["system:nodes"]);
        assert!(allowed(&rbac, &node, "patch", "", "pods/status"));
    }

    #[test]
    fn a_row_says_what_may_be_done_with_its_kind() {
        let served = crate::kinds::builtin();
        for (group, plural, _) in super::NOT_SERVED {
            assert!(
                !served.iter().any(|row| row.group == *group && row.plural == *plural),
                "{plural} has a row now: move its rights there"
            );
        }
    }
}
