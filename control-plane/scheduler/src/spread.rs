//! Topology spread: how evenly Pods of a kind lie over the values of a node label. As kube-scheduler's `PodTopologySpread`.

use std::collections::{BTreeSet, HashMap, HashSet};

use dormouse_machinery::selector::{Operator, Selector};
use dormouse_placement::taints;
use k8s_openapi::api::core::v1::{PodSpec, TopologySpreadConstraint};

use crate::facts::{NodeFacts, Wants};
use crate::filter::Reason;
use crate::score::BEST;
use crate::sight::Sight;
use crate::terms::{Kind, Labels, selector};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// One constraint of a Pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread {
    /// Whether it must hold (`DoNotSchedule`), or rather holds (`ScheduleAnyway`).
    pub(crate) hard: bool,
    /// The node label whose values are the domains.
    pub(crate) topology_key: String,
    /// How many more than the least domain a domain may have.
    pub(crate) max_skew: i64,
    /// With fewer domains than these the least has none.
    pub(crate) min_domains: usize,
    /// Count only nodes that the Pod's node selector and affinity admit.
    pub(crate) honor_affinity: bool,
    /// Count only nodes whose taints the Pod bears.
    pub(crate) honor_taints: bool,
    /// Which Pods count.
    pub(crate) who: Who,
}

/// Which Pods of the namespace a constraint counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Who {
    /// Those with such labels.
    Labels(Selector),
    /// Those of the controller with this UID: how kube-scheduler spreads Pods that say nothing of it. It takes the selector of
    /// the controller (and of services), which selects the same Pods wherever a controller made them all.
    Controller(String),
}

impl Who {
    fn means(&self, kind: &Kind) -> bool {
        match self {
            Self::Labels(selector) => selector.matches(&kind.labels),
            Self::Controller(uid) => kind.controller.as_ref() == Some(uid),
        }
    }
}

impl Spread {
    /// The constraints of a Pod; of one that has none and is of a ReplicaSet, StatefulSet or ReplicationController those that
    /// kube-scheduler gives it. What cannot be judged is told beside.
    pub(crate) fn all(spec: &PodSpec, labels: &Labels, controller: Option<&str>) -> (Vec<Self>, Vec<String>) {
        let (mut all, mut unknown) = (Vec::new(), Vec::new());
        let written = spec.topology_spread_constraints.as_deref().unwrap_or_default();
        for constraint in written {
            match Self::of(constraint, labels) {
                Ok(spread) => all.push(spread),
                Err(error) => unknown.push(format!("topology spread constraint over {}: {error}", constraint.topology_key)),
            }
        }
        if written.is_empty()
            && let Some(uid) = controller
        {
            all.extend([Self::by_itself(HOSTNAME, 3, uid), Self::by_itself(ZONE, 5, uid)]);
        }
        (all, unknown)
    }

    fn by_itself(key: &str, max_skew: i64, controller: &str) -> Self {
        Self {
            hard: false,
            topology_key: key.to_owned(),
            max_skew,
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
            who: Who::Controller(controller.to_owned()),
        }
    }

    fn of(constraint: &TopologySpreadConstraint, labels: &Labels) -> Result<Self, String> {
        let hard = match constraint.when_unsatisfiable.as_str() {
            "DoNotSchedule" => true,
            "ScheduleAnyway" => false,
            other => return Err(format!("whenUnsatisfiable \"{other}\" is not known")),
        };
        let honor = |policy: Option<&String>, default: bool| match policy.map(String::as_str) {
            None => Ok(default),
            Some("Honor") => Ok(true),
            Some("Ignore") => Ok(false),
            Some(other) => Err(format!("policy \"{other}\" is not known")),
        };
        let keys: Vec<_> = constraint.match_label_keys.iter().flatten().map(|key| (key.clone(), Operator::In)).collect();
        Ok(Self {
            hard,
            topology_key: constraint.topology_key.clone(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: constraint.min_domains.and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
            honor_affinity: honor(constraint.node_affinity_policy.as_ref(), true)?,
            honor_taints: honor(constraint.node_taints_policy.as_ref(), false)?,
            who: Who::Labels(selector(constraint.label_selector.as_ref(), &keys, labels)?),
        })
    }

    fn domain<'a>(&self, node: &'a NodeFacts) -> Option<&'a str> {
        node.labels.get(&self.topology_key).map(String::as_str)
    }

    /// Whether Pods on this node count.
    fn counts(&self, wants: &Wants, node: &NodeFacts) -> bool {
        (!self.honor_affinity || wants.nodes.admits(&node.name, &node.labels))
            && (!self.honor_taints || taints::refusing(&node.taints, &wants.tolerations).is_none())
    }

    /// How many Pods that count each node has. Pods being deleted make room already.
    fn per_node<'a>(&self, wants: &Wants, sight: Sight<'a>) -> HashMap<&'a str, i64> {
        sight.crowd.count(|kind| !kind.deleting && kind.namespace == wants.kind.namespace && self.who.means(kind))
    }
}

