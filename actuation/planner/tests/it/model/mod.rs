//! A small deterministic node: an API server, a kubelet, stubs, engines, launchers, and an executor with delays and failures.
//!
//! Everything that happens is an instant on one virtual clock. [`Harness::run`] alternates between letting the world go on and
//! letting the controller plan; [`world::World::violations`] collects every breach of the safety properties as it happens.

mod check;
mod engines;
mod executor;
mod kubelet;
pub(crate) mod world;

pub(crate) use check::inconsistencies;
pub(crate) use executor::{Fault, Faults, Harness};
pub(crate) use world::World;

/// A small generator, so that one number reproduces a run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }
}
