//! Text of exactly so many tokens (perf contract 3.1).
//!
//! Tokens are taken from a sequence, decoded, and counted again as a server would: neighbours at a cut may have become one, or a
//! character may have fallen apart. What is too long is cut, what is too short goes on, and that is tried a few times.
//!
//! Prose is taken in short runs from places of chance: of one long run, two prompts that begin at the same place would be the same,
//! and a server's prefix cache would answer the second. Most tokenizers read a text word by word; where one does, which is seen
//! once, whole pieces of prose are put together as text, and no more than the end is counted.

use std::sync::Arc;

use rand::{Rng, RngExt as _};

use crate::lengths::size;
use crate::spec::{Corpus, CorpusStyle};
use crate::tokenizer::Tokenizer;

/// Our own prose.
const PROSE: &str = include_str!("corpus.txt");
/// How often a text is mended before the nearest is taken.
const TRIES: usize = 10;
/// Tokens of a piece of prose, at least; it ends before the next word.
const PIECE: usize = 8;
/// Pieces that are taken from one place.
const RUN: usize = 5;
/// Tokens at hand beyond those that are wanted.
const SPARE: usize = 64;

/// Where prompts are taken from.
#[derive(Debug)]
pub(crate) struct Prompts {
    tokenizer: Arc<Tokenizer>,
    corpus: Corpus,
    style: CorpusStyle,
    /// Pieces may be put together as text.
    composes: bool,
}

/// The corpus in pieces.
#[derive(Debug)]
pub(crate) struct Prose {
    pieces: Vec<Piece>,
    /// However pieces are put together, their tokens are those of each.
    composes: bool,
}

/// Some words, each with the blank before it.
#[derive(Debug)]
struct Piece {
    tokens: Vec<u32>,
    text: String,
}

impl Prose {
    fn read(tokenizer: &Tokenizer) -> Self {
        let text: String = PROSE.split_whitespace().flat_map(|word| [" ", word]).collect();
        let tokens = tokenizer.encode(&text);
        let begins = |id: u32| tokenizer.spelling(id).is_some_and(|s| s.starts_with(['Ġ', '▁', ' ']));
        let mut pieces: Vec<Piece> = Vec::new();
        for token in tokens {
            match pieces.last_mut() {
                Some(piece) if piece.tokens.len() < PIECE || !begins(token) => piece.tokens.push(token),
                _ => pieces.push(Piece { tokens: vec![token], text: String::new() }),
            }
        }
        for piece in &mut pieces {
            piece.text = tokenizer.decode(&piece.tokens);
        }
        let word_by_word = pieces.iter().all(|p| p.text.starts_with(' ') && tokenizer.encode(&p.text) == p.tokens);
        let backwards = || {
            let text: String = pieces.iter().rev().map(|p| p.text.as_str()).collect();
            tokenizer.count(&text) == pieces.iter().map(|p| p.tokens.len()).sum::<usize>()
        };
        let composes = word_by_word && backwards();
        Self { pieces, composes }
    }

    /// Pieces of at least so many tokens.
    fn take(&self, tokens: usize, rng: &mut impl Rng) -> Vec<&Piece> {
        let (mut taken, mut have) = (Vec::new(), 0);
        while have < tokens && !self.pieces.is_empty() {
            let from = rng.random_range(0..self.pieces.len());
            for piece in self.pieces.iter().cycle().skip(from).take(RUN) {
                have += piece.tokens.len().max(1);
                taken.push(piece);
            }
        }
        taken
    }
}

impl Prompts {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, corpus: Corpus, style: CorpusStyle) -> Self {
        Self { tokenizer, corpus, style, composes: true }
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn prose(&self) -> &Prose {
        self.tokenizer.prose().get_or_init(|| Prose::read(&self.tokenizer))
    }

    /// So many tokens; `number` is that of the prompt.
    pub(crate) fn text(&self, tokens: u64, number: u64, rng: &mut impl Rng) -> String {
        self.behind("", 0, tokens, number, rng)
    }

    /// Text that has so many tokens more with `head` before it than the `counted` of that alone.
    pub(crate) fn behind(&self, head: &str, counted: usize, tokens: u64, number: u64, rng: &mut impl Rng) -> String {
        let tokens = size(tokens);
        match self.corpus {
            Corpus::Sonnet => {
                let prose = self.prose();
                let pieces = prose.take(tokens.saturating_add(SPARE), rng);
                let composed = if prose.composes && self.composes { self.compose(head, counted, tokens, &pieces) } else { None };
                composed.unwrap_or_else(|| {
                    let all: Vec<u32> = pieces.iter().flat_map(|p| &p.tokens).copied().collect();
                    self.mend(head, counted, tokens, &all)
                })
            }
            Corpus::Random => {
                let all = match self.style {
                    CorpusStyle::Vllm => self.tokenizer.vocabulary(),
                    CorpusStyle::Sglang => self.tokenizer.all_ids(),
                };
                let offset = if all.is_empty() { 0 } else { rng.random_range(0..all.len()) };
                let from = offset.wrapping_add(size(number)) % all.len().max(1);
                let most = if all.is_empty() { 0 } else { tokens.saturating_add(SPARE) };
                let taken: Vec<u32> = all.iter().copied().cycle().skip(from).take(most).collect();
                self.mend(head, counted, tokens, &taken)
            }
        }
    }

