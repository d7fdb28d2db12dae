//! The made model's words: a byte-level BPE tokenizer without merges (every text is its bytes), the tokens of the answer
//! (which therefore come out of no text), and the marks of a conversation.

use serde_json::{Map, Value, json};

/// The answer behind the name; no token twice.
const SENTENCE: [&str; 9] = [" a", " dormouse", " sleeps", " deeply", " and", " wakes", " in", " an", " instant."];
const MARKS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const BYTES: u32 = 256;

/// The vocabulary: 256 bytes, the answer's tokens, the marks.
#[derive(Clone, Debug)]
pub(super) struct Words {
    chain: Vec<String>,
}

impl Words {
    pub(super) fn new(name: &str) -> Self {
        let chain = std::iter::once(format!("{name}:")).chain(SENTENCE.map(str::to_owned)).collect();
        Self { chain }
    }

    pub(super) fn answer(&self) -> String {
        self.chain.concat()
    }

    /// Tokens of the answer, in order.
    fn links(&self) -> Vec<u32> {
        (BYTES..).take(self.chain.len()).collect()
    }

    fn mark(&self, position: u32) -> u32 {
        (BYTES..).nth(self.chain.len()).unwrap_or(BYTES) + position
    }

    /// The token that ends an answer.
    pub(super) fn end(&self) -> u32 {
        self.mark(2)
    }

    /// How many tokens there are.
    pub(super) fn count(&self) -> usize {
        BYTES as usize + self.chain.len() + MARKS.len()
    }

    /// Which token follows each.
    pub(super) fn successors(&self) -> Vec<u32> {
        let links = self.links();
        let mut next = vec![links[0]; self.count()];
        for (link, follower) in links.iter().zip(links.iter().skip(1).chain([&self.end()])) {
            next[*link as usize] = *follower;
        }
        next
    }

    /// `tokenizer.json`.
    pub(super) fn tokenizer(&self) -> Value {
        let mut vocabulary = Map::new();
        for byte in 0..=255u8 {
            vocabulary.insert(shown(byte).to_string(), json!(byte));
        }
        for (text, id) in self.chain.iter().zip(self.links()) {
            vocabulary.insert(text.bytes().map(shown).collect(), json!(id));
        }
        let marks: Vec<Value> = (0u32..)
            .zip(MARKS)
            .map(|(k, mark)| {
                json!({
                    "id": self.mark(k), "content": mark, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                })
            })
            .collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": marks,
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocabulary, "merges": [],
            },
        })
    }

    /// `tokenizer_config.json`, with a chat template that other engines can run.
    pub(super) fn tokenizer_config(&self) -> Value {
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": null, "unk_token": null,
            "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "clean_up_tokenization_spaces": false,
            "model_max_length": super::recipe::POSITIONS,
            "chat_template": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
                + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        })
    }
}

/// The printable character that stands for a byte in byte-level vocabularies: itself where it is printable Latin-1, else
/// the next free one from U+0100 on.
fn shown(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !printable(*b)).count();
    u32::try_from(before).ok().and_then(|k| char::from_u32(0x100 + k)).unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    #[test]
    fn the_tokenizer_loads_and_takes_every_text_there_and_back() {
        let words = Words::new("M\u{fc}ller, the \u{1f42d}");
        let tokenizer = Tokenizer::from_bytes(words.tokenizer().to_string()).unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), words.count());
        for text in ["Hello, world", "M\u{fc}ller: a dormouse sleeps", "\n\t \u{1f42d}", &words.answer()] {
            let ids = tokenizer.encode(text, true).unwrap().get_ids().to_vec();
            assert!(ids.iter().all(|id| *id < 256), "no token of the answer comes out of {text:?}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        }
        assert_eq!(tokenizer.decode(&words.links(), true).unwrap(), words.answer());
        let marked = tokenizer.encode("<|im_start|>user", true).unwrap();
        assert_eq!(marked.get_ids()[0], words.mark(1));
    }

    #[test]
    fn the_answer_leads_from_any_token_to_its_end() {
        let words = Words::new("m");
        let next = words.successors();
        for first in [0, 65, words.mark(1)] {
            let mut token = first;
            let mut said = Vec::new();
            while token != words.end() {
                token = next[token as usize];
                said.push(token);
            }
            assert_eq!(said[..said.len() - 1], words.links());
        }
        assert_eq!(shown(b' '), '\u{120}');
    }
}
