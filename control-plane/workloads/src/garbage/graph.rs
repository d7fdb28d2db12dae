//! PURE: who owns whom, and what is to become of one object.
//!
//! Held: every object by UID, its dependents, owners known to be absent. Nothing is decided before each
//! expected resource has been listed once.

use std::collections::{BTreeSet, HashMap, HashSet};

use dormouse_controller::{Consistent, Inconsistent, same};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// One object as the graph knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub resource: String,
    pub namespace: Option<String>,
    pub name: String,
    pub uid: String,
    pub owners: Vec<OwnerReference>,
    pub deleting: bool,
    pub finalizers: Vec<String>,
}

impl Object {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }

    /// Being deleted, and waiting for its dependents to go first.
    fn waits(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }
}

/// How an object is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// What is to become of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Nothing,
    /// Ask live whether these owners exist, then decide again.
    Verify(Vec<OwnerReference>),
    Delete(Policy),
    /// Take the owners with these UIDs off.
    Disown(Vec<String>),
    /// Take this object off its dependents, then let it go.
    Orphan(Vec<Object>),
    /// Remove a finalizer of ours.
    Unfinalize(&'static str),
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    objects: HashMap<String, Object>,
    dependents: HashMap<String, BTreeSet<String>>,
    absent: HashSet<String>,
    /// Owners that exist but are not in the graph (yet).
    present: HashSet<String>,
    awaited: HashSet<String>,
    listed: HashSet<String>,
    expected: bool,
}

impl Graph {
    fn ready(&self) -> bool {
        self.expected && self.awaited.is_empty()
    }

    /// These resources are served: nothing is decided before each was listed. Keys to decide when that is so.
    pub(super) fn expect(&mut self, resources: impl Iterator<Item = String>) -> Vec<String> {
        let now: HashSet<String> = resources.collect();
        let vanished: Vec<String> = self.listed.iter().filter(|r| !now.contains(*r)).cloned().collect();
        let mut keys = Vec::new();
        for resource in vanished {
            self.listed.remove(&resource);
            let gone: Vec<String> = self.objects.values().filter(|o| o.resource == resource).map(|o| o.uid.clone()).collect();
            keys.extend(gone.iter().flat_map(|uid| self.delete(uid)));
        }
        self.awaited = now.iter().filter(|r| !self.listed.contains(*r)).cloned().collect();
        self.expected = true;
        keys
    }

    /// A listed or changed object; the UIDs to decide.
    pub(super) fn apply(&mut self, object: Object) -> Vec<String> {
        self.absent.remove(&object.uid);
        self.present.remove(&object.uid);
        let mut keys = vec![object.uid.clone()];
        if let Some(old) = self.objects.get(&object.uid) {
            for owner in &old.owners {
                if !object.owners.iter().any(|o| o.uid == owner.uid) {
                    if let Some(set) = self.dependents.get_mut(&owner.uid) {
                        set.remove(&object.uid);
                    }
                    keys.push(owner.uid.clone());
                }
            }
        }
        for owner in &object.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(object.uid.clone());
        }
        if object.waits() {
            keys.extend(self.dependents.get(&object.uid).into_iter().flatten().cloned());
        }
        self.objects.insert(object.uid.clone(), object);
        keys
    }

    /// An object is gone; the UIDs to decide: its dependents, and owners that may wait for it.
    pub(super) fn delete(&mut self, uid: &str) -> Vec<String> {
        let Some(old) = self.objects.remove(uid) else { return Vec::new() };
        let mut keys: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        if keys.is_empty() {
            self.dependents.remove(uid);
        } else {
            self.absent.insert(uid.to_owned());
        }
        for owner in &old.owners {
            if let Some(set) = self.dependents.get_mut(&owner.uid) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(&owner.uid);
                    self.absent.remove(&owner.uid);
                }
            }
            keys.push(owner.uid.clone());
        }
        keys
    }

    /// Everything there is of one resource.
    pub(super) fn reset(&mut self, resource: &str, all: Vec<Object>) -> Vec<String> {
        let keep: HashSet<&String> = all.iter().map(|o| &o.uid).collect();
        let gone: Vec<String> =
            self.objects.values().filter(|o| o.resource == resource && !keep.contains(&o.uid)).map(|o| o.uid.clone()).collect();
        let mut keys: Vec<String> = gone.iter().flat_map(|uid| self.delete(uid)).collect();
        keys.extend(all.into_iter().flat_map(|o| self.apply(o)).collect::<Vec<_>>());
        self.listed.insert(resource.to_owned());
        let was_ready = self.ready();
        self.awaited.remove(resource);
        if !was_ready && self.ready() {
            keys = self.objects.keys().cloned().collect();
        }
        keys
    }

    /// The answer to [`Step::Verify`].
    pub(super) fn verified(&mut self, uid: &str, exists: bool) {
        if exists {
            self.present.insert(uid.to_owned());
        } else {
            self.absent.insert(uid.to_owned());
        }
    }

    /// Decides one object; `None` when there is nothing to decide yet.
    pub(super) fn decide(&self, uid: &str) -> Option<(Object, Step)> {
        let object = self.objects.get(uid).filter(|_| self.ready())?;
        Some((object.clone(), self.step(object)))
    }

    fn step(&self, object: &Object) -> Step {
        let dependents = || self.dependents.get(&object.uid).into_iter().flatten().filter_map(|uid| self.objects.get(uid));
        if object.deleting {
            if object.has(ORPHAN) {
                return Step::Orphan(dependents().cloned().collect());
            }
            let blocks = |d: &Object| d.owners.iter().any(|o| o.uid == object.uid && o.block_owner_deletion == Some(true));
            if object.has(FOREGROUND) && !dependents().any(blocks) {
                return Step::Unfinalize(FOREGROUND);
            }
            return Step::Nothing;
        }
        if object.owners.is_empty() {
            return Step::Nothing;
        }
        let (mut solid, mut gone, mut waiting, mut unknown) = (0, Vec::new(), Vec::new(), Vec::new());
        for owner in &object.owners {
            match self.objects.get(&owner.uid) {
                Some(o) if o.waits() => waiting.push(owner.uid.clone()),
                Some(_) => solid += 1,
                None if self.absent.contains(&owner.uid) => gone.push(owner.uid.clone()),
                None if self.present.contains(&owner.uid) => solid += 1,
                None => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            return Step::Verify(unknown);
        }
        if solid > 0 {
            gone.extend(waiting);
            return if gone.is_empty() { Step::Nothing } else { Step::Disown(gone) };
        }
        if !waiting.is_empty() && dependents().next().is_some() {
            return Step::Delete(Policy::Foreground);
        }
        Step::Delete(if object.has(ORPHAN) {
            Policy::Orphan
        } else if object.has(FOREGROUND) {
            Policy::Foreground
        } else {
            Policy::Background
        })
    }
}

