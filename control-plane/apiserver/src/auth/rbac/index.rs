//! Roles and bindings as the authoriser looks them up: by subject first. Pure.
//!
//! Held: the rules of every role, and for every user name and group the bindings that name it. Called with
//! `apply` and `delete` for each change of the four kinds, in any order between kinds: a binding may come
//! before its role. Invariant: what is held equals what an empty index would hold after the same objects in any
//! order ([`Index::consistency_check`]).
//!
//! A ClusterRole with an aggregation rule has the rules of the roles it selects, whether somebody has written
//! them into it or not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::core::{Selector, SelectorExt};

use super::rule::{Action, Rule};

/// Namespace (empty for the cluster) and name.
type Key = (Box<str>, Box<str>);

/// The lookup structure.
#[derive(Debug, Default)]
pub struct Index {
    /// Own rules of every role; the namespace is empty for a ClusterRole.
    roles: HashMap<Key, Arc<[Rule]>>,
    /// ClusterRoles made of others: what they select.
    aggregates: BTreeMap<Box<str>, Vec<Selector>>,
    /// Labels of ClusterRoles, for those that select them.
    labels: BTreeMap<Box<str>, BTreeMap<String, String>>,
    /// Effective rules of the aggregates.
    aggregated: HashMap<Box<str>, Arc<[Rule]>>,
    /// Every binding; the namespace is empty for a ClusterRoleBinding.
    bindings: HashMap<Key, Arc<Binding>>,
    users: HashMap<Box<str>, Vec<Arc<Binding>>>,
    groups: HashMap<Box<str>, Vec<Arc<Binding>>>,
}

/// A binding, without what only people read.
#[derive(Debug)]
struct Binding {
    namespace: Box<str>,
    name: Box<str>,
    /// Namespace (empty for a ClusterRole) and name of the role.
    role: Key,
    users: Vec<(Box<str>, Subject)>,
    groups: Vec<(Box<str>, Subject)>,
}

/// Why the index allows something.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    binding: Key,
    role: Key,
    subject: Subject,
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (namespace, name) = &self.binding;
        if namespace.is_empty() {
            write!(f, "RBAC: allowed by ClusterRoleBinding \"{name}\"")?;
        } else {
            write!(f, "RBAC: allowed by RoleBinding \"{name}/{namespace}\"")?;
        }
        let kind = if self.role.0.is_empty() { "ClusterRole" } else { "Role" };
        let Subject { kind: subject_kind, name, namespace, .. } = &self.subject;
        write!(f, " of {kind} \"{}\" to {subject_kind} \"{name}", self.role.1)?;
        match namespace.as_deref() {
            Some(namespace) if subject_kind == "ServiceAccount" => write!(f, "/{namespace}\""),
            _ => f.write_str("\""),
        }
    }
}

impl Index {
    /// A ClusterRole is there or has changed.
    pub fn apply_cluster_role(&mut self, role: &ClusterRole) {
        let name: Box<str> = role.metadata.name.as_deref().unwrap_or_default().into();
        self.roles.insert((Box::default(), name.clone()), rules(role.rules.as_deref()));
        self.labels.insert(name.clone(), role.metadata.labels.clone().unwrap_or_default());
        match &role.aggregation_rule {
            Some(rule) => {
                let selectors = rule.cluster_role_selectors.iter().flatten();
                self.aggregates.insert(name, selectors.filter_map(|s| Selector::try_from(s.clone()).ok()).collect());
            }
            None => {
                self.aggregates.remove(&name);
            }
        }
        self.aggregate();
    }

    /// A ClusterRole is gone.
    pub fn delete_cluster_role(&mut self, name: &str) {
        self.roles.remove(&(Box::default(), name.into()));
        self.labels.remove(name);
        self.aggregates.remove(name);
        self.aggregate();
    }

    /// A Role is there or has changed.
    pub fn apply_role(&mut self, role: &Role) {
        let key = key(role.metadata.namespace.as_deref(), role.metadata.name.as_deref());
        self.roles.insert(key, rules(role.rules.as_deref()));
    }

    /// A Role is gone.
    pub fn delete_role(&mut self, namespace: &str, name: &str) {
        self.roles.remove(&(namespace.into(), name.into()));
    }

    /// A ClusterRoleBinding is there or has changed.
    pub fn apply_cluster_role_binding(&mut self, binding: &ClusterRoleBinding) {
        let key = key(None, binding.metadata.name.as_deref());
        self.bind(Binding::new(key, &binding.role_ref, binding.subjects.as_deref()));
    }

