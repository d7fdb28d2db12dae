//! Which container holds which GPU of the node. Pure.
//!
//! Held: for every index of the node its holder, a Pod's UID and a container's name. Invariant: a GPU has at most one
//! holder. The lowest free index is given first. Init containers share what the Pod's containers get later, as with the
//! kubelet's device manager: they are given the same GPUs first and hand them on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::quantity::whole;

/// Name of the extended resource.
pub const RESOURCE: &str = "nvidia.com/gpu";

/// Who holds GPUs.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    count: usize,
    /// GPU index to (Pod UID, container).
    held: BTreeMap<usize, (String, String)>,
}

/// What a Pod was given: container name to GPU indexes, ascending.
pub type Given = BTreeMap<String, Vec<usize>>;

/// Not enough GPUs are free. The text is the kubelet's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Allocate failed due to requested number of devices unavailable for {RESOURCE}. Requested: {requested}, Available: {available}, which is unexpected"
)]
pub struct Unavailable {
    requested: usize,
    available: usize,
}

/// How many GPUs a container asks for.
#[must_use]
pub fn asked(container: &Container) -> usize {
    let resources = container.resources.as_ref();
    let list = resources.and_then(|r| r.limits.as_ref()).and_then(|l| l.get(RESOURCE));
    let list = list.or_else(|| resources.and_then(|r| r.requests.as_ref()).and_then(|l| l.get(RESOURCE)));
    list.and_then(whole).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

impl Allocator {
    /// A node with `count` GPUs. With 0 there is no device plugin: nothing is refused and nothing is given.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count, held: BTreeMap::new() }
    }

    /// Gives `pod` what its containers ask for, all or nothing.
    ///
    /// # Errors
    /// [`Unavailable`] for the first container that cannot be served; the Pod then holds nothing.
    pub fn admit(&mut self, uid: &str, pod: &Pod) -> Result<Given, Unavailable> {
        let mut given = Given::new();
        let Some(spec) = pod.spec.as_ref().filter(|_| self.count > 0) else { return Ok(given) };
        // GPUs of init containers that ended are there for the containers.
        let mut reusable: Vec<usize> = Vec::new();
        for container in spec.init_containers.iter().flatten() {
            let stays = container.restart_policy.as_deref() == Some("Always");
            let mut nothing = Vec::new();
            let pool = if stays { &mut nothing } else { &mut reusable };
            let chosen = self.choose(uid, container, pool, !stays)?;
            if !chosen.is_empty() {
                given.insert(container.name.clone(), chosen);
            }
        }
        for container in &spec.containers {
            let chosen = self.choose(uid, container, &mut reusable, false)?;
            if !chosen.is_empty() {
                given.insert(container.name.clone(), chosen);
            }
        }
        Ok(given)
    }

    fn choose(&mut self, uid: &str, container: &Container, reusable: &mut Vec<usize>, lend: bool) -> Result<Vec<usize>, Unavailable> {
        let requested = asked(container);
        let free = (0..self.count).filter(|g| !self.held.contains_key(g));
        let candidates: Vec<usize> = reusable.iter().copied().chain(free).take(requested).collect();
        if candidates.len() < requested {
            let available = reusable.len() + self.count - self.held.len();
            self.release(uid);
            return Err(Unavailable { requested, available });
        }
        for gpu in &candidates {
            self.held.insert(*gpu, (uid.to_owned(), container.name.clone()));
        }
        if lend {
            reusable.extend(&candidates);
            reusable.sort_unstable();
            reusable.dedup();
        } else {
            reusable.retain(|g| !candidates.contains(g));
        }
        let mut chosen = candidates;
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// Takes back everything `uid` holds.
    pub fn release(&mut self, uid: &str) {
        self.held.retain(|_, (holder, _)| holder != uid);
    }

    /// The indexes that are free.
    #[must_use]
    pub fn free(&self) -> Vec<usize> {
        (0..self.count).filter(|g| !self.held.contains_key(g)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(init: &[u32], main: &[u32]) -> Pod {
        let container =
            |prefix: &str, i: usize, n: u32| json!({"name": format!("{prefix}{i}"), "resources": {"limits": {RESOURCE: n.to_string()}}});
        let list = |prefix: &str, counts: &[u32]| counts.iter().enumerate().map(|(i, n)| container(prefix, i, *n)).collect::<Vec<_>>();
        serde_json::from_value(json!({"spec": {"initContainers": list("i", init), "containers": list("c", main)}})).unwrap()
    }

    #[test]
    fn lowest_free_index_first_and_back_again() {
        let mut a = Allocator::new(4);
        assert_eq!(a.admit("u1", &pod(&[], &[1])).unwrap()["c0"], [0]);
        assert_eq!(a.admit("u2", &pod(&[], &[1, 1])).unwrap().into_values().collect::<Vec<_>>(), [vec![1], vec![2]]);
        a.release("u1");
        assert_eq!(a.admit("u3", &pod(&[], &[2])).unwrap()["c0"], [0, 3]);
        assert!(a.free().is_empty());
        let e = a.admit("u4", &pod(&[], &[1])).unwrap_err();
        assert!(e.to_string().contains("Requested: 1, Available: 0"));
        a.release("u2");
        assert_eq!(a.free(), [1, 2]);
    }

    #[test]
    fn a_pod_that_does_not_fit_holds_nothing() {
        let mut a = Allocator::new(2);
        assert!(a.admit("u", &pod(&[], &[1, 2])).is_err());
        assert_eq!(a.free(), [0, 1]);
    }

    #[test]
    fn init_containers_hand_their_gpus_on() {
        let mut a = Allocator::new(2);
        let given = a.admit("u", &pod(&[2], &[1, 1])).unwrap();
        assert_eq!((given["i0"].as_slice(), given["c0"].as_slice(), given["c1"].as_slice()), (&[0, 1][..], &[0][..], &[1][..]));
    }

    #[test]
    fn without_a_device_plugin_nothing_is_given_or_refused() {
        let mut a = Allocator::new(0);
        assert!(a.admit("u", &pod(&[], &[2])).unwrap().is_empty());
    }
}
