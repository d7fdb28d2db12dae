//! The kinds of group `fma.llm-d.ai`, version `v1alpha1`, as the peer serves them: all namespaced, no
//! defaults, a status subresource of one shape. One file per kind.

#![expect(unreachable_pub, reason = "KubeSchema derives from a copy of the type, which is public inside a function")]

mod inference_server_config;
mod launcher_config;
mod launcher_population_policy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::CustomKind;

pub use inference_server_config::{InferenceServerConfig, InferenceServerConfigSpec, ModelServerConfig};
pub use launcher_config::{LauncherConfig, LauncherConfigSpec};
pub use launcher_population_policy::{
    CountForLauncher, EnhancedNodeSelector, LauncherPopulationPolicy, LauncherPopulationPolicySpec, QuantityRange,
};

/// All kinds of the group.
pub const KINDS: [CustomKind; 3] = [inference_server_config::KIND, launcher_config::KIND, launcher_population_policy::KIND];

/// The definitions of all kinds of the group.
#[must_use]
pub fn definitions() -> Vec<Value> {
    KINDS.iter().map(CustomKind::definition).collect()
}

/// Status of all three kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation of the spec that `errors` speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is wrong with the object; absent when nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::tests::{golden, outside, root};

    #[test]
    fn the_definitions_are_those_of_the_golden_file() {
        golden("fma.yaml", &definitions());
    }

    #[test]
    fn names_and_subresources_are_the_peers() {
        let wanted = [
            ("InferenceServerConfig", "inferenceserverconfigs", "isc", json!(["spec"])),
            ("LauncherConfig", "launcherconfigs", "lcfg", json!(["spec"])),
            ("LauncherPopulationPolicy", "launcherpopulationpolicies", "lpp", Value::Null),
        ];
        for (kind, (name, plural, short, required)) in KINDS.iter().zip(wanted) {
            let resource = kind.resource();
            assert_eq!((resource.kind.as_str(), resource.plural.as_str()), (name, plural));
            assert_eq!(resource.api_version, "fma.llm-d.ai/v1alpha1");
            let definition = kind.definition();
            assert_eq!(definition["metadata"]["name"], format!("{plural}.fma.llm-d.ai"));
            assert_eq!(definition["spec"]["names"]["shortNames"], json!([short]));
            assert_eq!(definition["spec"]["versions"][0]["subresources"], json!({"status": {}}));
            assert!(definition["spec"]["versions"][0].get("additionalPrinterColumns").is_none());
            assert_eq!(root(*kind)["required"], required);
        }
    }

    #[test]
    fn every_field_of_a_status_is_in_the_schemas() {
        let full = Status { observed_generation: Some(1), errors: vec!["no".to_owned()] };
        for kind in KINDS {
            assert_eq!(outside(&root(kind)["properties"]["status"], &full), [""; 0]);
        }
    }
}
