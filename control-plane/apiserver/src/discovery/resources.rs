//! The classic documents: versions, groups, and the resources of one version.

use serde_json::{Map, Value, json};

use crate::registry::{Group, Kind, Snapshot, Subresource, Verb};

/// `/api`.
pub(super) fn core_versions(host: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    })
}

/// `/apis`.
pub(super) fn groups(snapshot: &Snapshot) -> Value {
    let groups: Vec<Value> = snapshot.groups().iter().filter(|g| !g.name.is_empty()).map(|g| Value::Object(describe(g))).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(super) fn group(snapshot: &Snapshot, name: &str) -> Option<Value> {
    let group = snapshot.groups().iter().find(|g| g.name == name)?;
    let mut object = describe(group);
    object.insert("kind".to_owned(), json!("APIGroup"));
    object.insert("apiVersion".to_owned(), json!("v1"));
    Some(Value::Object(object))
}

fn describe(group: &Group) -> Map<String, Value> {
    let versions: Vec<Value> =
        group.versions.iter().map(|v| json!({"groupVersion": format!("{}/{v}", group.name), "version": v})).collect();
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(group.name));
    object.insert("preferredVersion".to_owned(), versions.first().cloned().unwrap_or(Value::Null));
    object.insert("versions".to_owned(), Value::Array(versions));
    object
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(super) fn list(snapshot: &Snapshot, group: &str, version: &str) -> Option<Value> {
    let rows = sorted(snapshot, group, version);
    let group_version = rows.first()?.api_version();
    let mut resources = Vec::new();
    for kind in rows {
        resources.push(resource(snapshot, kind));
        resources.extend(subresources(kind).into_iter().map(|sub| subresource(kind, sub)));
    }
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}))
}

/// The rows of a version by plural.
pub(super) fn sorted<'a>(snapshot: &'a Snapshot, group: &'a str, version: &'a str) -> Vec<&'a Kind> {
    let mut rows: Vec<&Kind> = snapshot.rows(group, version).map(|k| &**k).collect();
    rows.sort_by(|a, b| a.plural.cmp(&b.plural));
    rows
}

/// Built-in subresources by name; of a custom resource `status` before `scale`, as the real server has it.
pub(super) fn subresources(kind: &Kind) -> Vec<&Subresource> {
    let mut subresources: Vec<&Subresource> = kind.subresources.iter().collect();
    subresources.sort_by(|a, b| if kind.custom { b.name.cmp(&a.name) } else { a.name.cmp(&b.name) });
    subresources
}

/// Verbs in the order in which the real server lists them, which for custom resources is its own.
pub(super) fn verbs(kind: &Kind) -> Vec<&'static str> {
    use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
    const CUSTOM: [Verb; 8] = [Delete, DeleteCollection, Get, List, Patch, Create, Update, Watch];
    let order: &[Verb] = if kind.custom { &CUSTOM } else { Verb::ALL };
    order.iter().filter(|v| kind.can(**v)).map(|v| v.as_str()).collect()
}

fn resource(snapshot: &Snapshot, kind: &Kind) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(kind.plural));
    object.insert("singularName".to_owned(), json!(kind.singular));
    object.insert("namespaced".to_owned(), json!(kind.namespaced));
    object.insert("kind".to_owned(), json!(kind.kind));
    object.insert("verbs".to_owned(), json!(verbs(kind)));
    if !kind.short_names.is_empty() {
        object.insert("shortNames".to_owned(), json!(kind.short_names));
    }
    if !kind.categories.is_empty() {
        object.insert("categories".to_owned(), json!(kind.categories));
    }
    if !kind.is_virtual {
        object.insert("storageVersionHash".to_owned(), json!(storage_version_hash(snapshot, kind)));
    }
    Value::Object(object)
}

/// Names the version in which objects are kept: the row of the same storage that need not convert.
fn storage_version_hash(snapshot: &Snapshot, kind: &Kind) -> String {
    let shares = |k: &&Kind| k.storage == kind.storage && !k.strategy.converts();
    let stored = snapshot.all().iter().map(|k| &**k).find(shares).unwrap_or(kind);
    dormouse_machinery::hash::storage_version(&stored.group, &stored.version, &stored.kind)
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let verbs: Vec<&str> = sub.verbs.iter().map(|v| v.as_str()).collect();
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(format!("{}/{}", kind.plural, sub.name)));
    object.insert("singularName".to_owned(), json!(""));
    object.insert("namespaced".to_owned(), json!(kind.namespaced));
    if let Some((group, version)) = &sub.group_version {
        object.insert("group".to_owned(), json!(group));
        object.insert("version".to_owned(), json!(version));
    }
    object.insert("kind".to_owned(), json!(sub.kind));
    object.insert("verbs".to_owned(), json!(verbs));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn custom_resources_look_as_recorded() {
        let registry = Registry::default();
        let mut widget = Kind::new("golden.example.com", "v1", "Widget", "widgets");
        widget.custom = true;
        widget.short_names = vec!["wi".to_owned()];
        widget.subresources = vec![Subresource::scale(crate::registry::ScalePaths::replicas()), Subresource::status("Widget")];
        registry.add([widget]);
        let snapshot = registry.snapshot();
        let recorded = json!({"apiVersion": "v1", "groupVersion": "golden.example.com/v1", "kind": "APIResourceList", "resources": [
            {"kind": "Widget", "name": "widgets", "namespaced": true, "shortNames": ["wi"], "singularName": "widget",
             "storageVersionHash": "FtbgEmiKtnw=",
             "verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]},
            {"kind": "Widget", "name": "widgets/status", "namespaced": true, "singularName": "", "verbs": ["get", "patch", "update"]},
            {"group": "autoscaling", "kind": "Scale", "name": "widgets/scale", "namespaced": true, "singularName": "",
             "verbs": ["get", "patch", "update"], "version": "v1"}]});
        assert_eq!(list(&snapshot, "golden.example.com", "v1"), Some(recorded));
        assert_eq!(list(&snapshot, "golden.example.com", "v2"), None);
        let group = group(&snapshot, "golden.example.com").unwrap();
        assert_eq!(group["preferredVersion"]["groupVersion"], "golden.example.com/v1");
    }

    #[test]
    fn hashes_are_those_of_real_clusters() {
        let registry = Registry::default();
        registry.add([Kind::new("", "v1", "Pod", "pods"), Kind::new("apps", "v1", "Deployment", "deployments")]);
        let snapshot = registry.snapshot();
        assert_eq!(list(&snapshot, "", "v1").unwrap()["resources"][0]["storageVersionHash"], "xPOwRZ+Yhw8=");
        assert_eq!(list(&snapshot, "apps", "v1").unwrap()["resources"][0]["storageVersionHash"], "8aSe+NMegvE=");
    }
}
