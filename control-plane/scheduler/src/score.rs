//! Which of the nodes that are possible is best. Weights and scales are kube-scheduler's defaults, so that its priorities come
//! out alike.
//!
//! Two of its scores have no part: the balance between CPU and memory, and images that are there already (here nothing is
//! pulled). That of resources is our own: it looks at what the Pod asks for, devices too, and not at CPU and memory alone.

use std::cmp::Reverse;

use dormouse_placement::taints;

use crate::between;
use crate::facts::{NodeFacts, Wants};
use crate::filter::free;
use crate::sight::{Sight, Taken};
use crate::spread;

/// The best score of a kind; the worst is 0.
pub(crate) const BEST: i64 = 100;

/// The scores of a node, 0 to [`BEST`] each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scores {
    /// Fewest taints `PreferNoSchedule` that the Pod does not bear. Weight 3.
    pub(crate) taints: i64,
    /// Preferred node affinity. Weight 2.
    pub(crate) node_affinity: i64,
    /// Topology spread with `ScheduleAnyway`. Weight 2.
    pub(crate) spread: i64,
    /// Preferred affinity and anti-affinity between Pods. Weight 2.
    pub(crate) pod_affinity: i64,
    /// Most room left in the scarcest of the resources that the Pod asks for. Weight 1.
    pub(crate) room: i64,
}

impl Scores {
    fn total(self) -> i64 {
        3 * self.taints + 2 * self.node_affinity + 2 * self.spread + 2 * self.pod_affinity + self.room
    }
}

/// The best node: highest total, then most room to a thousandth, then name. kube-scheduler draws lots among equal totals.
pub(crate) fn best<'a>(wants: &'a Wants, sight: Sight<'a>, possible: &[(&'a NodeFacts, &'a Taken)]) -> Option<&'a NodeFacts> {
    let scored = scores(wants, sight, possible).into_iter().zip(possible);
    let key = |(scores, (node, taken)): &(Scores, &(&'a NodeFacts, &'a Taken))| {
        (scores.total(), room(wants, node, taken, 1_000), Reverse(node.name.as_str()))
    };
    scored.max_by_key(key).map(|(_, (node, _))| *node)
}

/// The scores of each of the nodes.
pub(crate) fn scores<'a>(wants: &'a Wants, sight: Sight<'a>, possible: &[(&'a NodeFacts, &'a Taken)]) -> Vec<Scores> {
    let nodes: Vec<&NodeFacts> = possible.iter().map(|(node, _)| *node).collect();
    let each = |score: &dyn Fn(&NodeFacts) -> i64| nodes.iter().map(|node| score(node)).collect::<Vec<_>>();
    let disliked = each(&|node| i64::try_from(taints::disliked(&node.taints, &wants.tolerations)).unwrap_or(i64::MAX / BEST));
    let preferred = each(&|node| wants.nodes.preference(&node.name, &node.labels));
    let (most_disliked, most_preferred) = (disliked.iter().copied().max().unwrap_or(0), preferred.iter().copied().max().unwrap_or(0));
    let of_most = |n: i64, most: i64| if most > 0 { BEST * n / most } else { 0 };
    let spread = spread::scores(wants, sight, &nodes);
    let between = between::scores(wants, sight, &nodes);
    let one = |(i, (node, taken)): (usize, &(&NodeFacts, &Taken))| {
        let at = |scores: &Option<Vec<i64>>| scores.as_ref().and_then(|s| s.get(i)).copied().unwrap_or(0);
        Scores {
            taints: BEST - of_most(disliked[i], most_disliked),
            node_affinity: of_most(preferred[i], most_preferred),
            spread: at(&spread),
            pod_affinity: at(&between),
            room: room(wants, node, taken, BEST),
        }
    };
    possible.iter().enumerate().map(one).collect()
}

/// Which part of `scale` is left free in the scarcest of the resources the Pod asks for, after it is placed.
fn room(wants: &Wants, node: &NodeFacts, taken: &Taken, scale: i64) -> i64 {
    let left = |(name, want): (&String, &i128)| {
        let all = node.allocatable(name);
        let part = (all > 0).then(|| i128::from(scale) * (free(node, taken, name) - want) / all)?;
        i64::try_from(part).ok()
    };
    wants.requests.iter().filter_map(left).min().unwrap_or(0)
}
