//! What a controller tells about itself: a log line for each action under the peer's messages (actuation 3.14, D), and
//! gauges that follow from state.
//!
//! Held: what was told last, so that a problem or the end of an inference server is said once. Nothing here
//! decides anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_apis::names::SERVER_CONTAINER;
use dormouse_planner::NodeState;
use dormouse_planner::action::{Action, Do, Level};
use dormouse_planner::ids::{Uid, join_gpus};
use dormouse_planner::memory::ActionOutcome;
use dormouse_planner::planned::{Facts, LauncherPhase, Problem, Stock};
use dormouse_planner::state::Binding;
use dormouse_runtime::log::pairs;
use jiff::Timestamp;

use crate::controller::Role;
use crate::metrics::{Labels, Metrics};
use crate::world::World;

/// An action that has ended.
pub(crate) struct Performed<'a> {
    /// Its node; empty for configuration objects.
    pub node: &'a str,
    pub action: &'a Action,
    pub begun: Timestamp,
    pub ended: Timestamp,
}

/// The logger and counter of a controller.
pub(crate) struct Reporter {
    role: Role,
    namespace: String,
    metrics: Arc<Metrics>,
    facts: BTreeMap<String, Facts>,
    /// By node: what was last said to keep each requester from being served.
    problems: BTreeMap<String, BTreeMap<Uid, Vec<Problem>>>,
}

impl Reporter {
    pub(crate) fn new(role: Role, namespace: String, metrics: Arc<Metrics>) -> Self {
        Self { role, namespace, metrics, facts: BTreeMap::new(), problems: BTreeMap::new() }
    }

    /// A plan was made for a node, on which these inference servers have come to their end.
    pub(crate) fn planned(&mut self, state: &NodeState, ended: &[Binding], problems: BTreeMap<Uid, Vec<Problem>>, facts: Facts) {
        let node = state.node.name.as_str();
        if self.role != Role::Populator {
            for server in ended {
                tracing::info!(node, serverUID = server.uid.as_str(), requesterName = server.name, "End of life of inference server");
            }
            self.tell_problems(state, &problems);
        }
        let old = self.facts.insert(node.to_owned(), facts);
        if let (Some(facts), true) = (self.facts.get(node), self.role != Role::DualPods) {
            for (config, stock) in &facts.stock {
                if old.as_ref().and_then(|old| old.stock.get(config)) != Some(stock) {
                    let Stock { current, stale, coming, desired, needed } = *stock;
                    tracing::info!(node, config, current, stale, coming, desired, needed, "Analyzed key");
                }
            }
        }
        if problems.is_empty() {
            self.problems.remove(node);
        } else {
            self.problems.insert(node.to_owned(), problems);
        }
    }

    /// Says what is new about what keeps requesters from being served.
    fn tell_problems(&self, state: &NodeState, now: &BTreeMap<Uid, Vec<Problem>>) {
        let node = state.node.name.as_str();
        let before = self.problems.get(node);
        for (uid, problems) in now {
            let known = before.and_then(|b| b.get(uid)).map(Vec::as_slice).unwrap_or_default();
            let name = state.requesters.get(uid).map(|r| r.pod.name.as_str()).unwrap_or_default();
            for problem in problems.iter().filter(|p| !known.contains(p)) {
                tracing::info!(node, serverUID = uid.as_str(), requesterName = name, problem = problem.text, "Requester waits");
            }
        }
    }

    /// A node is no longer planned.
    pub(crate) fn forget(&mut self, node: &str) {
        self.facts.remove(node);
        self.problems.remove(node);
    }

    /// Sets the gauges that follow from state.
    pub(crate) fn gauges(&mut self, world: &World) {
        self.facts.retain(|node, _| world.nodes.contains_key(node));
        self.metrics.set_requesters(&world.requesters_by_isc());
        self.metrics.set_iscs(&world.iscs_by_lc());
        if self.role != Role::Populator {
            self.metrics.set_pairs(&self.pairs());
        }
        if self.role != Role::DualPods {
            self.metrics.set_launchers(&self.launchers(&world.launcher_configs()));
        }
    }

    fn pairs(&self) -> BTreeSet<Labels> {
        let mut pairs = BTreeSet::new();
        for (node, facts) in &self.facts {
            for (pair, gpu) in facts.duality.iter().flat_map(|pair| pair.gpus.iter().map(move |gpu| (pair, gpu))) {
                pairs.insert(vec![
                    ("exported_namespace", self.namespace.clone()),
                    ("requester_name", pair.requester_name.clone()),
                    ("exported_pod", pair.provider.clone()),
                    ("exported_container", SERVER_CONTAINER.to_owned()),
                    ("instance_id", pair.instance.as_str().to_owned()),
                    ("UUID", gpu.as_str().to_owned()),
                    ("node", node.clone()),
                ]);
            }
        }
        pairs
    }

