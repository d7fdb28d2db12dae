//! Descriptions and required members of the built-in types, from the schemas that `k8s-openapi` carries.
//!
//! They exist only while a document is being made: as values they are some megabytes.

use k8s_openapi::api::{
    apps::v1 as apps, authentication::v1 as authentication, authorization::v1 as authorization, autoscaling::v1 as autoscaling,
    coordination::v1 as coordination, core::v1 as core, events::v1 as events, policy::v1 as policy, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// What is known about types, by their names in OpenAPI documents.
#[derive(Debug, Default)]
pub(super) struct Docs(Map<String, Value>);

impl Docs {
    /// The documentation of these kinds, given as (group, kind), and of everything they are made of.
    pub(super) fn of<'a>(kinds: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        add::<meta::DeleteOptions>(&mut generator);
        add::<meta::ListMeta>(&mut generator);
        add::<meta::ObjectMeta>(&mut generator);
        add::<meta::Status>(&mut generator);
        for (group, kind) in kinds {
            add_kind(&mut generator, group, kind);
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

fn add<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// A kind that is not listed here has no descriptions, and everything else works.
fn add_kind(generator: &mut SchemaGenerator, group: &str, kind: &str) {
    let add: fn(&mut SchemaGenerator) = match (group, kind) {
        ("", "Binding") => add::<core::Binding>,
        ("", "ConfigMap") => add::<core::ConfigMap>,
        ("", "Event") => add::<core::Event>,
        ("", "Namespace") => add::<core::Namespace>,
        ("", "Node") => add::<core::Node>,
        ("", "Pod") => add::<core::Pod>,
        ("", "Secret") => add::<core::Secret>,
        ("", "ServiceAccount") => add::<core::ServiceAccount>,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => add::<apiextensions::CustomResourceDefinition>,
        ("apps", "Deployment") => add::<apps::Deployment>,
        ("apps", "ReplicaSet") => add::<apps::ReplicaSet>,
        ("authentication.k8s.io", "SelfSubjectReview") => add::<authentication::SelfSubjectReview>,
        ("authentication.k8s.io", "TokenRequest") => add::<authentication::TokenRequest>,
        ("authentication.k8s.io", "TokenReview") => add::<authentication::TokenReview>,
        ("authorization.k8s.io", "LocalSubjectAccessReview") => add::<authorization::LocalSubjectAccessReview>,
        ("authorization.k8s.io", "SelfSubjectAccessReview") => add::<authorization::SelfSubjectAccessReview>,
        ("authorization.k8s.io", "SelfSubjectRulesReview") => add::<authorization::SelfSubjectRulesReview>,
        ("authorization.k8s.io", "SubjectAccessReview") => add::<authorization::SubjectAccessReview>,
        ("autoscaling", "Scale") => add::<autoscaling::Scale>,
        ("coordination.k8s.io", "Lease") => add::<coordination::Lease>,
        ("events.k8s.io", "Event") => add::<events::Event>,
        ("policy", "Eviction") => add::<policy::Eviction>,
        ("rbac.authorization.k8s.io", "ClusterRole") => add::<rbac::ClusterRole>,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => add::<rbac::ClusterRoleBinding>,
        ("rbac.authorization.k8s.io", "Role") => add::<rbac::Role>,
        ("rbac.authorization.k8s.io", "RoleBinding") => add::<rbac::RoleBinding>,
        _ => return,
    };
    add(generator);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_and_required_members() {
        let docs = Docs::of([("", "Pod")].into_iter());
        assert!(docs.description("io.k8s.api.core.v1.Pod").unwrap().starts_with("Pod is a collection"));
        assert!(docs.member("io.k8s.api.core.v1.Container", "image").unwrap().starts_with("Container image name"));
        assert_eq!(docs.required("io.k8s.api.core.v1.Pod"), Some(vec![]));
        assert_eq!(docs.required("io.k8s.api.core.v1.PodSpec"), Some(vec!["containers"]));
        assert_eq!(docs.required("io.k8s.api.apps.v1.Deployment"), None);
    }
}
