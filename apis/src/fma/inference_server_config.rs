//! `InferenceServerConfig`: what an engine is to be.

use std::collections::BTreeMap;

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Status;
use crate::definition::CustomKind;

pub(super) const KIND: CustomKind = CustomKind::of::<InferenceServerConfig>();

/// `InferenceServerConfig.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "fma.llm-d.ai", version = "v1alpha1", kind = "InferenceServerConfig", shortname = "isc")]
#[kube(namespaced, status = "Status", schema = "disabled", crates(kube_core = "kube_core"))]
#[kube(doc = "What an engine is to be: model, options, port, how it is routed to.")]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct InferenceServerConfigSpec {
    /// How the engine is started and reached.
    pub model_server_config: ModelServerConfig,
    /// The LauncherConfig whose launchers host this server.
    pub launcher_config_name: String,
}

/// How an engine is started and reached. Member names are the wire's, snake case included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ModelServerConfig {
    /// Where the engine listens.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Command line of the engine, without the port.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
    /// Environment of the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    /// Labels of the launcher Pod while it is bound and serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the launcher Pod while it is bound and serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::tests::{outside, spec};

    #[test]
    fn every_field_is_in_the_schema() {
        let some = || BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let full = InferenceServerConfigSpec {
            model_server_config: ModelServerConfig {
                port: 8000,
                options: "--model m".to_owned(),
                env_vars: some(),
                labels: some(),
                annotations: some(),
            },
            launcher_config_name: "lc".to_owned(),
        };
        assert_eq!(outside(&spec(KIND), &full), [""; 0]);
    }

    #[test]
    fn fields_carry_the_rules_of_the_contract() {
        let spec = spec(KIND);
        assert_eq!(spec["required"], json!(["launcherConfigName", "modelServerConfig"]));
        let port = &spec["properties"]["modelServerConfig"]["properties"]["port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&json!(1), &json!(65535)));
    }
}