impl Consistent for Graph {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        let mut dependents: HashMap<String, BTreeSet<String>> = HashMap::new();
        for object in self.objects.values() {
            for owner in &object.owners {
                dependents.entry(owner.uid.clone()).or_default().insert(object.uid.clone());
            }
        }
        // Who has lost the last is kept as long as who lost it is decided on.
        let held = self.dependents.iter().filter(|(_, set)| !set.is_empty()).map(|(uid, set)| (uid.clone(), set.clone())).collect();
        same("dependents by owner", &held, &dependents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, owners: &[&str]) -> Object {
        let owner = |uid: &&str| OwnerReference { uid: (*uid).into(), block_owner_deletion: Some(true), ..OwnerReference::default() };
        Object {
            resource: "r".into(),
            namespace: Some("n".into()),
            name: uid.into(),
            uid: uid.into(),
            owners: owners.iter().map(owner).collect(),
            deleting: false,
            finalizers: Vec::new(),
        }
    }

    fn graph(objects: Vec<Object>) -> Graph {
        let mut g = Graph::default();
        g.expect(["r".to_owned()].into_iter());
        g.reset("r", objects);
        g
    }

    fn step(g: &Graph, uid: &str) -> Step {
        g.decide(uid).unwrap().1
    }

    #[test]
    fn nothing_is_decided_before_everything_was_listed() {
        let mut g = Graph::default();
        g.expect(["r".to_owned(), "s".to_owned()].into_iter());
        g.reset("r", vec![object("child", &["parent"])]);
        assert!(g.decide("child").is_none());
        assert!(g.reset("s", Vec::new()).contains(&"child".to_owned()));
        assert!(matches!(step(&g, "child"), Step::Verify(_)));
    }

    #[test]
    fn a_child_follows_its_last_owner() {
        let mut g = graph(vec![object("a", &[]), object("b", &[]), object("child", &["a", "b"])]);
        assert_eq!(step(&g, "child"), Step::Nothing);
        assert!(g.delete("a").contains(&"child".to_owned()));
        assert_eq!(step(&g, "child"), Step::Disown(vec!["a".into()]));
        g.delete("b");
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Background));
    }

    #[test]
    fn an_owner_of_unknown_fate_is_asked_for_and_believed() {
        let mut g = graph(vec![object("child", &["x"])]);
        g.verified("x", true);
        assert_eq!(step(&g, "child"), Step::Nothing);
        let mut g = graph(vec![object("child", &["x"])]);
        g.verified("x", false);
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Background));
    }

    #[test]
    fn foreground_deletion_goes_from_the_leaves_up() {
        let mut parent = object("parent", &[]);
        (parent.deleting, parent.finalizers) = (true, vec![FOREGROUND.into()]);
        let mut g = graph(vec![object("child", &["parent"]), object("leaf", &["child"])]);
        assert!(g.apply(parent).contains(&"child".to_owned()));
        assert_eq!(step(&g, "parent"), Step::Nothing);
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Foreground));
        let mut child = object("child", &["parent"]);
        (child.deleting, child.finalizers) = (true, vec![FOREGROUND.into()]);
        g.apply(child);
        assert_eq!(step(&g, "leaf"), Step::Delete(Policy::Background));
        assert!(g.delete("leaf").contains(&"child".to_owned()));
        assert_eq!(step(&g, "child"), Step::Unfinalize(FOREGROUND));
        assert!(g.delete("child").contains(&"parent".to_owned()));
        assert_eq!(step(&g, "parent"), Step::Unfinalize(FOREGROUND));
    }

    #[test]
    fn orphaning_names_the_dependents() {
        let mut parent = object("parent", &[]);
        (parent.deleting, parent.finalizers) = (true, vec![ORPHAN.into()]);
        let g = graph(vec![parent, object("child", &["parent"])]);
        assert!(matches!(step(&g, "parent"), Step::Orphan(d) if d.len() == 1));
    }
}
