//! PURE: filter, then score, then a total order.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use dormouse_machinery::selector::{Operator, Requirement};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};

use crate::facts::{NodeFacts, PodFacts, Resources};

/// Why no node fits: each reason with the number of nodes it holds for, worded as kube-scheduler words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unschedulable {
    /// Nodes looked at.
    pub nodes: usize,
    /// Reason to number of nodes.
    pub reasons: BTreeMap<String, usize>,
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let mut parts: Vec<String> = self.reasons.iter().map(|(r, n)| format!("{n} {r}")).collect();
        parts.sort();
        write!(f, "0/{} nodes are available: {}.", self.nodes, parts.join(", "))
    }
}

/// The node for `pod`, given the nodes and what is requested on each by Pods that count (bound or assumed, not terminal).
///
/// Order of preference: preferred node affinity, most room left in the scarcest resource, name.
///
/// # Errors
/// The reasons, when no node fits.
pub fn decide<'a>(
    pod: &PodFacts,
    nodes: impl IntoIterator<Item = &'a NodeFacts>,
    requested: &BTreeMap<String, Resources>,
) -> Result<&'a str, Unschedulable> {
    let empty = Resources::new();
    let mut best: Option<(Reverse<(i64, i64)>, &'a str)> = None;
    let mut why = Unschedulable { nodes: 0, reasons: BTreeMap::new() };
    for node in nodes {
        why.nodes += 1;
        let used = requested.get(&node.name).unwrap_or(&empty);
        let refusals = filter(pod, node, used);
        if refusals.is_empty() {
            let key = (Reverse((preference(pod, node), room(pod, node, used))), node.name.as_str());
            if best.as_ref().is_none_or(|b| key < *b) {
                best = Some(key);
            }
        }
        for reason in refusals {
            *why.reasons.entry(reason).or_default() += 1;
        }
    }
    best.map(|(_, name)| name).ok_or(why)
}

/// Every reason of the first filter that refuses, as kube-scheduler reports them.
fn filter(pod: &PodFacts, node: &NodeFacts, used: &Resources) -> Vec<String> {
    let unschedulable = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    if node.unschedulable && !tolerated(&pod.tolerations, &unschedulable) {
        return vec!["node(s) were unschedulable".into()];
    }
    if let Some(taint) = node.taints.iter().find(|t| t.effect != "PreferNoSchedule" && !tolerated(&pod.tolerations, t)) {
        return vec![format!("node(s) had untolerated taint(s) {{{}: {}}}", taint.key, taint.value.as_deref().unwrap_or(""))];
    }
    if !selected(pod, node) {
        return vec!["node(s) didn't match Pod's node affinity/selector".into()];
    }
    let lacking = |(name, want): (&String, &i64)| {
        let free =
            node.allocatable.get(name).copied().unwrap_or(if name == "pods" { 110_000 } else { 0 }) - used.get(name).copied().unwrap_or(0);
        (*want > 0 && *want > free).then(|| if name == "pods" { "Too many pods".to_owned() } else { format!("Insufficient {name}") })
    };
    pod.requests.iter().filter_map(lacking).collect()
}

fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| {
        let effect = t.effect.as_deref().filter(|e| !e.is_empty());
        let key = t.key.as_deref().filter(|k| !k.is_empty());
        if effect.is_some_and(|e| e != taint.effect) || key.is_some_and(|k| k != taint.key) {
            return false;
        }
        match t.operator.as_deref() {
            Some("Exists") => true,
            _ => key.is_some() && t.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or(""),
        }
    })
}

fn selected(pod: &PodFacts, node: &NodeFacts) -> bool {
    let by_label = pod.node_selector.iter().all(|(k, v)| node.labels.get(k) == Some(v));
    let required = pod
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    by_label && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term(t, node)))
}

/// A term with neither expressions nor fields matches nothing.
fn term(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let (exprs, fields) = (term.match_expressions.iter().flatten(), term.match_fields.iter().flatten());
    let any = exprs.clone().next().is_some() || fields.clone().next().is_some();
    any && exprs.into_iter().all(|e| labelled(e, node)) && fields.into_iter().all(|e| named(e, node))
}

/// An expression that makes no sense matches nothing.
fn labelled(e: &NodeSelectorRequirement, node: &NodeFacts) -> bool {
    let operator = Operator::from_expression(&e.operator);
    let requirement = operator.and_then(|o| Requirement::new(&e.key, o, e.values.clone().unwrap_or_default()).ok());
    requirement.is_some_and(|r| r.matches_value(node.labels.get(&e.key).map(String::as_str)))
}

/// Of a node's fields the name can be asked for, in or not in a list of one. It is no label: it may be longer.
fn named(e: &NodeSelectorRequirement, node: &NodeFacts) -> bool {
    let is = |wanted: &[String]| wanted == [node.name.as_str()];
    match (e.key.as_str(), e.operator.as_str(), e.values.as_deref()) {
        ("metadata.name", "In", Some(one @ [_])) => is(one),
        ("metadata.name", "NotIn", Some(one @ [_])) => !is(one),
        _ => false,
    }
}

fn preference(pod: &PodFacts, node: &NodeFacts) -> i64 {
    let preferred = pod
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    preferred.into_iter().flatten().filter(|p| term(&p.preference, node)).map(|p| i64::from(p.weight)).sum()
}

