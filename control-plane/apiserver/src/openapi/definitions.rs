//! Schemas of types, in the form of OpenAPI v2 or v3.
//!
//! Structure and merge behaviour of built-in types come from the machinery's table, words and required members from what is
//! [`Published`], custom resources from their definitions. A type is written when something refers to it, once, as text: the whole set
//! of a document never exists as values.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::schema::published::Published;
use dormouse_machinery::schema::{self, Field, ListType, Shape, Type, TypeRef};
use serde_json::{Map, Value, json};

use super::custom;
use crate::registry::{Kind, Schema};

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Form {
    V2,
    V3,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Collects the schemas of a document.
pub(super) struct Definitions<'a> {
    form: Form,
    published: &'a Published,
    /// Finished schemas, as JSON texts.
    done: BTreeMap<String, String>,
    /// Referred to and not written yet.
    wanted: BTreeSet<String>,
    /// The kinds of a type, which one definition lists together (`Event` is one for each group).
    kinds: BTreeMap<String, BTreeSet<(String, String, String)>>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(form: Form, published: &'a Published) -> Self {
        Self { form, published, done: BTreeMap::new(), wanted: BTreeSet::new(), kinds: BTreeMap::new() }
    }

    /// A reference to a type, which is written later.
    pub(super) fn refer(&mut self, name: &str) -> Value {
        if !self.done.contains_key(name) {
            self.wanted.insert(name.to_owned());
        }
        let place = match self.form {
            Form::V2 => "#/definitions/",
            Form::V3 => "#/components/schemas/",
        };
        json!({"$ref": format!("{place}{name}")})
    }

    /// A reference to one of the types every API has: `Status`, `DeleteOptions`, `Patch`.
    pub(super) fn meta(&mut self, name: &str) -> Value {
        self.refer(&format!("{META}.{name}"))
    }

    /// A reference to the type of a kind; `None` for a kind without a schema.
    pub(super) fn kind(&mut self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let name = schema::kind(group, version, kind)?.openapi_name();
        self.kinds.entry(name.clone()).or_default().insert((group.to_owned(), version.to_owned(), kind.to_owned()));
        Some(self.refer(&name))
    }

    /// References to the types of a row's objects and lists.
    pub(super) fn row(&mut self, row: &Kind, definition: Option<&Value>) -> (Value, Value) {
        let found = match row.schema {
            Schema::Builtin => schema::kind(&row.group, &row.version, &row.kind).map(TypeRef::openapi_name),
            _ => None,
        };
        let name = found.unwrap_or_else(|| custom::name(&row.group, &row.version, &row.kind));
        let stem = name.strip_suffix(&row.kind).unwrap_or(&name);
        let list_name = format!("{stem}{}", row.list_kind);
        let object = match self.kind(&row.group, &row.version, &row.kind) {
            Some(reference) if matches!(row.schema, Schema::Builtin) => reference,
            _ => {
                let reference = self.refer(&name);
                let metadata = self.property(self.published.member("io.k8s.api.core.v1.Pod", "metadata"), |d| d.meta("ObjectMeta"));
                let mut written = custom::definition(definition.unwrap_or(&Value::Null), metadata, self.form);
                written.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk(&row.group, &row.version, &row.kind)]));
                self.finish(&name, &Value::Object(written));
                reference
            }
        };
        let list = self.list(&list_name, &name, row);
        (object, list)
    }

    fn list(&mut self, list_name: &str, name: &str, row: &Kind) -> Value {
        let reference = self.refer(list_name);
        let metadata = self.property(None, |d| d.meta("ListMeta"));
        let items = self.property(None, |d| d.refer(name));
        let list = json!({
            "description": format!("{} is a list of {}", row.list_kind, row.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": custom::API_VERSION},
                "kind": {"type": "string", "description": custom::KIND},
                "metadata": metadata,
                "items": {"type": "array", "items": items},
            },
            "x-kubernetes-group-version-kind": [gvk(&row.group, &row.version, &row.list_kind)],
        });
        self.finish(list_name, &list);
        reference
    }

    /// Writes everything that is still wanted and hands the schemas out: names to JSON texts.
    pub(super) fn finished(mut self) -> BTreeMap<String, String> {
        while let Some(name) = self.wanted.pop_first() {
            let written = self.write(&name);
            self.finish(&name, &written);
        }
        self.done
    }

    fn finish(&mut self, name: &str, schema: &Value) {
        self.wanted.remove(name);
        self.done.insert(name.to_owned(), schema.to_string());
    }

    fn write(&mut self, name: &str) -> Value {
        if let Some(leaf) = self.leaf(name) {
            return leaf;
        }
        let Some(known) = schema::named(name) else { return json!({"type": "object"}) };
        let mut properties = Map::new();
        for field in known.fields() {
            let property = self.field(name, field);
            properties.insert(field.name.to_owned(), property);
        }
        let mut written = Map::new();
        if let Some(text) = self.published.description(name) {
            written.insert("description".to_owned(), json!(text));
        }
        written.insert("type".to_owned(), json!("object"));
        if !properties.is_empty() {
            written.insert("properties".to_owned(), Value::Object(properties));
        }
        let from_table = || known.fields().iter().filter(|f| f.required).map(|f| f.name).collect();
        let required: Vec<&str> = self.published.required(name).unwrap_or_else(from_table);
        if !required.is_empty() {
            written.insert("required".to_owned(), json!(required));
        }
        if known.is_atomic() {
            written.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        if let Some(kinds) = self.kinds.get(name) {
            let list: Vec<Value> = kinds.iter().map(|(g, v, k)| gvk(g, v, k)).collect();
            written.insert("x-kubernetes-group-version-kind".to_owned(), Value::Array(list));
        }
        Value::Object(written)
    }

    fn field(&mut self, owner: &str, field: &Field) -> Value {
        let published = self.published;
        let description = published.member(owner, field.name);
        let mut property = match field.shape {
            Shape::One(item) => self.typed(item, description),
            Shape::List(item) => {
                let items = self.typed(item, None);
                described(json!({"type": "array", "items": items}), description)
            }
            Shape::Map(item) => {
                let values = self.typed(item, None);
                described(json!({"type": "object", "additionalProperties": values}), description)
            }
        };
        let Some(map) = property.as_object_mut() else { return property };
        if let Some(default) = field.default {
            map.insert("default".to_owned(), json!(default));
        }
        if matches!(field.shape, Shape::List(_)) {
            let kind = match field.list {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map => "map",
            };
            map.insert("x-kubernetes-list-type".to_owned(), json!(kind));
            if field.list == ListType::Map {
                map.insert("x-kubernetes-list-map-keys".to_owned(), json!(field.keys));
            }
        } else if field.atomic {
            map.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        let patch = field.patch;
        let strategies = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")];
        let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if !strategies.is_empty() {
            map.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategies.join(",")));
        }
        if let Some(key) = patch.key {
            map.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
        }
        property
    }

    fn typed(&mut self, item: Type, description: Option<&str>) -> Value {
        let scalar = |kind: &str, format: &str| {
            let schema = if format.is_empty() { json!({"type": kind}) } else { json!({"type": kind, "format": format}) };
            described(schema, description)
        };
        match item {
            Type::String => scalar("string", ""),
            Type::Bool => scalar("boolean", ""),
            Type::Int32 => scalar("integer", "int32"),
            Type::Int64 => scalar("integer", "int64"),
            Type::Double => scalar("number", "double"),
            Type::Bytes => scalar("string", "byte"),
            Type::Quantity => self.property(description, |d| d.refer(QUANTITY)),
            Type::Time => self.property(description, |d| d.meta("Time")),
            Type::MicroTime => self.property(description, |d| d.meta("MicroTime")),
            Type::IntOrString => self.property(description, |d| d.refer(INT_OR_STRING)),
            Type::Strings => described(json!({"type": "array", "items": {"type": "string"}}), description),
            Type::Struct(known) => {
                let name = known.openapi_name();
                self.property(description, |d| d.refer(&name))
            }
            // Anything at all, or one of two forms that OpenAPI v2 cannot tell apart.
            Type::Any | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => described(json!({}), description),
        }
    }

    /// A reference with words beside it, which v3 allows only around it.
    fn property(&mut self, description: Option<&str>, refer: impl FnOnce(&mut Self) -> Value) -> Value {
        let reference = refer(self);
        let schema = match self.form {
            Form::V2 => reference,
            Form::V3 => json!({"allOf": [reference]}),
        };
        described(schema, description)
    }

    /// Types that are one value in JSON.
    fn leaf(&self, name: &str) -> Option<Value> {
        let either = |format: Option<&str>, kinds: [&str; 2]| {
            let mut schema = match self.form {
                Form::V2 => json!({"type": "string"}),
                Form::V3 => json!({"oneOf": kinds.map(|kind| json!({"type": kind}))}),
            };
            if let Some(format) = format {
                schema["format"] = json!(format);
            }
            schema
        };
        let schema = match name.strip_prefix(META) {
            Some(".Time" | ".MicroTime") => json!({"type": "string", "format": "date-time"}),
            Some(".Patch") => {
                json!({"type": "object", "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body."})
            }
            Some(".FieldsV1") => json!({"type": "object"}),
            _ if name == QUANTITY => either(None, ["string", "number"]),
            _ if name == INT_OR_STRING => either(Some("int-or-string"), ["integer", "string"]),
            _ => return None,
        };
        Some(described(schema, self.published.description(name)))
    }
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn described(mut schema: Value, description: Option<&str>) -> Value {
    if let (Some(text), Some(map)) = (description, schema.as_object_mut()) {
        map.insert("description".to_owned(), json!(text));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(form: Form) -> BTreeMap<String, Value> {
        let pod = crate::kinds::pod::row();
        let published = Published::read();
        let mut definitions = Definitions::new(form, &published);
        definitions.row(&pod, None);
        definitions.finished().into_iter().map(|(name, text)| (name, serde_json::from_str(&text).unwrap())).collect()
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for form in [Form::V2, Form::V3] {
            let schemas = built(form);
            fn refs(value: &Value, found: &mut Vec<String>) {
                match value {
                    Value::Object(map) => {
                        found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                        map.values().for_each(|v| refs(v, found));
                    }
                    Value::Array(list) => list.iter().for_each(|v| refs(v, found)),
                    _ => {}
                }
            }
            let mut found = Vec::new();
            schemas.values().for_each(|s| refs(s, &mut found));
            assert!(found.len() > 100);
            for reference in found {
                let name = reference.rsplit('/').next().unwrap();
                assert!(schemas.contains_key(name), "{reference}");
            }
        }
    }

    #[test]
    fn every_built_in_kind_has_structure_and_words() {
        let published = Published::read();
        for row in crate::kinds::builtin() {
            let known = schema::kind(&row.group, &row.version, &row.kind).unwrap_or_else(|| panic!("{row:?} has no structure"));
            assert!(published.description(&known.openapi_name()).is_some(), "{row:?} has no words");
        }
    }

    #[test]
    fn merge_behaviour_stands_beside_the_words() {
        let schemas = built(Form::V3);
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        assert!(containers["description"].as_str().unwrap().starts_with("List of containers"));
        let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
        assert_eq!(schemas["io.k8s.api.core.v1.PodSpec"]["required"], json!(["containers"]));
        assert_eq!(
            schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
            json!([{"group": "", "version": "v1", "kind": "Pod"}])
        );
        assert_eq!(schemas["io.k8s.api.core.v1.PodList"]["required"], json!(["items"]));
        let spec = &schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
        assert_eq!(spec["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.PodSpec");
        assert_eq!(built(Form::V2)["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
    }
}
