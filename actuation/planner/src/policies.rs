//! Population policies: how many launchers of which `LauncherConfig` each node should have, and the status of the two kinds
//! that say so (actuation 4.2; gaps `a16`, `a17`, `a18`, `a53`).
//!
//! [`Policies`] keeps the last object of each `LauncherPopulationPolicy` and, for each, the last node selector that could be
//! read: while a policy cannot be read, nothing is made or deleted where it spoke. [`Policies::wanted`] is a pure function of
//! node and configs, evaluated for each plan, so no change can be missed. [`ConfigState`] is the input of [`plan_configs`],
//! which writes the status of both kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_apis::Resource;
use dormouse_apis::fma::{
    EnhancedNodeSelector, LauncherConfig, LauncherPopulationPolicy, LauncherPopulationPolicySpec, QuantityRange, Status,
};
use dormouse_machinery::quantity::Quantity;
use dormouse_machinery::selector::Selector;
use jiff::Timestamp;
use serde_json::Value;

use crate::action::{Action, ActionKey, Do, Log, Owner, Subject, Target, Verb};
use crate::ids::Uid;
use crate::json::{at, owned, text};
use crate::limits::timeout;
use crate::memory::{ActionOutcome, Memory};
use crate::plan::emitted::Emitted;
use crate::planned::Plan;
use crate::state::{Configs, Desired, NodeInfo};
use crate::write;

/// All policies of the namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    by_name: BTreeMap<String, Policy>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq)]
struct Policy {
    uid: Uid,
    generation: Option<i64>,
    object: Arc<Value>,
    /// The present selector, or why it cannot be used.
    selector: Result<NodeSelector, String>,
    /// The last one of this very policy that could be used.
    last_good: Option<NodeSelector>,
    /// Launchers by `LauncherConfig`.
    counts: BTreeMap<String, u32>,
}

/// Which nodes a policy selects.
#[derive(Clone, Debug, PartialEq)]
struct NodeSelector {
    labels: Selector,
    bounds: BTreeMap<String, (Option<Quantity>, Option<Quantity>)>,
}

impl Policies {
    /// A policy was added or changed.
    pub fn apply(&mut self, object: &Arc<Value>) {
        let Some(name) = text(object, &["metadata", "name"]) else { return };
        let uid = Uid(owned(object, &["metadata", "uid"]));
        let spec = object.get("spec").cloned().unwrap_or(Value::Null);
        let spec: Result<LauncherPopulationPolicySpec, String> = serde_json::from_value(spec).map_err(|error| error.to_string());
        let selector = spec.as_ref().map_err(Clone::clone).and_then(|spec| NodeSelector::read(&spec.enhanced_node_selector));
        let mut counts = BTreeMap::new();
        for entry in spec.iter().flat_map(|spec| &spec.count_for_launcher) {
            let count = u32::try_from(entry.launcher_count).unwrap_or(0);
            let most: &mut u32 = counts.entry(entry.launcher_config_name.clone()).or_default();
            *most = count.max(*most);
        }
        let old = self.by_name.remove(name).filter(|old| old.uid == uid);
        if spec.is_err() && counts.is_empty() {
            // What it named before stays out of bounds.
            counts = old.as_ref().map(|old| old.counts.clone()).unwrap_or_default();
        }
        let last_good = selector.as_ref().ok().cloned().or_else(|| old.and_then(|old| old.last_good));
        let generation = at(object, &["metadata", "generation"]).and_then(Value::as_i64);
        let policy = Policy { uid, generation, object: Arc::clone(object), selector, last_good, counts };
        self.by_name.insert(name.to_owned(), policy);
    }

    /// A policy is gone.
    pub fn delete(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// These are all policies there are.
    pub fn reset(&mut self, objects: &[Arc<Value>]) {
        let names: Vec<&str> = objects.iter().filter_map(|object| text(object, &["metadata", "name"])).collect();
        self.by_name.retain(|name, _| names.contains(&name.as_str()));
        for object in objects {
            self.apply(object);
        }
    }

    /// What is wanted on a node: for each `LauncherConfig` that a policy which selects the node names, the largest count.
    #[must_use]
    pub fn wanted(&self, node: &NodeInfo, configs: &Configs) -> BTreeMap<String, Desired> {
        let mut wanted: BTreeMap<String, Desired> = BTreeMap::new();
        for policy in self.by_name.values() {
            let readable = policy.selector.is_ok();
            let selects = match (&policy.selector, &policy.last_good) {
                (Ok(selector), _) | (Err(_), Some(selector)) => selector.selects(node),
                // Nobody knows where it spoke.
                (Err(_), None) => true,
            };
            if !selects {
                continue;
            }
            for (name, count) in &policy.counts {
                let usable = readable && configs.lcs.get(name).is_some_and(|lc| lc.template.is_ok());
                let entry = wanted.entry(name.clone()).or_insert(Desired::Count(0));
                *entry = match (*entry, usable) {
                    (Desired::Count(most), true) => Desired::Count(most.max(*count)),
                    _ => Desired::HandsOff,
                };
            }
        }
        wanted
    }

    fn errors(policy: &Policy, configs: &Configs) -> Vec<String> {
        let mut errors: Vec<String> = policy.selector.as_ref().err().cloned().into_iter().collect();
        for name in policy.counts.keys() {
            match configs.lcs.get(name).map(|lc| &lc.template) {
                Some(Ok(_)) => {}
                Some(Err(why)) => errors.push(format!("LauncherConfig {name:?} referenced in CountForLauncher is malformed: {why}")),
                None => errors.push(format!("LauncherConfig {name:?} referenced in CountForLauncher does not exist")),
            }
        }
        errors
    }
}

impl NodeSelector {
    fn read(spec: &EnhancedNodeSelector) -> Result<Self, String> {
        let labels = Selector::from_label_selector(&spec.label_selector).map_err(|error| error.to_string())?;
        let mut bounds = BTreeMap::new();
        for (resource, QuantityRange { min, max }) in &spec.allocatable_resources {
            let read = |bound: &Option<Value>| {
                bound.as_ref().map(Quantity::from_json).transpose().map_err(|error| format!("bound of {resource:?}: {error}"))
            };
            bounds.insert(resource.clone(), (read(min)?, read(max)?));
        }
        Ok(Self { labels, bounds })
    }

