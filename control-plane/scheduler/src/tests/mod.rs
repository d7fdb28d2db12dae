//! Tests over the index: objects in, places and reasons out.

#![allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]

mod cases;
mod filters;
mod index;
mod properties;
mod scores;

use std::collections::BTreeMap;

use dormouse_controller::{Consistent, Index};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use serde_json::{Value, json};

use crate::index::Cluster;

/// A cluster whose bindings always succeed.
pub(super) struct World {
    pub(super) cluster: Cluster,
    /// Pods as they are now, by name.
    pods: BTreeMap<String, Value>,
    reasons: BTreeMap<String, String>,
}

impl World {
    /// One node of 4 CPUs and 10 Pods per name, in zone `z`.
    pub(super) fn new(nodes: &[&str]) -> Self {
        let mut world = Self { cluster: Cluster::new("default-scheduler".to_owned()), pods: BTreeMap::new(), reasons: BTreeMap::new() };
        nodes.iter().for_each(|name| world.node(name, json!({})));
        world
    }

    pub(super) fn node(&mut self, name: &str, more: Value) {
        let mut object = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "z"}},
            "status": {"allocatable": {"cpu": "4", "pods": "10"}}});
        merge(&mut object, more);
        self.cluster.apply(serde_json::from_value::<Node>(object).unwrap());
    }

    pub(super) fn namespace(&mut self, name: &str, labels: Value) {
        self.cluster.apply(serde_json::from_value::<Namespace>(json!({"metadata": {"name": name, "labels": labels}})).unwrap());
    }

    /// Makes or changes a Pod.
    pub(super) fn pod(&mut self, name: &str, more: Value) {
        let new = json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "spec": {"schedulerName": "default-scheduler", "containers": []}});
        merge(self.pods.entry(name.to_owned()).or_insert(new), more);
        self.apply(name);
    }

    pub(super) fn delete(&mut self, name: &str) {
        let object = self.pods.remove(name).unwrap();
        self.cluster.delete(serde_json::from_value::<Pod>(object).unwrap());
    }

    fn apply(&mut self, name: &str) {
        self.cluster.apply(serde_json::from_value::<Pod>(self.pods[name].clone()).unwrap());
    }

    /// Places what can be placed. How many decisions it took.
    pub(super) fn settle(&mut self) -> usize {
        let mut decisions = 0;
        loop {
            let round = self.cluster.next_due(32);
            if round.is_empty() {
                self.cluster.check_sums().unwrap();
                self.cluster.consistency_check().unwrap();
                return decisions;
            }
            for pod in round {
                decisions += 1;
                match self.cluster.decide(&pod) {
                    Ok(node) => {
                        self.cluster.assume(&pod, node.clone());
                        self.reasons.remove(&pod.name);
                        self.pod(&pod.name, json!({"spec": {"nodeName": node}}));
                    }
                    Err(why) => {
                        self.cluster.keep_out(&pod, &why.to_string());
                        self.reasons.insert(pod.name.clone(), why.to_string());
                    }
                }
            }
        }
    }

    /// The node of a Pod, or why it has none.
    pub(super) fn fate(&self, pod: &str) -> Result<&str, &str> {
        let node = self.pods[pod]["spec"]["nodeName"].as_str();
        node.ok_or_else(|| self.reasons.get(pod).map_or("not looked at", String::as_str))
    }

    /// Makes a Pod, and tells its fate.
    pub(super) fn place(&mut self, name: &str, more: Value) -> Result<&str, &str> {
        self.pod(name, more);
        self.settle();
        self.fate(name)
    }
}

/// Merges objects, null removes; anything else is replaced.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, more) => *into = more,
    }
}

/// A spec of one container that asks for so much.
pub(super) fn asks(requests: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}})
}

/// `a`, with `b` merged in.
pub(super) fn both(mut a: Value, b: Value) -> Value {
    merge(&mut a, b);
    a
}