/// Parts per thousand left free in the scarcest of the resources the Pod asks for, after it is placed.
fn room(pod: &PodFacts, node: &NodeFacts, used: &Resources) -> i64 {
    let left = |(name, want): (&String, &i64)| {
        let all = *node.allocatable.get(name).filter(|a| **a > 0)?;
        let free = all - used.get(name).copied().unwrap_or(0) - want;
        i64::try_from(i128::from(free) * 1_000 / i128::from(all)).ok()
    };
    pod.requests.iter().filter_map(left).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(name: &str, gpus: i64) -> NodeFacts {
        let allocatable = [("nvidia.com/gpu".to_owned(), gpus * 1_000), ("pods".to_owned(), 110_000)].into();
        let labels = [("kubernetes.io/hostname".to_owned(), name.to_owned())].into();
        NodeFacts { name: name.into(), labels, allocatable, ..NodeFacts::default() }
    }

    fn pod(gpus: i64) -> PodFacts {
        let requests = [("nvidia.com/gpu".to_owned(), gpus * 1_000), ("pods".to_owned(), 1_000)].into();
        PodFacts { requests, ..PodFacts::default() }
    }

    #[test]
    fn the_emptier_node_wins_and_ties_go_by_name() {
        let nodes = [node("b", 4), node("a", 4)];
        let mut used = BTreeMap::new();
        assert_eq!(decide(&pod(1), &nodes, &used), Ok("a"));
        used.insert("a".to_owned(), Resources::from([("nvidia.com/gpu".to_owned(), 1_000)]));
        assert_eq!(decide(&pod(1), &nodes, &used), Ok("b"));
    }

    #[test]
    fn reasons_are_counted_as_kube_scheduler_does() {
        let mut cordoned = node("c", 8);
        cordoned.unschedulable = true;
        let err = decide(&pod(3), &[node("a", 2), node("b", 2), cordoned], &BTreeMap::new()).unwrap_err();
        assert_eq!(err.to_string(), "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu.");
        assert_eq!(decide(&pod(0), &[], &BTreeMap::new()).unwrap_err().to_string(), "no nodes available to schedule pods");
    }

    #[test]
    fn taints_need_tolerations_and_selectors_need_labels() {
        let mut n = node("a", 1);
        n.taints = vec![Taint { key: "k".into(), value: Some("v".into()), effect: "NoSchedule".into(), ..Taint::default() }];
        let mut p = pod(1);
        assert!(decide(&p, [&n], &BTreeMap::new()).unwrap_err().to_string().contains("untolerated taint(s) {k: v}"));
        p.tolerations = vec![Toleration { key: Some("k".into()), operator: Some("Exists".into()), ..Toleration::default() }];
        assert!(decide(&p, [&n], &BTreeMap::new()).is_ok());
        p.node_selector = [("zone".to_owned(), "x".to_owned())].into();
        assert!(decide(&p, [&n], &BTreeMap::new()).unwrap_err().to_string().contains("node affinity/selector"));
    }

    #[test]
    fn affinity_reads_expressions_as_kubernetes_does() {
        let mut n = node("a", 1);
        n.labels.insert("slots".into(), "8".into());
        let fits = |place: &str, key: &str, operator: &str, values: &[&str]| {
            let p = serde_json::json!({"spec": {"containers": [], "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {place: [{"key": key, "operator": operator, "values": values}]}]}}}}});
            decide(&PodFacts::of(&serde_json::from_value(p).unwrap()), [&n], &BTreeMap::new()).is_ok()
        };
        let label = |operator: &str, values: &[&str]| fits("matchExpressions", "slots", operator, values);
        assert!(label("In", &["4", "8"]) && !label("In", &["4"]) && label("NotIn", &["4"]) && !label("NotIn", &["8"]));
        assert!(label("Exists", &[]) && !label("DoesNotExist", &[]) && label("Gt", &["7"]) && !label("Gt", &["8"]) && label("Lt", &["9"]));
        assert!(fits("matchExpressions", "none", "DoesNotExist", &[]) && fits("matchExpressions", "none", "NotIn", &["x"]));
        assert!(!fits("matchExpressions", "none", "Gt", &["1"]));
        // What makes no sense matches nothing, whatever it would say of an absent label.
        assert!(
            !label("Near", &["8"]) && !label("NotIn", &[]) && !label("Gt", &["7", "6"]) && !label("Gt", &["x"]) && !label("Exists", &["8"])
        );
        let field = |operator: &str, values: &[&str]| fits("matchFields", "metadata.name", operator, values);
        assert!(field("In", &["a"]) && !field("In", &["b"]) && field("NotIn", &["b"]) && !field("NotIn", &["a"]));
        assert!(!field("In", &["a", "b"]) && !field("Exists", &[]) && !fits("matchFields", "spec.x", "NotIn", &["b"]));
    }

    proptest! {
        /// The order in which nodes are given changes nothing, and what is chosen has room.
        #[test]
        fn order_is_irrelevant_and_room_is_kept(gpus in prop::collection::vec(0_i64..5, 1..6), want in 0_i64..5) {
            let nodes: Vec<_> = gpus.iter().enumerate().map(|(i, g)| node(&format!("n{i}"), *g)).collect();
            let there = decide(&pod(want), &nodes, &BTreeMap::new()).map(str::to_owned);
            let back = decide(&pod(want), nodes.iter().rev(), &BTreeMap::new()).map(str::to_owned);
            prop_assert_eq!(&there, &back);
            match there {
                Ok(name) => prop_assert!(nodes.iter().any(|n| n.name == name && n.allocatable["nvidia.com/gpu"] >= want * 1_000)),
                Err(_) => prop_assert!(gpus.iter().all(|g| *g < want)),
            }
        }
    }
}
