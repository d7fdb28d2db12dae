//! Everything in one document: `APIGroupDiscoveryList`, which `kubectl` asks for first.

use serde_json::{Map, Value, json};

use super::resources::{sorted, subresources, verbs};
use crate::registry::{Group, Kind, Snapshot, Subresource};

/// The list for `/api` (core) or `/apis` (the others), in `v2` or `v2beta1`, which have the same fields.
pub(super) fn list(snapshot: &Snapshot, core: bool, version: &str) -> Value {
    let items: Vec<Value> = snapshot.groups().iter().filter(|g| g.name.is_empty() == core).map(|g| group(snapshot, g)).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

fn group(snapshot: &Snapshot, group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let resources: Vec<Value> = sorted(snapshot, &group.name, version).into_iter().map(resource).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name".to_owned(), json!(group.name));
    }
    metadata.insert("creationTimestamp".to_owned(), Value::Null);
    json!({"metadata": metadata, "versions": versions})
}

fn resource(kind: &Kind) -> Value {
    let mut object = Map::new();
    object.insert("resource".to_owned(), json!(kind.plural));
    object.insert("responseKind".to_owned(), json!({"group": kind.group, "version": kind.version, "kind": kind.kind}));
    object.insert("scope".to_owned(), json!(if kind.namespaced { "Namespaced" } else { "Cluster" }));
    object.insert("singularResource".to_owned(), json!(kind.singular));
    object.insert("verbs".to_owned(), json!(verbs(kind)));
    if !kind.short_names.is_empty() {
        object.insert("shortNames".to_owned(), json!(kind.short_names));
    }
    if !kind.categories.is_empty() {
        object.insert("categories".to_owned(), json!(kind.categories));
    }
    let subresources: Vec<Value> = subresources(kind).into_iter().map(|sub| subresource(kind, sub)).collect();
    if !subresources.is_empty() {
        object.insert("subresources".to_owned(), Value::Array(subresources));
    }
    Value::Object(object)
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let (group, version) = match &sub.group_version {
        Some((group, version)) => (group, version),
        None => (&kind.group, &kind.version),
    };
    let verbs: Vec<&str> = sub.verbs.iter().map(|v| v.as_str()).collect();
    json!({"subresource": sub.name, "responseKind": {"group": group, "version": version, "kind": sub.kind}, "verbs": verbs})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn groups_are_told_apart_and_complete() {
        let registry = Registry::default();
        let mut pod = Kind::new("", "v1", "Pod", "pods");
        pod.short_names = vec!["po".to_owned()];
        pod.subresources = vec![Subresource::status("Pod"), Subresource::eviction()];
        registry.add([pod, Kind::new("apps", "v1", "Deployment", "deployments")]);
        let snapshot = registry.snapshot();
        let core = list(&snapshot, true, "v2");
        assert_eq!(core["items"].as_array().unwrap().len(), 1);
        assert_eq!(core["items"][0]["metadata"].get("name"), None);
        let pods = &core["items"][0]["versions"][0]["resources"][0];
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(pods["subresources"][0]["responseKind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
        let named = list(&snapshot, false, "v2beta1");
        assert_eq!(named["apiVersion"], "apidiscovery.k8s.io/v2beta1");
        assert_eq!(named["items"][0]["metadata"]["name"], "apps");
    }
}
