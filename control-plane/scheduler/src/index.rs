//! What the scheduler knows: Pods, where each stands, nodes, what is taken of them, namespaces.
//!
//! Invariants: a Pod is in `waiting` exactly when it stands there as waiting; `places` and `crowd` have exactly the Pods that
//! hold something; what was reported is of Pods that are there. Sums are kept up to date change by change, so that a decision
//! costs nothing that grows with the number of Pods.
//!
//! A Pod that was kept out is looked at again when something happened that may let it in (*due*). Two kinds of that are told
//! apart: something became free or changed, which may matter to each, and a Pod was placed, which matters to those whose rules
//! wait for others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_controller::{Consistent, Inconsistent, Index, Touched, same};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};

use crate::crowd::Crowd;
use crate::decide::{Unschedulable, decide};
use crate::facts::{NodeFacts, PodFacts, Wants};
use crate::sight::{Place, Sight};
use crate::terms::{Labels, Namespaces};

/// Up to so many Pods and nodes the sums are made anew after each change of a debug build: with thousands that would be all
/// that it does.
const FEW: usize = 200;

/// Where a Pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// There is nothing to place: it is bound, or must not be.
    Settled,
    /// It waits for a node, since this arrival; what had happened when it was last kept out.
    Waiting { arrival: u64, kept_out: Option<Happened> },
    /// A binding to this node was sent and is not seen yet.
    Assumed { node: String },
    /// The API refused its binding; the watch will show why.
    Refused,
}

/// How often something happened that may let a Pod in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Happened {
    /// Something became free, or a node, a namespace or a Pod that holds something changed.
    room: u64,
    /// A Pod was placed.
    company: u64,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PodFacts>,
    /// Of this scheduler. Others count where they are bound and are left alone.
    ours: bool,
    standing: Standing,
}

impl Entry {
    /// What it holds, and where.
    fn holds(&self) -> Option<(&str, &Wants)> {
        let assumed = if let Standing::Assumed { node } = &self.standing { Some(node) } else { None };
        let node = self.pod.node.as_ref().or(assumed).filter(|_| !self.pod.terminal)?;
        Some((node, &self.pod.wants))
    }

    fn placeable(&self) -> bool {
        placeable(&self.pod, self.ours)
    }

    /// Whether its gates are to be reported: an API server that does it itself leaves nothing to do.
    fn untold(&self) -> bool {
        let pod = &self.pod;
        self.ours && pod.gated && !pod.told && pod.node.is_none() && !pod.terminal && !pod.deleting
    }

    fn due(&self, now: Happened) -> bool {
        let Standing::Waiting { kept_out, .. } = &self.standing else { return false };
        kept_out.is_none_or(|then| then.room != now.room || (then.company != now.company && self.pod.wants.waits_for_others()))
    }
}

fn placeable(pod: &PodFacts, ours: bool) -> bool {
    ours && pod.node.is_none() && !pod.terminal && !pod.gated && !pod.deleting
}

/// Order in which Pods are placed: priority, arrival, key.
type Slot = (Reverse<i32>, u64, String);

fn slot(key: &str, entry: &Entry) -> Option<Slot> {
    let Standing::Waiting { arrival, .. } = entry.standing else { return None };
    Some((Reverse(entry.pod.priority), arrival, key.to_owned()))
}

/// The index of the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    /// Pods whose `schedulerName` is this are ours.
    scheduler: String,
    pods: HashMap<String, Entry>,
    waiting: BTreeSet<Slot>,
    /// Keys of Pods whose gates are to be reported.
    untold: BTreeSet<String>,
    arrivals: u64,
    happened: Happened,
    /// When nobody was due; a look at all who wait is spared until something happens.
    nobody_due: Option<Happened>,
    places: BTreeMap<String, Place>,
    crowd: Crowd,
    namespaces: Namespaces,
    /// What was last reported as the reason why a Pod waits, by Pod UID.
    reported: HashMap<String, String>,
}

impl Cluster {
    pub(crate) fn new(scheduler: String) -> Self {
        Self { scheduler, ..Self::default() }
    }

    /// The first Pods to place, in order, and no more than these: those that were not looked at since it may help.
    pub(crate) fn next_due(&mut self, most: usize) -> Vec<Arc<PodFacts>> {
        if self.nobody_due == Some(self.happened) {
            return Vec::new();
        }
        let waiting = self.waiting.iter().filter_map(|(_, _, key)| self.pods.get(key));
        let due: Vec<_> = waiting.filter(|entry| entry.due(self.happened)).take(most).map(|entry| Arc::clone(&entry.pod)).collect();
        self.nobody_due = due.is_empty().then_some(self.happened);
        due
    }

    /// The Pods whose gates nobody has reported; each is given once.
    pub(crate) fn take_gated(&mut self, message: &str) -> Vec<Arc<PodFacts>> {
        let untold = self.untold.iter().filter_map(|key| self.pods.get(key));
        let untold: Vec<_> = untold.map(|entry| Arc::clone(&entry.pod)).collect();
        untold.into_iter().filter(|pod| self.news(pod, message)).collect()
    }

