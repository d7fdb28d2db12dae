//! The index of one kind of namespaced or cluster-scoped objects, by name.
//!
//! Held: what is kept of each object (all of it, or an extract) and the versions seen. Invariant: an object is held
//! exactly when its UID is known and not gone. Answers to our own writes go in by the same rule as what watches show, so
//! that nothing older replaces what is newer; and what a watch has ended only a watch brings back.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use crate::index::{Consistent, Inconsistent, Index, Touched};
use crate::versions::{Versions, version};
use crate::{Reason, same};

/// Where an object is: its namespace (empty when it has none) and its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// By its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What became of an object that was put in.
#[derive(Debug, PartialEq, Eq)]
pub enum Put<V> {
    /// It is not news: older than what is held, or of an object that is gone.
    Stale,
    /// Nothing was held under this name.
    New,
    /// This was.
    Replaced(V),
}

/// Objects by name.
#[derive(Debug, Clone)]
pub struct Objects<V> {
    held: BTreeMap<ObjectKey, Held<V>>,
    versions: Versions<String>,
}

#[derive(Debug, Clone)]
struct Held<V> {
    uid: String,
    value: V,
}

impl<V> Default for Objects<V> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), versions: Versions::default() }
    }
}

fn uid(meta: &ObjectMeta) -> String {
    // Every server gives one; without, the name must do.
    meta.uid.clone().unwrap_or_else(|| ObjectKey::of(meta).to_string())
}

impl<V> Objects<V> {
    /// Takes in what the answer to a call of ours shows.
    pub fn put_answer(&mut self, meta: &ObjectMeta, value: V) -> Put<V> {
        if self.versions.is_ended(&uid(meta)) { Put::Stale } else { self.put(meta, value) }
    }

    /// Takes in what a watch shows.
    pub fn put(&mut self, meta: &ObjectMeta, value: V) -> Put<V> {
        let uid = uid(meta);
        if !self.versions.admit(&uid, version(meta)) {
            return Put::Stale;
        }
        match self.held.insert(ObjectKey::of(meta), Held { uid: uid.clone(), value }) {
            Some(old) => {
                if old.uid != uid {
                    self.versions.end(&old.uid);
                }
                Put::Replaced(old.value)
            }
            None => Put::New,
        }
    }

    /// This very object is gone; what was held of it.
    pub fn remove(&mut self, meta: &ObjectMeta) -> Option<V> {
        self.forget(&ObjectKey::of(meta), &uid(meta))
    }

    /// The object of this name and UID does not count any more, whatever comes of it; what was held of it.
    pub fn forget(&mut self, key: &ObjectKey, uid: &str) -> Option<V> {
        self.versions.end(&uid.to_owned());
        let same = self.held.get(key).is_some_and(|held| held.uid == uid);
        if same { self.held.remove(key).map(|held| held.value) } else { None }
    }

    /// A list shows everything there is; what of it was held and is gone.
    pub fn replace_all(&mut self, all: Vec<(ObjectMeta, V)>) -> Vec<(ObjectKey, V)> {
        let there: HashSet<String> = all.iter().map(|(meta, _)| uid(meta)).collect();
        let newest = all.iter().map(|(meta, _)| version(meta)).max().unwrap_or(0);
        let gone: HashSet<String> = self.versions.listed(&there, newest).into_iter().collect();
        let gone = self.held.extract_if(.., |_, held| gone.contains(&held.uid)).map(|(key, held)| (key, held.value)).collect();
        for (meta, value) in all {
            self.put(&meta, value);
        }
        gone
    }

    /// What is held under a name.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&V> {
        self.held.get(key).map(|held| &held.value)
    }

    /// What is held under a name, to be changed, if it is still this object.
    pub fn get_mut(&mut self, key: &ObjectKey, uid: &str) -> Option<&mut V> {
        self.held.get_mut(key).filter(|held| held.uid == uid).map(|held| &mut held.value)
    }

    /// All, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &V)> {
        self.held.iter().map(|(key, held)| (key, &held.value))
    }

    /// Those of one namespace.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a ObjectKey, &'a V)> {
        let from = ObjectKey::new(namespace, "");
        self.held.range(from..).take_while(move |(key, _)| key.namespace == namespace).map(|(key, held)| (key, &held.value))
    }
}