    fn selects(&self, node: &NodeInfo) -> bool {
        let within = |(resource, (min, max)): (&String, &(Option<Quantity>, Option<Quantity>))| {
            let Some(have) = node.allocatable.get(resource).and_then(|text| Quantity::parse(text).ok()) else { return false };
            min.as_ref().is_none_or(|min| *min <= have) && max.as_ref().is_none_or(|max| have <= *max)
        };
        node.exists && self.labels.matches(&node.labels) && self.bounds.iter().all(within)
    }
}

/// The custom resources whose status is written, with what is known beside the API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigState {
    /// The focus namespace.
    pub namespace: String,
    /// `InferenceServerConfig`s and `LauncherConfig`s.
    pub configs: Arc<Configs>,
    /// Population policies.
    pub policies: Policies,
    /// Failures and actions under way.
    pub memory: Memory,
}

impl ConfigState {
    /// As [`crate::NodeState::started`].
    pub fn started(&mut self, action: &Action) {
        self.memory.begin(&action.key);
    }

    /// As [`crate::NodeState::finished`].
    pub fn finished(&mut self, action: &Action, outcome: &ActionOutcome, now: Timestamp) {
        self.memory.end(&action.key, outcome, now);
    }
}

/// Status writes of `LauncherConfig`s and `LauncherPopulationPolicy`s; all belong to the populator.
#[must_use]
pub fn plan_configs(state: &ConfigState, now: Timestamp) -> Plan {
    let mut out = Emitted::new(&state.memory, now);
    let namespace = &state.namespace;
    let lcs = state.configs.lcs.values().map(|lc| {
        let errors: Vec<String> = lc.template.as_ref().err().cloned().into_iter().collect();
        status_write::<LauncherConfig>(namespace, &lc.name, lc.generation, &lc.object, &errors)
    });
    let policies = state.policies.by_name.iter().map(|(name, policy)| {
        let errors = Policies::errors(policy, &state.configs);
        status_write::<LauncherPopulationPolicy>(namespace, name, policy.generation, &policy.object, &errors)
    });
    for action in lcs.chain(policies).flatten() {
        out.emit(action);
    }
    let (actions, wake_at) = out.finish();
    Plan { actions, wake_at, ..Plan::default() }
}

