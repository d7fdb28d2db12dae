//! Writes what Kubernetes publishes about its types: descriptions, required members, and the types of scalars, as the schemas
//! of `k8s-openapi` have them.
//!
//! `cargo run --manifest-path control-plane/machinery/data/published/Cargo.toml -- control-plane/machinery/data/published.json.gz`

use std::io::Write;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("where to?")?;
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    macro_rules! add {
        ($($ty:ty),* $(,)?) => { $( generator.subschema_for::<$ty>(); )* };
    }
    // Every kind that is served, and those that may be.
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
        meta::v1::DeleteOptions,
        meta::v1::ListMeta,
        meta::v1::Status,
    );
    let types: Map<String, Value> =
        generator.take_definitions(false).into_iter().map(|(name, schema)| (name, kept(&schema, &["description", "required", "properties"]))).collect();
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    file.write_all(serde_json::to_string(&types)?.as_bytes())?;
    std::fs::write(path, file.finish()?)?;
    Ok(())
}

/// These members of a schema; of the schemas of its properties only what describes them and scalars.
fn kept(schema: &Value, members: &[&str]) -> Value {
    let kept = schema.as_object().into_iter().flatten().filter(|(name, _)| members.contains(&name.as_str()));
    kept.map(|(name, value)| match (name.as_str(), value) {
        ("properties", Value::Object(all)) => {
            let all = all.iter().map(|(name, schema)| (name.clone(), kept_of_property(schema))).collect();
            (name.clone(), Value::Object(all))
        }
        _ => (name.clone(), value.clone()),
    })
    .collect()
}

fn kept_of_property(schema: &Value) -> Value {
    kept(schema, &["description", "type", "format"])
}
