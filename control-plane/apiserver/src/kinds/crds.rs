//! CustomResourceDefinitions: rows that make rows. What they do when they are committed is in [`crate::crd`].

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::{names, structural};
use serde_json::{Value, json};

use super::values::{At, default, immutable, map, map_entry, maps, one_of, text};
use super::{texts, typed};
use crate::object::{finalizers, meta_str, set_meta};
use crate::registry::{Cx, Generation, Kind, Object, Strategy, Subresource};

pub(super) fn row() -> Kind {
    let kind = "CustomResourceDefinition";
    Kind {
        namespaced: false,
        short_names: texts(&["crd", "crds"]),
        categories: texts(&["api-extensions"]),
        subresources: vec![Subresource::status(kind)],
        generation: Generation::Spec,
        unconditional_update: false,
        ..typed("apiextensions.k8s.io", "v1", kind, "customresourcedefinitions", Definitions)
    }
}

struct Definitions;

impl Strategy for Definitions {
    fn default(&self, object: &mut Object) {
        let spec = map_entry(object, "spec");
        default(map_entry(spec, "conversion"), "strategy", "None");
        let names = map_entry(spec, "names");
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            if text(names, "singular").is_empty() {
                names.insert("singular".to_owned(), kind.to_lowercase().into());
            }
            if text(names, "listKind").is_empty() {
                names.insert("listKind".to_owned(), format!("{kind}List").into());
            }
        }
    }

    fn prepare_create(&self, _: &Cx<'_>, object: &mut Object) {
        let versions = map(object, "spec").into_iter().flat_map(|s| maps(s, "versions"));
        let stored: Vec<String> =
            versions.filter(|v| v.get("storage").and_then(Value::as_bool) == Some(true)).map(|v| text(v, "name").to_owned()).collect();
        let status = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": stored});
        object.insert("status".to_owned(), status);
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let path = At::Path("spec");
        let empty = Object::new();
        let spec = map(object, "spec").unwrap_or(&empty);
        let declared = map(spec, "names").unwrap_or(&empty);
        let expected = format!("{}.{}", text(declared, "plural"), text(spec, "group"));
        let name = meta_str(object, "name");
        if name != expected {
            problems.push(FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
        }
        group(text(spec, "group"), &path.child("group"), problems);
        if text(spec, "scope").is_empty() {
            problems.push(FieldError::required(path.child("scope"), ""));
        }
        one_of(spec, "scope", &["Cluster", "Namespaced"], &path, problems);
        versions(spec, &path.child("versions"), problems);
        names_of(declared, &path.child("names"), problems);
        if let Some(conversion) = map(spec, "conversion") {
            // Webhooks come with admission.
            one_of(conversion, "strategy", &["None"], &path.child("conversion"), problems);
        }
        if spec.get("preserveUnknownFields").and_then(Value::as_bool) == Some(true) {
            let why = "must be false in order to use defaults in the schema";
            problems.push(FieldError::invalid(path.child("preserveUnknownFields"), true, why));
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let (Some(new), Some(was)) = (map(object, "spec"), map(old, "spec")) else { return };
        let path = At::Path("spec");
        immutable(new, was, "group", &path, problems);
        let empty = Object::new();
        let names = |spec| map(spec, "names").unwrap_or(&empty).clone();
        immutable(&names(new), &names(was), "plural", &path.child("names"), problems);
        let conditions = map(old, "status").into_iter().flat_map(|s| maps(s, "conditions"));
        if conditions.into_iter().any(|c| text(c, "type") == "Established" && text(c, "status") == "True") {
            immutable(new, was, "scope", &path, problems);
            immutable(&names(new), &names(was), "kind", &path.child("names"), problems);
        }
        let stored = map(old, "status").map(|s| super::values::list(s, "storedVersions").to_vec()).unwrap_or_default();
        for (i, version) in stored.iter().enumerate() {
            if !maps(new, "versions").any(|v| Some(text(v, "name")) == version.as_str()) {
                let why = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions";
                let why = why.replace("v1", version.as_str().unwrap_or(""));
                problems.push(FieldError::invalid(Path::new("status.storedVersions").index(i), version.clone(), why));
            }
        }
    }

    fn on_delete(&self, cx: &Cx<'_>, object: &mut Object) {
        let mut held: Vec<String> = finalizers(object).into_iter().map(str::to_owned).collect();
        if !held.iter().any(|f| f == crate::crd::CLEANUP) {
            held.push(crate::crd::CLEANUP.to_owned());
            set_meta(object, "finalizers", Some(held.into()));
        }
        crate::crd::terminating(object, cx.now);
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, _: bool) {
        crate::crd::sync(cx.server, meta_str(object, "name"));
    }
}

fn group(group: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if group.is_empty() {
        problems.push(FieldError::required(path, ""));
        return;
    }
    let wrong = names::dns1123_subdomain(group);
    if !wrong.is_empty() {
        problems.push(FieldError::invalid(path, group, wrong.join(",")));
    } else if !group.contains('.') {
        problems.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn names_of(names: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = text(names, key);
        if name.is_empty() {
            if matches!(key, "plural" | "kind") {
                problems.push(FieldError::required(path.child(key), ""));
            }
            continue;
        }
        // Kinds are checked without regard to capitals.
        let form = if key.to_lowercase().ends_with("kind") { name.to_lowercase() } else { name.to_owned() };
        let wrong = self::names::dns1035_label(&form);
        if !wrong.is_empty() {
            problems.push(FieldError::invalid(path.child(key), name, wrong.join(",")));
        }
    }
    for key in ["shortNames", "categories"] {
        for (i, name) in super::values::list(names, key).iter().filter_map(Value::as_str).enumerate() {
            let wrong = self::names::dns1035_label(name);
            if !wrong.is_empty() {
                problems.push(FieldError::invalid(path.child(key).index(i), name, wrong.join(",")));
            }
        }
    }
    if !text(names, "kind").is_empty() && text(names, "kind") == text(names, "listKind") {
        problems.push(FieldError::invalid(path.child("listKind"), text(names, "listKind"), "kind and listKind may not be the same"));
    }
}

fn versions(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let all: Vec<&Object> = maps(spec, "versions").collect();
    let is_storage = |v: &&&Object| v.get("storage").and_then(Value::as_bool) == Some(true);
    if all.iter().filter(is_storage).count() != 1 {
        let value = spec.get("versions").cloned().unwrap_or(Value::Null);
        problems.push(FieldError::invalid(path, value, "must have exactly one version marked as storage version"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, version) in all.iter().enumerate() {
        let at = path.index(i);
        let name = text(version, "name");
        for wrong in names::dns1035_label(name) {
            problems.push(FieldError::invalid(at.child("name"), name, wrong));
        }
        if seen.contains(&name) {
            problems.push(FieldError::invalid(path, name, "must contain unique version names"));
        }
        seen.push(name);
        let schema = map(version, "schema").and_then(|s| s.get("openAPIV3Schema")).filter(|s| s.is_object());
        match schema {
            None => problems.push(FieldError::required(at.child("schema.openAPIV3Schema"), "schemas are required")),
            Some(schema) => {
                // With one version a real server reports where older definitions had the schema.
                let at = if all.len() == 1 { At::Path("spec.validation.openAPIV3Schema") } else { at.child("schema.openAPIV3Schema") };
                problems.extend(structural::check(schema, &at.into()));
            }
        }
        if let Some(scale) = map(version, "subresources").and_then(|s| map(s, "scale")) {
            let at = if all.len() == 1 { At::Path("spec.subresources.scale") } else { at.child("subresources.scale") };
            for (key, prefix) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
                match text(scale, key) {
                    "" => problems.push(FieldError::required(at.child(key), "")),
                    p if !p.starts_with(prefix) => {
                        problems.push(FieldError::invalid(
                            at.child(key),
                            p,
                            format!("should be a json path under {}", prefix.trim_end_matches('.')),
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
}
