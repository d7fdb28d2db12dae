//! OpenAPI schemas of the built-in types.
//!
//! Two forms. A *definition* describes one type and refers to others, as the documents of an API server do
//! ([`definition`], [`reference()`], [`closure`]). A *structural* schema has no references, so that it can stand
//! in a CustomResourceDefinition ([`structural`]); a type that contains itself is cut there and takes any
//! members.
//!
//! Both carry what clients and servers read: types and formats, required members, defaults of list keys, list types
//! and their keys, atomic maps, and (definitions only) the tags of strategic merge patch, which `kubectl apply`
//! computes its patches from. There are no descriptions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Field, ListType, Shape, Type, TypeRef};

/// What a quantity looks like, as schemas of custom resources say it.
pub const QUANTITY_PATTERN: &str =
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Which document a definition is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// OpenAPI v2: references into `#/definitions/`.
    V2,
    /// OpenAPI v3: references into `#/components/schemas/`.
    V3,
}

/// A reference to the definition of a type.
pub fn reference(ty: TypeRef, style: Style) -> Value {
    let place = match style {
        Style::V2 => "#/definitions/",
        Style::V3 => "#/components/schemas/",
    };
    json!({"$ref": format!("{place}{}", ty.openapi_name())})
}

/// The definition of a type, with references to other types.
pub fn definition(ty: TypeRef, style: Style) -> Value {
    let mut schema = Writer { form: Form::Definition(style), inside: Vec::new() }.object(ty);
    let kinds: Vec<Value> = ty.kinds().map(|kind| json!({"group": kind.group, "version": kind.version, "kind": kind.kind})).collect();
    if let (Value::Object(schema), false) = (&mut schema, kinds.is_empty()) {
        schema.insert("x-kubernetes-group-version-kind".to_owned(), Value::Array(kinds));
    }
    schema
}

/// The types that definitions of `roots` refer to, directly or not, and these themselves.
pub fn closure(roots: impl IntoIterator<Item = TypeRef>) -> BTreeSet<TypeRef> {
    let mut found = BTreeSet::new();
    let mut open: Vec<TypeRef> = roots.into_iter().collect();
    while let Some(ty) = open.pop() {
        if found.insert(ty) {
            open.extend(ty.fields().iter().filter_map(|field| match field.shape.item() {
                Type::Struct(ty) => Some(ty),
                _ => None,
            }));
        }
    }
    found
}

/// The structural schema of a type, without references.
pub fn structural(ty: TypeRef) -> Value {
    Writer { form: Form::Structural, inside: Vec::new() }.object(ty)
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Definition(Style),
    Structural,
}

struct Writer {
    form: Form,
    /// The types that the place is inside of, in the structural form.
    inside: Vec<TypeRef>,
}

impl Writer {
    fn object(&mut self, ty: TypeRef) -> Value {
        if self.inside.contains(&ty) {
            return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
        self.inside.push(ty);
        let properties: Map<String, Value> = ty.fields().iter().map(|field| (field.name.to_owned(), self.field(field))).collect();
        self.inside.pop();

        let mut schema = json!({"type": "object"});
        let required: Vec<&str> = ty.fields().iter().filter(|field| field.required).map(|field| field.name).collect();
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if ty.is_atomic() {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        schema
    }

    fn field(&mut self, field: &Field) -> Value {
        let mut schema = match field.shape {
            Shape::One(item) => self.item(item),
            Shape::List(item) => self.list(field, item),
            Shape::Map(item) => {
                let mut schema = json!({"type": "object", "additionalProperties": self.item(item)});
                if field.atomic {
                    schema["x-kubernetes-map-type"] = json!("atomic");
                }
                schema
            }
        };
        let mut extras = Map::new();
        if let Some(default) = field.default {
            extras.insert("default".to_owned(), json!(default));
        }
        if let (Form::Definition(_), Some(strategy)) = (self.form, strategy(field)) {
            extras.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategy));
            if let Some(key) = field.patch.key {
                extras.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
            }
        }
        // In v3 a reference has no neighbours.
        if !extras.is_empty() && self.form == Form::Definition(Style::V3) && schema.get("$ref").is_some() {
            schema = json!({"allOf": [schema]});
        }
        if let Value::Object(schema) = &mut schema {
            schema.append(&mut extras);
        }
        schema
    }

