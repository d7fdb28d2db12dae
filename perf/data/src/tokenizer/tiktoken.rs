//! Vocabularies of OpenAI, by the names that tiktoken has for them. They are in the program: nothing is looked for.

use std::collections::HashSet;

use tiktoken_rs::{
    CoreBPE, cl100k_base_singleton, o200k_base_singleton, o200k_harmony_singleton, p50k_base_singleton, p50k_edit_singleton,
    r50k_base_singleton,
};

use super::Scheme;

/// The mark behind a text, in all of them.
const END: &str = "<|endoftext|>";
/// Beyond the last id of the largest.
const IDS: u32 = 1 << 18;

/// One of them.
pub(super) struct Tiktoken {
    bpe: &'static CoreBPE,
    marks: HashSet<&'static str>,
}

impl Tiktoken {
    /// The vocabulary of a name, and the name that it has itself.
    pub(super) fn named(name: &str) -> Option<(Self, &'static str)> {
        let (bpe, name) = match name {
            "builtin" | "o200k_base" => (o200k_base_singleton(), "o200k_base"),
            "o200k_harmony" => (o200k_harmony_singleton(), "o200k_harmony"),
            "cl100k_base" => (cl100k_base_singleton(), "cl100k_base"),
            "p50k_base" => (p50k_base_singleton(), "p50k_base"),
            "p50k_edit" => (p50k_edit_singleton(), "p50k_edit"),
            "r50k_base" => (r50k_base_singleton(), "r50k_base"),
            _ => return None,
        };
        Some((Self { bpe, marks: bpe.special_tokens() }, name))
    }

    /// Ids that stand for text, and all ids, in order; between them are some that stand for nothing.
    pub(super) fn ids(&self) -> (Vec<u32>, Vec<u32>) {
        let marks: HashSet<u32> = self.marks.iter().flat_map(|mark| self.encode(mark)).collect();
        let all: Vec<u32> = (0..IDS).filter(|id| self.bpe.decode_bytes(&[*id]).is_ok()).collect();
        (all.iter().copied().filter(|id| !marks.contains(id)).collect(), all)
    }

    /// The token that ends a text.
    pub(super) fn end(&self) -> Option<u32> {
        match self.encode(END)[..] {
            [end] => Some(end),
            _ => None,
        }
    }
}

impl Scheme for Tiktoken {
    fn encode(&self, text: &str) -> Vec<u32> {
        match self.bpe.encode(text, &self.marks) {
            Ok((ids, _)) => ids,
            // A megabyte of one kind of character is more than its expressions can hold: then it is done in halves.
            Err(_) => {
                let middle = text.floor_char_boundary(text.len() / 2);
                let (head, tail) = text.split_at(middle);
                if middle == 0 { Vec::new() } else { [self.encode(head), self.encode(tail)].concat() }
            }
        }
    }

    fn count(&self, text: &str) -> usize {
        self.encode(text).len()
    }

    fn decode(&self, ids: &[u32], marks: bool) -> String {
        let mut bytes = Vec::new();
        for id in ids {
            let Ok(token) = self.bpe.decode_bytes(&[*id]) else { continue };
            if marks || !std::str::from_utf8(&token).is_ok_and(|text| self.marks.contains(text)) {
                bytes.extend(token);
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn spelling(&self, id: u32) -> Option<String> {
        self.bpe.decode_bytes(&[id]).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tokenizer;

    /// Ids that Python's tiktoken 0.12 gives.
    #[test]
    fn texts_have_the_tokens_of_the_original() {
        let builtin = Tokenizer::load("builtin").unwrap();
        assert_eq!(builtin.encode("hello world"), [24912, 2375]);
        assert_eq!(builtin.encode("<|endoftext|>"), [199_999]);
        assert_eq!((builtin.bos(), builtin.eos(), builtin.marks()), (None, Some(199_999), 0));
        assert_eq!((builtin.vocabulary().len(), builtin.all_ids().len()), (199_998, 200_000));
        assert_eq!(Tokenizer::load("cl100k_base").unwrap().encode("hello world"), [15339, 1917]);
        assert_eq!(Tokenizer::load("r50k_base").unwrap().encode("hello world"), [31373, 995]);
        assert!(builtin.source().contains("o200k_base"));
    }

    #[test]
    fn texts_come_back() {
        for name in super::super::BUILT_IN {
            let tokenizer = Tokenizer::load(name).unwrap();
            for text in ["", "The quick brown fox", "naïve 日本 \u{1f42d}", "  two  blanks\n", "<|endoftext|>x"] {
                let ids = tokenizer.encode(text);
                assert_eq!(tokenizer.decode_all(&ids), text, "{name}");
                assert_eq!(tokenizer.count(text), ids.len(), "{name}");
            }
            assert_eq!(tokenizer.decode(&tokenizer.encode("<|endoftext|>x")), "x");
        }
    }

    #[test]
    fn a_text_of_one_kind_of_character_is_counted_too() {
        let builtin = Tokenizer::load("builtin").unwrap();
        for text in [" ".repeat(3 << 20), "a".repeat(100_000), "é".repeat(100_001)] {
            assert_eq!(builtin.decode(&builtin.encode(&text)).len(), text.len());
        }
    }
}
