//! The index: one planner state per node, kept from watch events and from the API's answers to our own writes.
//!
//! Held: where each Pod that matters lives, its planner form, the configuration objects, and the versions of all
//! of them. Invariants: a UID is in at most one node's state; every node has the same configuration; what counts is decided
//! by [`Versions`] alone. Methods return the nodes whose state changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_controller::{Consistent, Inconsistent, Index, Reason, Touched, Versions, same};
use dormouse_planner::NodeState;
use dormouse_planner::action::base_url;
use dormouse_planner::ids::Uid;
use dormouse_planner::limits::Limits;
use dormouse_planner::memory::Memory;
use dormouse_planner::observe::{self, Observed};
use dormouse_planner::policies::ConfigState;
use dormouse_planner::state::{Configs, GpuMap, NodeInfo, RequesterKind};
use serde_json::Value;

use crate::follow::Place;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    Pods,
    Nodes,
    GpuMap,
    InferenceServerConfigs,
    LauncherConfigs,
    PopulationPolicies,
}

impl Watched {
    /// How many there are.
    pub(crate) const COUNT: usize = 6;
}

/// Nodes to plan anew.
pub(crate) type Dirty = BTreeSet<String>;

/// The index of a controller process.
pub(crate) struct World {
    limits: Arc<Limits>,
    populate: bool,
    /// One state per node that exists or that a Pod names.
    pub nodes: BTreeMap<String, NodeState>,
    /// Configuration objects, for the statuses that the populator writes.
    pub configs: ConfigState,
    /// Node of each Pod that matters.
    places: HashMap<Uid, String>,
    versions: BTreeMap<Watched, Versions<Uid>>,
    /// The configuration objects that there are, of each kind by name: another of the same name is another object.
    named: BTreeMap<Watched, BTreeMap<String, Uid>>,
    gpu_map: Arc<GpuMap>,
}

