//! `CustomResourceDefinition`s, rendered from types.
//!
//! kube's derive knows names, scope and subresources, schemars the schemas of spec and status. What they add and the
//! peers' definitions do not have is taken off in one place, the transform `AsPeersWrite`.
//!
//! The derive's own schema is switched off (`schema = "disabled"`): its rewriting empties the `anyOf` of quantities, which
//! Kubernetes' own definitions have, and it writes bounds as fractions.

use dormouse_machinery::schema;
use kube_core::object::{HasSpec, HasStatus};
use kube_core::{ApiResource, CustomResourceExt};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Value, json};

/// A kind, as lists of kinds carry it.
#[derive(Debug, Clone, Copy)]
pub struct CustomKind {
    resource: fn() -> ApiResource,
    definition: fn() -> Value,
    spec_required: bool,
}

impl CustomKind {
    /// The kind of a type.
    pub(crate) const fn of<K>() -> Self
    where
        K: CustomResourceExt + HasSpec<Spec: JsonSchema> + HasStatus<Status: JsonSchema>,
    {
        Self { resource: K::api_resource, definition: definition::<K>, spec_required: true }
    }

    /// The same, with objects that may lack a spec.
    pub(crate) const fn spec_optional(self) -> Self {
        Self { spec_required: false, ..self }
    }

    /// Its group, version, kind and plural.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        (self.resource)()
    }

    /// Its `CustomResourceDefinition`.
    #[must_use]
    pub fn definition(&self) -> Value {
        let mut definition = (self.definition)();
        if self.spec_required {
            definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"] = json!(["spec"]);
        }
        definition
    }
}

fn definition<K>() -> Value
where
    K: CustomResourceExt + HasSpec<Spec: JsonSchema> + HasStatus<Status: JsonSchema>,
{
    let mut definition = json!(K::crd());
    definition["metadata"]["annotations"] = json!({"controller-gen.kubebuilder.io/version": "v0.19.0"});
    definition["spec"]["names"]["listKind"] = json!(format!("{}List", K::api_resource().kind));
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema_of::<K::Spec>(),
            "status": schema_of::<K::Status>(),
        },
    });
    definition
}

/// The structural schema of a type. What the type itself is for is said of its kind, and not here.
fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.with_transform(AsPeersWrite).into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    schema
}

/// Takes off what deriving adds: `nullable` of what is optional, further paragraphs of a comment, and descriptions inside the
/// elements of a list or map, which are described where the list or map is.
#[derive(Debug, Clone)]
struct AsPeersWrite;

impl Transform for AsPeersWrite {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("nullable");
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let first = text.split("\n\n").next().unwrap_or_default();
            *text = first.replace('\n', " ");
        }
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        for elements in ["items", "additionalProperties"] {
            if let Some(Ok(element)) = schema.get_mut(elements).map(<&mut Schema>::try_from) {
                RecursiveTransform(|schema: &mut Schema| drop(schema.remove("description"))).transform(element);
            }
        }
        transform_subschemas(self, schema);
    }
}

/// The structure of a built-in type, for a field that is kept as JSON.
///
/// Descriptions are left out: those of a Pod would make a definition ten times as large.
pub(crate) fn builtin(name: &str) -> Schema {
    match schema::named(name).map(schema::openapi::structural) {
        Some(Value::Object(structure)) => structure.into(),
        // The table is compiled in; without the type a value is at least not pruned away.
        _ => json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{env, fs};

    use dormouse_machinery::yaml;
    use serde::Serialize;

    use super::*;

    /// The schema of objects of a kind.
    pub(crate) fn root(kind: CustomKind) -> Value {
        kind.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// The schema of a kind's spec.
    pub(crate) fn spec(kind: CustomKind) -> Value {
        root(kind)["properties"]["spec"].clone()
    }

    /// The members of a value in which every field is set that the schema does not have: an API server would drop them.
    pub(crate) fn outside(schema: &Value, value: &impl Serialize) -> Vec<String> {
        let mut found = Vec::new();
        walk(schema, &json!(value), "", &mut found);
        found
    }

    fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            _ if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            Value::Object(members) => {
                for (name, member) in members {
                    let path = format!("{path}.{name}");
                    match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                        Some(schema) => walk(schema, member, &path, found),
                        None => found.push(path),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(&schema["items"], element, path, found)),
            _ => assert!(schema.get("type").or_else(|| schema.get("anyOf")).is_some(), "{path}: {schema}"),
        }
    }

    /// Compares definitions with a file of `tests/golden`, byte for byte as `dormouse crds` prints them; writes it when
    /// `DORMOUSE_GOLDEN_WRITE` is set.
    pub(crate) fn golden(file: &str, definitions: &[Value]) {
        let file = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        let text: String = definitions.iter().map(|definition| format!("---\n{}", yaml::to_string(definition))).collect();
        if env::var_os("DORMOUSE_GOLDEN_WRITE").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap();
        for (n, (have, want)) in text.lines().zip(wanted.lines()).enumerate() {
            assert_eq!(have, want, "line {} of {file}", n + 1);
        }
        assert_eq!(text, wanted);
    }
}
