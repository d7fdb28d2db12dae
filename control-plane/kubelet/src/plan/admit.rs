//! The kubelet's own check of a Pod that was bound to its node. Pure.
//!
//! The scheduler has already decided; this catches Pods that were bound by hand, or in a race. Extended resources that
//! this node does not have at all are nobody's business here, as with the kubelet.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::milli;

/// Why a Pod is not accepted: it becomes `Failed` with this reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `status.reason`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// What a Pod's containers ask for, init containers as Kubernetes counts them. Thousandths.
#[must_use]
pub fn requests(pod: &Pod) -> BTreeMap<String, i128> {
    let mut total: BTreeMap<String, i128> = BTreeMap::new();
    let Some(spec) = pod.spec.as_ref() else { return total };
    let of = |c: &k8s_openapi::api::core::v1::Container| -> BTreeMap<String, i128> {
        let Some(r) = &c.resources else { return BTreeMap::new() };
        // A limit stands for a request that is not written.
        let mut all: BTreeMap<String, i128> = r.limits.iter().flatten().filter_map(|(k, q)| Some((k.clone(), milli(q)?))).collect();
        all.extend(r.requests.iter().flatten().filter_map(|(k, q)| Some((k.clone(), milli(q)?))));
        all
    };
    for container in &spec.containers {
        for (name, n) in of(container) {
            *total.entry(name).or_default() += n;
        }
    }
    let mut sidecars: BTreeMap<String, i128> = BTreeMap::new();
    let mut peak: BTreeMap<String, i128> = BTreeMap::new();
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            for (name, n) in own {
                *sidecars.entry(name).or_default() += n;
            }
        } else {
            for (name, n) in own {
                let with_sidecars = n + sidecars.get(&name).copied().unwrap_or(0);
                let entry = peak.entry(name).or_default();
                *entry = (*entry).max(with_sidecars);
            }
        }
    }
    for (name, n) in sidecars {
        *total.entry(name).or_default() += n;
    }
    for (name, n) in peak {
        let entry = total.entry(name).or_default();
        *entry = (*entry).max(n);
    }
    for (name, q) in spec.overhead.iter().flatten() {
        *total.entry(name.clone()).or_default() += milli(q).unwrap_or(0);
    }
    total
}

/// Whether the node takes `pod` beside what is `used` already (thousandths) by `pods` other Pods.
///
/// # Errors
/// [`Rejection`].
pub fn check(
    pod: &Pod,
    node: &Node,
    allocatable: &BTreeMap<String, Quantity>,
    used: &BTreeMap<String, i128>,
    pods: usize,
) -> Result<(), Rejection> {
    if let Some(limit) = allocatable.get("pods").and_then(milli)
        && (pods as i128 + 1) * 1000 > limit
    {
        return Err(out_of("pods", 1000, pods as i128 * 1000, limit));
    }
    for (name, wanted) in requests(pod) {
        if wanted == 0 {
            continue;
        }
        let Some(capacity) = allocatable.get(&name).and_then(milli) else { continue };
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
    let Some(spec) = pod.spec.as_ref() else { return true };
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    if spec.node_selector.iter().flatten().any(|(k, v)| labels.get(k) != Some(v)) {
        return false;
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term_matches(t, labels, node.metadata.name.as_deref().unwrap_or(""))))
}

fn term_matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let test = |key_value: Option<&str>, operator: &str, values: &[String]| match operator {
        "In" => key_value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => key_value.is_none_or(|v| values.iter().all(|x| x != v)),
        "Exists" => key_value.is_some(),
        "DoesNotExist" => key_value.is_none(),
        "Gt" | "Lt" => {
            let both = key_value.and_then(|v| v.parse::<i64>().ok()).zip(values.first().and_then(|v| v.parse::<i64>().ok()));
            both.is_some_and(|(have, bound)| if operator == "Gt" { have > bound } else { have < bound })
        }
        _ => false,
    };
    expressions.iter().all(|e| test(labels.get(&e.key).map(String::as_str), &e.operator, e.values.as_deref().unwrap_or_default()))
        && fields.iter().all(|e| e.key == "metadata.name" && test(Some(name), &e.operator, e.values.as_deref().unwrap_or_default()))
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
    fn init_containers_count_by_their_peak_and_sidecars_add() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"name": "i", "resources": {"requests": {"cpu": "5"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}, {"name": "b", "resources": {"requests": {"cpu": "1"}}}]}}))
        .unwrap();
        assert_eq!(requests(&pod)["cpu"], 6000);
    }

    #[test]
    fn selectors_and_affinity() {
        let with = |extra: serde_json::Value| {
            let mut spec = json!({"containers": []});
            spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            verdict(spec, &BTreeMap::new()).is_ok()
        };
        let affinity = |term: serde_json::Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}});
        assert!(with(json!({"nodeSelector": {"gpu": "h100"}})));
        assert!(!with(json!({"nodeSelector": {"gpu": "l40s"}})));
        assert!(with(affinity(json!({"matchExpressions": [{"key": "slots", "operator": "Gt", "values": ["3"]}]}))));
        assert!(!with(affinity(json!({"matchExpressions": [{"key": "gpu", "operator": "NotIn", "values": ["h100"]}]}))));
        assert!(with(affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}))));
        assert!(!with(affinity(json!({}))));
    }
}
