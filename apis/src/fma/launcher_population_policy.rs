//! `LauncherPopulationPolicy`: how many launchers stand ready where.

use std::collections::BTreeMap;

use dormouse_machinery::schema::openapi;
use kube_derive::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;
use crate::definition::{self, CustomKind};

pub(super) const KIND: CustomKind = CustomKind::of::<LauncherPopulationPolicy>().spec_optional();

/// `LauncherPopulationPolicy.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "fma.llm-d.ai", version = "v1alpha1", kind = "LauncherPopulationPolicy", shortname = "lpp")]
#[kube(namespaced, status = "Status", schema = "disabled", crates(kube_core = "kube_core"))]
#[kube(doc = "How many launchers stand ready where.")]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct LauncherPopulationPolicySpec {
    /// Which nodes.
    pub enhanced_node_selector: EnhancedNodeSelector,
    /// How many launchers of which LauncherConfig on each selected node; a total, bound ones counted.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["launcherConfigName".into()]))]
    pub count_for_launcher: Vec<CountForLauncher>,
}

/// A choice of nodes by labels and by what they offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnhancedNodeSelector {
    /// By label; {} selects every node.
    ///
    /// A `metav1.LabelSelector`, kept as JSON: machinery parses it.
    #[schemars(schema_with = "label_selector")]
    pub label_selector: Value,
    /// By what a node can give: inclusive bounds per resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable_resources: BTreeMap<String, QuantityRange>,
}

/// Inclusive bounds; quantities as text or number, as the user wrote them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct QuantityRange {
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub min: Option<Value>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub max: Option<Value>,
}

/// Launchers of one config on each selected node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountForLauncher {
    /// The `LauncherConfig`.
    pub launcher_config_name: String,
    /// How many; negative means none.
    pub launcher_count: i32,
}

fn label_selector(_: &mut SchemaGenerator) -> Schema {
    definition::builtin("k8s.io/apimachinery/pkg/apis/meta/v1.LabelSelector")
}

fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": openapi::QUANTITY_PATTERN,
        "x-kubernetes-int-or-string": true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::tests::{outside, spec};

    #[test]
    fn every_field_is_in_the_schema() {
        let expressions = json!([{"key": "gpu", "operator": "In", "values": ["yes"]}]);
        let full = LauncherPopulationPolicySpec {
            enhanced_node_selector: EnhancedNodeSelector {
                label_selector: json!({"matchLabels": {"a": "b"}, "matchExpressions": expressions}),
                allocatable_resources: BTreeMap::from([("cpu".to_owned(), QuantityRange { min: Some(json!(1)), max: Some(json!("2")) })]),
            },
            count_for_launcher: vec![CountForLauncher { launcher_config_name: "lc".to_owned(), launcher_count: 1 }],
        };
        assert_eq!(outside(&spec(KIND), &full), [""; 0]);
    }

    #[test]
    fn fields_carry_the_rules_of_the_contract() {
        let spec = spec(KIND);
        assert_eq!(spec["required"], json!(["countForLauncher", "enhancedNodeSelector"]));
        let counts = &spec["properties"]["countForLauncher"];
        assert_eq!(counts["x-kubernetes-list-map-keys"], json!(["launcherConfigName"]));
        assert!(counts["items"]["properties"]["launcherCount"].get("minimum").is_none());
    }
}
