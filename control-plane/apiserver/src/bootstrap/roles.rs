//! The default roles and bindings, as data. What each one is for is in the Kubernetes documentation on RBAC.
//!
//! `admin`, `edit` and `view` are made of parts by labels, so that the roles of custom resources can join them.
//! There is no node authoriser here, so that `system:node` is bound to the group of nodes, as older clusters have it.

use serde_json::{Value, json};

use crate::auth::rbac::GROUP;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const AUTHENTICATED: &str = "system:authenticated";

/// One rule about resources.
fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
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
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
    vec![
        role("cluster-admin", &[], vec![everything, json!({"verbs": ["*"], "nonResourceURLs": ["*"]})]),
        role("system:discovery", &[], vec![paths(&[&discovery[..], &health[..]].concat())]),
        role("system:public-info-viewer", &[], vec![paths(&health)]),
        role("system:monitoring", &[], vec![paths(&["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"])]),
        role(
            "system:basic-user",
            &[],
            vec![
                rule(CREATE, "authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                rule(CREATE, "authentication.k8s.io", &["selfsubjectreviews"]),
            ],
        ),
        role(
            "system:auth-delegator",
            &[],
            vec![rule(CREATE, "authentication.k8s.io", &["tokenreviews"]), rule(CREATE, "authorization.k8s.io", &["subjectaccessreviews"])],
        ),
        role("system:service-account-issuer-discovery", &[], vec![paths(&["/.well-known/openid-configuration", "/openid/v1/jwks"])]),
        role("system:node", &[], node()),
        role("system:aggregate-to-admin", &["admin"], admin()),
        role("system:aggregate-to-edit", &["edit"], edit()),
        role("system:aggregate-to-view", &["view"], view()),
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

fn admin() -> Vec<Value> {
    vec![rule(CREATE, "authorization.k8s.io", &["localsubjectaccessreviews"]), rule(ALL, GROUP, &["rolebindings", "roles"])]
}

fn edit() -> Vec<Value> {
    let streams = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];
    vec![
        rule(READ, "", &[&streams[..], &["secrets", "services/proxy"]].concat()),
        rule(&["impersonate"], "", &["serviceaccounts"]),
        rule(WRITE, "", &[&["pods"][..], &streams[..]].concat()),
        rule(CREATE, "", &["pods/eviction", "serviceaccounts/token"]),
        rule(
            WRITE,
            "",
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
        ),
        rule(
            WRITE,
            "apps",
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
        ),
        rule(WRITE, "autoscaling", &["horizontalpodautoscalers"]),
        rule(WRITE, "batch", &["cronjobs", "jobs"]),
        rule(WRITE, "policy", &["poddisruptionbudgets"]),
        rule(WRITE, "networking.k8s.io", &["ingresses", "networkpolicies"]),
        rule(ALL, "coordination.k8s.io", &["leases"]),
    ]
}

fn view() -> Vec<Value> {
    vec![
        rule(
            READ,
            "",
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
            ],
        ),
        rule(
            READ,
            "",
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
            ],
        ),
        rule(READ, "", &["namespaces"]),
        rule(READ, "discovery.k8s.io", &["endpointslices"]),
        rule(READ, "events.k8s.io", &["events"]),
        rule(
            READ,
            "apps",
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
        ),
        rule(READ, "autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
        rule(READ, "batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
        rule(READ, "policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
        rule(READ, "networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
    ]
}

fn node() -> Vec<Value> {
    let own = ["create", "delete", "get", "patch", "update"];
    vec![
        rule(CREATE, "authentication.k8s.io", &["tokenreviews"]),
        rule(CREATE, "authorization.k8s.io", &["localsubjectaccessreviews", "subjectaccessreviews"]),
        rule(READ, "", &["services"]),
        rule(&["create", "get", "list", "watch"], "", &["nodes"]),
        rule(&["patch", "update"], "", &["nodes/status"]),
        rule(&["delete", "patch", "update"], "", &["nodes"]),
        rule(&["create", "patch", "update"], "", &["events"]),
        rule(&["create", "patch", "update"], "events.k8s.io", &["events"]),
        rule(READ, "", &["pods"]),
        rule(&["create", "delete"], "", &["pods"]),
        rule(&["patch", "update"], "", &["pods/status"]),
        rule(CREATE, "", &["pods/eviction", "serviceaccounts/token"]),
        rule(READ, "", &["configmaps", "secrets"]),
        rule(&["get"], "", &["persistentvolumeclaims", "persistentvolumes", "serviceaccounts"]),
        rule(&own, "coordination.k8s.io", &["leases"]),
        rule(READ, "node.k8s.io", &["runtimeclasses"]),
    ]
}

#[cfg(test)]
mod tests {
    use crate::User;
    use crate::auth::rbac::{Action, Rbac};

    fn allowed(rbac: &Rbac, user: &User, verb: &str, group: &str, resource: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        rbac.allows(user, &Action::Resource { verb, group, resource, subresource, namespace: "team", name: "" })
    }

    #[test]
    fn default_roles_grant_what_their_names_say() {
        let rbac = Rbac::default();
        let mut objects = super::all();
        for role in ["view", "edit", "admin"] {
            objects.push((
                "rolebindings",
                serde_json::json!({"metadata": {"name": role, "namespace": "team"}, "roleRef": {"apiGroup": super::GROUP,
                    "kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": role}]}),
            ));
        }
        rbac.reset(objects.into_iter());
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
}
