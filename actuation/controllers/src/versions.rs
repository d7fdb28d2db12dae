//! Which versions of objects count.
//!
//! Objects come from watches, from lists, and in answers to our own writes, and these overtake each other. One
//! rule for all: an object is taken in only if it is newer than what was taken in before and if its UID is not
//! known to be gone. What is missing from a list is gone as of that list only: an object that was created while
//! the list was under way is newer than everything in it, and counts.

use std::collections::{HashMap, HashSet, VecDeque};

use dormouse_planner::ids::Uid;

/// UIDs of deleted objects that are remembered.
const TOMBSTONES: usize = 8_192;

/// The versions of the objects of one kind.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    latest: HashMap<Uid, u64>,
    /// The lowest version that would prove the end of a UID wrong.
    gone: HashMap<Uid, u64>,
    order: VecDeque<Uid>,
}

impl Versions {
    /// Whether this object is news; if so, it is now the latest.
    pub(crate) fn admit(&mut self, uid: &Uid, version: u64) -> bool {
        if self.gone.get(uid).is_some_and(|least| version < *least) || self.latest.get(uid).is_some_and(|known| *known >= version) {
            return false;
        }
        self.gone.remove(uid);
        self.latest.insert(uid.clone(), version);
        true
    }

    /// This UID is gone for good.
    pub(crate) fn end(&mut self, uid: &Uid) {
        self.bury(uid, u64::MAX);
    }

    /// Ends every UID that a list does not have, and says which; `newest` is the highest version in the list.
    pub(crate) fn listed(&mut self, all: &HashSet<Uid>, newest: u64) -> Vec<Uid> {
        let missing: Vec<(Uid, u64)> = self.latest.iter().filter(|(uid, _)| !all.contains(*uid)).map(|(u, v)| (u.clone(), *v)).collect();
        for (uid, version) in &missing {
            self.bury(uid, (newest + 1).max(*version));
        }
        missing.into_iter().map(|(uid, _)| uid).collect()
    }

    fn bury(&mut self, uid: &Uid, least: u64) {
        self.latest.remove(uid);
        let entry = self.gone.entry(uid.clone());
        if matches!(entry, std::collections::hash_map::Entry::Vacant(_)) {
            self.order.push_back(uid.clone());
        }
        let known = entry.or_insert(least);
        *known = least.max(*known);
        if self.order.len() > TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_newer_counts() {
        let (mut v, a) = (Versions::default(), Uid::from("a"));
        assert!(v.admit(&a, 5) && !v.admit(&a, 5) && !v.admit(&a, 4) && v.admit(&a, 6));
        v.end(&a);
        assert!(!v.admit(&a, 99));
    }

    #[test]
    fn what_is_newer_than_a_list_is_not_ended_by_it() {
        let (mut v, a, b) = (Versions::default(), Uid::from("a"), Uid::from("b"));
        v.admit(&a, 3);
        v.admit(&b, 9);
        // The list was made at 7, before `b` was created; the watch that follows it brings `b` again.
        assert_eq!(v.listed(&HashSet::new(), 7).len(), 2);
        assert!(!v.admit(&a, 3) && !v.admit(&a, 7));
        assert!(v.admit(&b, 9));
    }

    #[test]
    fn memory_of_the_dead_is_bounded() {
        let mut v = Versions::default();
        for i in 0..TOMBSTONES + 10 {
            v.end(&Uid::from(i.to_string().as_str()));
            v.end(&Uid::from(i.to_string().as_str()));
        }
        assert_eq!((v.gone.len(), v.order.len()), (TOMBSTONES, TOMBSTONES));
    }
}
