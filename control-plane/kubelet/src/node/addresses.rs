//! Addresses of the node's Pods: `127.A.n.m`.
//!
//! Invariant: two Pods whose objects exist never share an address. A released one is taken again as late as possible, so
//! that what still talks to a Pod that has gone meets nobody.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// m of the first and last Pod; 1 is the node.
const FIRST: u8 = 2;
const LAST: u8 = 254;

#[derive(Debug)]
pub(super) struct Addresses {
    plane: u8,
    node: u8,
    next: u8,
    taken: BTreeMap<u8, String>,
}

impl Addresses {
    pub(super) fn new(plane: u8, node: u8) -> Self {
        Self { plane, node, next: FIRST, taken: BTreeMap::new() }
    }

    /// The address of `uid`: the one it has, the one it `had` if that is free, or the next. `None` when all are taken.
    pub(super) fn take(&mut self, uid: &str, had: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some((m, _)) = self.taken.iter().find(|(_, owner)| *owner == uid) {
            return Some(self.address(*m));
        }
        let had = had.map(|a| a.octets()).filter(|[a, plane, node, m]| {
            (*a, *plane, *node) == (127, self.plane, self.node) && (FIRST..=LAST).contains(m) && !self.taken.contains_key(m)
        });
        let m = match had {
            Some([.., m]) => m,
            None => (self.next..=LAST).chain(FIRST..self.next).find(|m| !self.taken.contains_key(m))?,
        };
        self.taken.insert(m, uid.to_owned());
        self.next = if m == LAST { FIRST } else { m + 1 };
        Some(self.address(m))
    }

    pub(super) fn release(&mut self, uid: &str) {
        self.taken.retain(|_, owner| owner != uid);
    }

    fn address(&self, m: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.plane, self.node, m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_and_reused_late() {
        let mut a = Addresses::new(16, 3);
        let first = a.take("u1", None).unwrap();
        assert_eq!(first, Ipv4Addr::new(127, 16, 3, 2));
        assert_eq!(a.take("u1", None), Some(first));
        let had = Some(Ipv4Addr::new(127, 16, 3, 9));
        assert_eq!(a.take("u2", had), had);
        assert_ne!(a.take("u3", had), had, "taken by another");
        assert_eq!(a.take("u4", Some(Ipv4Addr::new(10, 0, 0, 9))), Some(Ipv4Addr::new(127, 16, 3, 11)), "not ours");
        a.release("u1");
        assert_eq!(a.take("u5", None), Some(Ipv4Addr::new(127, 16, 3, 12)), "not at once again");
        for i in 0..300 {
            a.take(&format!("x{i}"), None);
        }
        assert_eq!(a.take("late", None), None);
        a.release("u2");
        assert_eq!(a.take("late", None), had);
    }
}
