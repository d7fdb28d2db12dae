//! Where Pods are, counted by kind.
//!
//! Rules of Pods about Pods see labels and namespaces, not names. Counted by kind, a rule is held against each kind once, however
//! many Pods there are of it. Invariant: no count is zero, no kind is without a node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::terms::Kind;

type Counts = BTreeMap<String, i64>;

/// How many Pods of each kind are on each node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Crowd {
    /// Kinds without rules about others; most Pods.
    plain: HashMap<Arc<Kind>, Counts>,
    /// Kinds with rules about others, which every decision has to look at.
    ruled: HashMap<Arc<Kind>, Counts>,
}

impl Crowd {
    fn side(&mut self, kind: &Kind) -> &mut HashMap<Arc<Kind>, Counts> {
        if kind.rules.is_empty() { &mut self.plain } else { &mut self.ruled }
    }

    /// One more Pod.
    pub(crate) fn add(&mut self, kind: &Arc<Kind>, node: &str) {
        let counts = self.side(kind).entry(Arc::clone(kind)).or_default();
        match counts.get_mut(node) {
            Some(count) => *count += 1,
            None => drop(counts.insert(node.to_owned(), 1)),
        }
    }

    /// One Pod less.
    pub(crate) fn remove(&mut self, kind: &Arc<Kind>, node: &str) {
        let side = self.side(kind);
        let Some(counts) = side.get_mut(kind) else { return };
        if let Some(count) = counts.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                counts.remove(node);
            }
        }
        if counts.is_empty() {
            side.remove(kind);
        }
    }

    /// The kinds with rules about others, and how many of each are where.
    pub(crate) fn ruled(&self) -> impl Iterator<Item = (&Kind, &BTreeMap<String, i64>)> {
        self.ruled.iter().map(|(kind, counts)| (&**kind, counts))
    }

    /// All kinds, and how many of each are where.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Kind, &BTreeMap<String, i64>)> {
        self.plain.iter().chain(&self.ruled).map(|(kind, counts)| (&**kind, counts))
    }

    /// How many Pods of the kinds that `are_meant` each node has.
    pub(crate) fn count(&self, are_meant: impl Fn(&Kind) -> bool) -> HashMap<&str, i64> {
        let mut sum: HashMap<&str, i64> = HashMap::new();
        for (node, n) in self.all().filter(|(kind, _)| are_meant(kind)).flat_map(|(_, counts)| counts) {
            *sum.entry(node).or_default() += n;
        }
        sum
    }
}