/// What a decision counts once for the constraints that must hold.
pub(crate) struct Hard<'a> {
    counted: Vec<Counted<'a>>,
}

struct Counted<'a> {
    spread: &'a Spread,
    domains: HashMap<&'a str, i64>,
    least: i64,
    /// Whether the Pod counts itself.
    own: i64,
}

impl<'a> Hard<'a> {
    pub(crate) fn new(wants: &'a Wants, sight: Sight<'a>) -> Self {
        let hard: Vec<&Spread> = wants.spreads.iter().filter(|s| s.hard).collect();
        let counted = hard.iter().copied().map(|spread| {
            let per_node = spread.per_node(wants, sight);
            let mut domains: HashMap<&str, i64> = HashMap::new();
            for (node, _) in sight.nodes() {
                // A node counts where it has the labels of all constraints.
                if let Some(domain) = spread.domain(node)
                    && hard.iter().all(|s| s.domain(node).is_some())
                    && spread.counts(wants, node)
                {
                    *domains.entry(domain).or_default() += per_node.get(node.name.as_str()).copied().unwrap_or(0);
                }
            }
            let least = if domains.len() < spread.min_domains { 0 } else { domains.values().copied().min().unwrap_or(0) };
            Counted { spread, domains, least, own: i64::from(spread.who.means(&wants.kind)) }
        });
        Self { counted: counted.collect() }
    }

    /// Why this node is not for the Pod, if it is not.
    pub(crate) fn refuses(&self, node: &NodeFacts) -> Option<Reason<'static>> {
        self.counted.iter().find_map(|counted| {
            let Some(domain) = counted.spread.domain(node) else { return Some(Reason::SpreadLabel) };
            let there = counted.domains.get(domain).copied().unwrap_or(0);
            (there + counted.own - counted.least > counted.spread.max_skew).then_some(Reason::Spread)
        })
    }
}

/// How well each of the nodes keeps the constraints that rather hold, 0 to [`BEST`]; `None` where there are none.
pub(crate) fn scores(wants: &Wants, sight: Sight<'_>, nodes: &[&NodeFacts]) -> Option<Vec<i64>> {
    let soft: Vec<&Spread> = wants.spreads.iter().filter(|s| !s.hard).collect();
    if soft.is_empty() {
        return None;
    }
    // Constraints that the Pod did not write itself hold for nodes that lack a label too.
    let written = soft.iter().any(|s| matches!(s.who, Who::Labels(_)));
    let whole = |node: &NodeFacts| !written || soft.iter().all(|s| s.domain(node).is_some());
    let scored: Vec<&NodeFacts> = nodes.iter().copied().filter(|node| whole(node)).collect();
    let mut sums: HashMap<&str, f64> = scored.iter().map(|node| (node.name.as_str(), 0.0)).collect();
    for spread in &soft {
        let per_node = spread.per_node(wants, sight);
        let on = |node: &NodeFacts| per_node.get(node.name.as_str()).copied().unwrap_or(0);
        let by_host = spread.topology_key == HOSTNAME;
        let candidates: BTreeSet<&str> = scored.iter().map(|node| spread.domain(node).unwrap_or_default()).collect();
        let mut domains: HashMap<&str, i64> = HashMap::new();
        if !by_host {
            for (node, _) in sight.nodes().filter(|(node, _)| whole(node) && spread.counts(wants, node)) {
                *domains.entry(spread.domain(node).unwrap_or_default()).or_default() += on(node);
            }
        }
        // Counts over few domains are large: each constraint weighs by how many domains it has.
        let size = if by_host { scored.len() } else { candidates.len() };
        let weight = (size as f64 + 2.0).ln();
        for node in &scored {
            let Some(domain) = spread.domain(node) else { continue };
            let there = if by_host { on(node) } else { domains.get(domain).copied().unwrap_or(0) };
            *sums.entry(&node.name).or_default() += there as f64 * weight + (spread.max_skew - 1) as f64;
        }
    }
    Some(fewest_best(nodes, &sums))
}

/// From sums, where fewer are better, to 0 to [`BEST`]. A node without a sum gets nothing.
fn fewest_best(nodes: &[&NodeFacts], sums: &HashMap<&str, f64>) -> Vec<i64> {
    #[allow(clippy::cast_possible_truncation)] // a number of Pods times a logarithm
    let sum = |node: &NodeFacts| sums.get(node.name.as_str()).map(|sum| sum.round() as i64);
    let all: HashSet<i64> = nodes.iter().filter_map(|node| sum(node)).collect();
    let (least, most) = (all.iter().copied().min().unwrap_or(0), all.iter().copied().max().unwrap_or(0));
    let score = |node: &&NodeFacts| match sum(node) {
        None => 0,
        Some(_) if most == 0 => BEST,
        Some(sum) => BEST * (most + least - sum) / most,
    };
    nodes.iter().map(score).collect()
}
