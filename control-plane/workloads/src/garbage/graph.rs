//! PURE: who owns whom, and what is to become of one object.
//!
//! Held: the kinds that are served, every object by UID, its dependents, and which owners are known to be absent. Nothing is
//! decided before each served kind has been listed once.
//!
//! A reference means its owner by everything it says: group, kind and name, in the dependent's namespace or, for kinds that
//! have none, in the cluster. That an object elsewhere has the UID does not make it the owner.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dormouse_controller::{Consistent, Inconsistent, same};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::resources::Served;

const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// One object as the graph knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub resource: String,
    pub namespace: Option<String>,
    pub name: String,
    pub uid: String,
    /// The resourceVersion in which it is known: what is decided holds for no other.
    pub version: Option<String>,
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

/// Where an owner is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl Place {
    /// Whether `reference` in `dependent` means this place, if the kind has namespaces or not as this place says.
    fn is_meant(&self, reference: &OwnerReference, dependent: &Object) -> bool {
        let there = self.namespace.is_none() || self.namespace == dependent.namespace;
        there && self.name == reference.name && self.kind == reference.kind && self.group == group(reference)
    }
}

/// The group of a reference.
fn group(reference: &OwnerReference) -> &str {
    reference.api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// An owner that the graph does not hold, as the API is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Key of its kind in what is served.
    pub resource: String,
    /// Group and version as the reference has them.
    pub api_version: String,
    pub place: Place,
    pub uid: String,
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
    Verify(Vec<Owner>),
    Delete(Policy),
    /// Take the owners with these UIDs off.
    Disown(Vec<String>),
    /// Take this object off its dependents, then let it go.
    Orphan(Vec<Object>),
    /// Remove a finalizer of ours.
    Unfinalize(&'static str),
}

/// What is known of the owner that a reference means.
enum Fate {
    /// It is there.
    Solid,
    /// It is there, and waits for its dependents to go.
    Waiting,
    Absent,
    /// To be asked for.
    Unknown(Owner),
    /// It cannot be asked for: its kind is not served, or is none of a cluster-scoped object's owner.
    Unresolvable,
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    served: BTreeMap<String, Served>,
    objects: HashMap<String, Object>,
    /// Who names this UID as an owner, rightly or not.
    dependents: HashMap<String, BTreeSet<String>>,
    /// By UID, where there is no such owner.
    absent: HashMap<String, Vec<Place>>,
    /// By UID of the dependent, the owners of whose wrong namespace was told.
    told: HashMap<String, Vec<String>>,
    awaited: HashSet<String>,
    listed: HashSet<String>,
    expected: bool,
}

impl Graph {
    fn ready(&self) -> bool {
        self.expected && self.awaited.is_empty()
    }

    /// A kind by its key.
    pub(super) fn served(&self, resource: &str) -> Option<&Served> {
        self.served.get(resource)
    }

    /// These kinds are served: nothing is decided before each was listed. Keys to decide when that is so.
    pub(super) fn expect(&mut self, served: BTreeMap<String, Served>) -> Vec<String> {
        let vanished: Vec<String> = self.listed.iter().filter(|r| !served.contains_key(*r)).cloned().collect();
        let mut keys = Vec::new();
        for resource in vanished {
            self.listed.remove(&resource);
            let gone: Vec<String> = self.objects.values().filter(|o| o.resource == resource).map(|o| o.uid.clone()).collect();
            keys.extend(gone.iter().flat_map(|uid| self.delete(uid)));
        }
        self.awaited = served.keys().filter(|r| !self.listed.contains(*r)).cloned().collect();
        self.served = served;
        self.expected = true;
        // An owner that could not be asked for may be one of these.
        let open = |o: &&Object| o.owners.iter().any(|r| matches!(self.fate(o, r), Fate::Unknown(_) | Fate::Unresolvable));
        keys.extend(self.objects.values().filter(open).map(|o| o.uid.clone()));
        keys
    }

    /// A listed or changed object; the UIDs to decide.
    pub(super) fn apply(&mut self, object: Object) -> Vec<String> {
        let mut keys = vec![object.uid.clone()];
        let old = self.objects.remove(&object.uid);
        // Whoever names it can be decided now, and whoever names it wrongly anew.
        if old.is_none() || object.waits() {
            keys.extend(self.dependents.get(&object.uid).into_iter().flatten().cloned());
        }
        for owner in &object.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(object.uid.clone());
        }
        for owner in old.iter().flat_map(|o| &o.owners).filter(|old| !object.owners.iter().any(|o| o.uid == old.uid)) {
            self.unlink(&owner.uid, &object.uid);
            keys.push(owner.uid.clone());
        }
        if let Some(told) = self.told.get_mut(&object.uid) {
            told.retain(|uid| object.owners.iter().any(|o| o.uid == *uid));
        }
        if let Some(place) = self.place(&object)
            && let Some(absent) = self.absent.get_mut(&object.uid)
        {
            absent.retain(|p| *p != place);
        }
        self.objects.insert(object.uid.clone(), object);
        keys
    }

    /// An object is gone; the UIDs to decide: its dependents, and owners that may wait for it.
    pub(super) fn delete(&mut self, uid: &str) -> Vec<String> {
        let Some(old) = self.objects.remove(uid) else { return Vec::new() };
        self.told.remove(uid);
        let mut keys: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        if let Some(place) = self.place(&old) {
            self.add_absent(uid, place);
        }
        for owner in &old.owners {
            self.unlink(&owner.uid, uid);
            keys.push(owner.uid.clone());
        }
        keys
    }

    /// Nothing more is held of an owner when the last has gone that names it.
    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(set) = self.dependents.get_mut(owner) {
            set.remove(dependent);
            if set.is_empty() {
                self.dependents.remove(owner);
                self.absent.remove(owner);
            }
        }
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

    /// An answer to [`Step::Verify`]: there is no such owner.
    pub(super) fn absent(&mut self, owner: &Owner) {
        self.add_absent(&owner.uid, owner.place.clone());
    }

    fn add_absent(&mut self, uid: &str, place: Place) {
        if self.dependents.contains_key(uid) {
            let absent = self.absent.entry(uid.to_owned()).or_default();
            if !absent.contains(&place) {
                absent.push(place);
            }
        }
    }

    /// Decides one object; `None` when there is nothing to decide yet.
    pub(super) fn decide(&self, uid: &str) -> Option<(Object, Step)> {
        let object = self.objects.get(uid).filter(|_| self.ready())?;
        Some((object.clone(), self.step(object)))
    }

    /// The references of an object whose owners cannot be in its namespace, each once: the UID is of an object in another one,
    /// or the object is of the cluster and the kind is not.
    pub(super) fn misplaced(&mut self, uid: &str) -> Vec<OwnerReference> {
        let Some(object) = self.objects.get(uid).filter(|_| self.ready()) else { return Vec::new() };
        let elsewhere =
            |r: &OwnerReference| self.objects.get(&r.uid).is_some_and(|o| o.namespace.is_some() && o.namespace != object.namespace);
        let of_cluster = |r: &OwnerReference| object.namespace.is_none() && self.kind(r).is_some_and(|(_, s)| s.namespaced);
        let told = self.told.get(uid);
        let new = |r: &&OwnerReference| !told.is_some_and(|t| t.contains(&r.uid)) && (elsewhere(r) || of_cluster(r));
        let misplaced: Vec<OwnerReference> = object.owners.iter().filter(new).cloned().collect();
        if !misplaced.is_empty() {
            self.told.entry(uid.to_owned()).or_default().extend(misplaced.iter().map(|r| r.uid.clone()));
        }
        misplaced
    }

    /// Where an object is; `None` when its kind is not served.
    fn place(&self, object: &Object) -> Option<Place> {
        let kind = &self.served.get(&object.resource)?.resource;
        let (namespace, name) = (object.namespace.clone(), object.name.clone());
        Some(Place { group: kind.group.clone(), kind: kind.kind.clone(), namespace, name })
    }

    /// The kind that a reference names, whatever its version.
    fn kind(&self, reference: &OwnerReference) -> Option<(&String, &Served)> {
        self.served.iter().find(|(_, s)| s.resource.kind == reference.kind && s.resource.group == group(reference))
    }

    fn fate(&self, object: &Object, reference: &OwnerReference) -> Fate {
        // What was there and is gone stays absent when its kind goes too.
        if self.absent.get(&reference.uid).is_some_and(|places| places.iter().any(|p| p.is_meant(reference, object))) {
            return Fate::Absent;
        }
        let Some((resource, served)) = self.kind(reference) else { return Fate::Unresolvable };
        if served.namespaced && object.namespace.is_none() {
            return Fate::Unresolvable;
        }
        let namespace = object.namespace.clone().filter(|_| served.namespaced);
        match self.objects.get(&reference.uid) {
            Some(o) if o.resource == *resource && o.name == reference.name && o.namespace == namespace => {
                if o.waits() {
                    Fate::Waiting
                } else {
                    Fate::Solid
                }
            }
            _ => Fate::Unknown(Owner {
                resource: resource.clone(),
                api_version: reference.api_version.clone(),
                place: Place { group: group(reference).to_owned(), kind: reference.kind.clone(), namespace, name: reference.name.clone() },
                uid: reference.uid.clone(),
            }),
        }
    }

    fn step(&self, object: &Object) -> Step {
        let dependents = || self.dependents.get(&object.uid).into_iter().flatten().filter_map(|uid| self.objects.get(uid));
        if object.deleting {
            if object.has(ORPHAN) {
                return Step::Orphan(dependents().cloned().collect());
            }
            let blocks = |d: &Object| {
                let blocking = |r: &&OwnerReference| r.uid == object.uid && r.block_owner_deletion == Some(true);
                d.owners.iter().filter(blocking).any(|r| matches!(self.fate(d, r), Fate::Solid | Fate::Waiting))
            };
            if object.has(FOREGROUND) && !dependents().any(blocks) {
                return Step::Unfinalize(FOREGROUND);
            }
            return Step::Nothing;
        }
        if object.owners.is_empty() {
            return Step::Nothing;
        }
        let (mut solid, mut gone, mut waiting, mut unknown) = (false, Vec::new(), Vec::new(), Vec::new());
        for reference in &object.owners {
            match self.fate(object, reference) {
                Fate::Solid => solid = true,
                Fate::Waiting => waiting.push(reference.uid.clone()),
                Fate::Absent => gone.push(reference.uid.clone()),
                Fate::Unknown(owner) => unknown.push(owner),
                // While one owner may be there, the object is left as it is.
                Fate::Unresolvable => return Step::Nothing,
            }
        }
        if !unknown.is_empty() {
            return Step::Verify(unknown);
        }
        if solid {
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
        same("dependents by owner", &self.dependents, &dependents)?;
        let idle = self.absent.keys().find(|uid| !dependents.contains_key(*uid));
        same("absent owners that nobody names", &idle, &None)?;
        let idle = self.told.keys().find(|uid| !self.objects.contains_key(*uid));
        same("objects told of that are gone", &idle, &None)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;

    fn served(kinds: &[(&str, bool)]) -> BTreeMap<String, Served> {
        let row = |kind: &str| ApiResource {
            group: "g".into(),
            version: "v1".into(),
            api_version: "g/v1".into(),
            kind: kind.into(),
            plural: kind.to_lowercase(),
        };
        kinds
            .iter()
            .map(|(kind, namespaced)| (format!("g/{}", kind.to_lowercase()), Served { resource: row(kind), namespaced: *namespaced }))
            .collect()
    }

    fn names(owner: &str) -> OwnerReference {
        OwnerReference {
            api_version: "g/v1".into(),
            kind: "R".into(),
            name: owner.into(),
            uid: owner.into(),
            block_owner_deletion: Some(true),
            ..OwnerReference::default()
        }
    }

    fn object(uid: &str, owners: &[&str]) -> Object {
        Object {
            resource: "g/r".into(),
            namespace: Some("n".into()),
            name: uid.into(),
            uid: uid.into(),
            version: Some("1".into()),
            owners: owners.iter().map(|o| names(o)).collect(),
            deleting: false,
            finalizers: Vec::new(),
        }
    }

    /// Of a cluster-scoped kind.
    fn cluster_object(uid: &str, owners: &[&str]) -> Object {
        Object { resource: "g/c".into(), namespace: None, ..object(uid, owners) }
    }

    fn graph(objects: Vec<Object>) -> Graph {
        let mut g = Graph::default();
        g.expect(served(&[("R", true), ("C", false)]));
        let (of_cluster, namespaced) = objects.into_iter().partition(|o| o.resource == "g/c");
        g.reset("g/r", namespaced);
        g.reset("g/c", of_cluster);
        g
    }

    fn step(g: &Graph, uid: &str) -> Step {
        assert_eq!(g.consistency_check(), Ok(()));
        g.decide(uid).unwrap().1
    }

    /// Asks for what is to be verified, and answers that nothing is there.
    fn verify(g: &mut Graph, uid: &str) -> Vec<Owner> {
        let Step::Verify(owners) = step(g, uid) else { panic!("{:?}", step(g, uid)) };
        owners.iter().for_each(|o| g.absent(o));
        owners
    }

    #[test]
    fn nothing_is_decided_before_everything_was_listed() {
        let mut g = Graph::default();
        g.expect(served(&[("R", true), ("S", true)]));
        g.reset("g/r", vec![object("child", &["parent"])]);
        assert!(g.decide("child").is_none());
        assert!(g.reset("g/s", Vec::new()).contains(&"child".to_owned()));
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
        g.delete("child");
        assert_eq!(g.consistency_check(), Ok(()));
    }

    #[test]
    fn an_owner_of_unknown_fate_is_asked_for_and_waited_for() {
        let mut g = graph(vec![object("child", &["x"])]);
        let place = Place { group: "g".into(), kind: "R".into(), namespace: Some("n".into()), name: "x".into() };
        assert_eq!(verify(&mut g, "child"), [Owner { resource: "g/r".into(), api_version: "g/v1".into(), place, uid: "x".into() }]);
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Background));
        // It was only late.
        assert!(g.apply(object("x", &[])).contains(&"child".to_owned()));
        assert_eq!(step(&g, "child"), Step::Nothing);
    }

    #[test]
    fn the_uid_alone_does_not_make_an_owner() {
        let wrong = |change: fn(&mut OwnerReference)| {
            let mut child = object("child", &["x"]);
            change(&mut child.owners[0]);
            let mut g = graph(vec![object("x", &[]), child]);
            verify(&mut g, "child");
            assert_eq!(g.misplaced("child"), []);
            step(&g, "child")
        };
        assert_eq!(wrong(|r| r.name = "y".into()), Step::Delete(Policy::Background));
        assert_eq!(wrong(|r| r.kind = "C".into()), Step::Delete(Policy::Background));
        // Any version of the right group and kind is the same object.
        let mut child = object("child", &["x"]);
        child.owners[0].api_version = "g/v1alpha1".into();
        assert_eq!(step(&graph(vec![object("x", &[]), child]), "child"), Step::Nothing);
    }

    #[test]
    fn an_owner_in_another_namespace_is_absent_and_told_once() {
        let owner = Object { namespace: Some("other".into()), ..object("x", &[]) };
        let mut g = graph(vec![owner.clone(), object("a", &[]), object("child", &["x"]), object("second", &["x", "a"])]);
        assert_eq!(g.misplaced("child"), [names("x")]);
        assert_eq!(g.misplaced("child"), []);
        assert_eq!(verify(&mut g, "child")[0].place.namespace.as_deref(), Some("n"));
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Background));
        assert_eq!(step(&g, "second"), Step::Disown(vec!["x".into()]));
        // It is no dependent either: it holds up nobody.
        g.apply(Object { deleting: true, finalizers: vec![FOREGROUND.into()], ..owner });
        assert_eq!(step(&g, "x"), Step::Unfinalize(FOREGROUND));
        // Who sees the wrong owner last is told too.
        let mut g = graph(vec![object("child", &["x"])]);
        assert_eq!(g.misplaced("child"), []);
        assert!(g.apply(Object { namespace: Some("other".into()), ..object("x", &[]) }).contains(&"child".to_owned()));
        assert_eq!(g.misplaced("child"), [names("x")]);
    }

    #[test]
    fn a_cluster_scoped_object_has_no_namespaced_owner_and_stays() {
        let mut g = graph(vec![cluster_object("c", &["x"])]);
        assert_eq!(step(&g, "c"), Step::Nothing);
        assert_eq!(g.misplaced("c"), [names("x")]);
        g.apply(object("x", &[]));
        g.delete("x");
        assert_eq!(step(&g, "c"), Step::Nothing);
        // The other way round is allowed.
        let mut child = object("child", &["c"]);
        child.owners[0].kind = "C".into();
        g.apply(child);
        assert_eq!(step(&g, "child"), Step::Nothing);
        g.delete("c");
        assert_eq!(step(&g, "child"), Step::Delete(Policy::Background));
    }

    #[test]
    fn an_owner_of_a_kind_that_is_not_served_is_waited_for() {
        let mut child = object("child", &["x"]);
        child.owners[0].kind = "S".into();
        let mut g = graph(vec![child]);
        assert_eq!(step(&g, "child"), Step::Nothing);
        let kinds = served(&[("R", true), ("C", false), ("S", true)]);
        assert!(g.expect(kinds.clone()).contains(&"child".to_owned()));
        g.reset("g/s", vec![Object { resource: "g/s".into(), ..object("x", &[]) }]);
        assert_eq!(step(&g, "child"), Step::Nothing);
        // With the kind go its objects: what was there is absent then.
        assert!(g.expect(served(&[("R", true), ("C", false)])).contains(&"child".to_owned()));
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