    /// Whole pieces as they are, and the end mended; nothing where that does not come out.
    fn compose(&self, head: &str, counted: usize, tokens: usize, pieces: &[&Piece]) -> Option<String> {
        let first = pieces.first()?;
        if !head.is_empty() && self.tokenizer.count(&format!("{head}{}", first.text)) != counted + first.tokens.len() {
            return None;
        }
        let mut text = String::with_capacity(tokens.saturating_mul(5));
        let mut left = tokens;
        let mut pieces = pieces.iter();
        let last = loop {
            let piece = pieces.next()?;
            let Some(less) = left.checked_sub(piece.tokens.len()) else { break piece };
            left = less;
            text.push_str(&piece.text);
        };
        let next: Vec<u32> = last.tokens.iter().chain(pieces.flat_map(|p| &p.tokens)).copied().collect();
        let end = self.mend("", 0, left, &next);
        (left == 0 || (end.starts_with(' ') && self.tokenizer.count(&end) == left)).then(|| text + &end)
    }

    /// Text of the first of these tokens, cut or gone on with the next of them until it has its length.
    fn mend(&self, head: &str, counted: usize, tokens: usize, sequence: &[u32]) -> String {
        let wanted = counted + tokens;
        let mut ids: Vec<u32> = sequence.iter().copied().take(tokens).collect();
        let mut used = ids.len();
        let mut nearest: Option<(usize, String)> = None;
        for _ in 0..TRIES {
            let text = self.tokenizer.decode(&ids);
            let again = if head.is_empty() { self.tokenizer.encode(&text) } else { self.tokenizer.encode(&format!("{head}{text}")) };
            let off = again.len().abs_diff(wanted);
            if off == 0 {
                return text;
            }
            let longer = again.len() > wanted;
            if nearest.as_ref().is_none_or(|(best, _)| off < *best) {
                nearest = Some((off, text));
            }
            if head.is_empty() {
                ids = again;
            }
            if longer {
                ids.truncate(ids.len().saturating_sub(off));
                self.whole_characters(&mut ids);
            } else {
                used = self.go_on(&mut ids, sequence, used, off);
            }
        }
        nearest.map(|(_, text)| text).unwrap_or_default()
    }

    /// Takes off what is left of a character that was cut: alone it would be read as another, of more tokens.
    fn whole_characters(&self, ids: &mut Vec<u32>) {
        let text = self.tokenizer.decode(ids);
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if whole.len() < text.len() {
            *ids = self.tokenizer.encode(whole);
        }
    }

    /// Appends so many tokens that are text alone; how many of the sequence are used up then.
    fn go_on(&self, ids: &mut Vec<u32>, sequence: &[u32], used: usize, count: usize) -> usize {
        let (mut at, mut left) = (used, count);
        // A sequence of nothing but pieces of characters would never end.
        let most = used.saturating_add(sequence.len()).saturating_add(count);
        while left > 0 && at < most && !sequence.is_empty() {
            let id = sequence.get(at % sequence.len()).copied().unwrap_or_default();
            let text = self.tokenizer.decode(&[id]);
            if !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER) {
                ids.push(id);
                left -= 1;
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::tokenizer::tests::small;

    fn prose(composes: bool) -> Prompts {
        let prompts = Prompts::new(small(), Corpus::Sonnet, CorpusStyle::Vllm);
        assert!(prompts.prose().composes);
        Prompts { composes, ..prompts }
    }

    fn rng(seed: u64) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(seed)
    }

    #[test]
    fn the_corpus_is_large_and_plain() {
        assert!((60_000..140_000).contains(&PROSE.len()), "{}", PROSE.len());
        assert!(PROSE.is_ascii());
    }

    #[test]
    fn prompts_have_their_length_and_may_be_longer_than_the_corpus() {
        for composes in [false, true] {
            let prompts = prose(composes);
            let all: usize = prompts.prose().pieces.iter().map(|p| p.tokens.len()).sum();
            for tokens in [0, 1, 2, 3, 550, 4000, all + 100] {
                let text = prompts.text(tokens as u64, 0, &mut rng(3));
                assert_eq!(small().count(&text), tokens);
            }
        }
    }

    #[test]
    fn no_two_prompts_are_the_same() {
        let texts: HashSet<String> = (0..3000).map(|k| prose(true).text(100, k, &mut rng(k))).collect();
        assert_eq!(texts.len(), 3000);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn prose_has_its_length(tokens in 0u64..300, seed: u64, composes: bool) {
            let text = prose(composes).text(tokens, 0, &mut rng(seed));
            prop_assert_eq!(small().count(&text) as u64, tokens);
        }

        #[test]
        fn random_tokens_have_their_length(tokens in 0u64..200, seed: u64, number in 0u64..5000) {
            for style in [CorpusStyle::Vllm, CorpusStyle::Sglang] {
                let prompts = Prompts::new(small(), Corpus::Random, style);
                let text = prompts.text(tokens, number, &mut rng(seed));
                prop_assert_eq!(small().count(&text) as u64, tokens);
            }
        }

        #[test]
        fn what_stands_behind_a_head_fills_up(head in 1u64..60, tokens in 0u64..100, seed: u64, composes: bool) {
            let mut rng = rng(seed);
            let before = prose(composes).text(head, 0, &mut rng);
            let text = prose(composes).behind(&before, small().count(&before), tokens, 1, &mut rng);
            prop_assert_eq!(small().count(&format!("{before}{text}")) as u64, head + tokens);
        }
    }
}
