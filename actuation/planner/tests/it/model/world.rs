//! The API server's side of the world: objects, versions, finalizers, and the safety properties.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::ids::Uid;
use dormouse_planner::policies::Policies;
use dormouse_planner::state::{Configs, GpuMap, NodeInfo};
use dormouse_planner::{observe, policies};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use super::kubelet::Program;
use super::kubelet::Sim;

pub(crate) const NODE: &str = "node-a";

/// All there is.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    /// Pods by UID, as the API server has them.
    pub(crate) pods: BTreeMap<Uid, Value>,
    /// What runs in them.
    pub(crate) sims: BTreeMap<Uid, Sim>,
    pub(crate) node: Option<Value>,
    pub(crate) gpu_map: Option<Value>,
    pub(crate) configs: Arc<Configs>,
    pub(crate) policies: Policies,
    /// How long things take here.
    pub(crate) pace: Pace,
    /// Pods that contain this text are refused with that error.
    pub(crate) refuse_pods: Option<(String, String)>,
    /// Launchers refuse to create instances, with this error.
    pub(crate) refuse_instances: Option<String>,
    /// Engines have no `/is_sleeping`; they say this.
    pub(crate) refuse_sleep_queries: Option<String>,
    /// GPU memory that somebody else uses.
    pub(crate) foreign_mib: u64,
    /// Breaches of safety properties, in order.
    pub(crate) violations: Vec<String>,
    /// Events that were sent: Pod name, reason.
    pub(crate) events: Vec<(String, String, String)>,
    counter: u64,
}

/// How long things take.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) container_start: Duration,
    pub(crate) container_stop: Duration,
    pub(crate) engine_start: Duration,
    pub(crate) probe: Duration,
    /// Whether launchers have a notifier that patches their Pod.
    pub(crate) notifier: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { container_start: ms(300), container_stop: ms(200), engine_start: ms(2000), probe: ms(400), notifier: true }
    }
}

/// Answer of the API server to a write.
#[derive(Clone, Debug)]
pub(crate) enum Wrote {
    Object(Value),
    Gone,
    Conflict,
    Refused(String),
}

