//! The kubelet's own check of a Pod that was bound to its node. Pure.
//!
//! The scheduler has already decided; this catches Pods that were bound by hand, or in a race. Extended resources that
//! this node does not have at all are nobody's business here, as with the kubelet.

use std::collections::BTreeMap;

use dormouse_placement::{Amounts, NodeRules, thousandths};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Why a Pod is not accepted: it becomes `Failed` with this reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `status.reason`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// What a Pod asks for in all. Thousandths.
#[must_use]
pub fn requests(pod: &Pod) -> Amounts {
    pod.spec.as_ref().map(dormouse_placement::requests).unwrap_or_default()
}

/// Whether the node takes `pod` beside what is `used` already (thousandths) by `pods` other Pods.
///
/// # Errors
/// [`Rejection`].
pub fn check(pod: &Pod, node: &Node, allocatable: &BTreeMap<String, Quantity>, used: &Amounts, pods: usize) -> Result<(), Rejection> {
    if let Some(limit) = allocatable.get("pods").and_then(thousandths)
        && (pods as i128 + 1) * 1000 > limit
    {
        return Err(out_of("pods", 1000, pods as i128 * 1000, limit));
    }
    for (name, wanted) in requests(pod) {
        if wanted == 0 {
            continue;
        }
        let Some(capacity) = allocatable.get(&name).and_then(thousandths) else { continue };
        let in_use = used.get(&name).copied().unwrap_or(0);
        if in_use + wanted > capacity {
            return Err(out_of(&name, wanted, in_use, capacity));
        }
    }
    if !selects(pod, node) {
        return Err(Rejection {
            reason: "NodeAffinity".to_owned(),
            message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".to_owned(),
        });
    }
    Ok(())
}

fn out_of(name: &str, wanted: i128, used: i128, capacity: i128) -> Rejection {
    // The kubelet prints cpu in thousandths and everything else in whole units.
    let unit = if name == "cpu" { 1 } else { 1000 };
    Rejection {
        reason: format!("OutOf{name}"),
        message: format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {}, used: {}, capacity: {}",
            wanted / unit,
            used / unit,
            capacity / unit
        ),
    }
}

/// Whether the Pod's node selector and required node affinity fit the node.
fn selects(pod: &Pod, node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let name = node.metadata.name.as_deref().unwrap_or_default();
    pod.spec.as_ref().is_none_or(|spec| NodeRules::of(spec).admits(name, labels))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {"gpu": "h100", "slots": "4"}}})).unwrap()
    }

    fn allocatable() -> BTreeMap<String, Quantity> {
        [("cpu", "2"), ("memory", "1Gi"), ("pods", "10"), ("nvidia.com/gpu", "2")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), Quantity(v.to_owned())))
            .collect()
    }

    fn verdict(spec: serde_json::Value, used: &BTreeMap<String, i128>) -> Result<(), String> {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        check(&pod, &node(), &allocatable(), used, 0).map_err(|r| format!("{}: {}", r.reason, r.message))
    }

    #[test]
    fn resources_that_do_not_fit() {
        let spec = |limits: serde_json::Value| json!({"containers": [{"name": "c", "resources": {"limits": limits}}]});
        assert!(verdict(spec(json!({"cpu": "2", "nvidia.com/gpu": "2"})), &BTreeMap::new()).is_ok());
        assert!(verdict(spec(json!({"vendor.io/unknown": "9"})), &BTreeMap::new()).is_ok());
        let used = [("cpu".to_owned(), 500)].into();
        assert_eq!(
            verdict(spec(json!({"cpu": "1600m"})), &used).unwrap_err(),
            "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000"
        );
        assert!(verdict(spec(json!({"nvidia.com/gpu": "3"})), &BTreeMap::new()).unwrap_err().starts_with("OutOfnvidia.com/gpu"));
    }

    #[test]
    fn a_node_that_the_pod_does_not_want() {
        let with = |selector: serde_json::Value| verdict(json!({"containers": [], "nodeSelector": selector}), &BTreeMap::new());
        assert!(with(json!({"gpu": "h100"})).is_ok());
        assert_eq!(
            with(json!({"gpu": "l40s"})).unwrap_err(),
            "NodeAffinity: Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        );
    }
}