    /// The node for a Pod, or why there is none.
    pub(crate) fn decide(&self, pod: &PodFacts) -> Result<String, Unschedulable> {
        decide(pod, self.sight()).map(str::to_owned)
    }

    pub(crate) fn sight(&self) -> Sight<'_> {
        Sight { places: &self.places, crowd: &self.crowd, namespaces: &self.namespaces }
    }

    /// A binding is being sent.
    pub(crate) fn assume(&mut self, pod: &PodFacts, node: String) {
        self.stand(&pod.key(), Standing::Assumed { node });
    }

    /// Nothing was found for this Pod. Whether the reason is news; if so, it counts as reported.
    pub(crate) fn keep_out(&mut self, pod: &PodFacts, why: &str) -> bool {
        let happened = self.happened;
        if let Some(Entry { standing: Standing::Waiting { kept_out, .. }, .. }) = self.pods.get_mut(&pod.key()) {
            *kept_out = Some(happened);
        }
        self.news(pod, why)
    }

    /// The API did not take the binding of this very Pod. Whether it waits (`again`) for another attempt.
    pub(crate) fn not_bound(&mut self, key: &str, uid: &str, again: bool) -> bool {
        let entry = self.pods.get(key).filter(|entry| entry.pod.uid == uid && matches!(entry.standing, Standing::Assumed { .. }));
        let Some(entry) = entry else { return false };
        let again = again && entry.placeable();
        let standing = if again { self.arrival() } else { Standing::Refused };
        self.stand(key, standing);
        again
    }

    fn news(&mut self, pod: &PodFacts, why: &str) -> bool {
        let news = self.reported.get(&pod.uid).is_none_or(|known| known != why);
        if news {
            self.reported.insert(pod.uid.clone(), why.to_owned());
        }
        news
    }

    fn arrival(&mut self) -> Standing {
        self.arrivals += 1;
        Standing::Waiting { arrival: self.arrivals, kept_out: None }
    }

    fn stand(&mut self, key: &str, standing: Standing) {
        let Some(entry) = self.pods.get(key) else { return };
        let entry = Entry { pod: Arc::clone(&entry.pod), ours: entry.ours, standing };
        self.replace(key, Some(entry));
    }

    fn take_in(&mut self, pod: PodFacts, ours: bool) {
        let key = pod.key();
        let old = self.pods.get(&key);
        // Of what is bound, or another Pod by now, nothing was reported.
        if let Some(old) = old.filter(|old| pod.node.is_some() || old.pod.uid != pod.uid) {
            self.reported.remove(&old.pod.uid);
        }
        let same = old.filter(|old| old.pod.uid == pod.uid);
        let standing = match same.map(|old| &old.standing) {
            _ if pod.node.is_some() => Standing::Settled,
            Some(assumed @ Standing::Assumed { .. }) => assumed.clone(),
            Some(Standing::Waiting { arrival, kept_out }) if placeable(&pod, ours) => {
                let unchanged = same.is_some_and(|old| old.pod.wants == pod.wants);
                Standing::Waiting { arrival: *arrival, kept_out: kept_out.filter(|_| unchanged) }
            }
            _ if placeable(&pod, ours) => self.arrival(),
            _ => Standing::Settled,
        };
        self.replace(&key, Some(Entry { pod: Arc::new(pod), ours, standing }));
    }

    /// Puts an entry in the place of another, or of none; all that is derived follows.
    fn replace(&mut self, key: &str, new: Option<Entry>) -> Option<Entry> {
        let old = self.pods.remove(key);
        let (before, after) = (old.as_ref().and_then(Entry::holds), new.as_ref().and_then(Entry::holds));
        if before != after {
            self.happened.room += u64::from(before.is_some());
            self.happened.company += u64::from(after.is_some());
        }
        if let Some(old) = &old {
            if let Some(slot) = slot(key, old) {
                self.waiting.remove(&slot);
            }
            self.untold.remove(key);
            if let Some((node, wants)) = old.holds() {
                self.crowd.remove(&wants.kind, node);
                self.change_place(node, |place| place.taken.remove(&old.pod));
            }
        }
        if let Some(new) = new {
            if new.due(self.happened) {
                self.nobody_due = None;
            }
            self.waiting.extend(slot(key, &new));
            self.untold.extend(new.untold().then(|| key.to_owned()));
            if let Some((node, wants)) = new.holds() {
                self.crowd.add(&wants.kind, node);
                self.change_place(node, |place| place.taken.add(&new.pod));
            }
            self.pods.insert(key.to_owned(), new);
        }
        old
    }

    fn change_place(&mut self, name: &str, change: impl FnOnce(&mut Place)) {
        if !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), Place::default());
        }
        if let Some(place) = self.places.get_mut(name) {
            change(place);
            if place.node.is_none() && place.taken.is_empty() {
                self.places.remove(name);
            }
        }
    }

    fn set_node(&mut self, name: &str, node: Option<NodeFacts>) {
        if self.sight().node(name) != node.as_ref() {
            self.happened.room += 1;
            self.change_place(name, |place| place.node = node);
        }
    }

    fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        if self.namespaces.get(name) != labels.as_ref() {
            self.happened.room += 1;
            match labels {
                Some(labels) => drop(self.namespaces.insert(name.to_owned(), labels)),
                None => drop(self.namespaces.remove(name)),
            }
        }
    }

    /// Compares what is kept up to date change by change with what it would be if made anew.
    pub(crate) fn check_sums(&self) -> Result<(), Inconsistent> {
        let mut anew = Self::default();
        for (name, place) in &self.places {
            anew.set_node(name, place.node.clone());
        }
        for (key, entry) in &self.pods {
            anew.replace(key, Some(Entry { pod: Arc::clone(&entry.pod), ours: entry.ours, standing: entry.standing.clone() }));
        }
        same("what is taken of nodes", &self.places, &anew.places)?;
        same("Pods by kind", &self.crowd, &anew.crowd)
    }

    fn ours(&self, pod: &Pod) -> bool {
        pod.spec.as_ref().and_then(|s| s.scheduler_name.as_deref()).is_none_or(|name| name == self.scheduler)
    }
}

