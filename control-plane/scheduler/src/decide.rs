//! Filter, then score, then a total order. Pure.

use std::collections::BTreeMap;
use std::fmt;

use dormouse_placement::Reach;

use crate::facts::PodFacts;
use crate::filter::Filters;
use crate::score;
use crate::sight::Sight;

/// Why no node fits, worded as kube-scheduler words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unschedulable {
    /// Nodes looked at.
    pub(crate) nodes: usize,
    /// What keeps the Pod off every node, whatever nodes there are. While there is such a thing nodes are not looked at.
    pub(crate) everywhere: Option<String>,
    /// Reason to number of nodes.
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if let Some(everywhere) = &self.everywhere {
            return write!(f, " {everywhere}.");
        }
        // As text: `10 x` comes before `2 x`.
        let mut parts: Vec<String> = self.reasons.iter().map(|(r, n)| format!("{n} {r}")).collect();
        parts.sort();
        write!(f, " {}.", parts.join(", "))
    }
}

/// The node for `pod`.
///
/// # Errors
/// The reasons, when no node fits.
pub(crate) fn decide<'a>(pod: &'a PodFacts, sight: Sight<'a>) -> Result<&'a str, Unschedulable> {
    let nodes = sight.nodes().count();
    if let Some(everywhere) = everywhere(pod) {
        return Err(Unschedulable { nodes, everywhere: Some(everywhere), reasons: BTreeMap::new() });
    }
    let filters = Filters::new(pod, sight);
    let mut why = BTreeMap::new();
    let possible: Vec<_> = sight.nodes().filter(|(node, taken)| filters.pass(node, taken, &mut why)).collect();
    let reasons = || why.iter().map(|(reason, n)| (reason.to_string(), *n)).collect();
    // With one there is nothing to weigh.
    let best = if let [(one, _)] = possible.as_slice() { Some(*one) } else { score::best(&pod.wants, sight, &possible) };
    best.map(|node| node.name.as_str()).ok_or_else(|| Unschedulable { nodes, everywhere: None, reasons: reasons() })
}

/// What keeps the Pod off every node.
fn everywhere(pod: &PodFacts) -> Option<String> {
    let conflict = (*pod.wants.nodes.reach() == Reach::Conflict).then_some("pod affinity terms conflict");
    let all: Vec<&str> = conflict.into_iter().chain(pod.wants.unknown.iter().map(String::as_str)).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