    fn list(&mut self, field: &Field, item: Type) -> Value {
        let mut items = self.item(item);
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("array"));
        let list_type = match field.list {
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map => "map",
        };
        schema.insert("x-kubernetes-list-type".to_owned(), json!(list_type));
        if field.list == ListType::Map {
            schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(field.keys));
            if self.form == Form::Structural {
                default_keys(&mut items, field.keys);
            }
        }
        schema.insert("items".to_owned(), items);
        Value::Object(schema)
    }

    fn item(&mut self, item: Type) -> Value {
        let structural = self.form == Form::Structural;
        match item {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
            Type::Quantity => match self.form {
                Form::Structural => {
                    json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY_PATTERN, "x-kubernetes-int-or-string": true})
                }
                Form::Definition(Style::V2) => json!({"type": "string"}),
                Form::Definition(Style::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            },
            Type::IntOrString => match self.form {
                Form::Structural => json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true}),
                Form::Definition(Style::V2) => json!({"type": "string", "format": "int-or-string"}),
                Form::Definition(Style::V3) => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            },
            Type::Strings => json!({"type": "array", "items": {"type": "string"}}),
            Type::Any if structural => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings if structural => {
                json!({"x-kubernetes-preserve-unknown-fields": true})
            }
            Type::Any => json!({"type": "object"}),
            Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => json!({}),
            Type::Struct(ty) => match self.form {
                Form::Structural => self.object(ty),
                Form::Definition(style) => reference(ty, style),
            },
        }
    }
}

/// The tags of strategic merge patch, as documents spell them.
fn strategy(field: &Field) -> Option<String> {
    let rule = field.patch;
    let tags: Vec<&str> = [(rule.merge, "merge"), (rule.replace, "replace"), (rule.retain_keys, "retainKeys")]
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, tag)| *tag)
        .collect();
    (!tags.is_empty()).then(|| tags.join(","))
}

/// A key of a list must be required or have a default in a structural schema.
fn default_keys(items: &mut Value, keys: &[&str]) {
    let required = items["required"].as_array().cloned().unwrap_or_default();
    for &key in keys {
        if let Some(property) = items.pointer_mut(&format!("/properties/{key}"))
            && !required.contains(&json!(key))
            && property.get("default").is_none()
        {
            property["default"] = match property["type"].as_str() {
                Some("integer" | "number") => json!(0),
                Some("boolean") => json!(false),
                _ => json!(""),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::named;
    use super::*;

    #[test]
    fn a_definition_refers_and_a_structural_schema_does_not() {
        let pod = named("k8s.io/api/core/v1.Pod").unwrap();
        let definition = definition(pod, Style::V3);
        assert_eq!(definition["properties"]["spec"], json!({"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}));
        assert_eq!(definition["x-kubernetes-group-version-kind"], json!([{"group": "", "version": "v1", "kind": "Pod"}]));
        assert!(!structural(pod).to_string().contains("$ref"));
        assert!(closure([pod]).contains(&named("k8s.io/api/core/v1.EnvVar").unwrap()));
    }

    #[test]
    fn lists_carry_their_rules() {
        let spec = named("k8s.io/api/core/v1.PodSpec").unwrap();
        let volumes = &definition(spec, Style::V2)["properties"]["volumes"];
        assert_eq!(
            *volumes,
            json!({
                "type": "array", "items": {"$ref": "#/definitions/io.k8s.api.core.v1.Volume"},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-strategy": "merge,retainKeys", "x-kubernetes-patch-merge-key": "name",
            })
        );
        let strategy = &definition(named("k8s.io/api/apps/v1.DeploymentSpec").unwrap(), Style::V3)["properties"]["strategy"];
        assert_eq!(
            *strategy,
            json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}], "x-kubernetes-patch-strategy": "retainKeys"})
        );
        let ports = &structural(spec)["properties"]["containers"]["items"]["properties"]["ports"];
        assert_eq!(ports["items"]["properties"]["protocol"], json!({"type": "string", "default": "TCP"}));
        assert_eq!(ports["items"]["required"], json!(["containerPort"]));
        let limits = &structural(spec)["properties"]["resources"]["properties"]["limits"]["additionalProperties"];
        assert_eq!(limits["x-kubernetes-int-or-string"], true);
    }

    #[test]
    fn what_contains_itself_is_cut() {
        let schema = named("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps").unwrap();
        let not = &structural(schema)["properties"]["not"];
        assert_eq!(*not, json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    }
}