/// Every change is followed by a round over the Pods that are due, so that no key is named.
impl Index<Pod> for Cluster {
    type Key = ();

    fn apply(&mut self, pod: Pod) -> Touched<()> {
        self.take_in(PodFacts::of(&pod), self.ours(&pod));
        Touched::new()
    }

    fn delete(&mut self, pod: Pod) -> Touched<()> {
        if let Some(entry) = self.replace(&PodFacts::of(&pod).key(), None) {
            self.reported.remove(&entry.pod.uid);
        }
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Pod>) -> Touched<()> {
        let facts: Vec<_> = all.iter().map(|pod| (PodFacts::of(pod), self.ours(pod))).collect();
        let keep: HashSet<String> = facts.iter().map(|(pod, _)| pod.key()).collect();
        let gone: Vec<String> = self.pods.keys().filter(|key| !keep.contains(*key)).cloned().collect();
        for key in gone {
            self.replace(&key, None);
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
        self.set_node(&node.name.clone(), Some(node));
        Touched::new()
    }

    fn delete(&mut self, node: Node) -> Touched<()> {
        self.set_node(node.metadata.name.as_deref().unwrap_or_default(), None);
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Node>) -> Touched<()> {
        let keep: HashSet<&str> = all.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
        let gone: Vec<String> = self.places.keys().filter(|name| !keep.contains(name.as_str())).cloned().collect();
        gone.iter().for_each(|name| self.set_node(name, None));
        all.iter().map(NodeFacts::of).for_each(|node| self.set_node(&node.name.clone(), Some(node)));
        Touched::new()
    }
}

impl Index<Namespace> for Cluster {
    type Key = ();

    fn apply(&mut self, namespace: Namespace) -> Touched<()> {
        let meta = namespace.metadata;
        self.set_namespace(&meta.name.unwrap_or_default(), Some(meta.labels.unwrap_or_default()));
        Touched::new()
    }

    fn delete(&mut self, namespace: Namespace) -> Touched<()> {
        self.set_namespace(&namespace.metadata.name.unwrap_or_default(), None);
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Namespace>) -> Touched<()> {
        let keep: HashSet<&str> = all.iter().filter_map(|namespace| namespace.metadata.name.as_deref()).collect();
        let gone: Vec<String> = self.namespaces.keys().filter(|name| !keep.contains(name.as_str())).cloned().collect();
        gone.iter().for_each(|name| self.set_namespace(name, None));
        all.into_iter().for_each(|namespace| drop(self.apply(namespace)));
        Touched::new()
    }
}

impl Consistent for Cluster {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        let waiting = self.pods.iter().filter_map(|(key, entry)| slot(key, entry)).collect();
        same("Pods that wait", &self.waiting, &waiting)?;
        let misplaced = self.waiting.iter().find(|(_, _, key)| !self.pods[key].placeable());
        same("Pods that wait and must not be placed", &misplaced, &None)?;
        let untold = self.pods.iter().filter(|(_, entry)| entry.untold()).map(|(key, _)| key.clone()).collect();
        same("Pods whose gates are to be reported", &self.untold, &untold)?;
        let due = self.pods.iter().find(|(_, entry)| self.nobody_due == Some(self.happened) && entry.due(self.happened));
        same("Pods that are due while nobody is", &due.map(|(key, _)| key), &None)?;
        let there: HashSet<&String> = self.pods.values().map(|entry| &entry.pod.uid).collect();
        let stray = self.reported.keys().find(|uid| !there.contains(uid));
        same("reports about Pods that are gone", &stray, &None)?;
        if self.pods.len() + self.places.len() > FEW { Ok(()) } else { self.check_sums() }
    }
}
