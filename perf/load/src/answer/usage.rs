//! Token counts, as any server names them.

use std::num::NonZeroU64;

use serde_json::{Map, Value};

/// No count is larger: up to here JSON's numbers are whole.
const MOST: u64 = 1 << 53;

/// A number of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Count(NonZeroU64);

impl Count {
    /// The count, where it is one: at most 2^53.
    #[must_use]
    pub fn new(count: u64) -> Option<Self> {
        if count <= MOST { NonZeroU64::new(count + 1).map(Self) } else { None }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get() - 1
    }

    /// Of a JSON number that is whole and in range; what is anything else is no count.
    fn of(value: &Value) -> Option<Self> {
        if let Some(whole) = value.as_u64() {
            return Self::new(whole);
        }
        let number = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n))?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        Self::new(number.abs() as u64)
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// What a server counted. Each is absent where it did not say, or said what is no count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt, what came from a cache included.
    pub prompt: Option<Count>,
    /// Of the answer, reasoning included.
    pub completion: Option<Count>,
    /// Both.
    pub total: Option<Count>,
    /// Of the answer: thought.
    pub reasoning: Option<Count>,
    /// Of the prompt: read from a cache.
    pub cache_read: Option<Count>,
    /// Of the prompt: written to a cache.
    pub cache_write: Option<Count>,
    /// Of the prompt: not found in a cache.
    pub cache_miss: Option<Count>,
    /// Of the prompt: sound.
    pub prompt_audio: Option<Count>,
    /// Of the answer: sound.
    pub completion_audio: Option<Count>,
    /// Of the prompt: results of tools.
    pub tool_prompt: Option<Count>,
    /// Predicted and right.
    pub accepted_prediction: Option<Count>,
    /// Predicted and wrong.
    pub rejected_prediction: Option<Count>,
    /// Seconds of sound in the prompt.
    pub audio_seconds: Option<Count>,
}

/// An object of counts, and those that may lie within it.
struct Counts<'a> {
    layers: [Option<&'a Map<String, Value>>; 4],
}

impl Counts<'_> {
    fn member(&self, key: &str) -> Option<&Value> {
        self.layers.iter().flatten().find_map(|layer| layer.get(key).filter(|value| !value.is_null()))
    }

    /// The first of these names under which there is a count.
    fn first(&self, names: &[&str]) -> Option<Count> {
        names.iter().find_map(|name| self.member(name).and_then(Count::of))
    }

    /// The same, of details.
    fn detail(&self, of: [&str; 2], name: &str) -> Option<Count> {
        of.iter().find_map(|of| self.member(of)?.get(name).and_then(Count::of))
    }
}

impl Usage {
    /// The counts in an answer or an event, wherever they are.
    pub(super) fn of_answer(answer: &Value) -> Option<Self> {
        Self::find(answer).and_then(Self::read)
    }

    /// The object that holds the counts of an answer.
    pub(super) fn find(answer: &Value) -> Option<&Map<String, Value>> {
        let member = |key: &str| answer.get(key).and_then(Value::as_object).filter(|found| !found.is_empty());
        let of_meta = || answer.get("meta").and_then(|meta| meta.get("tokens")).and_then(Value::as_object);
        member("usage").or_else(|| member("usageMetadata")).or_else(of_meta).filter(|found| !found.is_empty())
    }

