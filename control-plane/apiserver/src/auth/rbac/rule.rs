//! One policy rule and what it covers. Pure.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// What someone wants to do: the question put to the authoriser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Something with a resource.
    Resource {
        /// `get`, `list`, `create`…
        verb: &'a str,
        /// API group, empty for the core one.
        group: &'a str,
        /// Plural name.
        resource: &'a str,
        /// Subresource, empty for the object itself.
        subresource: &'a str,
        /// Namespace, empty for the cluster or for all namespaces.
        namespace: &'a str,
        /// Object name, empty for a collection.
        name: &'a str,
    },
    /// Something with another path.
    Path {
        /// The HTTP method in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

impl<'a> Action<'a> {
    /// The namespace, empty for none.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        match self {
            Self::Resource { namespace, .. } => namespace,
            Self::Path { .. } => "",
        }
    }
}

/// A policy rule, ready for matching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    verbs: Names,
    groups: Names,
    resources: Names,
    names: Vec<Box<str>>,
    urls: Vec<Box<str>>,
}

/// A list in which `*` means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    list: Vec<Box<str>>,
}

impl Names {
    fn new(list: Option<&[String]>) -> Self {
        let list: Vec<Box<str>> = list.unwrap_or_default().iter().map(|s| s.as_str().into()).collect();
        Self { all: list.iter().any(|s| &**s == "*"), list }
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.list.iter().any(|s| &**s == name)
    }

    /// Like `has` for a resource, which may stand as `pods`, `pods/log`, `*/log` or `*`.
    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        if self.all {
            return true;
        }
        if subresource.is_empty() {
            return self.list.iter().any(|s| &**s == resource);
        }
        self.list.iter().any(|s| s.split_once('/').is_some_and(|(main, sub)| sub == subresource && (main == resource || main == "*")))
    }

    fn strings(&self) -> Option<Vec<String>> {
        (!self.list.is_empty()).then(|| self.list.iter().map(ToString::to_string).collect())
    }
}

impl Rule {
    /// A rule as the API writes it.
    #[must_use]
    pub fn new(rule: &PolicyRule) -> Self {
        let boxed = |list: &Option<Vec<String>>| list.iter().flatten().map(|s| s.as_str().into()).collect();
        Self {
            verbs: Names::new(Some(&rule.verbs)),
            groups: Names::new(rule.api_groups.as_deref()),
            resources: Names::new(rule.resources.as_deref()),
            names: boxed(&rule.resource_names),
            urls: boxed(&rule.non_resource_urls),
        }
    }

    /// Back to the API's form.
    #[must_use]
    pub fn to_policy(&self) -> PolicyRule {
        let strings = |list: &[Box<str>]| (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect());
        PolicyRule {
            verbs: self.verbs.strings().unwrap_or_default(),
            api_groups: self.groups.strings(),
            resources: self.resources.strings(),
            resource_names: strings(&self.names),
            non_resource_urls: strings(&self.urls),
        }
    }

    /// Whether the rule is about paths and not about resources.
    #[must_use]
    pub fn is_about_paths(&self) -> bool {
        !self.urls.is_empty()
    }

    /// Whether the rule allows the action.
    #[must_use]
    pub fn covers(&self, action: &Action<'_>) -> bool {
        match *action {
            Action::Resource { verb, group, resource, subresource, name, .. } => {
                self.verbs.has(verb)
                    && self.groups.has(group)
                    && self.resources.has_resource(resource, subresource)
                    && (self.names.is_empty() || self.names.iter().any(|n| &**n == name))
            }
            Action::Path { verb, path } => self.verbs.has(verb) && self.urls.iter().any(|url| covers_path(url, path)),
        }
    }
}

/// A URL of a rule covers itself, and what it begins when it ends in `*`.
fn covers_path(url: &str, path: &str) -> bool {
    match url.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => url == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> Rule {
        let list = |l: &[&str]| Some(l.iter().map(ToString::to_string).collect::<Vec<_>>());
        Rule::new(&PolicyRule {
            verbs: list(verbs).unwrap(),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            non_resource_urls: None,
        })
    }

    fn ask<'a>(verb: &'a str, group: &'a str, resource: &'a str, name: &'a str) -> Action<'a> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Action::Resource { verb, group, resource, subresource, namespace: "ns", name }
    }

    #[test]
    fn resources_and_subresources() {
        let pods = rule(&["get", "list"], &[""], &["pods", "pods/log"], &[]);
        assert!(pods.covers(&ask("get", "", "pods", "a")));
        assert!(pods.covers(&ask("get", "", "pods/log", "a")));
        assert!(!pods.covers(&ask("get", "", "pods/exec", "a")));
        assert!(!pods.covers(&ask("watch", "", "pods", "a")));
        assert!(!pods.covers(&ask("get", "apps", "pods", "a")));
        let sub = rule(&["*"], &["*"], &["*/scale"], &[]);
        assert!(sub.covers(&ask("update", "apps", "deployments/scale", "a")));
        assert!(!sub.covers(&ask("update", "apps", "deployments", "a")));
        let all = rule(&["*"], &["*"], &["*"], &[]);
        assert!(all.covers(&ask("x", "y", "z/w", "")));
        // A resource name does not cover its subresources.
        assert!(!rule(&["get"], &[""], &["pods"], &[]).covers(&ask("get", "", "pods/log", "a")));
    }

    #[test]
    fn names_bind_to_objects_not_collections() {
        let one = rule(&["*"], &[""], &["configmaps"], &["gpu-map"]);
        assert!(one.covers(&ask("get", "", "configmaps", "gpu-map")));
        assert!(!one.covers(&ask("get", "", "configmaps", "other")));
        assert!(!one.covers(&ask("list", "", "configmaps", "")));
        assert!(!one.covers(&ask("create", "", "configmaps", "")));
    }

    #[test]
    fn paths() {
        let rule = Rule::new(&PolicyRule {
            verbs: vec!["get".into()],
            non_resource_urls: Some(vec!["/healthz".into(), "/api/*".into()]),
            ..PolicyRule::default()
        });
        let ask = |path| rule.covers(&Action::Path { verb: "get", path });
        assert!(ask("/healthz") && ask("/api/v1") && ask("/api/"));
        assert!(!ask("/healthz/etcd") && !ask("/api") && !ask("/apis"));
        assert!(!rule.covers(&Action::Path { verb: "post", path: "/healthz" }));
        assert!(!rule.covers(&Action::Resource { verb: "get", group: "", resource: "", subresource: "", namespace: "", name: "" }));
    }
}
