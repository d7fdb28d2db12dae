//! Prompts by their beginnings, as a server with a prefix cache knows them.
//!
//! A prompt is cut into blocks of 64 bytes, and each block is known by all bytes up to its end. What of a new prompt is known from its
//! beginning on is shared. The set is bounded: a full one is forgotten.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

const BLOCK: usize = 64;
const BLOCKS: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct PrefixCache {
    known: HashSet<u64>,
}

impl PrefixCache {
    /// How many bytes from the beginning of `prompt` are known; from now on all of it is.
    pub(crate) fn share(&mut self, prompt: &[u8]) -> usize {
        // Its keys are fixed: the same prompts are known in every run.
        let mut hasher = DefaultHasher::new();
        let (mut shared, mut all) = (0, true);
        for block in prompt.chunks_exact(BLOCK) {
            hasher.write(block);
            if self.known.len() >= BLOCKS {
                self.known.clear();
            }
            all &= !self.known.insert(hasher.finish());
            shared += if all { BLOCK } else { 0 };
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_common_beginning_is_shared() {
        let mut cache = PrefixCache::default();
        let prompt: Vec<u8> = (0..200_u8).collect();
        assert_eq!(cache.share(&prompt), 0);
        assert_eq!(cache.share(&prompt), 192);
        let mut other = prompt.clone();
        other[70] = 0;
        assert_eq!(cache.share(&other), 64);
        // The same block elsewhere is not the same beginning.
        assert_eq!(cache.share(&prompt[64..]), 0);
    }
}
