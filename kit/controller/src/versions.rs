//! Which versions of objects count.
//!
//! Objects come from watches, from lists, and in answers to our own writes, and these overtake each other. One
//! rule for all: an object is taken in only if it is newer than what was taken in before and if its UID is not
//! known to be gone. What is missing from a list is gone as of that list only: an object that was created while
//! the list was under way is newer than everything in it, and counts. That the watch decides, which would also show its end; an
//! answer to a write of ours may have been on its way since long before, and brings nothing back ([`Versions::is_ended`]).

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::recent::Recent;

/// UIDs of deleted objects that are remembered.
const REMEMBERED: usize = 8_192;

/// The version of an object. Versions are opaque by the book and numbers in every server there is; one that is none
/// never counts as newer.
#[must_use]
pub fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_ref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The versions of the objects of one kind, by whatever names an object for good (its UID).
#[derive(Debug, Clone)]
pub struct Versions<U> {
    latest: HashMap<U, u64>,
    /// The lowest version that would prove the end of an object wrong.
    ended: Recent<U, u64>,
}

impl<U: Eq + Hash + Clone> Default for Versions<U> {
    fn default() -> Self {
        Self { latest: HashMap::new(), ended: Recent::new(REMEMBERED) }
    }
}

impl<U: Eq + Hash + Clone> Versions<U> {
    /// Whether this object is news; if so, it is now the latest.
    pub fn admit(&mut self, uid: &U, version: u64) -> bool {
        if self.ended.get(uid).is_some_and(|least| version < *least) || self.latest.get(uid).is_some_and(|known| *known >= version) {
            return false;
        }
        self.ended.remove(uid);
        self.latest.insert(uid.clone(), version);
        true
    }

    /// Whether this object was ended: what an answer shows of it does not count then, however new.
    pub fn is_ended(&mut self, uid: &U) -> bool {
        self.ended.get(uid).is_some()
    }

    /// This object is gone for good.
    pub fn end(&mut self, uid: &U) {
        self.end_below(uid, u64::MAX);
    }

    /// Ends every object that a list does not have, and says which; `newest` is the highest version in the list.
    pub fn listed(&mut self, all: &HashSet<U>, newest: u64) -> Vec<U> {
        let missing: Vec<(U, u64)> = self.latest.iter().filter(|(uid, _)| !all.contains(*uid)).map(|(u, v)| (u.clone(), *v)).collect();
        for (uid, version) in &missing {
            self.end_below(uid, (newest + 1).max(*version));
        }
        missing.into_iter().map(|(uid, _)| uid).collect()
    }

    /// Whether an object is known and not gone.
    pub fn knows<Q: Eq + Hash + ?Sized>(&self, uid: &Q) -> bool
    where
        U: Borrow<Q>,
    {
        self.latest.contains_key(uid)
    }

    /// How many objects are known and not gone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Only a version of at least `least` would bring this object back.
    fn end_below(&mut self, uid: &U, least: u64) {
        self.latest.remove(uid);
        let known = self.ended.get(uid).map_or(0, |known| *known);
        self.ended.insert(uid.clone(), least.max(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_newer_counts() {
        let mut v = Versions::default();
        assert!(v.admit(&"a", 5) && !v.admit(&"a", 5) && !v.admit(&"a", 4) && v.admit(&"a", 6));
        v.end(&"a");
        assert!(!v.admit(&"a", 99) && v.is_empty());
    }

    #[test]
    fn what_is_newer_than_a_list_is_not_ended_by_it() {
        let mut v = Versions::default();
        v.admit(&"a", 3);
        v.admit(&"b", 9);
        // The list was made at 7, before `b` was created; the watch that follows it brings `b` again.
        assert_eq!(v.listed(&HashSet::new(), 7).len(), 2);
        assert!(!v.admit(&"a", 3) && !v.admit(&"a", 7));
        assert!(v.is_ended(&"b") && v.admit(&"b", 9) && !v.is_ended(&"b"));
    }
}
