//! What one decision looks at: nodes, what is taken of each, which Pods are where.

use std::collections::BTreeMap;

use dormouse_placement::Amounts;

use crate::crowd::Crowd;
use crate::facts::{HostPort, NodeFacts, PodFacts};
use crate::terms::Namespaces;

/// A node and what Pods have of it. Pods may be bound to a node that is not there (yet).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) node: Option<NodeFacts>,
    pub(crate) taken: Taken,
}

/// What Pods that are bound or assumed, and not terminal, have of a node. Sums of nothing are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Taken {
    requests: Amounts,
    ports: BTreeMap<HostPort, usize>,
}

impl Taken {
    pub(crate) fn add(&mut self, pod: &PodFacts) {
        for (name, n) in pod.wants.requests.iter().filter(|(_, n)| **n != 0) {
            match self.requests.get_mut(name) {
                Some(sum) => *sum += n,
                None => drop(self.requests.insert(name.clone(), *n)),
            }
        }
        for port in &pod.wants.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, pod: &PodFacts) {
        for (name, n) in &pod.wants.requests {
            if let Some(sum) = self.requests.get_mut(name) {
                *sum -= n;
                if *sum == 0 {
                    self.requests.remove(name);
                }
            }
        }
        for port in &pod.wants.ports {
            if let Some(users) = self.ports.get_mut(port) {
                *users -= 1;
                if *users == 0 {
                    self.ports.remove(port);
                }
            }
        }
    }

    /// How much of a resource is requested; thousandths.
    pub(crate) fn requested(&self, name: &str) -> i128 {
        self.requests.get(name).copied().unwrap_or(0)
    }

    /// Whether one of these ports is taken.
    pub(crate) fn clashes(&self, ports: &[HostPort]) -> bool {
        ports.iter().any(|wanted| self.ports.keys().any(|taken| taken.clashes(wanted)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.ports.is_empty()
    }
}

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) places: &'a BTreeMap<String, Place>,
    pub(crate) crowd: &'a Crowd,
    pub(crate) namespaces: &'a Namespaces,
}

impl<'a> Sight<'a> {
    /// The nodes by name.
    pub(crate) fn nodes(self) -> impl Iterator<Item = (&'a NodeFacts, &'a Taken)> {
        self.places.values().filter_map(|place| Some((place.node.as_ref()?, &place.taken)))
    }

    /// One node; Pods may be bound to one that is not there.
    pub(crate) fn node(self, name: &str) -> Option<&'a NodeFacts> {
        self.places.get(name).and_then(|place| place.node.as_ref())
    }
}
