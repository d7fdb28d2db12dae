//! Descriptions and required members of types, from the JSON schemas that the types themselves carry (`k8s-openapi`'s do).
//!
//! They exist only while a document is being made: as values they are some megabytes. What a row has is a
//! [`Documentation`], the way to make them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// The words of a type and of everything it is made of, made when a document needs them.
#[derive(Clone, Copy)]
pub struct Documentation(fn(&mut SchemaGenerator));

impl std::fmt::Debug for Documentation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Documentation")
    }
}

impl Documentation {
    /// The words of this type.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        Self(|generator| drop(generator.subschema_for::<T>()))
    }
}

/// What is known about types, by their names in OpenAPI documents.
#[derive(Debug, Default)]
pub(super) struct Docs(Map<String, Value>);

impl Docs {
    /// The documentation of these types and of those that every API has.
    pub(super) fn of(types: impl Iterator<Item = Documentation>) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let common = [
            Documentation::of::<meta::DeleteOptions>(),
            Documentation::of::<meta::ListMeta>(),
            Documentation::of::<meta::ObjectMeta>(),
            Documentation::of::<meta::Status>(),
        ];
        for Documentation(add) in common.into_iter().chain(types) {
            add(&mut generator);
        }
        Self(generator.take_definitions(false))
    }

    /// The description of a type.
    pub(super) fn description(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    /// The description of a member.
    pub(super) fn member(&self, name: &str, member: &str) -> Option<&str> {
        self.0.get(name)?.get("properties")?.get(member)?.get("description")?.as_str()
    }

    /// The members that must be there; `None` for a type that is not known.
    pub(super) fn required(&self, name: &str) -> Option<Vec<&str>> {
        let known = self.0.get(name)?;
        let list = known.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // The crate's types always have metadata; the API does not ask for it.
        Some(list.iter().filter_map(Value::as_str).filter(|member| *member != "metadata").collect())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn descriptions_and_required_members() {
        let docs = Docs::of([Documentation::of::<Pod>()].into_iter());
        assert!(docs.description("io.k8s.api.core.v1.Pod").unwrap().starts_with("Pod is a collection"));
        assert!(docs.member("io.k8s.api.core.v1.Container", "image").unwrap().starts_with("Container image name"));
        assert_eq!(docs.required("io.k8s.api.core.v1.Pod"), Some(vec![]));
        assert_eq!(docs.required("io.k8s.api.core.v1.PodSpec"), Some(vec!["containers"]));
        assert_eq!(docs.required("io.k8s.api.apps.v1.Deployment"), None);
    }
}