impl World {
    pub(crate) fn new() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            now,
            pods: BTreeMap::new(),
            sims: BTreeMap::new(),
            node: Some(json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})),
            gpu_map: None,
            configs: Arc::new(Configs::default()),
            policies: policies::Policies::default(),
            pace: Pace::default(),
            refuse_pods: None,
            refuse_sleep_queries: None,
            refuse_instances: None,
            foreign_mib: 0,
            violations: Vec::new(),
            events: Vec::new(),
            counter: 0,
        }
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Times of the API have whole seconds.
    pub(crate) fn stamp(&self) -> String {
        Timestamp::from_second(self.now.as_second()).unwrap().to_string()
    }

    pub(crate) fn violated(&mut self, what: impl Into<String>) {
        let text = format!("{}: {}", self.now, what.into());
        self.violations.push(text);
    }

    pub(crate) fn node_info(&self) -> NodeInfo {
        self.node.as_ref().map_or_else(|| observe::node_gone(NODE), |node| observe::node(node).unwrap())
    }

    pub(crate) fn gpus(&self) -> GpuMap {
        observe::gpu_map(self.gpu_map.as_ref()).0
    }

    pub(crate) fn set_gpus(&mut self, count: usize) {
        let entry: BTreeMap<String, usize> = (0..count).map(|i| (format!("GPU-{i}"), i)).collect();
        self.gpu_map = Some(json!({"data": {NODE: serde_json::to_string(&entry).unwrap()}}));
    }

    // ---- Pods

    pub(crate) fn uid_of(&self, name: &str) -> Option<Uid> {
        self.pods.iter().find(|(_, pod)| pod["metadata"]["name"] == name).map(|(uid, _)| uid.clone())
    }

    pub(crate) fn pod(&self, name: &str) -> Option<&Value> {
        self.pods.get(&self.uid_of(name)?)
    }

    /// Pods that are bound to a requester, by name of the requester.
    pub(crate) fn providers_of(&self, requester: &str) -> Vec<String> {
        let uid = self.uid_of(requester).map(|uid| uid.to_string()).unwrap_or_default();
        let mark = format!("{uid} {requester}");
        self.pods
            .values()
            .filter(|pod| pod["metadata"]["annotations"]["dual-pods.llm-d.ai/requester"] == mark.as_str())
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn create(&mut self, mut object: Value) -> Wrote {
        if let Some((needle, error)) = &self.refuse_pods
            && object.to_string().contains(needle)
        {
            return Wrote::Refused(error.clone());
        }
        let n = self.tick();
        let uid = Uid(format!("uid-{n:05}"));
        let meta = object["metadata"].as_object_mut().unwrap();
        if !meta.contains_key("name") {
            let base = meta["generateName"].as_str().unwrap().to_owned();
            meta.insert("name".to_owned(), json!(format!("{base}{n:05}")));
        }
        let name = meta["name"].as_str().unwrap().to_owned();
        meta.insert("uid".to_owned(), json!(uid));
        meta.insert("resourceVersion".to_owned(), json!(n.to_string()));
        let stamp = self.stamp();
        object["metadata"]["creationTimestamp"] = json!(stamp);
        if self.uid_of(&name).is_some() {
            return Wrote::Refused(format!("pods {name:?} already exists"));
        }
        object["status"] = json!({"phase": "Pending"});
        if object["spec"]["nodeName"].is_null() && self.node.is_some() {
            // The scheduler places launchers where their selector says.
            object["spec"]["nodeName"] = json!(NODE);
        }
        self.sims.insert(uid.clone(), Sim::new(&object, self.now + self.pace.container_start));
        self.pods.insert(uid, object.clone());
        self.check_pairs();
        Wrote::Object(object)
    }

    /// A PUT: everything but the status, when version and UID are right.
    pub(crate) fn replace(&mut self, mut object: Value) -> Wrote {
        let uid = Uid::from(object["metadata"]["uid"].as_str().unwrap());
        let Some(old) = self.pods.get(&uid) else { return Wrote::Gone };
        if old["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Wrote::Conflict;
        }
        object["status"] = old["status"].clone();
        if object != *old {
            object["metadata"]["resourceVersion"] = json!(self.tick().to_string());
        }
        self.pods.insert(uid.clone(), object.clone());
        self.collect(&uid);
        self.check_pairs();
        Wrote::Object(object)
    }

    /// Someone edits a Pod, whatever its version.
    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let uid = self.uid_of(name).unwrap();
        self.edit_uid(&uid, change);
    }

    pub(crate) fn edit_uid(&mut self, uid: &Uid, change: impl FnOnce(&mut Value)) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let before = pod.clone();
        change(pod);
        if *pod != before {
            self.counter += 1;
            pod["metadata"]["resourceVersion"] = json!(self.counter.to_string());
        }
    }

    pub(crate) fn delete(&mut self, uid: &Uid, rv: Option<&str>) -> Wrote {
        let Some(pod) = self.pods.get(uid) else { return Wrote::Gone };
        if rv.is_some_and(|rv| pod["metadata"]["resourceVersion"] != rv) {
            return Wrote::Conflict;
        }
        let stamp = self.stamp();
        self.edit_uid(uid, |pod| {
            if pod["metadata"]["deletionTimestamp"].is_null() {
                pod["metadata"]["deletionTimestamp"] = json!(stamp);
            }
        });
        let stop = self.now + self.pace.container_stop;
        if let Some(sim) = self.sims.get_mut(uid) {
            sim.stop_by(stop);
        }
        let object = self.pods[uid].clone();
        self.collect(uid);
        Wrote::Object(object)
    }

    pub(crate) fn delete_by_name(&mut self, name: &str) {
        let uid = self.uid_of(name).unwrap_or_else(|| panic!("no Pod {name}"));
        self.delete(&uid, None);
    }

    /// Removes a Pod that is deleted, stopped and without finalizers.
    pub(crate) fn collect(&mut self, uid: &Uid) {
        let Some(pod) = self.pods.get(uid) else { return };
        let deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        let held = pod["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let stopped = self.sims.get(uid).is_none_or(Sim::stopped);
        if deleted && !held && stopped {
            self.pods.remove(uid);
            self.sims.remove(uid);
        }
    }

    /// Removes a Pod at once, finalizers or not.
    pub(crate) fn force_remove(&mut self, name: &str) {
        let uid = self.uid_of(name).unwrap();
        self.pods.remove(&uid);
        self.sims.remove(&uid);
    }

    // ---- custom resources

    pub(crate) fn isc(&mut self, name: &str, port: u16, options: &str, labels: Value, lc: &str) {
        let object = json!({"metadata": {"name": name, "uid": format!("isc-{name}")}, "spec": {
            "modelServerConfig": {"port": port, "options": options, "labels": labels, "annotations": {"note": "routed"}},
            "launcherConfigName": lc,
        }});
        Arc::make_mut(&mut self.configs).iscs.insert(name.to_owned(), observe::isc(&object).unwrap());
    }

    pub(crate) fn lc(&mut self, name: &str, max_instances: u32, image: &str) {
        let object = json!({"metadata": {"name": name, "uid": format!("lc-{name}"), "namespace": "ns", "generation": 1}, "spec": {
            "maxInstances": max_instances,
            "podTemplate": {"metadata": {"labels": {"team": "x"}}, "spec": {"containers": [{"name": "inference-server", "image": image}]}},
        }});
        Arc::make_mut(&mut self.configs).lcs.insert(name.to_owned(), observe::launcher_config(&Arc::new(object)).unwrap());
    }

    pub(crate) fn stock(&mut self, lc: &str, count: u32) {
        let object = json!({"metadata": {"name": "lpp", "uid": "lpp", "generation": 1}, "spec": {
            "enhancedNodeSelector": {"labelSelector": {}}, "countForLauncher": [{"launcherConfigName": lc, "launcherCount": count}],
        }});
        self.policies.apply(&Arc::new(object));
    }

    // ---- safety

    /// (a) at most one provider for a requester.
    pub(crate) fn check_pairs(&mut self) {
        let mut bound: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in self.pods.values() {
            if let Some(mark) = pod["metadata"]["annotations"]["dual-pods.llm-d.ai/requester"].as_str() {
                bound.entry(mark.to_owned()).or_default().push(pod["metadata"]["name"].to_string());
            }
        }
        for (mark, pods) in bound {
            if pods.len() > 1 {
                self.violated(format!("{pods:?} are all bound to {mark}"));
            }
        }
    }
}