    /// A RoleBinding is there or has changed.
    pub fn apply_role_binding(&mut self, binding: &RoleBinding) {
        let key = key(binding.metadata.namespace.as_deref(), binding.metadata.name.as_deref());
        self.bind(Binding::new(key, &binding.role_ref, binding.subjects.as_deref()));
    }

    /// A binding is gone; the namespace is empty for a ClusterRoleBinding.
    pub fn delete_binding(&mut self, namespace: &str, name: &str) {
        let Some(old) = self.bindings.remove(&(namespace.into(), name.into())) else { return };
        for (map, subjects) in [(&mut self.users, &old.users), (&mut self.groups, &old.groups)] {
            for (subject, _) in subjects {
                if let Some(list) = map.get_mut(subject) {
                    list.retain(|b| !Arc::ptr_eq(b, &old));
                    if list.is_empty() {
                        map.remove(subject);
                    }
                }
            }
        }
    }

    fn bind(&mut self, binding: Binding) {
        self.delete_binding(&binding.namespace, &binding.name);
        let binding = Arc::new(binding);
        for (map, subjects) in [(&mut self.users, &binding.users), (&mut self.groups, &binding.groups)] {
            let mut seen = HashSet::new();
            for (subject, _) in subjects {
                if seen.insert(subject) {
                    map.entry(subject.clone()).or_default().push(Arc::clone(&binding));
                }
            }
        }
        self.bindings.insert((binding.namespace.clone(), binding.name.clone()), binding);
    }

    /// Computes the effective rules of every aggregate again: there are a handful, and roles change rarely.
    fn aggregate(&mut self) {
        self.aggregated.clear();
        let names: Vec<Box<str>> = self.aggregates.keys().cloned().collect();
        for name in names {
            let mut all = Vec::new();
            self.collect(&name, &mut HashSet::new(), &mut all);
            self.aggregated.insert(name, all.into());
        }
    }

    /// Adds the rules of the roles that `name` selects, and of those that these select. Roles that select each
    /// other are seen once.
    fn collect(&self, name: &str, seen: &mut HashSet<Box<str>>, all: &mut Vec<Rule>) {
        if !seen.insert(name.into()) {
            return;
        }
        let Some(selectors) = self.aggregates.get(name) else {
            for rule in self.roles.get(&(Box::default(), name.into())).into_iter().flat_map(|r| r.iter()) {
                if !all.contains(rule) {
                    all.push(rule.clone());
                }
            }
            return;
        };
        for (other, labels) in &self.labels {
            if selectors.iter().any(|s| s.matches(labels)) {
                self.collect(other, seen, all);
            }
        }
    }

    /// Rules of a role, `None` when there is no such role.
    fn rules_of(&self, role: &Key) -> Option<&Arc<[Rule]>> {
        if role.0.is_empty()
            && let Some(rules) = self.aggregated.get(&role.1)
        {
            return Some(rules);
        }
        self.roles.get(role)
    }

    /// The aggregated ClusterRoles with their effective rules.
    #[must_use]
    pub fn aggregates(&self) -> Vec<(String, Vec<PolicyRule>)> {
        let rules = |name| self.aggregated.get(name).map(|rules| rules.iter().map(Rule::to_policy).collect());
        self.aggregates.keys().map(|name| (name.to_string(), rules(name).unwrap_or_default())).collect()
    }

