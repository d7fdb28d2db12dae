//! Schemas of custom resources, as their definitions have them, in the form of OpenAPI v2 or v3.

use serde_json::{Map, Value, json};

use super::definitions::Form;

pub(super) const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
pub(super) const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// The name of a type in documents: the group backwards, version, kind.
pub(super) fn name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').filter(|p| !p.is_empty()).collect();
    parts.reverse();
    parts.extend([version, kind]);
    parts.join(".")
}

/// The schema of a custom resource with the members that every object has. `schema` is null when none is known.
pub(super) fn definition(schema: &Value, metadata: Value, form: Form) -> Map<String, Value> {
    let mut written = match (schema, form) {
        (Value::Object(schema), Form::V3) => schema.clone(),
        (Value::Object(_), Form::V2) => match for_v2(schema) {
            Value::Object(schema) => schema,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    written.insert("type".to_owned(), json!("object"));
    // A schema that keeps unknown fields says nothing about known ones in v2, and then metadata is free too.
    if form == Form::V2 && !written.contains_key("properties") && schema["x-kubernetes-preserve-unknown-fields"] == true {
        return written;
    }
    let properties = written.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
        properties.insert("metadata".to_owned(), metadata);
    }
    written
}

/// A structural schema as v2 can say it: what it cannot say is left open rather than wrong.
fn for_v2(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return schema.clone() };
    let is = |key: &str| map.get(key) == Some(&Value::Bool(true));
    let open = is("x-kubernetes-preserve-unknown-fields");
    let untyped = is("nullable") || is("x-kubernetes-int-or-string");
    let mut written = Map::new();
    for (key, value) in map {
        let kept = match key.as_str() {
            "oneOf" | "anyOf" | "allOf" | "not" | "nullable" | "x-kubernetes-validations" => continue,
            "type" if untyped => continue,
            "properties" | "items" | "additionalProperties" | "required" if open || is("nullable") => continue,
            "properties" => {
                let members = value.as_object().into_iter().flatten();
                Value::Object(members.map(|(name, property)| (name.clone(), for_v2(property))).collect())
            }
            "items" | "additionalProperties" => for_v2(value),
            _ => value.clone(),
        };
        written.insert(key.clone(), kept);
    }
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_backwards() {
        assert_eq!(name("notes.example.com", "v1", "Note"), "com.example.notes.v1.Note");
    }

    #[test]
    fn v2_leaves_out_what_it_cannot_say() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "nullable": true, "description": "d"},
            "b": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"x": {"type": "string"}}},
            "d": {"type": "array", "items": {"type": "integer", "nullable": true}}}});
        let v2 = definition(&schema, json!({}), Form::V2);
        assert_eq!(v2["properties"]["a"], json!({"description": "d"}));
        assert_eq!(v2["properties"]["b"], json!({"x-kubernetes-int-or-string": true}));
        assert_eq!(v2["properties"]["c"], json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
        assert_eq!(v2["properties"]["d"], json!({"type": "array", "items": {}}));
        let v3 = definition(&schema, json!({}), Form::V3);
        assert_eq!(v3["properties"]["a"]["nullable"], true);
        assert!(v3["properties"]["kind"]["description"].is_string());
        assert!(definition(&Value::Null, json!({}), Form::V2)["properties"]["metadata"].is_object());
    }
}