    /// All phases of every `LauncherConfig` that exists or that a launcher refers to, zeros included.
    fn launchers(&self, configs: &[String]) -> BTreeMap<(String, &'static str), i64> {
        let mut counts = BTreeMap::new();
        for lc in configs.iter().chain(self.facts.values().flat_map(|f| f.launchers.keys())) {
            for phase in LauncherPhase::ALL {
                counts.entry((lc.clone(), phase.as_str())).or_default();
            }
        }
        for (lc, phases) in self.facts.values().flat_map(|f| &f.launchers) {
            for (phase, n) in phases {
                *counts.entry((lc.clone(), phase.as_str())).or_default() += i64::from(*n);
            }
        }
        counts
    }

    /// Logs and counts an action that has ended.
    pub(crate) fn performed(&self, call: &Performed<'_>, outcome: &ActionOutcome) {
        let Performed { node, action, begun, .. } = call;
        let (start, answer) = (begun.to_string(), answer_fields(outcome));
        let subject = &action.subject;
        let mut keys: Vec<(&str, &str)> = vec![("node", node)];
        if let Some(requester) = &subject.requester {
            keys.extend([("serverUID", requester.uid.as_str()), ("requesterName", requester.name.as_str())]);
        }
        keys.extend(subject.instance.as_ref().map(|id| ("instanceID", id.as_str())));
        keys.extend(subject.provider.as_deref().map(|name| ("providerName", name)));
        keys.extend(action.log.fields.iter().map(|(k, v)| (*k, v.as_str())));
        keys.extend(answer.iter().map(|(k, v)| (*k, v.as_str())));
        keys.push((if action.purpose().is_some() { "httpCallStartTime" } else { "k8sCallStartTime" }, &start));
        match outcome {
            ActionOutcome::Failed { error, .. } => {
                self.metrics.retried(node);
                keys.push(("err", error));
                // Polls that find nobody yet are the ordinary course of a start.
                if action.log.failed.is_empty() {
                    tracing::debug!(kv = %pairs(keys), "Action failed");
                } else {
                    tracing::error!(kv = %pairs(keys), "{}", action.log.failed);
                }
            }
            ActionOutcome::Conflict => tracing::debug!(kv = %pairs(keys), "Object is newer than planned with"),
            ActionOutcome::Gone if !action.log.gone.is_empty() => tracing::info!(kv = %pairs(keys), "{}", action.log.gone),
            ActionOutcome::Gone => {}
            _ if action.log.done.is_empty() => {}
            _ => match action.log.level {
                Level::Error => tracing::error!(kv = %pairs(keys), "{}", action.log.done),
                Level::Info => tracing::info!(kv = %pairs(keys), "{}", action.log.done),
                Level::Debug => tracing::debug!(kv = %pairs(keys), "{}", action.log.done),
            },
        }
        self.actuated(call, outcome);
    }

    /// The first *ready* that was relayed to a requester ends its actuation.
    fn actuated(&self, call: &Performed<'_>, outcome: &ActionOutcome) {
        let (Do::Relay { first: Some(actuation), .. }, ActionOutcome::Done) = (&call.action.what, outcome) else { return };
        let seconds = call.ended.duration_since(actuation.since).as_secs_f64().max(0.0);
        let path = actuation.path.as_str();
        self.metrics.actuated(&self.namespace, path, actuation.deleted, &actuation.isc, seconds);
        let requester = call.action.subject.requester.as_ref();
        let (uid, name) = requester.map_or(("", ""), |r| (r.uid.as_str(), r.name.as_str()));
        tracing::debug!(
            path,
            actuationSecs = seconds,
            node = call.node,
            serverUID = uid,
            requesterName = name,
            "Observed actuation latency"
        );
    }
}

/// What an answer adds to the log line.
fn answer_fields(outcome: &ActionOutcome) -> Vec<(&'static str, String)> {
    match outcome {
        ActionOutcome::Gpus(gpus) => vec![("gpuUUIDs", join_gpus(gpus))],
        ActionOutcome::Sleeping(asleep) => vec![("isSleeping", asleep.to_string())],
        ActionOutcome::Instances(list) => {
            let running = list.iter().filter(|instance| !instance.stopped).count();
            vec![("totalInstances", list.len().to_string()), ("runningInstances", running.to_string())]
        }
        ActionOutcome::Object(object) => {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            vec![("object", name.to_owned()), ("newResourceVersion", version.to_owned())]
        }
        _ => Vec::new(),
    }
}
