//! From logits to a token. Deterministic: the randomness is a generator seeded by the request.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::job::Params;

/// Chooses the tokens of one answer.
#[derive(Debug)]
pub(super) struct Sampler {
    random: ChaCha8Rng,
}

impl Sampler {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next token; `prompt` and `said` are what penalties look at, `forbidden` what may not come now.
    pub(super) fn next(&mut self, logits: &mut [f32], params: &Params, prompt: &[u32], said: &[u32], forbidden: &[u32]) -> u32 {
        penalise(logits, params, prompt, said);
        for token in forbidden {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if params.temperature < 1e-5 {
            return likeliest(logits);
        }
        self.sample(logits, params)
    }

    fn sample(&mut self, logits: &[f32], params: &Params) -> u32 {
        let mut choices: Vec<(u32, f64)> = (0u32..)
            .zip(logits)
            .filter(|(_, logit)| logit.is_finite())
            .map(|(token, logit)| (token, f64::from(*logit) / params.temperature))
            .collect();
        // Likeliest first; the token's number decides between equals, so that the order is total.
        choices.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let Some(highest) = choices.first().map(|c| c.1) else {
            return 0;
        };
        if params.top_k > 0 {
            choices.truncate(params.top_k);
        }
        for choice in &mut choices {
            choice.1 = (choice.1 - highest).exp();
        }
        let total: f64 = choices.iter().map(|c| c.1).sum();
        let mut sum = 0.0;
        let kept = choices.iter().position(|c| {
            sum += c.1;
            sum >= params.top_p * total
        });
        choices.truncate(kept.map_or(choices.len(), |at| at + 1));
        // The likeliest has weight 1 here: min_p is relative to it.
        choices.retain(|c| c.1 >= params.min_p);
        let total: f64 = choices.iter().map(|c| c.1).sum();
        let mut point = f64::from(self.random.next_u32()) / (f64::from(u32::MAX) + 1.0) * total;
        for (token, weight) in &choices {
            point -= weight;
            if point < 0.0 {
                return *token;
            }
        }
        choices.last().map_or(0, |c| c.0)
    }
}

/// Highest logit; the first of equals. Not-a-number never wins.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in (0u32..).zip(logits) {
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    best.0
}

#[allow(clippy::cast_possible_truncation)] // penalties are small numbers
fn penalise(logits: &mut [f32], params: &Params, prompt: &[u32], said: &[u32]) {
    let (frequency, presence) = (params.frequency_penalty as f32, params.presence_penalty as f32);
    let repetition = params.repetition_penalty as f32;
    if frequency == 0.0 && presence == 0.0 && params.repetition_penalty == 1.0 {
        return;
    }
    let mut seen = vec![false; logits.len()];
    for token in said {
        let at = *token as usize;
        if let Some(logit) = logits.get_mut(at) {
            *logit -= frequency;
            if !std::mem::replace(&mut seen[at], true) {
                *logit -= presence;
            }
        }
    }
    if params.repetition_penalty != 1.0 {
        for token in prompt {
            if let Some(seen) = seen.get_mut(*token as usize) {
                *seen = true;
            }
        }
        for (logit, _) in logits.iter_mut().zip(&seen).filter(|(_, seen)| **seen) {
            *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::params;

    fn draw(params: &Params, seed: u64, logits: &[f32]) -> u32 {
        Sampler::new(seed).next(&mut logits.to_vec(), params, &[], &[], &[])
    }

    #[test]
    fn greedy_takes_the_first_highest_and_never_a_nan() {
        assert_eq!(draw(&params(), 0, &[0.0, 3.0, 3.0, f32::NAN]), 1);
        let mut logits = [0.0, 3.0, 2.0];
        assert_eq!(Sampler::new(0).next(&mut logits, &params(), &[], &[], &[1]), 2, "forbidden tokens do not come");
    }

    #[test]
    fn sampling_follows_the_seed_and_the_filters() {
        let hot = Params { temperature: 1.0, ..params() };
        let logits = [1.0, 1.0, 1.0, 1.0, -9.0];
        let drawn: Vec<u32> = (0..40).map(|seed| draw(&hot, seed, &logits)).collect();
        assert_eq!(drawn, (0..40).map(|seed| draw(&hot, seed, &logits)).collect::<Vec<_>>());
        assert!((0..4).all(|t| drawn.contains(&t)), "{drawn:?}");
        for narrow in [
            Params { top_k: 1, ..hot.clone() },
            Params { top_p: 0.2, ..hot.clone() },
            Params { min_p: 1.0, temperature: 0.5, ..hot.clone() },
        ] {
            let logits = [1.0, 2.0, 1.0, 1.0, -9.0];
            assert!((0..20).all(|seed| draw(&narrow, seed, &logits) == 1), "{narrow:?}");
        }
    }

    #[test]
    fn penalties_push_down_what_was_said() {
        let mut logits = [1.0, 1.1, 0.0];
        let p = Params { presence_penalty: 0.5, ..params() };
        assert_eq!(Sampler::new(0).next(&mut logits, &p, &[], &[1], &[]), 0);
        let mut logits = [1.0, 1.9, 0.0];
        let p = Params { repetition_penalty: 2.0, ..params() };
        assert_eq!(Sampler::new(0).next(&mut logits, &p, &[1], &[], &[]), 0);
    }
}
