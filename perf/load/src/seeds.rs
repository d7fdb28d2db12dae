//! Seeds: every consumer of chance has a stream of its own, by name (perf contract 2.9), so that what one draws changes nothing
//! for another, and the same seed gives the same workload on any number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use sha2::{Digest, Sha256};

/// The root of all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of the stream of that name: the first eight bytes of SHA-256 over `<root>:<name>`.
    #[must_use]
    pub fn child(self, name: &str) -> u64 {
        let digest = Sha256::digest(format!("{}:{name}", self.0));
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }

    /// The stream of that name.
    #[must_use]
    pub fn stream(self, name: &str) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(self.child(name))
    }

    /// The stream of that name for the item of this number, whatever was drawn for others.
    #[must_use]
    pub fn stream_of(self, name: &str, item: u64) -> ChaCha12Rng {
        let mut stream = self.stream(name);
        stream.set_stream(item);
        stream
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    /// The check values of the contract.
    #[test]
    fn children_are_those_of_the_contract() {
        for (root, name, child) in [
            (42, "dataset.prompt.length", 7_521_479_737_366_565_015),
            (42, "timing.request.poisson_interval", 8_134_544_948_104_704_004),
            (42, "timing.request.cancellation", 11_686_587_610_284_287_402),
            (1, "dataset.prompt.length", 6_293_199_321_103_533_547),
        ] {
            assert_eq!(Seed(root).child(name), child, "{name}");
        }
    }

    #[test]
    fn items_are_apart_and_come_again() {
        let draw = |item: u64| Seed(7).stream_of("x", item).random::<u64>();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