fn version(object: &Value) -> u64 {
    // Versions are opaque by the book and numbers in every server there is; one that is none never counts as newer.
    object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn uid(object: &Value) -> Uid {
    Uid(object["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

impl World {
    pub(crate) fn new(namespace: String, limits: Limits, populate: bool) -> Self {
        Self {
            limits: Arc::new(limits),
            populate,
            nodes: BTreeMap::new(),
            configs: ConfigState { namespace, ..ConfigState::default() },
            places: HashMap::new(),
            versions: BTreeMap::new(),
            named: BTreeMap::new(),
            gpu_map: Arc::default(),
        }
    }

    fn versions(&mut self, watched: Watched) -> &mut Versions<Uid> {
        self.versions.entry(watched).or_default()
    }

    /// What one watch keeps in step.
    pub(crate) fn of(&mut self, watched: Watched) -> Part<'_> {
        Part { world: self, watched }
    }

    /// An object as the answer to a call of ours shows it. What was ended only a watch brings back.
    pub(crate) fn answered(&mut self, watched: Watched, object: Value) -> Dirty {
        if self.versions(watched).is_ended(&uid(&object)) { Dirty::new() } else { self.apply(watched, object) }
    }

    /// An object as a watch shows it.
    fn apply(&mut self, watched: Watched, object: Value) -> Dirty {
        match watched {
            Watched::Pods => self.apply_pod(&Arc::new(object)),
            Watched::Nodes => self.set_node(observe::node(&object)),
            Watched::GpuMap => self.set_gpu_map(Some(&object)),
            _ => self.change_configs(|world, configs| world.put_config(configs, watched, object)),
        }
    }

    /// The end of an object.
    pub(crate) fn delete(&mut self, watched: Watched, object: &Value) -> Dirty {
        match watched {
            Watched::Pods => self.delete_pod(&uid(object)),
            Watched::Nodes => self.set_node(Some(observe::node_gone(&name(object)))),
            Watched::GpuMap => self.set_gpu_map(None),
            _ => {
                self.versions(watched).end(&uid(object));
                // The end of one may be told after another of its name has been seen.
                if self.named.get(&watched).and_then(|n| n.get(&name(object))) != Some(&uid(object)) {
                    return Dirty::new();
                }
                self.change_configs(|world, configs| world.drop_config(configs, watched, &name(object)))
            }
        }
    }

    /// All objects that there are.
    fn reset(&mut self, watched: Watched, all: Vec<Value>) -> Dirty {
        match watched {
            Watched::Pods => {
                let vanished = self.listed(watched, &all);
                let mut dirty: Dirty = vanished.iter().flat_map(|u| self.take_out(u)).collect();
                dirty.extend(all.into_iter().flat_map(|pod| self.apply_pod(&Arc::new(pod))));
                dirty
            }
            Watched::Nodes => {
                let keep: HashSet<String> = all.iter().map(name).collect();
                let vanished: Vec<String> = self.nodes.keys().filter(|n| !keep.contains(*n)).cloned().collect();
                let mut dirty: Dirty = vanished.iter().flat_map(|n| self.set_node(Some(observe::node_gone(n)))).collect();
                dirty.extend(all.iter().flat_map(|node| self.set_node(observe::node(node))));
                dirty
            }
            Watched::GpuMap => self.set_gpu_map(all.first()),
            _ => {
                self.listed(watched, &all);
                let keep: BTreeSet<String> = all.iter().map(name).collect();
                self.change_configs(|world, configs| {
                    let known: Vec<String> = world.named.get(&watched).into_iter().flat_map(|n| n.keys().cloned()).collect();
                    for gone in known.iter().filter(|name| !keep.contains(*name)) {
                        world.drop_config(configs, watched, gone);
                    }
                    all.into_iter().for_each(|object| world.put_config(configs, watched, object));
                })
            }
        }
    }

    fn listed(&mut self, watched: Watched, all: &[Value]) -> Vec<Uid> {
        let newest = all.iter().map(version).max().unwrap_or(0);
        self.versions(watched).listed(&all.iter().map(uid).collect(), newest)
    }

    /// A Pod as the API has it now; older versions and deleted UIDs are passed over.
    fn apply_pod(&mut self, object: &Arc<Value>) -> Dirty {
        let uid = uid(object);
        if !self.versions(Watched::Pods).admit(&uid, version(object)) {
            return Dirty::new();
        }
        let mut dirty = self.take_out(&uid);
        let (node, observed) = match observe::pod(object) {
            Some(Observed::Requester(node, r)) => (node, Some(Observed::Requester(String::new(), r))),
            Some(Observed::Direct(node, d)) => (node, Some(Observed::Direct(String::new(), d))),
            Some(Observed::Launcher(node, l)) => (node, Some(Observed::Launcher(String::new(), l))),
            // Nothing to decide yet, or nothing of ours.
            Some(Observed::Unscheduled) | None => return dirty,
        };
        let state = self.state(&node);
        match observed {
            Some(Observed::Requester(_, r)) => {
                state.requesters.insert(uid.clone(), *r);
            }
            Some(Observed::Direct(_, d)) => {
                state.directs.insert(uid.clone(), *d);
            }
            Some(Observed::Launcher(_, l)) => {
                state.launchers.insert(uid.clone(), *l);
            }
            _ => {}
        }
        self.places.insert(uid, node.clone());
        dirty.insert(node);
        dirty
    }

    /// No Pod of this UID exists (any more).
    pub(crate) fn delete_pod(&mut self, uid: &Uid) -> Dirty {
        self.versions(Watched::Pods).end(uid);
        self.take_out(uid)
    }

    fn take_out(&mut self, uid: &Uid) -> Dirty {
        let Some(node) = self.places.remove(uid) else { return Dirty::new() };
        if let Some(state) = self.nodes.get_mut(&node) {
            state.requesters.remove(uid);
            state.directs.remove(uid);
            state.launchers.remove(uid);
        }
        [node].into()
    }

    /// The state of a node, made if it is not there yet.
    fn state(&mut self, node: &str) -> &mut NodeState {
        let (configs, limits) = (&self.configs, &self.limits);
        let (gpu_map, populate) = (&self.gpu_map, self.populate);
        self.nodes.entry(node.to_owned()).or_insert_with(|| {
            let info = observe::node_gone(node);
            NodeState {
                namespace: configs.namespace.clone(),
                wanted: configs.policies.wanted(&info, &configs.configs),
                node: info,
                gpu_map: Arc::clone(gpu_map),
                requesters: BTreeMap::new(),
                directs: BTreeMap::new(),
                launchers: BTreeMap::new(),
                configs: Arc::clone(&configs.configs),
                limits: Arc::clone(limits),
                populate,
                memory: Memory::default(),
            }
        })
    }

    fn set_node(&mut self, info: Option<NodeInfo>) -> Dirty {
        let Some(info) = info else { return Dirty::new() };
        let wanted = self.configs.policies.wanted(&info, &self.configs.configs);
        let name = info.name.clone();
        let state = self.state(&name);
        if state.node == info && state.wanted == wanted {
            return Dirty::new();
        }
        (state.node, state.wanted) = (info, wanted);
        [name].into()
    }

    fn set_gpu_map(&mut self, object: Option<&Value>) -> Dirty {
        let (map, problems) = observe::gpu_map(object);
        for problem in problems {
            tracing::error!(nodeName = problem.node, err = problem.error, "A GPU map entry failed to parse as JSON");
        }
        if map == *self.gpu_map {
            return Dirty::new();
        }
        let nodes: BTreeSet<&String> = map.by_uuid.values().map(|(node, _)| node).collect();
        let additions = map.by_uuid.iter().any(|(uuid, place)| self.gpu_map.by_uuid.get(uuid) != Some(place));
        tracing::info!(numNodes = nodes.len(), numGPUs = map.by_uuid.len(), additions, "Parsed GPU map");
        self.gpu_map = Arc::new(map);
        for state in self.nodes.values_mut() {
            state.gpu_map = Arc::clone(&self.gpu_map);
        }
        self.nodes.keys().cloned().collect()
    }

    /// Changes the configuration, and tells every node of it.
    fn change_configs(&mut self, change: impl FnOnce(&mut Self, &mut Configs)) -> Dirty {
        let mut configs = self.configs.configs.as_ref().clone();
        change(self, &mut configs);
        if configs == *self.configs.configs {
            return self.recompute_wanted();
        }
        self.configs.configs = Arc::new(configs);
        for state in self.nodes.values_mut() {
            state.configs = Arc::clone(&self.configs.configs);
        }
        self.recompute_wanted();
        self.nodes.keys().cloned().collect()
    }

    fn put_config(&mut self, configs: &mut Configs, watched: Watched, object: Value) {
        if !self.versions(watched).admit(&uid(&object), version(&object)) {
            return;
        }
        self.named.entry(watched).or_default().insert(name(&object), uid(&object));
        match watched {
            Watched::InferenceServerConfigs => configs.iscs.extend(observe::isc(&object).map(|isc| (isc.name.clone(), isc))),
            Watched::LauncherConfigs => {
                configs.lcs.extend(observe::launcher_config(&Arc::new(object)).map(|lc| (lc.name.clone(), lc)));
            }
            _ => self.configs.policies.apply(&Arc::new(object)),
        }
    }

    fn drop_config(&mut self, configs: &mut Configs, watched: Watched, name: &str) {
        self.named.entry(watched).or_default().remove(name);
        match watched {
            Watched::InferenceServerConfigs => drop(configs.iscs.remove(name)),
            Watched::LauncherConfigs => drop(configs.lcs.remove(name)),
            _ => self.configs.policies.delete(name),
        }
    }

    fn recompute_wanted(&mut self) -> Dirty {
        let mut dirty = Dirty::new();
        for (name, state) in &mut self.nodes {
            let wanted = self.configs.policies.wanted(&state.node, &self.configs.configs);
            if state.wanted != wanted {
                state.wanted = wanted;
                dirty.insert(name.clone());
            }
        }
        dirty
    }

    /// Forgets a node that is gone and that nothing speaks of any more.
    pub(crate) fn prune(&mut self, node: &str) {
        let idle = |s: &NodeState| {
            !s.node.exists && s.requesters.is_empty() && s.directs.is_empty() && s.launchers.is_empty() && s.memory.in_flight.is_empty()
        };
        if self.nodes.get(node).is_some_and(idle) {
            self.nodes.remove(node);
        }
    }

    /// The state that holds a launcher which still runs this container, and its node.
    pub(crate) fn node_of_launcher(&mut self, uid: &Uid, container: &str) -> Option<(&str, &mut NodeState)> {
        let node = self.places.get(uid)?;
        let state = self.nodes.get_mut(node)?;
        let same = state.launchers.get(uid)?.pod.container.id.as_ref().is_some_and(|id| id.as_str() == container);
        same.then_some((node.as_str(), state))
    }

    /// Launchers whose API may answer.
    pub(crate) fn launcher_places(&self) -> BTreeMap<Uid, Place> {
        let place = |(uid, launcher): (&Uid, &dormouse_planner::state::Launcher)| {
            let pod = &launcher.pod;
            let ip = pod.ip.as_deref().filter(|_| pod.live() && pod.running())?;
            let container = pod.container.id.as_ref().map(|c| c.as_str().to_owned())?;
            Some((uid.clone(), Place { base_url: base_url(ip, dormouse_apis::names::port::LAUNCHER), container }))
        };
        self.nodes.values().flat_map(|n| n.launchers.iter().filter_map(place)).collect()
    }

    /// Number of requesters by `InferenceServerConfig`.
    pub(crate) fn requesters_by_isc(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for requester in self.nodes.values().flat_map(|n| n.requesters.values()) {
            if let RequesterKind::Launcher { isc } = &requester.kind
                && !isc.is_empty()
            {
                *counts.entry(isc.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Number of `InferenceServerConfig`s by `LauncherConfig`.
    pub(crate) fn iscs_by_lc(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for spec in self.configs.configs.iscs.values().filter_map(|isc| isc.spec.as_ref().ok()) {
            *counts.entry(spec.launcher_config.clone()).or_default() += 1;
        }
        counts
    }

    /// Names of the `LauncherConfig`s.
    pub(crate) fn launcher_configs(&self) -> Vec<String> {
        self.configs.configs.lcs.keys().cloned().collect()
    }
}

/// The objects of one watch, in a world that has all of them.
pub(crate) struct Part<'a> {
    world: &'a mut World,
    watched: Watched,
}

impl Index<Value> for Part<'_> {
    type Key = String;

    fn apply(&mut self, object: Value) -> Touched<String> {
        touched(self.world.apply(self.watched, object), Reason::Changed)
    }

    fn delete(&mut self, object: Value) -> Touched<String> {
        touched(self.world.delete(self.watched, &object), Reason::Deleted)
    }

    fn reset(&mut self, all: Vec<Value>) -> Touched<String> {
        touched(self.world.reset(self.watched, all), Reason::Listed)
    }
}

/// Each of these nodes, for this reason.
pub(crate) fn touched(nodes: Dirty, reason: Reason) -> Touched<String> {
    nodes.into_iter().map(|node| (node, reason)).collect()
}

impl Consistent for Part<'_> {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.world.consistency_check()
    }
}

impl Consistent for World {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        let mut places = HashMap::new();
        for (node, state) in &self.nodes {
            let here = state.requesters.keys().chain(state.directs.keys()).chain(state.launchers.keys());
            for uid in here {
                same("places of a Pod", &places.insert(uid.clone(), node.clone()), &None)?;
            }
            let told = Arc::ptr_eq(&state.configs, &self.configs.configs) && Arc::ptr_eq(&state.gpu_map, &self.gpu_map);
            same("whether a node has the configuration of all", &told, &true)?;
            same("launchers wanted on a node", &state.wanted, &self.configs.policies.wanted(&state.node, &self.configs.configs))?;
        }
        same("places of the Pods", &self.places, &places)?;
        let stray = self.places.keys().find(|uid| !self.versions.get(&Watched::Pods).is_some_and(|v| v.knows(*uid)));
        same("Pods whose version is unknown", &stray, &None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_controller::Change;
    use serde_json::json;

    fn requester(uid: &str, version: u64, node: &str) -> Arc<Value> {
        Arc::new(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "r", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"dual-pods.llm-d.ai/inference-server-config": "isc"}},
            "spec": {"nodeName": node, "containers": [{"name": "inference-server", "image": "i"}]},
        }))
    }

    fn world() -> World {
        World::new("ns".into(), Limits::default(), false)
    }

    #[test]
    fn older_versions_and_deleted_pods_do_not_come_back() {
        let mut w = world();
        assert_eq!(w.apply_pod(&requester("u", 5, "n1")), ["n1".to_owned()].into());
        assert!(w.apply_pod(&requester("u", 4, "n2")).is_empty());
        assert!(w.nodes["n1"].requesters.contains_key(&Uid("u".into())));
        assert_eq!(w.delete_pod(&Uid("u".into())), ["n1".to_owned()].into());
        assert!(w.apply_pod(&requester("u", 9, "n1")).is_empty());
        w.prune("n1");
        assert!(w.nodes.is_empty());
    }

    #[test]
    fn a_relist_finds_missed_deletions() {
        let mut w = world();
        w.apply_pod(&requester("a", 1, "n1"));
        w.apply_pod(&requester("b", 2, "n2"));
        let touched = Change::Reset(vec![requester("b", 3, "n2").as_ref().clone()]).fold_into(&mut w.of(Watched::Pods));
        assert_eq!(touched, [("n1".to_owned(), Reason::Listed), ("n2".to_owned(), Reason::Listed)]);
        assert!(w.nodes["n1"].requesters.is_empty());
        assert_eq!(w.requesters_by_isc(), [("isc".to_owned(), 1)].into());
    }

    #[test]
    fn the_late_end_of_a_config_leaves_its_successor() {
        let mut w = world();
        let config = |uid: &str, version: u64| json!({"metadata": {"name": "lc", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string()}, "spec": {"maxInstances": 2}});
        w.apply(Watched::LauncherConfigs, config("old", 1));
        w.apply(Watched::LauncherConfigs, config("new", 3));
        w.delete(Watched::LauncherConfigs, &config("old", 2));
        assert!(w.configs.configs.lcs.contains_key("lc"));
        w.delete(Watched::LauncherConfigs, &config("new", 4));
        assert!(!w.configs.configs.lcs.contains_key("lc"));
    }

    #[test]
    fn an_answer_that_comes_late_brings_nothing_back() {
        let mut w = world();
        let late = |w: &mut World| w.answered(Watched::Pods, requester("a", 9, "n1").as_ref().clone());
        assert_eq!(late(&mut w).len(), 1);
        // Its newest Pod is older than `a` was: `a` is gone, or too new for it.
        Change::Reset(vec![requester("b", 3, "n2").as_ref().clone()]).fold_into(&mut w.of(Watched::Pods));
        assert!(late(&mut w).is_empty() && w.nodes["n1"].requesters.is_empty());
        Change::Apply(requester("a", 9, "n1").as_ref().clone()).fold_into(&mut w.of(Watched::Pods));
        assert_eq!(w.nodes["n1"].requesters.len(), 1, "the watch knows");
    }

    #[test]
    fn a_later_gpu_map_reaches_every_node() {
        let mut w = world();
        w.apply_pod(&requester("a", 1, "n1"));
        let map = json!({"metadata": {"name": "gpu-map"}, "data": {"n1": "{\"GPU-0\": 0}", "bad": "x"}});
        let mut told = |map| Change::Apply(map).fold_into(&mut w.of(Watched::GpuMap));
        assert_eq!(told(map.clone()), [("n1".to_owned(), Reason::Changed)]);
        assert!(told(map).is_empty());
        assert!(w.nodes["n1"].gpu_map.available);
    }
}