impl<V> Consistent for Objects<V> {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        let unknown = self.held.iter().find(|(_, held)| !self.versions.knows(&held.uid)).map(|(key, _)| key);
        same("objects whose version is unknown", &unknown, &None)?;
        same("number of objects", &self.held.len(), &self.versions.len())
    }
}

/// Whole objects; what is worked on is the object itself.
impl<K: Resource> Index<K> for Objects<Arc<K>> {
    type Key = ObjectKey;

    fn apply(&mut self, object: K) -> Touched<ObjectKey> {
        let meta = object.meta().clone();
        match self.put(&meta, Arc::new(object)) {
            Put::Stale => Vec::new(),
            Put::New | Put::Replaced(_) => vec![(ObjectKey::of(&meta), Reason::Changed)],
        }
    }

    fn delete(&mut self, object: K) -> Touched<ObjectKey> {
        self.remove(object.meta());
        vec![(ObjectKey::of(object.meta()), Reason::Deleted)]
    }

    fn reset(&mut self, all: Vec<K>) -> Touched<ObjectKey> {
        let gone = self.replace_all(all.into_iter().map(|object| (object.meta().clone(), Arc::new(object))).collect());
        let gone = gone.into_iter().map(|(key, _)| (key, Reason::Deleted));
        gone.chain(self.iter().map(|(key, _)| (key.clone(), Reason::Listed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::Change;

    fn map(name: &str, uid: &str, version: u64) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some("n".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("n", name)
    }

    #[test]
    fn a_watch_keeps_it_in_step_and_answers_overtake_the_watch() {
        let mut maps = Objects::<Arc<ConfigMap>>::default();
        let touched = Change::Reset(vec![map("a", "1", 5), map("b", "2", 6)]).fold_into(&mut maps);
        assert_eq!(touched, [(key("a"), Reason::Listed), (key("b"), Reason::Listed)]);
        // An answer to a write of our own, then the watch shows the same and something older.
        assert!(matches!(maps.put_answer(&map("a", "1", 8).metadata, Arc::new(map("a", "1", 8))), Put::Replaced(_)));
        assert!(Change::Apply(map("a", "1", 8)).fold_into(&mut maps).is_empty());
        assert!(Change::Apply(map("a", "1", 7)).fold_into(&mut maps).is_empty());
        // The same name, another object: the end of the first, when it is told late, does not end the second.
        assert_eq!(Change::Apply(map("b", "3", 9)).fold_into(&mut maps), [(key("b"), Reason::Changed)]);
        Change::Delete(map("b", "2", 6)).fold_into(&mut maps);
        assert!(maps.get(&key("b")).is_some());
        // A list without it is its end.
        let touched = Change::Reset(vec![map("a", "1", 10)]).fold_into(&mut maps);
        assert_eq!(touched, [(key("b"), Reason::Deleted), (key("a"), Reason::Listed)]);
        assert!(Change::Apply(map("b", "3", 9)).fold_into(&mut maps).is_empty());
        assert_eq!(maps.in_namespace("n").count(), 1);
    }

    #[test]
    fn what_a_list_has_ended_an_answer_does_not_bring_back() {
        let mut maps = Objects::<Arc<ConfigMap>>::default();
        Change::Reset(vec![map("a", "1", 5)]).fold_into(&mut maps);
        let late = |maps: &mut Objects<_>| maps.put_answer(&map("b", "2", 9).metadata, Arc::new(map("b", "2", 9)));
        assert_eq!(late(&mut maps), Put::New);
        // Its newest item is older than `b` was: `b` is gone, or too new for it.
        Change::Reset(vec![map("a", "1", 5)]).fold_into(&mut maps);
        assert_eq!(late(&mut maps), Put::Stale);
        assert_eq!(Change::Apply(map("b", "2", 9)).fold_into(&mut maps), [(key("b"), Reason::Changed)], "the watch knows");
        assert_eq!(late(&mut maps), Put::Stale, "no news");
        assert!(maps.get(&key("b")).is_some());
    }
}
