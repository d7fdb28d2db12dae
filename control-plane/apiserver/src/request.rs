//! What a request asks for, before its body is read.
//!
//! [`RequestInfo`] is the server's one reading of method, path and query: the router, the authoriser and
//! the log all work from it, so that they cannot disagree about what was asked. [`User`] is who asks; the
//! transport (HTTPS, in-process client) fills it in, nobody else changes it but impersonation.

use std::collections::BTreeMap;

use http::Method;

/// The group of every user who was authenticated.
pub const GROUP_AUTHENTICATED: &str = "system:authenticated";
/// The group of requests without credentials.
pub const GROUP_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that the authoriser lets do anything.
pub const GROUP_MASTERS: &str = "system:masters";

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Name, for instance `system:serviceaccount:default:builder`.
    pub name: String,
    /// Groups, `system:authenticated` included.
    pub groups: Vec<String>,
    /// Identifier that survives a change of name; empty when there is none.
    pub uid: String,
    /// Further attributes of the credential.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated user with these groups; `system:authenticated` is added when missing.
    #[must_use]
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|g| g == GROUP_AUTHENTICATED) {
            groups.push(GROUP_AUTHENTICATED.to_owned());
        }
        Self { name: name.into(), groups, uid: String::new(), extra: BTreeMap::new() }
    }

    /// The user of the generated kubeconfig and of the in-process client: may do anything.
    #[must_use]
    pub fn admin() -> Self {
        Self::new("system:admin", [GROUP_MASTERS])
    }

    /// A request without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec![GROUP_UNAUTHENTICATED.to_owned()],
            uid: String::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Whether the user is in `group`.
    #[must_use]
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What a request asks for.
///
/// For a path outside `/api/<version>/…` and `/apis/<group>/<version>/…` only `verb` (the lower-case HTTP
/// method) and `path` are filled in and `is_resource` is false. Everything else is empty when absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Whether the path names a resource.
    pub is_resource: bool,
    /// The whole path.
    pub path: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural of the resource.
    pub resource: String,
    /// Subresource with every further segment (`proxy/a/b`).
    pub subresource: String,
    /// Namespace of the object; of a Namespace object itself its own name, as the authoriser wants it.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl RequestInfo {
    /// Reads method, path and query (without the question mark).
    #[must_use]
    pub fn parse(method: &Method, path: &str, query: &str) -> Self {
        let mut info = Self { verb: method.as_str().to_ascii_lowercase(), path: path.to_owned(), ..Self::default() };
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        match parts.next() {
            Some("api") => {}
            Some("apis") => match parts.next() {
                Some(group) => group.clone_into(&mut info.group),
                None => return info,
            },
            _ => return info,
        }
        let Some(version) = parts.next() else {
            info.group.clear();
            return info;
        };
        let mut rest: Vec<&str> = parts.collect();
        if rest.is_empty() {
            info.group.clear();
            return info;
        }
        version.clone_into(&mut info.version);
        let mut watch_path = false;
        if rest[0] == "watch" && rest.len() > 1 {
            watch_path = true;
            rest.remove(0);
        }
        // `/namespaces/<ns>/<resource>…` is about something inside; `/namespaces/<ns>` and its `status`
        // and `finalize` are about the Namespace itself.
        if rest[0] == "namespaces" && rest.len() > 1 {
            percent_decode(rest[1]).clone_into(&mut info.namespace);
            if rest.len() > 2 && !(info.group.is_empty() && matches!(rest[2], "status" | "finalize")) {
                rest.drain(..2);
            }
        }
        info.is_resource = true;
        rest[0].clone_into(&mut info.resource);
        if let Some(name) = rest.get(1) {
            info.name = percent_decode(name);
        }
        if rest.len() > 2 {
            info.subresource = rest[2..].join("/");
        }
        info.verb = resource_verb(method, &info.name, watch_path || asks_for_watch(query));
        if info.name.is_empty() && matches!(info.verb.as_str(), "list" | "watch") {
            // A list reduced by name is a request about that one object, for the authoriser.
            if let Some(name) = named_by_field_selector(query) {
                info.name = name;
            }
        }
        info
    }
}

fn resource_verb(method: &Method, name: &str, watch: bool) -> String {
    let verb = match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD if watch => "watch",
        Method::GET | Method::HEAD if name.is_empty() => "list",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        _ => return method.as_str().to_ascii_lowercase(),
    };
    verb.to_owned()
}

fn asks_for_watch(query: &str) -> bool {
    query_pairs(query).any(|(k, v)| k == "watch" && !matches!(v.as_str(), "0" | "false" | "False" | "FALSE" | "f" | "F"))
}

fn named_by_field_selector(query: &str) -> Option<String> {
    let (_, selector) = query_pairs(query).find(|(k, _)| k == "fieldSelector")?;
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    })
}

/// The decoded pairs of a query string, in order.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
    })
}

/// Decodes `%XX`; what is no valid escape or no UTF-8 stays readable instead of failing.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: &Method, target: &str) -> RequestInfo {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        RequestInfo::parse(method, path, query)
    }

    #[test]
    fn reads_resources_of_both_roots() {
        let i = info(&Method::GET, "/api/v1/namespaces/ns/pods/a/log?follow=true");
        assert_eq!((i.verb.as_str(), i.group.as_str(), i.version.as_str()), ("get", "", "v1"));
        let path = [&i.namespace, &i.resource, &i.name, &i.subresource];
        assert_eq!(path, ["ns", "pods", "a", "log"]);
        let i = info(&Method::DELETE, "/apis/apps/v1/namespaces/ns/deployments");
        assert_eq!((i.verb.as_str(), i.group.as_str(), i.resource.as_str()), ("deletecollection", "apps", "deployments"));
    }

    #[test]
    fn a_namespace_itself_is_in_itself() {
        let i = info(&Method::PUT, "/api/v1/namespaces/ns/finalize");
        assert_eq!(
            (i.resource.as_str(), i.name.as_str(), i.namespace.as_str(), i.subresource.as_str()),
            ("namespaces", "ns", "ns", "finalize")
        );
        let i = info(&Method::GET, "/api/v1/namespaces");
        assert_eq!((i.verb.as_str(), i.resource.as_str(), i.namespace.as_str()), ("list", "namespaces", ""));
    }

    #[test]
    fn watches_and_paths_without_resource() {
        assert_eq!(info(&Method::GET, "/api/v1/pods?watch=1").verb, "watch");
        assert_eq!(info(&Method::GET, "/api/v1/watch/pods").verb, "watch");
        assert_eq!(info(&Method::GET, "/api/v1/pods?watch=false").verb, "list");
        assert_eq!(info(&Method::GET, "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Dp").name, "p");
        for path in ["/version", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1"] {
            let i = info(&Method::GET, path);
            assert!(!i.is_resource, "{path}");
            assert_eq!((i.verb.as_str(), i.group.as_str()), ("get", ""));
        }
    }

    #[test]
    fn decoding_never_fails() {
        assert_eq!(percent_decode("a%20b%zz%"), "a b%zz%");
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }
}
