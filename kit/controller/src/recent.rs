//! A map that forgets what was used longest ago, for memories that must be bounded.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `most` entries. Every insertion and every look counts as a use.
#[derive(Debug, Clone)]
pub(crate) struct Recent<K, V> {
    most: usize,
    entries: HashMap<K, (V, u64)>,
    /// Key by last use.
    order: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }

    /// The value of a key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (value, used) = self.entries.get_mut(key)?;
        let key = self.order.remove(used)?;
        self.uses += 1;
        *used = self.uses;
        self.order.insert(self.uses, key);
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.uses += 1;
        if let Some((_, used)) = self.entries.insert(key.clone(), (value, self.uses)) {
            self.order.remove(&used);
        }
        self.order.insert(self.uses, key);
        if self.entries.len() > self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (value, used) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get("b"), None);
        assert_eq!(recent.remove("a"), Some(1));
        assert_eq!(recent.get("c"), Some(&mut 3));
        for i in 0..10 {
            recent.insert("c", i);
        }
        assert_eq!((recent.entries.len(), recent.order.len()), (1, 1));
    }
}
