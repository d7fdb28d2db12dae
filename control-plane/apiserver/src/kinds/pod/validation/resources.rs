//! What containers ask for and may use at most: <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::field::{ErrorKind, FieldError};
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;

use super::Pod;
use crate::kinds::values::{At, invalid, map, maps, text};
use crate::registry::Object;

/// What a container may ask for without naming a domain; huge pages beside it.
const OF_CONTAINERS: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// What may be said for a Pod as a whole; `hugepages-` is any size of them.
const OF_PODS: &[&str] = &["cpu", "hugepages-", "memory"];

/// Other names without a domain that mean something, if only to quotas.
const STANDARD: &[&str] = &[
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
    "requests.storage",
];

/// Standard names that count things.
const COUNTS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

const HUGE: &str = "hugepages-";

/// A check of a resource's name; the path is the resource's.
type Named = fn(&str, &At<'_>, &mut Vec<FieldError>);

/// Whether the name is in a domain of Kubernetes; without a domain it is.
fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

/// Whether it is a device or the like, which nobody shares.
fn is_extended(resource: &str) -> bool {
    !is_native(resource) && !resource.starts_with("requests.") && names::qualified_name(&format!("requests.{resource}")).is_empty()
}

/// Whether more may be asked for than there is.
fn may_overcommit(resource: &str) -> bool {
    is_native(resource) && !resource.starts_with(HUGE)
}

/// Reports an amount below zero, or a fraction of what cannot be divided.
pub(crate) fn amount(resource: &str, quantity: &Quantity, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if quantity.sign() < 0 {
        problems.push(FieldError::invalid(path, quantity.to_string(), "must be greater than or equal to 0"));
    }
    if (COUNTS.contains(&resource) || is_extended(resource)) && quantity.milli_value() % 1000 != 0 {
        problems.push(FieldError::invalid(path, quantity.to_string(), "must be an integer"));
    }
}

/// The amounts of a map.
pub(crate) fn amounts<'a>(object: &'a Object, field: &str) -> BTreeMap<&'a str, Quantity> {
    let amounts = map(object, field).into_iter().flatten();
    amounts.filter_map(|(resource, amount)| Some((resource.as_str(), Quantity::parse(amount.as_str()?).ok()?))).collect()
}

fn standard(resource: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let before = problems.len();
    invalid(resource, names::qualified_name, path, problems);
    let known = OF_CONTAINERS.contains(&resource)
        || STANDARD.contains(&resource)
        || COUNTS.contains(&resource)
        || resource.starts_with(HUGE)
        || resource.starts_with("requests.hugepages-");
    if problems.len() == before && !resource.contains('/') && !known {
        problems.push(FieldError::invalid(path, resource, "must be a standard resource type or fully qualified"));
    }
}

fn of_a_container(resource: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    standard(resource, path, problems);
    if !resource.contains('/') {
        if !OF_CONTAINERS.contains(&resource) && !resource.starts_with(HUGE) {
            problems.push(FieldError::invalid(path, resource, "must be a standard resource for containers"));
        }
    } else if !is_native(resource) && !is_extended(resource) {
        problems.push(FieldError::invalid(path, resource, "doesn't follow extended resource name standard"));
    }
}

fn of_a_pod(resource: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let before = problems.len();
    standard(resource, path, problems);
    if problems.len() == before && !OF_PODS.contains(&resource) && !resource.starts_with(HUGE) {
        problems.push(FieldError::not_supported(path, resource, OF_PODS));
    }
}

/// Huge pages are whole: `hugepages-2Mi` in steps of 2Mi.
fn whole_pages(resource: &str, quantity: &Quantity, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let size = resource.strip_prefix(HUGE).and_then(|size| Quantity::parse(size).ok());
    let size = size.filter(|s| s.sign() > 0 && s.milli_value() % 1000 == 0).map(|s| s.value());
    if !size.is_some_and(|size| size > 0 && quantity.value() % size == 0) {
        let why = format!("{quantity} is not positive integer multiple of {resource}");
        problems.push(FieldError::invalid(path, quantity.to_string(), why));
    }
}

