//! What the scheduler knows: Pods, where each stands, and nodes.
//!
//! Invariants: a Pod is in `waiting` exactly when it stands there as waiting; what was reported is of Pods that are there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_controller::{Consistent, Inconsistent, Index, Touched, same};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::facts::{NodeFacts, PodFacts, Resources};

/// Where a Pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// There is nothing to place: it is bound, or must not be.
    Settled,
    /// It waits for a node, since this arrival.
    Waiting { arrival: u64 },
    /// A binding to this node was sent and is not seen yet.
    Assumed { node: String },
    /// The API refused its binding; the watch will show why.
    Refused,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PodFacts>,
    standing: Standing,
}

/// Order in which Pods are placed: priority, arrival, key.
type Slot = (Reverse<i32>, u64, String);

fn slot(key: &str, entry: &Entry) -> Option<Slot> {
    let Standing::Waiting { arrival } = entry.standing else { return None };
    Some((Reverse(entry.pod.priority), arrival, key.to_owned()))
}

/// The index of the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    /// Pods whose `schedulerName` is this are ours; others count where they are bound and are never placed.
    scheduler: String,
    pods: HashMap<String, Entry>,
    waiting: BTreeSet<Slot>,
    arrivals: u64,
    nodes: BTreeMap<String, NodeFacts>,
    /// What was last reported as the reason why a Pod waits, by Pod UID.
    reported: HashMap<String, String>,
}

impl Cluster {
    pub(crate) fn new(scheduler: String) -> Self {
        Self { scheduler, ..Self::default() }
    }

    /// The Pods to place, in order.
    pub(crate) fn to_place(&self) -> Vec<Arc<PodFacts>> {
        self.waiting.iter().filter_map(|(_, _, key)| self.pods.get(key)).map(|entry| Arc::clone(&entry.pod)).collect()
    }

    /// The nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeFacts> {
        self.nodes.values()
    }

    /// What is requested on each node by Pods that hold something there.
    pub(crate) fn requested(&self) -> BTreeMap<String, Resources> {
        let mut all: BTreeMap<String, Resources> = BTreeMap::new();
        for Entry { pod, standing } in self.pods.values().filter(|entry| !entry.pod.terminal) {
            let assumed = if let Standing::Assumed { node } = standing { Some(node) } else { None };
            if let Some(node) = pod.node.as_ref().or(assumed) {
                let on = all.entry(node.clone()).or_default();
                for (name, n) in &pod.requests {
                    *on.entry(name.clone()).or_default() += n;
                }
            }
        }
        all
    }

    /// A binding is being sent.
    pub(crate) fn assume(&mut self, pod: &PodFacts, node: String) {
        self.stand(&pod.key(), Standing::Assumed { node });
    }

    /// The API did not take the binding of this very Pod. Whether it waits (`again`) for another attempt.
    pub(crate) fn not_bound(&mut self, key: &str, uid: &str, again: bool) -> bool {
        let entry = self.pods.get(key).filter(|entry| entry.pod.uid == uid && matches!(entry.standing, Standing::Assumed { .. }));
        let Some(entry) = entry else { return false };
        let again = again && placeable(&entry.pod);
        self.arrivals += 1;
        let standing = if again { Standing::Waiting { arrival: self.arrivals } } else { Standing::Refused };
        self.stand(key, standing);
        again
    }

    fn stand(&mut self, key: &str, standing: Standing) {
        let Some(entry) = self.pods.get_mut(key) else { return };
        if let Some(old) = slot(key, entry) {
            self.waiting.remove(&old);
        }
        entry.standing = standing;
        self.waiting.extend(slot(key, entry));
    }

    /// Whether this reason why a Pod waits is news; if so, it counts as reported.
    pub(crate) fn news(&mut self, pod: &PodFacts, why: &str) -> bool {
        let news = self.reported.get(&pod.uid).is_none_or(|known| known != why);
        if news {
            self.reported.insert(pod.uid.clone(), why.to_owned());
        }
        news
    }

    fn take_in(&mut self, mut pod: PodFacts, ours: bool) {
        pod.gated |= !ours;
        let key = pod.key();
        let old = self.remove(&key);
        // Of what is bound, or another Pod by now, nothing was reported.
        if let Some(old) = old.as_ref().filter(|old| pod.node.is_some() || old.pod.uid != pod.uid) {
            self.reported.remove(&old.pod.uid);
        }
        let standing = match old.filter(|old| old.pod.uid == pod.uid).map(|old| old.standing) {
            _ if pod.node.is_some() => Standing::Settled,
            Some(assumed @ Standing::Assumed { .. }) => assumed,
            Some(waiting @ Standing::Waiting { .. }) if placeable(&pod) => waiting,
            _ if placeable(&pod) => {
                self.arrivals += 1;
                Standing::Waiting { arrival: self.arrivals }
            }
            _ => Standing::Settled,
        };
        let entry = Entry { pod: Arc::new(pod), standing };
        self.waiting.extend(slot(&key, &entry));
        self.pods.insert(key, entry);
    }

    fn remove(&mut self, key: &str) -> Option<Entry> {
        let entry = self.pods.remove(key)?;
        if let Some(slot) = slot(key, &entry) {
            self.waiting.remove(&slot);
        }
        Some(entry)
    }

    fn ours(&self, pod: &Pod) -> bool {
        pod.spec.as_ref().and_then(|s| s.scheduler_name.as_deref()).is_none_or(|name| name == self.scheduler)
    }
}

