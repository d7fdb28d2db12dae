//! Which nodes are out of the question, and why, in the order and the words of kube-scheduler.
//!
//! A node is counted under the first filter that refuses it: `NodeUnschedulable`, `NodeName`, `TaintToleration`, `NodeAffinity`,
//! `NodePorts`, `NodeResourcesFit` (all resources it lacks), `PodTopologySpread`, `InterPodAffinity`. What a Pod names as its
//! nodes comes before all of them.

use std::collections::BTreeMap;
use std::fmt;

use dormouse_placement::{Reach, taints};
use k8s_openapi::api::core::v1::Taint;

use crate::between::Between;
use crate::facts::{NodeFacts, PodFacts};
use crate::sight::{Sight, Taken};
use crate::spread::Hard;

/// Why a node is not for a Pod; printed in kube-scheduler's words (1.35 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason<'a> {
    /// The Pod names other nodes.
    Reach,
    /// It is cordoned.
    Unschedulable,
    /// The Pod is bound to another.
    Name,
    /// It has a taint that the Pod does not bear.
    Taint,
    /// Its labels or name are not those that the Pod wants.
    NodeAffinity,
    /// A port is taken.
    Ports,
    /// It has its number of Pods.
    Pods,
    /// There is too little left of this.
    Lacks(&'a str),
    /// It has not the label that Pods are spread over.
    SpreadLabel,
    /// Its domain would have too many.
    Spread,
    /// No Pod is there that must be near.
    Affinity,
    /// A Pod is there that must not be near.
    AntiAffinity,
    /// A Pod is there that this one must not be near.
    ExistingAntiAffinity,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reach => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Name => "node(s) didn't match the requested node name",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::Pods => "Too many pods",
            Self::Lacks(resource) => return write!(f, "Insufficient {resource}"),
            Self::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::Affinity => "node(s) didn't match pod affinity rules",
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}

/// The filters of one decision.
pub(crate) struct Filters<'a> {
    pod: &'a PodFacts,
    unschedulable: Taint,
    spread: Hard<'a>,
    between: Between<'a>,
}

impl<'a> Filters<'a> {
    pub(crate) fn new(pod: &'a PodFacts, sight: Sight<'a>) -> Self {
        let unschedulable = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
        Self { pod, unschedulable, spread: Hard::new(&pod.wants, sight), between: Between::new(&pod.wants, sight) }
    }

    /// Whether the node passes all filters; why not is counted.
    pub(crate) fn pass(&self, node: &NodeFacts, taken: &Taken, why: &mut BTreeMap<Reason<'a>, usize>) -> bool {
        let mut refuse = |reason| *why.entry(reason).or_default() += 1;
        if let Some(reason) = self.by_itself(node, taken) {
            refuse(reason);
            return false;
        }
        let mut lacking = self.lacking(node, taken).peekable();
        if lacking.peek().is_some() {
            lacking.for_each(refuse);
            return false;
        }
        match self.spread.refuses(node).or_else(|| self.between.refuses(node)) {
            Some(reason) => {
                refuse(reason);
                false
            }
            None => true,
        }
    }

    /// What Pod and node say themselves.
    fn by_itself(&self, node: &NodeFacts, taken: &Taken) -> Option<Reason<'a>> {
        let wants = &self.pod.wants;
        if matches!(wants.nodes.reach(), Reach::Named(names) if !names.contains(&node.name)) {
            Some(Reason::Reach)
        } else if node.unschedulable && !taints::tolerated(&wants.tolerations, &self.unschedulable) {
            Some(Reason::Unschedulable)
        } else if self.pod.node.as_ref().is_some_and(|name| *name != node.name) {
            Some(Reason::Name)
        } else if taints::refusing(&node.taints, &wants.tolerations).is_some() {
            Some(Reason::Taint)
        } else if !wants.nodes.admits(&node.name, &node.labels) {
            Some(Reason::NodeAffinity)
        } else if taken.clashes(&wants.ports) {
            Some(Reason::Ports)
        } else {
            None
        }
    }

    /// `NodeResourcesFit`.
    fn lacking(&self, node: &NodeFacts, taken: &Taken) -> impl Iterator<Item = Reason<'a>> {
        let lacks = move |(name, want): &(&'a String, &'a i128)| **want > 0 && **want > free(node, taken, name);
        let reason = |(name, _): (&'a String, _)| if name == "pods" { Reason::Pods } else { Reason::Lacks(name) };
        self.pod.wants.requests.iter().filter(lacks).map(reason)
    }
}

/// How much of a resource nobody has asked for or holds; thousandths.
pub(crate) fn free(node: &NodeFacts, taken: &Taken, name: &str) -> i128 {
    node.allocatable(name) - taken.requested(name) - node.held(name)
}
