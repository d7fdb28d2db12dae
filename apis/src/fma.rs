//! The kinds of group `fma.llm-d.ai`, version `v1alpha1`, as the peer serves them: all namespaced, no
//! defaults, a status subresource of one shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The API group.
pub const GROUP: &str = "fma.llm-d.ai";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Group and version as objects write them.
pub const API_VERSION: &str = "fma.llm-d.ai/v1alpha1";

/// Names of one kind of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindNames {
    /// The kind.
    pub kind: &'static str,
    /// Its plural, the resource.
    pub plural: &'static str,
    /// Its singular.
    pub singular: &'static str,
    /// Its short name.
    pub short: &'static str,
}

/// What an engine is to be: model, options, port, how it is routed to.
pub const INFERENCE_SERVER_CONFIG: KindNames =
    KindNames { kind: "InferenceServerConfig", plural: "inferenceserverconfigs", singular: "inferenceserverconfig", short: "isc" };
/// What a launcher Pod is to be.
pub const LAUNCHER_CONFIG: KindNames =
    KindNames { kind: "LauncherConfig", plural: "launcherconfigs", singular: "launcherconfig", short: "lcfg" };
/// How many launchers stand ready where.
pub const LAUNCHER_POPULATION_POLICY: KindNames = KindNames {
    kind: "LauncherPopulationPolicy",
    plural: "launcherpopulationpolicies",
    singular: "launcherpopulationpolicy",
    short: "lpp",
};
/// All kinds of the group.
pub const KINDS: [KindNames; 3] = [INFERENCE_SERVER_CONFIG, LAUNCHER_CONFIG, LAUNCHER_POPULATION_POLICY];

/// `InferenceServerConfig.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceServerConfigSpec {
    /// How the engine is started and reached.
    pub model_server_config: ModelServerConfig,
    /// The `LauncherConfig` whose launchers host it.
    pub launcher_config_name: String,
}

/// How an engine is started and reached. Member names are the wire's, snake case included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelServerConfig {
    /// Where the engine listens, 1..=65535.
    pub port: i32,
    /// The engine's command line without the port.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
    /// Environment of the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    /// Labels of the launcher Pod while this engine serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the launcher Pod while this engine serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// `LauncherConfig.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LauncherConfigSpec {
    /// The Pod's labels, annotations and spec; kept as JSON because a launcher is a copy of it.
    #[serde(default)]
    pub pod_template: Value,
    /// Instances per launcher, the awake one counted; at least 1.
    #[serde(default)]
    pub max_instances: Option<i32>,
    /// What `maxInstances` was until June 2026, the awake one not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// `LauncherPopulationPolicy.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LauncherPopulationPolicySpec {
    /// Which nodes.
    pub enhanced_node_selector: EnhancedNodeSelector,
    /// How many launchers of which config on each.
    pub count_for_launcher: Vec<CountForLauncher>,
}

/// A choice of nodes by labels and by what they offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnhancedNodeSelector {
    /// A `metav1.LabelSelector`; `{}` selects all. Kept as JSON: machinery parses it.
    pub label_selector: Value,
    /// Inclusive bounds on allocatable quantities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable_resources: BTreeMap<String, QuantityRange>,
}

/// Inclusive bounds; quantities as text or number, as the user wrote them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QuantityRange {
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
}

/// Launchers of one config on each selected node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountForLauncher {
    /// The `LauncherConfig`.
    pub launcher_config_name: String,
    /// How many; negative means none.
    pub launcher_count: i32,
}

/// Status of all three kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation that the errors speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is wrong with the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}
