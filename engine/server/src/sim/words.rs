//! What the simulator says. A token is a word with the white space before it; its number is a hash of it.
//!
//! An answer depends on the seed, the model, the prompt, the choice and (when sampling) the request's own seed, and on
//! nothing else: not on load, order or time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::job::Job;

const WORDS: [&str; 32] = [
    "acorn", "amber", "autumn", "bramble", "burrow", "chestnut", "clover", "dusk", "fern", "frost", "gentle", "hazel", "hollow", "ivy",
    "leaf", "lichen", "meadow", "moss", "nest", "night", "oak", "quiet", "rain", "root", "season", "sleep", "soft", "thistle", "warm",
    "willow", "winter", "wood",
];

/// 64-bit FNV-1a.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn id(word: &str) -> u32 {
    // The upper half is the better mixed one.
    (hash(0, word.as_bytes()) >> 32) as u32
}

/// Splits a text into words with their leading white space, as token numbers.
pub(super) fn tokens(text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    let mut begin = 0;
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && in_word {
            tokens.push(id(&text[begin..at]));
            begin = at;
        }
        in_word = !c.is_whitespace();
    }
    if begin < text.len() {
        tokens.push(id(&text[begin..]));
    }
    tokens
}

/// The tokens of one answer.
#[derive(Debug)]
pub(super) struct Answer {
    random: ChaCha8Rng,
    /// Apart, so that jitter does not change what is said.
    pace: ChaCha8Rng,
    /// Words yet to say that are fixed.
    opening: std::vec::IntoIter<String>,
    said: usize,
    /// Words after which the model would end by itself.
    length: usize,
}

impl Answer {
    pub(super) fn new(seed: u64, model: &str, job: &Job) -> Self {
        let prompt: Vec<u8> = job.prompt.iter().flat_map(|t| t.to_le_bytes()).collect();
        let own = if job.params.temperature > 0.0 { job.params.seed.unwrap_or(0) } else { 0 };
        let key = hash(hash(hash(seed ^ own, model.as_bytes()), &prompt), &job.choice.to_le_bytes());
        let mut random = ChaCha8Rng::seed_from_u64(key);
        let opening: Vec<String> = format!("{model} (simulated) says:").split(' ').map(str::to_owned).collect();
        let length = opening.len() + 8 + (random.next_u32() % 17) as usize;
        Self { random, pace: ChaCha8Rng::seed_from_u64(!key), opening: opening.into_iter(), said: 0, length }
    }

    /// The next token; `None` at the model's own end, unless it is to go on.
    pub(super) fn next(&mut self, go_on: bool) -> Option<(u32, String)> {
        if self.said >= self.length && !go_on {
            return None;
        }
        let word = match self.opening.next() {
            Some(word) => word,
            None => WORDS[self.random.next_u32() as usize % WORDS.len()].to_owned(),
        };
        let text = if self.said == 0 { word } else { format!(" {word}") };
        self.said += 1;
        Some((id(&text), text))
    }

    /// A number between -1 and 1.
    pub(super) fn spread(&mut self) -> f64 {
        f64::from(self.pace.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_word_with_its_space() {
        assert_eq!(tokens("one two\n three").len(), 3);
        assert_eq!(tokens("").len(), 0);
        assert_eq!(tokens(" a")[0], id(" a"));
        assert_ne!(tokens("a b"), tokens("a c"));
    }
}
