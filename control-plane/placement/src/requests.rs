//! What a Pod asks for in all.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::amounts::{Amounts, add, amounts, raise, thousandths};

/// The effective requests of a Pod, as Kubernetes' `PodRequests` gives them to scheduler and kubelet.
///
/// The sum over containers and sidecars, or what an init container needs beside the sidecars started before it, whichever is
/// more. What the Pod as a whole asks for (`spec.resources`: CPU, memory, huge pages) stands for that sum. Overhead comes on
/// top. A limit stands for a request that is not written, which an API server writes into the object.
#[must_use]
pub fn requests(spec: &PodSpec) -> Amounts {
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let own = container_requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, &sidecars);
            raise(&mut peak, &beside);
        }
    }
    let mut all = sidecars;
    for container in &spec.containers {
        add(&mut all, &container_requests(container));
    }
    raise(&mut all, &peak);
    if let Some(whole) = &spec.resources {
        of_the_whole(&mut all, whole);
    }
    add(&mut all, &amounts(spec.overhead.as_ref()));
    all
}

fn container_requests(container: &Container) -> Amounts {
    let Some(resources) = &container.resources else { return Amounts::new() };
    let mut all = amounts(resources.limits.as_ref());
    all.extend(amounts(resources.requests.as_ref()));
    all
}

/// Kubernetes fills a request of the whole in from the containers first, from the limit of the whole only where these ask for
/// nothing.
fn of_the_whole(all: &mut Amounts, whole: &ResourceRequirements) {
    let known = |list: Option<&BTreeMap<String, Quantity>>| -> Vec<(String, i128)> {
        let known =
            list.into_iter().flatten().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-"));
        known.filter_map(|(name, quantity)| Some((name.clone(), thousandths(quantity)?))).collect()
    };
    for (name, n) in known(whole.limits.as_ref()) {
        all.entry(name).or_insert(n);
    }
    all.extend(known(whole.requests.as_ref()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: Value) -> Amounts {
        requests(&serde_json::from_value(spec).unwrap())
    }

    fn cpu(n: &str) -> Value {
        json!({"requests": {"cpu": n}})
    }

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_add() {
        let spec = json!({
            "initContainers": [
                {"name": "before", "resources": cpu("5")},
                {"name": "s", "restartPolicy": "Always", "resources": cpu("1")},
                {"name": "after", "resources": cpu("5")}],
            "containers": [{"name": "a", "resources": cpu("2")}, {"name": "b", "resources": cpu("1")}],
            "overhead": {"cpu": "250m", "memory": "1Ki"}});
        assert_eq!(of(spec), [("cpu".to_owned(), 6_250), ("memory".to_owned(), 1_024_000)].into());
    }

    #[test]
    fn a_limit_stands_for_a_request_that_is_not_written() {
        let resources = json!({"limits": {"cpu": "2", "nvidia.com/gpu": "1"}, "requests": {"cpu": "500m"}});
        assert_eq!(
            of(json!({"containers": [{"name": "c", "resources": resources}]})),
            [("cpu".to_owned(), 500), ("nvidia.com/gpu".to_owned(), 1_000)].into()
        );
    }

    #[test]
    fn the_whole_stands_for_its_containers() {
        let with =
            |whole: Value| of(json!({"containers": [{"name": "c", "resources": cpu("2")}], "resources": whole, "overhead": {"cpu": "1"}}));
        assert_eq!(with(json!({"requests": {"cpu": "4", "vendor.io/x": "1"}}))["cpu"], 5_000);
        let limits = with(json!({"limits": {"cpu": "4", "memory": "1"}}));
        assert_eq!((limits["cpu"], limits["memory"]), (3_000, 1_000), "containers first, then the limit");
    }

    proptest! {
        /// No container ever asks for more than its Pod, and all that run together fit.
        #[test]
        fn the_pod_covers_its_containers(init in prop::collection::vec((0_u32..9, any::<bool>()), 0..4), main in prop::collection::vec(0_u32..9, 1..4)) {
            let container = |(i, n): (usize, u32), more: Value| {
                let mut c = json!({"name": format!("c{i}"), "resources": cpu(&n.to_string())});
                c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                c
            };
            let always = |yes: bool| if yes { json!({"restartPolicy": "Always"}) } else { json!({}) };
            let inits: Vec<_> = init.iter().enumerate().map(|(i, (n, side))| container((i, *n), always(*side))).collect();
            let mains: Vec<_> = main.iter().enumerate().map(|(i, n)| container((i + 9, *n), json!({}))).collect();
            let got = of(json!({"initContainers": inits, "containers": mains})).get("cpu").copied().unwrap_or(0);
            let sides = |until: usize| init[..until].iter().filter(|(_, side)| *side).map(|(n, _)| *n).sum::<u32>();
            let together = sides(init.len()) + main.iter().sum::<u32>();
            let peaks = init.iter().enumerate().map(|(i, (n, _))| n + sides(i));
            prop_assert_eq!(got, i128::from(peaks.chain([together]).max().unwrap_or(0)) * 1_000);
        }
    }
}