    /// The bindings of a user that count in a namespace (empty: only those of the cluster), with the subject that matched.
    fn bindings<'a>(
        &'a self,
        user: &'a str,
        groups: &'a [String],
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Binding, &'a str, bool)> {
        let of_user = self.users.get(user).into_iter().flatten().map(move |b| (&**b, user, false));
        let of_groups =
            groups.iter().flat_map(|g| self.groups.get(g.as_str()).into_iter().flatten().map(move |b| (&**b, g.as_str(), true)));
        of_user.chain(of_groups).filter(move |(b, ..)| b.namespace.is_empty() || (!namespace.is_empty() && *b.namespace == *namespace))
    }

    /// Whether the user may do this.
    #[must_use]
    pub fn allows(&self, user: &str, groups: &[String], action: &Action<'_>) -> bool {
        self.allowing(user, groups, action).is_some()
    }

    /// Why the user may do this; `None` when nothing allows it.
    #[must_use]
    pub fn grant(&self, user: &str, groups: &[String], action: &Action<'_>) -> Option<Grant> {
        let (binding, subject, is_group) = self.allowing(user, groups, action)?;
        let subjects = if is_group { &binding.groups } else { &binding.users };
        let subject = subjects.iter().find(|(name, _)| **name == *subject).map(|(_, s)| s.clone()).unwrap_or_default();
        Some(Grant { binding: (binding.namespace.clone(), binding.name.clone()), role: binding.role.clone(), subject })
    }

    /// The first binding that allows it, the subject that matched, and whether that is a group.
    fn allowing<'a>(&'a self, user: &'a str, groups: &'a [String], action: &Action<'a>) -> Option<(&'a Binding, &'a str, bool)> {
        self.bindings(user, groups, action.namespace())
            .find(|(binding, ..)| self.rules_of(&binding.role).is_some_and(|rules| rules.iter().any(|r| r.covers(action))))
    }

    /// Roles that bindings of the user name and that do not exist: the reason a refusal should mention.
    #[must_use]
    pub fn missing_roles(&self, user: &str, groups: &[String], namespace: &str) -> Vec<String> {
        let mut missing: Vec<String> = self
            .bindings(user, groups, namespace)
            .filter(|(b, ..)| self.rules_of(&b.role).is_none())
            .map(|(b, ..)| {
                let kind = if b.role.0.is_empty() { "clusterrole" } else { "role" };
                format!("{kind}.rbac.authorization.k8s.io \"{}\" not found", b.role.1)
            })
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }

    /// Every rule that counts for the user in a namespace.
    #[must_use]
    pub fn rules(&self, user: &str, groups: &[String], namespace: &str) -> Vec<PolicyRule> {
        let mut seen: Vec<&Rule> = Vec::new();
        for (binding, ..) in self.bindings(user, groups, namespace) {
            for rule in self.rules_of(&binding.role).into_iter().flat_map(|r| r.iter()) {
                // A binding in a namespace cannot grant paths.
                if (binding.namespace.is_empty() || !rule.is_about_paths()) && !seen.contains(&rule) {
                    seen.push(rule);
                }
            }
        }
        seen.into_iter().map(Rule::to_policy).collect()
    }

    /// Rebuilds the derived parts from nothing and compares.
    ///
    /// # Errors
    /// What differs.
    pub fn consistency_check(&self) -> Result<(), String> {
        for (map, what) in [(&self.users, "user"), (&self.groups, "group")] {
            for (subject, list) in map {
                for binding in list {
                    let held = self.bindings.get(&(binding.namespace.clone(), binding.name.clone()));
                    if !held.is_some_and(|h| Arc::ptr_eq(h, binding)) {
                        return Err(format!("{what} {subject} has binding {} that is not held", binding.name));
                    }
                }
            }
        }
        for binding in self.bindings.values() {
            for (map, subjects) in [(&self.users, &binding.users), (&self.groups, &binding.groups)] {
                for (subject, _) in subjects {
                    let count = map.get(subject).map_or(0, |l| l.iter().filter(|b| Arc::ptr_eq(b, binding)).count());
                    if count != 1 {
                        return Err(format!("binding {} stands {count} times under {subject}", binding.name));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Binding {
    fn new((namespace, name): Key, role: &RoleRef, subjects: Option<&[Subject]>) -> Self {
        let role_namespace = if role.kind == "Role" { namespace.clone() } else { Box::default() };
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for subject in subjects.unwrap_or_default() {
            match subject.kind.as_str() {
                "User" => users.push((subject.name.as_str().into(), subject.clone())),
                "Group" => groups.push((subject.name.as_str().into(), subject.clone())),
                "ServiceAccount" => {
                    // A RoleBinding may leave out its own namespace.
                    let namespace = subject.namespace.as_deref().unwrap_or(&namespace);
                    users.push((format!("system:serviceaccount:{namespace}:{}", subject.name).into(), subject.clone()));
                }
                _ => {}
            }
        }
        Self { role: (role_namespace, role.name.as_str().into()), namespace, name, users, groups }
    }
}

fn key(namespace: Option<&str>, name: Option<&str>) -> Key {
    (namespace.unwrap_or_default().into(), name.unwrap_or_default().into())
}

fn rules(rules: Option<&[PolicyRule]>) -> Arc<[Rule]> {
    rules.unwrap_or_default().iter().map(Rule::new).collect()
}
