//! Conversations made up (perf contract 3.1, 3.2).

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::conversation::{Conversation, Text, Turn};
use crate::dataset::Dataset;
use crate::image::Drawn;
use crate::lengths::{size, wide};
use crate::prompt::Prompts;

impl Dataset {
    /// How many turns conversation `number` has.
    pub(crate) fn turn_count(&self, number: u64) -> usize {
        size(self.spec.turns.integer(&mut self.stream("composer.conversation.turn_count", number)))
    }

    /// How many turns the conversations before `number` have. Behind the last one that is counted they come again.
    pub(crate) fn turns_before(&self, number: u64) -> usize {
        if self.spec.turns.is_fixed() {
            return size(number).wrapping_mul(self.turn_count(0));
        }
        let ends = self.turn_ends.get_or_init(|| {
            let each = (0..self.len()).scan(0_usize, |sum, k| {
                *sum = sum.saturating_add(self.turn_count(wide(k)));
                Some(*sum)
            });
            each.collect()
        });
        let (rounds, place) = (size(number) / ends.len().max(1), size(number) % ends.len().max(1));
        let within = place.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        rounds.wrapping_mul(ends.last().copied().unwrap_or(0)).wrapping_add(within)
    }

    /// Conversation `number`, without what every conversation gets.
    pub(crate) fn made_up(&self, number: u64) -> Conversation {
        let mut lengths = Lengths {
            of_dataset: self,
            isl: self.stream("dataset.prompt.length", number),
            pairs: self.stream("models.sequence.distribution", number),
        };
        let mut words = self.stream("dataset.prompt.corpus", number);
        let mut delays = self.stream("composer.conversation.turn_delay", number);
        let mut images = self.spec.images.as_ref().map(|images| Drawn::new(self, images, number));
        let turns = (0..self.turn_count(number)).map(|at| {
            let mut turn = Turn::default();
            if let Some(prompts) = &self.prompts {
                turn.texts = match &self.spec.rankings {
                    Some(_) => self.ranked(prompts, number, &mut words),
                    None => self.prompts(prompts, number, at, &mut lengths, &mut words),
                };
            }
            if let Some(images) = &mut images {
                turn.images = images.turn();
            }
            if at > 0 && self.spec.delay.mean() > 0.0 {
                turn.delay_ms = Some(self.spec.delay.positive(&mut delays) * self.spec.delay_ratio);
            }
            turn
        });
        Conversation { turns: turns.collect(), ..Conversation::default() }
    }

    /// The prompts of a turn; those of the first begin with what they share.
    fn prompts(&self, prompts: &Prompts, number: u64, at: usize, lengths: &mut Lengths<'_>, words: &mut ChaCha12Rng) -> Vec<Text> {
        let prefix = if at == 0 { self.prefix(prompts, number) } else { None };
        let tokens = lengths.next(prompts.tokenizer().marks());
        let item = number.wrapping_add(wide(at));
        let mut contents = Vec::with_capacity(self.spec.batch);
        for n in 0..self.spec.batch {
            // A pair is drawn once for a turn.
            let again = n > 0 && self.spec.seq_dist.is_none();
            let tokens = if again { lengths.next(prompts.tokenizer().marks()) } else { tokens };
            contents.push(match prefix {
                Some((head, counted)) => format!("{head}{}", prompts.behind(head, *counted, tokens, item, words)),
                None => prompts.text(tokens, item, words),
            });
        }
        if contents.is_empty() { Vec::new() } else { vec![Text { name: "text".to_owned(), contents }] }
    }

    /// One of the beginnings that prompts share.
    fn prefix(&self, prompts: &Prompts, number: u64) -> Option<&(String, usize)> {
        if self.spec.prefix_pool == 0 || self.spec.prefix_length == 0 {
            return None;
        }
        let pool = self.prefixes.get_or_init(|| {
            let each = (0..self.spec.prefix_pool).map(|n| {
                let text = prompts.text(self.spec.prefix_length, wide(n), &mut self.stream("dataset.prompt.prefix", wide(n)));
                let counted = prompts.tokenizer().count(&text);
                (text, counted)
            });
            each.collect()
        });
        pool.get(self.stream("dataset.prompt.prefix.choice", number).random_range(0..pool.len().max(1)))
    }

    /// A query and its passages.
    fn ranked(&self, prompts: &Prompts, number: u64, words: &mut ChaCha12Rng) -> Vec<Text> {
        let Some(rankings) = &self.spec.rankings else { return Vec::new() };
        let mut lengths = self.stream("dataset.rankings.length", number);
        let query = prompts.text(rankings.query.integer(&mut lengths), number, words);
        let passages = (0..rankings.passages.integer(&mut lengths))
            .map(|n| prompts.text(rankings.passage.integer(&mut lengths), number.wrapping_add(n + 1), words));
        let passages = passages.collect();
        vec![Text { name: "query".to_owned(), contents: vec![query] }, Text { name: "passages".to_owned(), contents: passages }]
    }
}

/// Lengths of the prompts of one conversation. Limits of answers are drawn elsewhere: of pairs, both take theirs from streams that
/// are the same, once for each turn.
struct Lengths<'a> {
    of_dataset: &'a Dataset,
    isl: ChaCha12Rng,
    pairs: ChaCha12Rng,
}

impl Lengths<'_> {
    fn next(&mut self, marks: usize) -> u64 {
        let spec = &self.of_dataset.spec;
        match (&spec.seq_dist, spec.range_ratio) {
            (Some(dist), _) => dist.draw(&mut self.pairs).0,
            (None, Some(ratio)) => self.of_dataset.windowed(&spec.isl, ratio.input, marks, &mut self.isl),
            (None, None) => spec.isl.integer(&mut self.isl),
        }
    }
}
