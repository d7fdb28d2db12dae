//! Affinity and anti-affinity between Pods. As kube-scheduler's `InterPodAffinity`.
//!
//! A rule means a place, the nodes that share the value of a label, not a node. What a decision needs is counted once: per
//! label and value.

use std::collections::{BTreeMap, HashMap};

use crate::facts::{NodeFacts, Wants};
use crate::filter::Reason;
use crate::score::BEST;
use crate::sight::Sight;
use crate::terms::{Kind, Rules, Term};

/// How much it weighs that a running Pod must be near the new one: kube-scheduler's `hardPodAffinityWeight`.
const NEAR_A_REQUIRED: i64 = 1;

/// A number for each value of a node label, by label.
type Places<'a> = HashMap<&'a str, HashMap<&'a str, i64>>;

fn add<'a>(places: &mut Places<'a>, term: &'a Term, node: &'a NodeFacts, n: i64) {
    if let Some(value) = node.labels.get(&term.topology_key) {
        *places.entry(&term.topology_key).or_default().entry(value).or_default() += n;
    }
}

fn at(places: &Places<'_>, key: &str, node: &NodeFacts) -> i64 {
    let value = node.labels.get(key).map(String::as_str);
    value.and_then(|value| places.get(key)?.get(value)).copied().unwrap_or(0)
}

/// What a decision counts once for the rules that must hold.
pub(crate) struct Between<'a> {
    rules: &'a Rules,
    /// Where Pods are that all terms of the affinity mean.
    near: Places<'a>,
    /// Where Pods are that a term of the anti-affinity means.
    apart: Places<'a>,
    /// Where Pods are that must not be near this one.
    shunned: Places<'a>,
    /// Whether the affinity means the Pod itself.
    own: bool,
}

impl<'a> Between<'a> {
    pub(crate) fn new(wants: &'a Wants, sight: Sight<'a>) -> Self {
        let (rules, kind) = (&wants.kind.rules, &*wants.kind);
        let (mut near, mut apart, mut shunned) = (Places::new(), Places::new(), Places::new());
        let all_mean = |kind: &Kind| rules.affinity.iter().all(|term| term.means(kind, sight.namespaces));
        if !rules.affinity.is_empty() || !rules.anti_affinity.is_empty() {
            for (other, counts) in sight.crowd.all() {
                let near_terms = if all_mean(other) { rules.affinity.as_slice() } else { &[] };
                let apart_terms: Vec<&Term> = rules.anti_affinity.iter().filter(|term| term.means(other, sight.namespaces)).collect();
                if near_terms.is_empty() && apart_terms.is_empty() {
                    continue;
                }
                for (node, n) in counts.iter().filter_map(|(name, n)| Some((sight.node(name)?, *n))) {
                    near_terms.iter().for_each(|term| add(&mut near, term, node, n));
                    apart_terms.iter().for_each(|term| add(&mut apart, term, node, n));
                }
            }
        }
        for (other, counts) in sight.crowd.ruled() {
            for term in other.rules.anti_affinity.iter().filter(|term| term.means(kind, sight.namespaces)) {
                for (node, n) in counts.iter().filter_map(|(name, n)| Some((sight.node(name)?, *n))) {
                    add(&mut shunned, term, node, n);
                }
            }
        }
        Self { rules, near, apart, shunned, own: all_mean(kind) }
    }

    /// Why this node is not for the Pod, if it is not.
    pub(crate) fn refuses(&self, node: &NodeFacts) -> Option<Reason<'static>> {
        if !self.near(node) {
            return Some(Reason::Affinity);
        }
        if self.rules.anti_affinity.iter().any(|term| at(&self.apart, &term.topology_key, node) > 0) {
            return Some(Reason::AntiAffinity);
        }
        self.shunned.keys().any(|key| at(&self.shunned, key, node) > 0).then_some(Reason::ExistingAntiAffinity)
    }

    /// A Pod that is meant by its own affinity is let in as the first of its kind, wherever the labels are.
    fn near(&self, node: &NodeFacts) -> bool {
        let terms = &self.rules.affinity;
        terms.iter().all(|term| node.labels.contains_key(&term.topology_key))
            && (terms.iter().all(|term| at(&self.near, &term.topology_key, node) > 0) || (self.near.is_empty() && self.own))
    }
}

/// How near each of the nodes is to the Pods that this one prefers, and that prefer or require it, 0 to [`BEST`]; `None` where
/// nobody prefers anything.
pub(crate) fn scores<'a>(wants: &'a Wants, sight: Sight<'a>, nodes: &[&NodeFacts]) -> Option<Vec<i64>> {
    let (rules, kind) = (&wants.kind.rules, &*wants.kind);
    let mut places = Places::new();
    let mut weigh = |other: &'a Kind, counts: &'a BTreeMap<String, i64>| {
        let means = |term: &Term, kind: &Kind| term.means(kind, sight.namespaces);
        let mut weights: Vec<(i64, &'a Term)> = Vec::new();
        weights.extend(rules.preferred.iter().filter(|(_, term)| means(term, other)).map(|(weight, term)| (*weight, term)));
        weights.extend(other.rules.affinity.iter().filter(|term| means(term, kind)).map(|term| (NEAR_A_REQUIRED, term)));
        weights.extend(other.rules.preferred.iter().filter(|(_, term)| means(term, kind)).map(|(weight, term)| (*weight, term)));
        if !weights.is_empty() {
            for (node, n) in counts.iter().filter_map(|(name, n)| Some((sight.node(name)?, *n))) {
                weights.iter().for_each(|(weight, term)| add(&mut places, term, node, weight * n));
            }
        }
    };
    if rules.preferred.is_empty() {
        sight.crowd.ruled().for_each(|(other, counts)| weigh(other, counts));
    } else {
        sight.crowd.all().for_each(|(other, counts)| weigh(other, counts));
    }
    if places.is_empty() {
        return None;
    }
    let sums: Vec<i64> = nodes.iter().map(|node| places.keys().map(|key| at(&places, key, node)).sum()).collect();
    let (least, most) = (sums.iter().copied().min().unwrap_or(0), sums.iter().copied().max().unwrap_or(0));
    Some(sums.iter().map(|sum| if most > least { BEST * (sum - least) / (most - least) } else { 0 }).collect())
}