    /// Reads an object of counts; `None` when it is empty.
    pub(super) fn read(usage: &Map<String, Value>) -> Option<Self> {
        if usage.is_empty() {
            return None;
        }
        let wrapped = |key: &str| usage.get(key).and_then(Value::as_object);
        let of_meta = usage.get("meta").and_then(|meta| meta.get("tokens")).and_then(Value::as_object);
        let counts = Counts { layers: [wrapped("usageMetadata"), of_meta, wrapped("tokens"), Some(usage)] };
        let (prompt_details, details) =
            (["prompt_tokens_details", "input_tokens_details"], ["completion_tokens_details", "output_tokens_details"]);
        // Under these two names what a cache had is not in the count.
        let prompt = || {
            let names = ["prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "input_token_count"];
            let name = names.into_iter().find(|name| counts.first(&[name]).is_some())?;
            let mut sum = counts.first(&[name])?.get();
            if matches!(name, "input_tokens" | "inputTokens") {
                for cache in
                    [&["cache_read_input_tokens", "cacheReadInputTokens"], &["cache_creation_input_tokens", "cacheWriteInputTokens"]]
                {
                    sum += counts.first(cache).map_or(0, Count::get);
                }
            }
            Count::new(sum)
        };
        let cache_read =
            ["cache_read_input_tokens", "prompt_cache_hit_tokens", "cachedContentTokenCount", "cacheReadInputTokens", "cached_tokens"];
        Some(Self {
            prompt: prompt(),
            completion: counts.first(&[
                "completion_tokens",
                "output_tokens",
                "candidatesTokenCount",
                "outputTokens",
                "generated_token_count",
            ]),
            total: counts.first(&["total_tokens", "totalTokenCount", "totalTokens"]),
            reasoning: counts.detail(details, "reasoning_tokens").or_else(|| counts.first(&["thoughtsTokenCount"])),
            cache_read: counts.detail(prompt_details, "cached_tokens").or_else(|| counts.first(&cache_read)),
            cache_write: counts.first(&["cache_creation_input_tokens", "cacheWriteInputTokens"]),
            cache_miss: counts.first(&["prompt_cache_miss_tokens"]),
            prompt_audio: counts.detail(prompt_details, "audio_tokens"),
            completion_audio: counts.detail(details, "audio_tokens"),
            tool_prompt: counts.first(&["toolUsePromptTokenCount"]),
            accepted_prediction: counts.detail(details, "accepted_prediction_tokens"),
            rejected_prediction: counts.detail(details, "rejected_prediction_tokens"),
            audio_seconds: counts.first(&["prompt_audio_seconds"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "it is made where it is passed")]
    fn read(usage: Value) -> Usage {
        Usage::of_answer(&json!({"usage": usage})).unwrap()
    }

    #[test]
    fn what_is_no_count_is_absent() {
        for (value, wanted) in [
            (json!(4), Some(4)),
            (json!(4.0), Some(4)),
            (json!(0), Some(0)),
            (json!(1_u64 << 53), Some(1 << 53)),
            (json!(9_007_199_254_740_992.0), Some(1 << 53)),
            (json!((1_u64 << 53) + 1), None),
            (json!(u64::MAX), None),
            (json!(4.5), None),
            (json!(-1), None),
            (json!(-0.0), Some(0)),
            (json!(1e30), None),
            (json!("4"), None),
            (json!(null), None),
            (json!([4]), None),
        ] {
            let got = read(json!({"completion_tokens": value, "x": 1})).completion.map(Count::get);
            assert_eq!(got, wanted, "{value}");
        }
        assert_eq!(std::mem::size_of::<Option<Count>>(), 8);
    }

    #[test]
    fn names_and_wrappers_of_all_servers() {
        let counts = |usage: Value| {
            let usage = read(usage);
            [usage.prompt, usage.completion, usage.total].map(|count| count.map(Count::get))
        };
        assert_eq!(counts(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})), [Some(3), Some(4), Some(7)]);
        assert_eq!(counts(json!({"prompt_tokens": null, "input_tokens": 3, "output_tokens": 4})), [Some(3), Some(4), None]);
        assert_eq!(
            counts(json!({"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 4})),
            [Some(113), Some(4), None]
        );
        assert_eq!(counts(json!({"inputTokens": 3, "cacheReadInputTokens": 10, "totalTokens": 9})), [Some(13), None, Some(9)]);
        assert_eq!(counts(json!({"input_tokens": 30, "input_tokens_details": {"cached_tokens": 10}})), [Some(30), None, None]);
        assert_eq!(counts(json!({"prompt_tokens": 30, "prompt_cache_hit_tokens": 10})), [Some(30), None, None]);
        assert_eq!(counts(json!({"billed_units": {}, "tokens": {"input_tokens": 3, "output_tokens": 4}})), [Some(3), Some(4), None]);
        let google = json!({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}});
        let google = Usage::of_answer(&google).unwrap();
        assert_eq!([google.prompt, google.completion, google.reasoning].map(|c| c.map(Count::get)), [Some(3), Some(4), Some(2)]);
        let meta = Usage::of_answer(&json!({"meta": {"tokens": {"input_tokens": 3}}})).unwrap();
        assert_eq!(meta.prompt.map(Count::get), Some(3));
        for none in
            [json!({}), json!({"usage": null}), json!({"usage": {}}), json!({"usage": []}), json!({"meta": {"tokens": {}}}), json!(3)]
        {
            assert_eq!(Usage::of_answer(&none), None, "{none}");
        }
    }

    #[test]
    fn details() {
        let usage = read(json!({
            "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 2, "accepted_prediction_tokens": 3, "rejected_prediction_tokens": 4},
            "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 6}, "cached_tokens": 99, "prompt_cache_miss_tokens": 7,
            "toolUsePromptTokenCount": 8, "prompt_audio_seconds": 9, "cacheWriteInputTokens": 10,
        }));
        let all = [
            usage.reasoning,
            usage.completion_audio,
            usage.accepted_prediction,
            usage.rejected_prediction,
            usage.cache_read,
            usage.prompt_audio,
            usage.cache_miss,
            usage.tool_prompt,
            usage.audio_seconds,
            usage.cache_write,
        ];
        assert_eq!(all.map(|count| count.map(Count::get)), std::array::from_fn(|i| Some(i as u64 + 1)));
    }
}
