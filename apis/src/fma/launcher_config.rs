//! `LauncherConfig`: what a launcher Pod is to be.

use kube_derive::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;
use crate::definition::{self, CustomKind};

pub(super) const KIND: CustomKind = CustomKind::of::<LauncherConfig>();

/// `LauncherConfig.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "fma.llm-d.ai", version = "v1alpha1", kind = "LauncherConfig", shortname = "lcfg")]
#[kube(namespaced, status = "Status", schema = "disabled", crates(kube_core = "kube_core"))]
#[kube(doc = "What a launcher Pod is to be.")]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct LauncherConfigSpec {
    /// What a launcher Pod is made from; its container `inference-server` runs the launcher.
    ///
    /// Labels, annotations and spec, kept as JSON because a launcher is a copy of it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "pod_template")]
    pub pod_template: Value,
    /// Instances per launcher, the awake one counted.
    ///
    /// Required of new objects; absent from those that still have the old field.
    #[schemars(required, range(min = 1))]
    pub max_instances: Option<i32>,
    /// What `maxInstances` was until June 2026, the awake one not counted: read, and no longer offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub max_sleeping_instances: Option<i32>,
}

impl LauncherConfigSpec {
    /// Instances per launcher, the awake one counted.
    #[must_use]
    pub fn max_instances(&self) -> u32 {
        let n = self.max_instances.or_else(|| self.max_sleeping_instances.map(|n| n.saturating_add(1))).unwrap_or(1);
        u32::try_from(n).unwrap_or(0).max(1)
    }
}

fn pod_template(_: &mut SchemaGenerator) -> Schema {
    let strings =
        |description: &str| json_schema!({"type": "object", "additionalProperties": {"type": "string"}, "description": description});
    json_schema!({
        "type": "object",
        "properties": {
            "metadata": {"type": "object", "properties": {"labels": strings("Labels."), "annotations": strings("Annotations.")}},
            "spec": definition::builtin("k8s.io/api/core/v1.PodSpec"),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::tests::{outside, spec};

    #[test]
    fn every_field_is_in_the_schema_but_the_old_one() {
        let full = LauncherConfigSpec {
            pod_template: json!({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}),
            max_instances: Some(2),
            max_sleeping_instances: Some(1),
        };
        assert_eq!(outside(&spec(KIND), &full), [".maxSleepingInstances"]);
    }

    #[test]
    fn the_old_field_counts_without_the_awake_one() {
        let read = |spec: Value| serde_json::from_value::<LauncherConfigSpec>(spec).unwrap().max_instances();
        assert_eq!(read(json!({"maxInstances": 3, "maxSleepingInstances": 7})), 3);
        assert_eq!(read(json!({"maxSleepingInstances": 1})), 2);
        assert_eq!(read(json!({})), 1);
    }

    #[test]
    fn the_pod_template_has_the_structure_of_a_pod() {
        let spec = spec(KIND);
        assert_eq!((&spec["required"], &spec["properties"]["maxInstances"]["minimum"]), (&json!(["maxInstances"]), &json!(1)));
        let pod = &spec["properties"]["podTemplate"]["properties"]["spec"];
        assert_eq!(pod["required"], json!(["containers"]));
        let containers = &pod["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let container = &containers["items"];
        assert_eq!(container["required"], json!(["name"]));
        let ports = &container["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
        assert_eq!(ports["items"]["properties"]["protocol"]["default"], "TCP");
        let limits = &container["properties"]["resources"]["properties"]["limits"];
        assert_eq!(limits["additionalProperties"]["x-kubernetes-int-or-string"], true);
    }
}
