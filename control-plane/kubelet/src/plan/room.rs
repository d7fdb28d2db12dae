//! What of a node is taken, and by whom. Pure.
//!
//! Held: for each Pod that was let in and whose processes may live, what it asks for; which of these are *leftovers*, Pods
//! whose objects are gone while their processes are not. Invariant: leftovers are Pods that were let in.
//!
//! A device or an amount is free when the processes are gone, not when the object is. Whoever counts objects (the scheduler,
//! a ReplicaSet) believes it free earlier: a Pod that only leftovers keep out waits instead of failing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::admit::{self, Rejection};
use super::gpus::{Allocator, Given};

/// Amounts by resource in thousandths.
pub type Amounts = BTreeMap<String, i128>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Room {
    gpus: Allocator,
    taken: BTreeMap<String, Amounts>,
    leftovers: BTreeSet<String>,
}

/// Why a Pod is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The node does not take it.
    Rejected(Rejection),
    /// It would be taken if these leftovers, by UID, were not there.
    Waits(Vec<String>),
}

impl Room {
    /// A node with so many GPUs.
    #[must_use]
    pub fn new(gpus: usize) -> Self {
        Self { gpus: Allocator::new(gpus), ..Self::default() }
    }

    /// Lets a Pod in, all or nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(&mut self, uid: &str, pod: &Pod, node: &Node, capacity: &BTreeMap<String, Quantity>) -> Result<Given, Refusal> {
        match self.try_admit(uid, pod, node, capacity) {
            Ok(given) => Ok(given),
            Err(rejection) => {
                let mut without = self.clone();
                self.leftovers.iter().for_each(|leftover| without.release(leftover));
                let waits = !self.leftovers.is_empty() && without.try_admit(uid, pod, node, capacity).is_ok();
                Err(if waits { Refusal::Waits(self.leftovers.iter().cloned().collect()) } else { Refusal::Rejected(rejection) })
            }
        }
    }

    fn try_admit(&mut self, uid: &str, pod: &Pod, node: &Node, capacity: &BTreeMap<String, Quantity>) -> Result<Given, Rejection> {
        let mut used = Amounts::new();
        for (name, n) in self.taken.iter().filter(|(other, _)| *other != uid).flat_map(|(_, amounts)| amounts) {
            *used.entry(name.clone()).or_default() += n;
        }
        let others = self.taken.keys().filter(|other| *other != uid).count();
        // Devices first, as in the kubelet: what it says of them is what people search for.
        let unexpected = |e: super::gpus::Unavailable| Rejection { reason: "UnexpectedAdmissionError".to_owned(), message: e.to_string() };
        let given = self.gpus.admit(uid, pod).map_err(unexpected)?;
        admit::check(pod, node, capacity, &used, others).inspect_err(|_| self.gpus.release(uid))?;
        self.taken.insert(uid.to_owned(), admit::requests(pod));
        Ok(given)
    }

    /// A Pod's object is gone. Whether it leaves something behind.
    pub fn orphan(&mut self, uid: &str) -> bool {
        self.taken.contains_key(uid) && self.leftovers.insert(uid.to_owned())
    }

    /// A Pod's processes are gone: what it held is free.
    pub fn release(&mut self, uid: &str) {
        self.gpus.release(uid);
        self.taken.remove(uid);
        self.leftovers.remove(uid);
    }

    /// What leftovers hold together, one of `pods` each.
    #[must_use]
    pub fn held_by_leftovers(&self) -> Amounts {
        let mut held = Amounts::new();
        for amounts in self.leftovers.iter().filter_map(|uid| self.taken.get(uid)) {
            for (name, n) in amounts {
                *held.entry(name.clone()).or_default() += n;
            }
            *held.entry("pods".to_owned()).or_default() += 1_000;
        }
        held.retain(|_, n| *n > 0);
        held
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(gpus: u32) -> Pod {
        let limits = json!({"nvidia.com/gpu": gpus.to_string(), "cpu": "500m"});
        serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]}})).unwrap()
    }

    fn capacity() -> BTreeMap<String, Quantity> {
        [("cpu", "4"), ("pods", "3"), ("nvidia.com/gpu", "2")].map(|(k, v)| (k.to_owned(), Quantity(v.to_owned()))).into()
    }

    fn admit(room: &mut Room, uid: &str, gpus: u32) -> Result<Given, Refusal> {
        room.admit(uid, &pod(gpus), &Node::default(), &capacity())
    }

    #[test]
    fn who_is_kept_out_by_a_leftover_waits_and_others_fail() {
        let mut room = Room::new(2);
        admit(&mut room, "old", 2).unwrap();
        let rejected = admit(&mut room, "new", 1).unwrap_err();
        assert!(matches!(&rejected, Refusal::Rejected(r) if r.reason == "UnexpectedAdmissionError"), "{rejected:?}");
        assert!(room.held_by_leftovers().is_empty());
        assert!(room.orphan("old") && !room.orphan("old") && !room.orphan("unknown"));
        assert_eq!(
            room.held_by_leftovers(),
            [("cpu", 500), ("nvidia.com/gpu", 2_000), ("pods", 1_000)].map(|(k, n)| (k.to_owned(), n)).into()
        );
        assert_eq!(admit(&mut room, "new", 1), Err(Refusal::Waits(vec!["old".to_owned()])));
        // More than the node has would not be let in without the leftover either.
        assert!(matches!(admit(&mut room, "big", 3), Err(Refusal::Rejected(_))));
        room.release("old");
        assert_eq!(admit(&mut room, "new", 1).unwrap()["c"], [0]);
        assert!(room.held_by_leftovers().is_empty());
    }

    #[test]
    fn places_for_pods_are_held_too() {
        let mut room = Room::new(0);
        for uid in ["a", "b", "c"] {
            admit(&mut room, uid, 0).unwrap();
        }
        room.orphan("b");
        assert_eq!(admit(&mut room, "d", 0), Err(Refusal::Waits(vec!["b".to_owned()])));
        room.release("b");
        assert!(admit(&mut room, "d", 0).is_ok());
    }
}
