//! The objects of chart `fma-controllers` for given values.

use dormouse_apis::fma::KINDS;
use dormouse_apis::names::{DUAL_PODS_CONTROLLER, LAUNCHER_POPULATOR, label, port};
use serde_json::{Map, Value, json};

use crate::values::ChartValues;

/// Name of the `ClusterRole` that [`node_view_role`] describes.
pub const NODE_VIEW_ROLE: &str = "fma-node-view";

/// The `ClusterRole` that lets controllers read nodes, for clusters that have none to name.
#[must_use]
pub fn node_view_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NODE_VIEW_ROLE},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}],
    })
}

/// All objects of a release in a namespace, in the order in which they are applied.
///
/// The service account's name ends in `-fma-controllers`: the peer's admission policies exempt by that pattern.
#[must_use]
pub fn render(values: &ChartValues, release: &str, namespace: &str) -> Vec<Value> {
    let chart = Chart { values, release, namespace };
    let mut all = chart.rights();
    if values.dual_pods_controller.enabled {
        all.push(chart.dual_pods_controller());
    }
    if values.launcher_populator.enabled {
        all.push(chart.launcher_populator());
    }
    all
}

struct Chart<'a> {
    values: &'a ChartValues,
    release: &'a str,
    namespace: &'a str,
}

impl Chart<'_> {
    fn account(&self) -> String {
        format!("{}-fma-controllers", self.release)
    }

    fn labels(&self, component: Option<&str>) -> Map<String, Value> {
        let mut labels = Map::new();
        labels.insert("app.kubernetes.io/name".into(), "fma-controllers".into());
        labels.insert("app.kubernetes.io/instance".into(), self.release.into());
        labels.insert("app.kubernetes.io/managed-by".into(), "dormouse".into());
        if let Some(component) = component {
            labels.insert(label::COMPONENT.into(), component.into());
        }
        labels
    }

    fn meta(&self, name: &str, component: Option<&str>) -> Value {
        json!({"name": name, "namespace": self.namespace, "labels": self.labels(component)})
    }

    fn rights(&self) -> Vec<Value> {
        let account = self.account();
        let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": self.namespace});
        let resources = KINDS.map(|kind| kind.resource());
        let group = &resources[0].group;
        let kinds: Vec<&str> = resources.iter().map(|resource| resource.plural.as_str()).collect();
        let statuses: Vec<String> = kinds.iter().map(|k| format!("{k}/status")).collect();
        let mut all = vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.meta(&account, None)}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": self.meta(&account, None),
                "rules": [
                    {"apiGroups": [group], "resources": kinds, "verbs": ["get", "list", "watch"]},
                    {"apiGroups": [group], "resources": statuses, "verbs": ["patch", "update"]},
                    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
                    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
                    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
                    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
                ],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": self.meta(&format!("{account}-in-ns"), None),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}, "subjects": [subject],
            }),
        ];
        let role = &self.values.global.node_view_cluster_role;
        if !role.is_empty() {
            all.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": format!("{}-node-view", self.release), "labels": self.labels(None)},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": [subject],
            }));
        }
        all
    }

    fn image(&self, program: &str) -> String {
        format!("{}/{program}:{}", self.values.global.image_registry, self.values.global.image_tag)
    }

    fn dual_pods_controller(&self) -> Value {
        let v = &self.values.dual_pods_controller;
        let mut args = vec![
            "-v=5".to_owned(),
            format!("--namespace={}", self.namespace),
            format!("--sleeper-limit={}", v.sleeper_limit),
            format!("--debug-accelerator-memory={}", v.debug_accelerator_memory),
        ];
        args.extend(v.extra_args.iter().cloned());
        let pull = if self.values.global.local { "Never" } else { "Always" };
        let container = json!({
            "name": "controller", "image": self.image(DUAL_PODS_CONTROLLER), "imagePullPolicy": pull,
            "command": [format!("/ko-app/{DUAL_PODS_CONTROLLER}")], "args": args,
            "ports": [{"name": "metrics", "containerPort": port::METRICS}],
        });
        self.deployment(DUAL_PODS_CONTROLLER, 1, &container)
    }

    fn launcher_populator(&self) -> Value {
        let v = &self.values.launcher_populator;
        let mut args = vec![format!("--namespace={}", self.namespace)];
        if v.populate_unschedulable_nodes {
            args.push("--populate-unschedulable-nodes".to_owned());
        }
        args.extend(v.extra_args.iter().cloned());
        let container = json!({
            "name": LAUNCHER_POPULATOR, "image": self.image(LAUNCHER_POPULATOR), "imagePullPolicy": v.pull_policy,
            "command": [format!("/ko-app/{LAUNCHER_POPULATOR}")], "args": args, "resources": v.resources,
            "ports": [{"name": "metrics", "containerPort": port::METRICS}],
        });
        self.deployment(LAUNCHER_POPULATOR, v.replica_count, &container)
    }

    /// `Recreate`: two of one controller must not overlap while there is no leader election.
    fn deployment(&self, component: &str, replicas: u32, container: &Value) -> Value {
        let mut pod_labels = self.labels(Some(component));
        pod_labels.insert("scrape".into(), "true".into());
        let mut selector = self.labels(Some(component));
        selector.remove("app.kubernetes.io/managed-by");
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": self.meta(&format!("{}-{component}", self.release), Some(component)),
            "spec": {
                "replicas": replicas, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": selector},
                "template": {"metadata": {"labels": pod_labels}, "spec": {"serviceAccountName": self.account(), "containers": [container]}},
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_carries_what_tools_look_for() {
        let mut values = ChartValues::default();
        values.global.node_view_cluster_role = NODE_VIEW_ROLE.into();
        let all = render(&values, "fma", "ns");
        let names: Vec<_> =
            all.iter().map(|o| format!("{}/{}", o["kind"].as_str().unwrap(), o["metadata"]["name"].as_str().unwrap())).collect();
        assert_eq!(
            names,
            [
                "ServiceAccount/fma-fma-controllers",
                "Role/fma-fma-controllers",
                "RoleBinding/fma-fma-controllers-in-ns",
                "ClusterRoleBinding/fma-node-view",
                "Deployment/fma-dual-pods-controller",
                "Deployment/fma-launcher-populator",
            ]
        );
        let dpc = &all[4]["spec"]["template"];
        assert_eq!(dpc["spec"]["containers"][0]["args"][2], "--sleeper-limit=2");
        assert_eq!(dpc["metadata"]["labels"]["scrape"], "true");
        let selector = all[4]["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert!(selector.iter().all(|(k, v)| dpc["metadata"]["labels"][k] == *v));
    }

    #[test]
    fn nodes_without_room_are_populated_only_when_asked_for() {
        let args = |values: &ChartValues| {
            let all = render(values, "fma", "ns");
            let populator = all.iter().find(|o| o["metadata"]["name"] == "fma-launcher-populator").unwrap();
            populator["spec"]["template"]["spec"]["containers"][0]["args"].clone()
        };
        let mut values = ChartValues::default();
        assert_eq!(args(&values), json!(["--namespace=ns"]));
        values.launcher_populator.populate_unschedulable_nodes = true;
        assert_eq!(args(&values), json!(["--namespace=ns", "--populate-unschedulable-nodes"]));
    }

    #[test]
    fn what_is_disabled_is_not_rendered() {
        let mut values = ChartValues::default();
        values.launcher_populator.enabled = false;
        assert!(!render(&values, "fma", "ns").iter().any(|o| o["metadata"]["name"] == "fma-launcher-populator"));
    }
}
