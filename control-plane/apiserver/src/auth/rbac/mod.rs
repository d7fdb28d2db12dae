//! Role-based access control: rules, the index of who holds which, and the decision.
//!
//! The index follows the store: after every commit of a role or binding their rows call [`committed`], which
//! reads the object again *under the index's lock*. Whoever comes last therefore sees the last state, in whatever
//! order the calls arrive. Questions only take a read lock; members of `system:masters` not even that.
//!
//! Left out, as written in the crate's README: escalation checks. Whoever may write roles may write any role.

mod aggregate;
mod index;
mod rule;

use std::sync::{PoisonError, RwLock};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use index::{Grant, Index};
pub use rule::{Action, Rule};

use crate::Profile;
use crate::registry::{Cx, Object};
use crate::request::{GROUP_MASTERS, User};

/// The group of the kinds that the index follows.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The answer of the authoriser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the user may.
    pub allowed: bool,
    /// Why, for people; empty when there is nothing to say.
    pub reason: String,
}

/// The authoriser.
#[derive(Debug, Default)]
pub struct Rbac {
    index: RwLock<Index>,
}

impl Rbac {
    /// Whether the user may do this. No words: this is asked for every request.
    #[must_use]
    pub fn allows(&self, user: &User, action: &Action<'_>) -> bool {
        user.in_group(GROUP_MASTERS) || self.read().allows(&user.name, &user.groups, action)
    }

    /// Whether the user may do this, and why (not).
    #[must_use]
    pub fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        if user.in_group(GROUP_MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        let index = self.read();
        if let Some(grant) = index.grant(&user.name, &user.groups, action) {
            return Decision { allowed: true, reason: grant.to_string() };
        }
        let missing = index.missing_roles(&user.name, &user.groups, action.namespace());
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision { allowed: false, reason }
    }

    /// Every rule that counts for the user in a namespace.
    #[must_use]
    pub fn rules(&self, user: &User, namespace: &str) -> Vec<PolicyRule> {
        let mut rules = self.read().rules(&user.name, &user.groups, namespace);
        if user.in_group(GROUP_MASTERS) {
            let all = || vec!["*".to_owned()];
            let resources = PolicyRule { verbs: all(), api_groups: Some(all()), resources: Some(all()), ..PolicyRule::default() };
            let paths = PolicyRule { verbs: all(), non_resource_urls: Some(all()), ..PolicyRule::default() };
            for rule in [resources, paths] {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        rules
    }

    /// The aggregated ClusterRoles with the rules that they grant.
    #[must_use]
    pub fn aggregates(&self) -> Vec<(String, Vec<PolicyRule>)> {
        self.read().aggregates()
    }

    /// An object of one of the kinds of [`GROUP`] was written or removed. `read` gives what the store holds now.
    pub fn changed(&self, resource: &str, namespace: &str, name: &str, read: impl FnOnce() -> Option<Value>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        put(&mut index, resource, namespace, name, read());
        debug_assert_eq!(index.consistency_check(), Ok(()));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the commit of an object of one of the kinds of [`GROUP`].
pub(crate) fn committed(cx: &Cx<'_>, object: &Object) {
    let name = crate::object::meta_str(object, "name");
    let read = || super::object(cx.server, &cx.kind.storage, cx.namespace, name);
    cx.server.auth().rbac().changed(&cx.kind.plural, cx.namespace, name, read);
    if cx.kind.kind == "ClusterRole" && cx.server.profile() == Profile::Full {
        aggregate::settle(cx.server);
    }
}

fn put(index: &mut Index, resource: &str, namespace: &str, name: &str, object: Option<Value>) {
    match resource {
        "clusterroles" => match object.and_then(typed) {
            Some(role) => index.apply_cluster_role(&role),
            None => index.delete_cluster_role(name),
        },
        "roles" => match object.and_then(typed) {
            Some(role) => index.apply_role(&role),
            None => index.delete_role(namespace, name),
        },
        "clusterrolebindings" => match object.and_then(typed) {
            Some(binding) => index.apply_cluster_role_binding(&binding),
            None => index.delete_binding("", name),
        },
        "rolebindings" => match object.and_then(typed) {
            Some(binding) => index.apply_role_binding(&binding),
            None => index.delete_binding(namespace, name),
        },
        _ => {}
    }
}

/// An object that does not have its type's form grants nothing, like one that is not there.
fn typed<T: DeserializeOwned>(object: Value) -> Option<T> {
    serde_json::from_value(object).inspect_err(|error| tracing::warn!(%error, "unreadable role or binding")).ok()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(kind: &str, namespace: &str, name: &str, rules: Value) -> (&'static str, Value) {
        let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
        (
            plural,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": rules}),
        )
    }

    fn binding(namespace: &str, name: &str, role: (&str, &str), subject: Value) -> (&'static str, Value) {
        let (plural, kind) =
            if namespace.is_empty() { ("clusterrolebindings", "ClusterRoleBinding") } else { ("rolebindings", "RoleBinding") };
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": GROUP, "kind": role.0, "name": role.1}, "subjects": [subject]});
        (plural, object)
    }

    fn pods<'a>(verb: &'a str, namespace: &'a str) -> Action<'a> {
        Action::Resource { verb, group: "", resource: "pods", subresource: "", namespace, name: "" }
    }

    fn apply(rbac: &Rbac, (resource, object): (&str, Value)) {
        let (namespace, name) =
            (object["metadata"]["namespace"].as_str().unwrap().to_owned(), object["metadata"]["name"].as_str().unwrap().to_owned());
        rbac.changed(resource, &namespace, &name, || Some(object));
    }

    fn sa(namespace: &str, name: &str) -> User {
        User::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
        )
    }

    #[test]
    fn a_binding_in_a_namespace_grants_there_only() {
        let rbac = Rbac::default();
        let user = sa("a", "x");
        // The binding first: order between kinds does not matter.
        apply(&rbac, binding("a", "b", ("ClusterRole", "reader"), json!({"kind": "ServiceAccount", "name": "x", "namespace": "a"})));
        assert_eq!(rbac.decide(&user, &pods("list", "a")).reason, "RBAC: clusterrole.rbac.authorization.k8s.io \"reader\" not found");
        apply(&rbac, role("ClusterRole", "", "reader", json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}])));
        assert!(rbac.allows(&user, &pods("list", "a")));
        assert!(!rbac.allows(&user, &pods("list", "b")));
        assert!(!rbac.allows(&user, &pods("list", "")));
        assert!(!rbac.allows(&sa("b", "x"), &pods("list", "a")));
        let decision = rbac.decide(&user, &pods("list", "a"));
        assert_eq!(decision.reason, "RBAC: allowed by RoleBinding \"b/a\" of ClusterRole \"reader\" to ServiceAccount \"x/a\"");
        rbac.changed("rolebindings", "a", "b", || None);
        assert!(!rbac.allows(&user, &pods("list", "a")));
    }