/// The write of a custom resource's status, if that differs.
fn status_write<K: Resource<DynamicType = ()>>(
    namespace: &str,
    name: &str,
    generation: Option<i64>,
    object: &Value,
    errors: &[String],
) -> Option<Action> {
    let have: Status = object.get("status").cloned().and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default();
    if have.observed_generation == generation && have.errors == errors {
        return None;
    }
    let (kind, plural) = (K::kind(&()).into_owned(), K::plural(&()));
    let fields = vec![("kind", kind), ("name", name.to_owned()), ("errors", errors.join("; "))];
    let object = write::config_status(object, generation, errors);
    Some(Action {
        key: ActionKey { target: Target::Config(plural.clone(), name.to_owned()), verb: Verb::SetConfigStatus, detail: String::new() },
        owner: Owner::Populator,
        what: Do::SetConfigStatus { plural, namespace: namespace.to_owned(), name: name.to_owned(), object },
        container: None,
        timeout: timeout::API,
        subject: Subject::default(),
        log: Log { done: "Updated status", failed: "Failed to update status", fields, ..Log::default() },
        event: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe;

    fn policy(uid: &str, selector: &Value, resources: &Value, counts: &[(&str, i32)]) -> Arc<Value> {
        let counts: Vec<Value> = counts.iter().map(|(name, n)| json!({"launcherConfigName": name, "launcherCount": n})).collect();
        Arc::new(json!({"metadata": {"name": "p", "uid": uid, "generation": 1}, "spec": {
            "enhancedNodeSelector": {"labelSelector": selector, "allocatableResources": resources}, "countForLauncher": counts,
        }}))
    }

    fn node(gpus: &str) -> NodeInfo {
        let object = json!({"metadata": {"name": "n", "labels": {"gpu": "yes"}}, "status": {"allocatable": {"nvidia.com/gpu": gpus}}});
        observe::node(&object).unwrap()
    }

    fn configs(names: &[&str]) -> Configs {
        let mut configs = Configs::default();
        for name in names {
            let object = json!({"metadata": {"name": name, "uid": name, "namespace": "ns"}, "spec": {"maxInstances": 1,
                "podTemplate": {"spec": {"containers": [{"name": "inference-server", "image": "i"}]}}}});
            configs.lcs.insert((*name).to_owned(), observe::launcher_config(&Arc::new(object)).unwrap());
        }
        configs
    }

    fn wanted(policies: &Policies, node: &NodeInfo) -> Option<Desired> {
        policies.wanted(node, &configs(&["a"])).get("a").copied()
    }

    #[test]
    fn bounds_on_resources_are_inclusive() {
        let all = json!({});
        for (range, gpus, expected) in [
            (json!({}), "2", true),
            (json!({"other": {"min": 1}}), "2", false),
            (json!({"nvidia.com/gpu": {"min": "3"}}), "2", false),
            (json!({"nvidia.com/gpu": {"max": 1}}), "2", false),
            (json!({"nvidia.com/gpu": {"min": 2, "max": 2}}), "2", true),
            (json!({"nvidia.com/gpu": {"min": "1", "max": "4"}}), "2", true),
            (json!({"nvidia.com/gpu": {}}), "2", true),
            (json!({"nvidia.com/gpu": {"min": 1}, "memory": {"min": "1Gi"}}), "2", false),
        ] {
            let mut policies = Policies::default();
            policies.apply(&policy("u", &all, &range, &[("a", 1)]));
            assert_eq!(wanted(&policies, &node(gpus)).is_some(), expected, "{range}");
        }
    }

    #[test]
    fn counts_are_never_negative_and_the_largest_wins() {
        let mut policies = Policies::default();
        policies.apply(&policy("u", &json!({}), &json!({}), &[("a", -3)]));
        assert_eq!(wanted(&policies, &node("1")), Some(Desired::Count(0)));
        let mut other = policy("v", &json!({"matchLabels": {"gpu": "yes"}}), &json!({}), &[("a", 4)]).as_ref().clone();
        other["metadata"]["name"] = json!("q");
        policies.apply(&Arc::new(other));
        assert_eq!(wanted(&policies, &node("1")), Some(Desired::Count(4)));
        policies.delete("q");
        assert_eq!(wanted(&policies, &node("1")), Some(Desired::Count(0)));
    }

    #[test]
    fn a_missing_or_malformed_config_is_hands_off() {
        let mut policies = Policies::default();
        policies.apply(&policy("u", &json!({}), &json!({}), &[("missing", 2)]));
        assert_eq!(policies.wanted(&node("1"), &configs(&["a"])), [("missing".to_owned(), Desired::HandsOff)].into());
    }

    #[test]
    fn an_unreadable_selector_is_hands_off_where_it_last_spoke() {
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": []}]});
        let mut policies = Policies::default();
        policies.apply(&policy("u", &json!({"matchLabels": {"gpu": "no"}}), &json!({}), &[("a", 2)]));
        policies.apply(&policy("u", &bad, &json!({}), &[("a", 2)]));
        assert_eq!(wanted(&policies, &node("1")), None, "it did not speak of this node");
        policies.apply(&policy("u", &json!({}), &json!({}), &[("a", 2)]));
        policies.apply(&policy("u", &bad, &json!({}), &[("a", 2)]));
        assert_eq!(wanted(&policies, &node("1")), Some(Desired::HandsOff));
        // Another policy of the same name is another policy (gap `a18`).
        policies.apply(&policy("w", &bad, &json!({}), &[("a", 2)]));
        assert_eq!(wanted(&policies, &node("1")), Some(Desired::HandsOff));
    }

    #[test]
    fn statuses_are_written_once() {
        let mut state = ConfigState { namespace: "ns".to_owned(), configs: Arc::new(configs(&["a"])), ..ConfigState::default() };
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": []}]});
        state.policies.apply(&policy("u", &bad, &json!({}), &[("gone", 2)]));
        let plan = plan_configs(&state, Timestamp::UNIX_EPOCH);
        assert_eq!(plan.actions.len(), 1);
        let Do::SetConfigStatus { plural, object, .. } = &plan.actions[0].what else { panic!("{plan:?}") };
        assert_eq!(*plural, "launcherpopulationpolicies");
        assert_eq!(
            object["status"],
            json!({"observedGeneration": 1, "errors": [
                "\"Near\" is not a valid label selector operator",
                "LauncherConfig \"gone\" referenced in CountForLauncher does not exist",
            ]})
        );
        state.policies.apply(&Arc::new(object.clone()));
        assert!(plan_configs(&state, Timestamp::UNIX_EPOCH).actions.is_empty());
    }
}