fn check(resources: &Object, named: Named, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (limits, requests) = (amounts(resources, "limits"), amounts(resources, "requests"));
    for (resource, limit) in &limits {
        let path = path.entry("limits", resource);
        named(resource, &path, problems);
        amount(resource, limit, &path, problems);
        if resource.starts_with(HUGE) {
            whole_pages(resource, limit, &path, problems);
        }
    }
    for (resource, request) in &requests {
        let entry = path.entry("requests", resource);
        named(resource, &entry, problems);
        amount(resource, request, &entry, problems);
        match limits.get(resource) {
            Some(limit) if request != limit && !may_overcommit(resource) => {
                let why = format!("must be equal to {resource} limit of {limit}");
                problems.push(FieldError::invalid(path.child("requests"), request.to_string(), why));
            }
            Some(limit) if request > limit => {
                let why = format!("must be less than or equal to {resource} limit of {limit}");
                problems.push(FieldError::invalid(path.child("requests"), request.to_string(), why));
            }
            None if !may_overcommit(resource) => {
                problems.push(FieldError::required(path.child("limits"), "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
        if resource.starts_with(HUGE) {
            whole_pages(resource, request, &entry, problems);
        }
    }
    let mut all = limits.keys().chain(requests.keys());
    let plain = all.clone().any(|resource| matches!(*resource, "cpu" | "memory"));
    if !plain && all.any(|resource| resource.starts_with(HUGE)) {
        problems.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

/// What one container asks for.
pub(super) fn of_container(pod: &Pod<'_>, resources: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    check(resources, of_a_container, path, problems);
    claims(pod, resources, path, problems);
}

/// What the Pod costs beside its containers: <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-overhead/>
pub(super) fn overhead(overhead: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    check(&Object::from_iter([("limits".to_owned(), overhead.clone().into())]), of_a_container, path, problems);
}

/// Claims that a container uses are claims of the Pod, each used once.
fn claims(pod: &Pod<'_>, resources: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (i, claim) in maps(resources, "claims").enumerate() {
        let (name, request, path) = (text(claim, "name"), text(claim, "request"), path.element("claims", i));
        if name.is_empty() {
            problems.push(FieldError::required(path, ""));
            continue;
        }
        // A claim as a whole has all of its requests in it.
        let twice =
            seen.contains(&(name, "")) || seen.contains(&(name, request)) || (request.is_empty() && seen.iter().any(|s| s.0 == name));
        if !request.is_empty() {
            invalid(request, names::dns1123_label, &path.child("request"), problems);
        }
        if twice {
            let shown = if request.is_empty() || seen.contains(&(name, "")) { name.to_owned() } else { format!("{name}/{request}") };
            problems.push(FieldError::duplicate(path, shown));
        }
        seen.insert((name, request));
        if !pod.claims.contains(name) {
            let known: Vec<&str> = pod.claims.iter().copied().collect();
            let known = if known.is_empty() { " which is empty".to_owned() } else { format!(": {}", known.join(", ")) };
            let why = format!("must be one of the names in pod.spec.resourceClaims{known}");
            problems.push(FieldError::new(ErrorKind::NotFound, path, name, why));
        }
    }
}

/// What the Pod as a whole asks for: <https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/>
pub(super) fn of_pod(pod: &Pod<'_>, resources: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if pod.os() == Some("windows") {
        problems.push(FieldError::forbidden(path, "may not be set for a windows pod"));
        return;
    }
    if resources.get("claims").is_some_and(|v| !v.is_null()) {
        problems.push(FieldError::forbidden(path.child("claims"), "claims may not be set for Resources at pod-level"));
    }
    check(resources, of_a_pod, path, problems);
    let (limits, requests) = (amounts(resources, "limits"), amounts(resources, "requests"));
    for (resource, total) in together(pod.spec, "requests") {
        if let Some(request) = requests.get(resource).filter(|request| total > **request) {
            let why = format!("must be greater than or equal to aggregate container requests of {total}");
            problems.push(FieldError::invalid(path.entry("requests", resource), request.to_string(), why));
        }
    }
    for (resource, total) in together(pod.spec, "limits").into_iter().filter(|(resource, _)| resource.starts_with(HUGE)) {
        if let Some(limit) = limits.get(resource).filter(|limit| total > **limit) {
            let why = format!("must be greater than or equal to aggregate container limits of {total}");
            problems.push(FieldError::invalid(path.entry("limits", resource), limit.to_string(), why));
        }
    }
    for (i, container) in maps(pod.spec, "containers").enumerate() {
        for (resource, limit) in map(container, "resources").map(|r| amounts(r, "limits")).unwrap_or_default() {
            if let Some(most) = limits.get(resource).filter(|most| limit > **most) {
                let path = path.element("containers", i);
                let path = path.key(resource);
                let why = format!("must be less than or equal to pod limits of {most}");
                problems.push(FieldError::invalid(path.child("limits"), limit.to_string(), why));
            }
        }
    }
}

/// The most that the containers need at once: those that stay together, or one that runs first with those that came before it and
/// stay.
fn together<'a>(spec: &'a Object, field: &str) -> BTreeMap<&'a str, Quantity> {
    let of = |container: &'a Object| map(container, "resources").map(|r| amounts(r, field)).unwrap_or_default();
    let add = |sum: &mut BTreeMap<&'a str, Quantity>, more: &BTreeMap<&'a str, Quantity>| {
        for (resource, amount) in more {
            let total = sum.get(resource).map_or_else(|| amount.clone(), |had| had.add(amount));
            sum.insert(resource, total);
        }
    };
    let (mut most, mut staying) = (BTreeMap::new(), BTreeMap::new());
    for container in maps(spec, "initContainers") {
        if text(container, "restartPolicy") == "Always" {
            add(&mut staying, &of(container));
            continue;
        }
        let mut at_once = staying.clone();
        add(&mut at_once, &of(container));
        raise(&mut most, at_once);
    }
    for container in maps(spec, "containers") {
        add(&mut staying, &of(container));
    }
    raise(&mut most, staying);
    most
}

fn raise<'a>(most: &mut BTreeMap<&'a str, Quantity>, other: BTreeMap<&'a str, Quantity>) {
    for (resource, amount) in other {
        if most.get(resource).is_none_or(|had| amount > *had) {
            most.insert(resource, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_that_run_first_need_less_than_all_together_or_more() {
        let of = |cpu: &str, restart: &str| json!({"restartPolicy": restart, "resources": {"requests": {"cpu": cpu}}});
        let spec = json!({"initContainers": [of("1", "Always"), of("4", ""), of("1", "Always")], "containers": [of("1", ""), of("1", "")]});
        let spec = spec.as_object().unwrap();
        assert_eq!(together(spec, "requests")["cpu"], Quantity::parse("5").unwrap());
        assert!(is_extended("nvidia.com/gpu") && !is_extended("kubernetes.io/batch") && !is_extended("gpu"));
    }
}
