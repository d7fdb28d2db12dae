//! The values of chart `fma-controllers`, under the peer's names; ours are additions with defaults that
//! keep the peer's behaviour.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where the peer publishes its images.
pub const IMAGE_REGISTRY: &str = "ghcr.io/llm-d-incubation/llm-d-fast-model-actuation";

/// All values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ChartValues {
    /// Images and rights.
    pub global: Global,
    /// The dual-pods controller.
    pub dual_pods_controller: DualPodsController,
    /// The launcher populator.
    pub launcher_populator: LauncherPopulator,
}

/// Images and rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Global {
    /// Prefix of the images.
    pub image_registry: String,
    /// Their tag.
    pub image_tag: String,
    /// An existing `ClusterRole` that may get, list and watch nodes; empty: no binding is made.
    pub node_view_cluster_role: String,
    /// The dual-pods controller's image is never pulled.
    pub local: bool,
    /// The peer's, for measuring its tests; means nothing here.
    pub produce_coverdata: bool,
    /// The peer's, for the same; means nothing here.
    pub coverdata_inspector_image: String,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            image_registry: IMAGE_REGISTRY.into(),
            image_tag: "latest".into(),
            node_view_cluster_role: String::new(),
            local: false,
            produce_coverdata: false,
            coverdata_inspector_image: "busybox:1.38.0".into(),
        }
    }
}

/// The dual-pods controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DualPodsController {
    /// Whether it is deployed.
    pub enabled: bool,
    /// Sleepers per GPU beside an awake engine.
    pub sleeper_limit: u32,
    /// Whether accelerator memory is checked before a wake.
    pub debug_accelerator_memory: bool,
    /// Ours: further arguments.
    pub extra_args: Vec<String>,
}

impl Default for DualPodsController {
    fn default() -> Self {
        Self { enabled: true, sleeper_limit: 2, debug_accelerator_memory: false, extra_args: Vec::new() }
    }
}

/// The launcher populator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LauncherPopulator {
    /// Whether it is deployed.
    pub enabled: bool,
    /// When its image is pulled.
    pub pull_policy: String,
    /// How many.
    pub replica_count: u32,
    /// Its requests and limits.
    pub resources: Value,
    /// Ours: launchers are made also on nodes where they could not start now, as the peer does it.
    pub populate_unschedulable_nodes: bool,
    /// Ours: further arguments.
    pub extra_args: Vec<String>,
}

impl Default for LauncherPopulator {
    fn default() -> Self {
        Self {
            enabled: true,
            pull_policy: "IfNotPresent".into(),
            replica_count: 1,
            resources: json!({"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}}),
            populate_unschedulable_nodes: false,
            extra_args: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_value_files_are_read() {
        let v: ChartValues = serde_json::from_value(json!({
            "global": {"imageTag": "v1", "nodeViewClusterRole": "viewer"},
            "dualPodsController": {"sleeperLimit": 1}, "launcherPopulator": {"enabled": false},
        }))
        .unwrap();
        assert_eq!((v.dual_pods_controller.sleeper_limit, v.launcher_populator.enabled, v.global.image_tag.as_str()), (1, false, "v1"));
        assert!(serde_json::from_value::<ChartValues>(json!({"globl": {}})).is_err());
    }

    #[test]
    fn all_of_the_peers_values_are_known_and_ours_have_its_defaults() {
        let peer: Value = serde_json::from_str(include_str!("../tests/data/peer-values.json")).unwrap();
        let mut read: ChartValues = serde_json::from_value(peer.clone()).unwrap();
        // The one thing it writes in another form.
        assert_eq!(read.launcher_populator.resources["limits"]["cpu"].take(), 2);
        read.launcher_populator.resources["limits"]["cpu"] = json!("2");
        assert_eq!(read, ChartValues::default());
        let mut coverage = read;
        (coverage.global.produce_coverdata, coverage.global.coverdata_inspector_image) = (true, "busybox:1".into());
        assert_eq!(crate::render(&coverage, "fma", "ns"), crate::render(&ChartValues::default(), "fma", "ns"), "they mean nothing");
        // What is not the peer's is ours, and little.
        let mut ours = serde_json::to_value(ChartValues::default()).unwrap();
        for (part, members) in peer.as_object().unwrap() {
            ours[part].as_object_mut().unwrap().retain(|name, _| members.get(name).is_none());
        }
        assert_eq!(
            ours,
            json!({
                "global": {}, "dualPodsController": {"extraArgs": []},
                "launcherPopulator": {"extraArgs": [], "populateUnschedulableNodes": false},
            })
        );
    }
}