fn placeable(pod: &PodFacts) -> bool {
    pod.node.is_none() && !pod.terminal && !pod.gated && !pod.deleting
}

/// Every change is followed by a round over all Pods that wait, so that no key is named.
impl Index<Pod> for Cluster {
    type Key = ();

    fn apply(&mut self, pod: Pod) -> Touched<()> {
        self.take_in(PodFacts::of(&pod), self.ours(&pod));
        Touched::new()
    }

    fn delete(&mut self, pod: Pod) -> Touched<()> {
        if let Some(entry) = self.remove(&PodFacts::of(&pod).key()) {
            self.reported.remove(&entry.pod.uid);
        }
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Pod>) -> Touched<()> {
        let facts: Vec<_> = all.iter().map(|pod| (PodFacts::of(pod), self.ours(pod))).collect();
        let keep: HashSet<String> = facts.iter().map(|(pod, _)| pod.key()).collect();
        let gone: Vec<String> = self.pods.keys().filter(|key| !keep.contains(*key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        facts.into_iter().for_each(|(pod, ours)| self.take_in(pod, ours));
        let there: HashSet<&String> = self.pods.values().map(|entry| &entry.pod.uid).collect();
        self.reported.retain(|uid, _| there.contains(uid));
        Touched::new()
    }
}

impl Index<Node> for Cluster {
    type Key = ();

    fn apply(&mut self, node: Node) -> Touched<()> {
        let node = NodeFacts::of(&node);
        self.nodes.insert(node.name.clone(), node);
        Touched::new()
    }

    fn delete(&mut self, node: Node) -> Touched<()> {
        self.nodes.remove(node.metadata.name.as_deref().unwrap_or_default());
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Node>) -> Touched<()> {
        self.nodes = all.iter().map(NodeFacts::of).map(|node| (node.name.clone(), node)).collect();
        Touched::new()
    }
}

impl Consistent for Cluster {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        let waiting = self.pods.iter().filter_map(|(key, entry)| slot(key, entry)).collect();
        same("Pods that wait", &self.waiting, &waiting)?;
        let misplaced = self.waiting.iter().find(|(_, _, key)| !placeable(&self.pods[key].pod));
        same("Pods that wait and must not be placed", &misplaced, &None)?;
        let there: HashSet<&String> = self.pods.values().map(|entry| &entry.pod.uid).collect();
        let stray = self.reported.keys().find(|uid| !there.contains(uid));
        same("reports about Pods that are gone", &stray, &None)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_controller::Change;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, uid: &str, more: Value) -> Pod {
        let mut object =
            json!({"metadata": {"name": name, "namespace": "n", "uid": uid}, "spec": {"containers": [], "schedulerName": "me"}});
        json_merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    fn json_merge(into: &mut Value, more: Value) {
        match (into, more) {
            (Value::Object(into), Value::Object(more)) => {
                more.into_iter().for_each(|(k, v)| json_merge(into.entry(k).or_insert(Value::Null), v));
            }
            (into, more) => *into = more,
        }
    }

    fn names(cluster: &Cluster) -> Vec<String> {
        cluster.to_place().iter().map(|pod| pod.name.clone()).collect()
    }

    fn check(cluster: &Cluster) {
        cluster.consistency_check().unwrap();
    }

    #[test]
    fn priority_then_arrival_and_only_ours() {
        let mut c = Cluster::new("me".into());
        c.apply(pod("first", "1", json!({})));
        c.apply(pod("urgent", "2", json!({"spec": {"priority": 5}})));
        c.apply(pod("theirs", "3", json!({"spec": {"schedulerName": "other"}})));
        c.apply(pod("bound", "4", json!({"spec": {"nodeName": "n1"}})));
        assert_eq!(names(&c), ["urgent", "first"]);
        c.apply(pod("first", "1", json!({"spec": {"priority": 9}})));
        assert_eq!(names(&c), ["first", "urgent"]);
        check(&c);
    }

    #[test]
    fn a_binding_counts_until_it_is_seen_or_refused() {
        let mut c = Cluster::new("me".into());
        c.apply(pod("p", "1", json!({})));
        let p = c.to_place().remove(0);
        c.assume(&p, "n1".into());
        assert!(names(&c).is_empty() && c.requested()["n1"]["pods"] == 1_000);
        c.apply(pod("p", "1", json!({"metadata": {"labels": {"a": "b"}}})));
        assert!(names(&c).is_empty(), "it stays assumed");
        assert!(!c.not_bound("n/p", "other", true), "not this Pod");
        assert!(c.not_bound("n/p", "1", true));
        assert_eq!(names(&c), ["p"]);
        c.assume(&p, "n1".into());
        assert!(!c.not_bound("n/p", "1", false));
        assert!(names(&c).is_empty() && c.requested().is_empty(), "refused, and the watch has not said why");
        c.apply(pod("p", "1", json!({})));
        assert_eq!(names(&c), ["p"]);
        // Another Pod of the same name begins anew.
        c.assume(&p, "n1".into());
        c.apply(pod("p", "2", json!({})));
        assert_eq!(names(&c), ["p"]);
        check(&c);
    }

    #[test]
    fn a_reason_is_news_once() {
        let mut c = Cluster::new("me".into());
        c.apply(pod("p", "1", json!({})));
        let p = c.to_place().remove(0);
        assert!(c.news(&p, "full") && !c.news(&p, "full") && c.news(&p, "tainted"));
        c.apply(pod("p", "1", json!({"spec": {"nodeName": "n1"}})));
        check(&c);
        c.reset(Vec::<Pod>::new());
        check(&c);
    }

    proptest! {
        /// Whatever happens in whatever order, the index is what it would be if built anew.
        #[test]
        fn it_stays_consistent(steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..2, any::<bool>()), 1..60)) {
            let mut c = Cluster::new("me".into());
            for (step, name, uid, flag) in steps {
                let more = if flag { json!({"spec": {"nodeName": "n1"}}) } else { json!({}) };
                let p = pod(&format!("p{name}"), &format!("{name}-{uid}"), more);
                let _ = match step {
                    0 | 1 => Change::Apply(p).fold_into(&mut c),
                    2 => Change::Delete(p).fold_into(&mut c),
                    3 => Change::Reset(vec![p]).fold_into(&mut c),
                    4 => { c.to_place().first().cloned().into_iter().for_each(|p| c.assume(&p, "n1".into())); Vec::new() }
                    _ => { c.not_bound(&format!("n/p{name}"), &format!("{name}-{uid}"), flag); Vec::new() }
                };
                prop_assert_eq!(c.consistency_check(), Ok(()));
            }
        }
    }
}