    #[test]
    fn groups_and_roles_of_a_namespace() {
        let rbac = Rbac::default();
        apply(&rbac, role("Role", "a", "r", json!([{"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}])));
        apply(&rbac, binding("a", "b", ("Role", "r"), json!({"kind": "Group", "name": "system:serviceaccounts:a", "apiGroup": GROUP})));
        assert!(rbac.allows(&sa("a", "any"), &pods("delete", "a")));
        assert!(!rbac.allows(&sa("b", "any"), &pods("delete", "a")));
        // A changed binding forgets its old subjects.
        apply(&rbac, binding("a", "b", ("Role", "r"), json!({"kind": "User", "name": "jane", "apiGroup": GROUP})));
        assert!(!rbac.allows(&sa("a", "any"), &pods("delete", "a")));
        assert!(rbac.allows(&User::new("jane", [""; 0]), &pods("delete", "a")));
    }

    #[test]
    fn masters_may_do_anything_and_others_nothing() {
        let rbac = Rbac::default();
        assert!(rbac.allows(&User::admin(), &pods("delete", "")));
        assert!(!rbac.allows(&User::anonymous(), &Action::Path { verb: "get", path: "/healthz" }));
        assert_eq!(rbac.rules(&User::admin(), "x").len(), 2);
    }

    #[test]
    fn aggregates_follow_what_they_select() {
        let rbac = Rbac::default();
        let aggregate = |name: &str, label: &str, own: Value| {
            (
                "clusterroles",
                json!({"metadata": {"name": name, "namespace": "", "labels": own},
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}, "rules": []}),
            )
        };
        apply(&rbac, aggregate("edit", "to-edit", json!({"to-admin": "true"})));
        apply(&rbac, aggregate("admin", "to-admin", json!({"to-edit": "true"})));
        apply(&rbac, binding("", "b", ("ClusterRole", "admin"), json!({"kind": "User", "name": "jane"})));
        let jane = User::new("jane", [""; 0]);
        assert!(!rbac.allows(&jane, &pods("get", "a")));
        let leaf = json!({"metadata": {"name": "leaf", "namespace": "", "labels": {"to-edit": "true"}},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        apply(&rbac, ("clusterroles", leaf));
        // admin selects edit, edit selects leaf (and admin again, which is no endless loop).
        assert!(rbac.allows(&jane, &pods("get", "a")));
        let aggregates = rbac.aggregates();
        let names: Vec<&str> = aggregates.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["admin", "edit"]);
        assert!(aggregates.iter().all(|(_, rules)| rules.len() == 1));
        rbac.changed("clusterroles", "", "leaf", || None);
        assert!(!rbac.allows(&jane, &pods("get", "a")));
    }

    #[test]
    fn paths_are_granted_for_the_cluster_only() {
        let rbac = Rbac::default();
        apply(&rbac, role("ClusterRole", "", "r", json!([{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}])));
        apply(&rbac, binding("a", "b", ("ClusterRole", "r"), json!({"kind": "User", "name": "jane"})));
        let jane = User::new("jane", [""; 0]);
        let action = Action::Path { verb: "get", path: "/metrics" };
        assert!(!rbac.allows(&jane, &action));
        assert!(rbac.rules(&jane, "a").is_empty());
        apply(&rbac, binding("", "c", ("ClusterRole", "r"), json!({"kind": "User", "name": "jane"})));
        assert!(rbac.allows(&jane, &action));
        assert_eq!(rbac.rules(&jane, "a").len(), 1);
    }
}
