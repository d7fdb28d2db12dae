//! The table against an independent one: the schemas that `k8s-openapi` generates from the published documents.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::schema;
use dormouse_machinery::schema::openapi::{Style, definition};
use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Schemas of many kinds and of all types inside them, by OpenAPI name.
fn published() -> BTreeMap<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    macro_rules! add {
        ($($ty:ty),* $(,)?) => { $( generator.subschema_for::<$ty>(); )* };
    }
    add!(
        api::core::v1::Pod,
        api::core::v1::Node,
        api::core::v1::Namespace,
        api::core::v1::Service,
        api::core::v1::ServiceAccount,
        api::core::v1::ConfigMap,
        api::core::v1::Secret,
        api::core::v1::Event,
        api::core::v1::PersistentVolume,
        api::core::v1::PersistentVolumeClaim,
        api::core::v1::ResourceQuota,
        api::core::v1::LimitRange,
        api::core::v1::Endpoints,
        api::core::v1::ReplicationController,
        api::core::v1::Binding,
        api::apps::v1::Deployment,
        api::apps::v1::ReplicaSet,
        api::apps::v1::StatefulSet,
        api::apps::v1::DaemonSet,
        api::apps::v1::ControllerRevision,
        api::batch::v1::Job,
        api::batch::v1::CronJob,
        api::coordination::v1::Lease,
        api::events::v1::Event,
        api::rbac::v1::Role,
        api::rbac::v1::ClusterRole,
        api::rbac::v1::RoleBinding,
        api::rbac::v1::ClusterRoleBinding,
        api::policy::v1::Eviction,
        api::policy::v1::PodDisruptionBudget,
        api::networking::v1::Ingress,
        api::networking::v1::NetworkPolicy,
        api::discovery::v1::EndpointSlice,
        api::autoscaling::v1::Scale,
        api::autoscaling::v2::HorizontalPodAutoscaler,
        api::scheduling::v1::PriorityClass,
        api::storage::v1::StorageClass,
        api::storage::v1::CSINode,
        api::storage::v1::VolumeAttachment,
        api::admissionregistration::v1::ValidatingAdmissionPolicy,
        api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        api::admissionregistration::v1::ValidatingWebhookConfiguration,
        api::admissionregistration::v1::MutatingWebhookConfiguration,
        api::authentication::v1::TokenRequest,
        api::authentication::v1::TokenReview,
        api::authentication::v1::SelfSubjectReview,
        api::authorization::v1::SubjectAccessReview,
        api::authorization::v1::LocalSubjectAccessReview,
        api::authorization::v1::SelfSubjectAccessReview,
        api::authorization::v1::SelfSubjectRulesReview,
        api::resource::v1::ResourceClaim,
        CustomResourceDefinition,
    );
    generator.take_definitions(true).into_iter().collect()
}

fn members(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().map(Map::keys).into_iter().flatten().cloned().collect()
}

fn required(schema: &Value) -> BTreeSet<String> {
    schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// What both write of a scalar.
fn scalar(schema: &Value) -> Option<(&str, Option<&str>)> {
    let ty = schema["type"].as_str()?;
    (!matches!(ty, "object" | "array")).then(|| (ty, schema["format"].as_str()))
}

#[test]
fn members_and_required_marks_are_those_published() {
    let published = published();
    let mut problems = Vec::new();
    let mut compared = 0;
    for (name, theirs) in &published {
        if theirs.get("properties").is_none() {
            continue;
        }
        let Some(ty) = schema::named(name) else {
            problems.push(format!("{name}: unknown"));
            continue;
        };
        compared += 1;
        let ours = definition(ty, Style::V3);
        let (our_members, their_members) = (members(&ours), members(theirs));
        if our_members != their_members {
            problems.push(format!("{name}: members {:?}", our_members.symmetric_difference(&their_members).collect::<Vec<_>>()));
        }
        let (ours_required, mut theirs_required) = (required(&ours), required(theirs));
        // Three conventions of that crate: objects have metadata, members with a default are never absent, and
        // the time of an event may be.
        if !ours_required.contains("metadata") {
            theirs_required.remove("metadata");
        }
        if name == "io.k8s.api.events.v1.Event" {
            theirs_required.insert("eventTime".to_owned());
        }
        if ours["properties"]["name"] == serde_json::json!({"type": "string"}) && !ours_required.contains("name") {
            theirs_required.remove("name");
        }
        if ours_required != theirs_required {
            let more: Vec<_> = ours_required.difference(&theirs_required).collect();
            let less: Vec<_> = theirs_required.difference(&ours_required).collect();
            problems.push(format!("{name}: required here only {more:?}, there only {less:?}"));
        }
        for member in our_members.intersection(&their_members) {
            let (ours, theirs) = (scalar(&ours["properties"][member]), scalar(&theirs["properties"][member]));
            if ours.is_some() && theirs.is_some() && ours != theirs {
                problems.push(format!("{name}.{member}: {ours:?} here, {theirs:?} there"));
            }
        }
    }
    crate::golden::said(&format!("openapi: {compared} types compared, {} differ", problems.len()));
    assert!(compared > 300, "{compared}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
