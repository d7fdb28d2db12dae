//! From what a request says to what a backend computes: defaults, limits, refusals.

use dormouse_engine_client::openai::{Common, OneOrMany};

use super::error::ApiError;
use crate::backend::Facts;
use crate::job::Params;

/// Answers to one request, over prompts and `n`.
pub(super) const MAX_CHOICES: usize = 128;
/// Stop texts and their length.
const MAX_STOPS: usize = 64;
const MAX_STOP_BYTES: usize = 1024;

/// How many tokens an answer may have when nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultLength {
    /// This many, or what is left.
    Tokens(usize),
    /// All that is left.
    Rest,
}

/// Refuses members that do not go together.
pub(super) fn refuse_contradictions(c: &Common) -> Result<(), ApiError> {
    // An empty object is as good as none, to vLLM.
    let options = c.stream_options.as_ref().is_some_and(|o| o.include_usage.is_some() || o.continuous_usage_stats.is_some());
    if options && c.stream != Some(true) {
        return Err(ApiError::bad_value("stream_options", "Stream options can only be defined when `stream=True`."));
    }
    Ok(())
}

/// Refuses what this engine does not do: asked for, it is an error and not silence.
pub(super) fn refuse_unsupported(c: &Common) -> Result<(), ApiError> {
    let asked = |v: &Option<serde_json::Value>| v.as_ref().is_some_and(|v| !v.is_null() && *v != serde_json::Value::Bool(false));
    if asked(&c.logprobs) {
        return Err(ApiError::bad_value("logprobs", "this engine gives no logprobs"));
    }
    if c.response_format.as_ref().is_some_and(|f| !f.is_null() && f["type"] != "text") {
        return Err(ApiError::bad_value("response_format", "this engine answers in plain text only"));
    }
    let tools = c.tools.as_ref().is_some_and(|t| !t.is_empty());
    if tools && c.tool_choice.as_ref().is_none_or(|choice| choice != "none") {
        return Err(ApiError::bad_value("tools", "this engine calls no tools; send tool_choice \"none\""));
    }
    if c.suffix.as_ref().is_some_and(|s| !s.is_empty()) {
        return Err(ApiError::bad_value("suffix", "suffix is not supported"));
    }
    if c.best_of.is_some_and(|b| b > c.n.unwrap_or(1)) {
        return Err(ApiError::bad_value("best_of", "best_of is not supported"));
    }
    Ok(())
}

/// How many answers to each prompt.
pub(super) fn choices(c: &Common, prompts: usize) -> Result<usize, ApiError> {
    let n = usize::try_from(c.n.unwrap_or(1)).unwrap_or(0);
    if n == 0 {
        return Err(ApiError::bad_value("n", format!("n must be at least 1, got {}.", c.n.unwrap_or(1))));
    }
    match n.checked_mul(prompts) {
        Some(all) if all <= MAX_CHOICES => Ok(n),
        _ => Err(ApiError::bad_value("n", format!("more than {MAX_CHOICES} answers to one request"))),
    }
}

/// A number within bounds (the lower one excluded when `open`), or the default.
fn number(name: &'static str, value: Option<f64>, default: f64, (low, high): (f64, f64), open: bool) -> Result<f64, ApiError> {
    let value = value.unwrap_or(default);
    // Not-a-number fails every comparison.
    if value <= high && (value > low || (value == low && !open)) {
        Ok(value)
    } else {
        let bracket = if open { '(' } else { '[' };
        Err(ApiError::bad_value(name, format!("{name} must be in {bracket}{low}, {high}], got {value}.")))
    }
}

/// The parameters of the answers to a prompt of `prompt` tokens.
pub(super) fn params(
    c: &Common,
    max_tokens: Option<i64>,
    default: DefaultLength,
    prompt: usize,
    facts: &Facts,
) -> Result<Params, ApiError> {
    let limit = facts.max_model_len;
    if prompt >= limit {
        let message = format!(
            "This model's maximum context length is {limit} tokens. However, your request has {prompt} input tokens. \
             Please reduce the length of the input messages."
        );
        return Err(ApiError::bad_request(message));
    }
    let room = limit - prompt;
    let max_tokens = match (max_tokens, default) {
        (Some(wanted), _) => {
            let wanted = usize::try_from(wanted)
                .ok()
                .filter(|w| *w > 0)
                .ok_or_else(|| ApiError::bad_value("max_tokens", format!("max_tokens must be at least 1, got {wanted}.")))?;
            if wanted > room {
                let message = format!(
                    "This model's maximum context length is {limit} tokens. However, you requested {} tokens ({prompt} in \
                     the messages, {wanted} in the completion). Please reduce the length of the messages or completion.",
                    prompt.saturating_add(wanted)
                );
                return Err(ApiError::bad_request(message));
            }
            wanted
        }
        (None, DefaultLength::Tokens(tokens)) => tokens.min(room),
        (None, DefaultLength::Rest) => room,
    };
    let min_tokens = usize::try_from(c.min_tokens.unwrap_or(0))
        .ok()
        .filter(|m| *m <= max_tokens)
        .ok_or_else(|| ApiError::bad_value("min_tokens", format!("min_tokens must be between 0 and max_tokens={max_tokens}.")))?;
    let top_k = match c.top_k {
        None => facts.default_top_k.unwrap_or(0),
        Some(-1 | 0) => 0,
        Some(k) => {
            usize::try_from(k).map_err(|_| ApiError::bad_value("top_k", format!("top_k must be 0 (disable), or at least 1, got {k}.")))?
        }
    };
    let stop: Vec<String> = c.stop.clone().map(OneOrMany::list).unwrap_or_default();
    if stop.len() > MAX_STOPS || stop.iter().any(|s| s.len() > MAX_STOP_BYTES) {
        let message = format!("at most {MAX_STOPS} stop texts of {MAX_STOP_BYTES} bytes");
        return Err(ApiError::bad_value("stop", message));
    }
    if stop.iter().any(String::is_empty) {
        return Err(ApiError::bad_value("stop", "stop cannot contain an empty string."));
    }
    Ok(Params {
        max_tokens,
        min_tokens,
        temperature: number("temperature", c.temperature, facts.default_temperature.unwrap_or(1.0), (0.0, f64::MAX), false)?,
        top_p: number("top_p", c.top_p, facts.default_top_p.unwrap_or(1.0), (0.0, 1.0), true)?,
        top_k,
        min_p: number("min_p", c.min_p, 0.0, (0.0, 1.0), false)?,
        presence_penalty: number("presence_penalty", c.presence_penalty, 0.0, (-2.0, 2.0), false)?,
        frequency_penalty: number("frequency_penalty", c.frequency_penalty, 0.0, (-2.0, 2.0), false)?,
        repetition_penalty: number("repetition_penalty", c.repetition_penalty, 1.0, (0.0, 100.0), true)?,
        // The bits are what counts: negative seeds are seeds.
        seed: c.seed.map(i64::cast_unsigned),
        stop,
        stop_token_ids: c.stop_token_ids.clone().unwrap_or_default(),
        include_stop: c.include_stop_str_in_output,
        ignore_eos: c.ignore_eos,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        Facts {
            max_model_len: 100,
            vocabulary: None,
            weight_bytes: 0,
            default_temperature: Some(0.6),
            default_top_p: None,
            default_top_k: Some(20),
        }
    }

    fn common(value: serde_json::Value) -> Common {
        serde_json::from_value(value).unwrap()
    }

    fn made(value: serde_json::Value, max: Option<i64>, prompt: usize) -> Result<Params, ApiError> {
        params(&common(value), max, DefaultLength::Tokens(16), prompt, &facts())
    }

    #[test]
    fn defaults_are_the_models_and_lengths_are_bounded() {
        let p = made(json!({}), None, 90).unwrap();
        assert_eq!((p.max_tokens, p.top_k), (10, 20), "16 clamped to the room there is");
        assert!((p.temperature - 0.6).abs() < 1e-9);
        let rest = params(&common(json!({})), None, DefaultLength::Rest, 40, &facts()).unwrap();
        assert_eq!(rest.max_tokens, 60);
        for (max, prompt, text) in [
            (Some(61), 40, "you requested 101 tokens (40 in the messages, 61 in the completion)"),
            (None, 100, "your request has 100 input tokens"),
            (Some(0), 1, "max_tokens must be at least 1, got 0."),
            (Some(-3), 1, "got -3"),
        ] {
            let e = made(json!({}), max, prompt).unwrap_err();
            assert!(e.body().error.message.contains(text), "{:?}", e.body());
        }
    }

    #[test]
    fn values_out_of_bounds_name_their_member() {
        for (value, param) in [
            (json!({"temperature": -0.1}), "temperature"),
            (json!({"top_p": 0}), "top_p"),
            (json!({"top_p": 1.1}), "top_p"),
            (json!({"top_k": -2}), "top_k"),
            (json!({"min_p": 2}), "min_p"),
            (json!({"presence_penalty": 2.5}), "presence_penalty"),
            (json!({"repetition_penalty": 0}), "repetition_penalty"),
            (json!({"min_tokens": 17}), "min_tokens"),
            (json!({"stop": ["a", ""]}), "stop"),
        ] {
            let e = made(value.clone(), None, 1).unwrap_err();
            assert_eq!(e.body().error.param.as_deref(), Some(param), "{value}");
        }
        assert!(made(json!({"top_k": -1, "seed": -5, "stop": "x"}), None, 1).is_ok());
    }

    #[test]
    fn stream_options_need_a_stream() {
        let said = |value| refuse_contradictions(&common(value));
        for value in
            [json!({"stream_options": {"include_usage": false}}), json!({"stream": false, "stream_options": {"include_usage": true}})]
        {
            let error = said(value).unwrap_err().body().error;
            assert_eq!(error.message, "Stream options can only be defined when `stream=True`.");
            assert_eq!((error.code, error.param.as_deref()), (json!(400), Some("stream_options")));
        }
        for value in [json!({}), json!({"stream_options": {}}), json!({"stream": true, "stream_options": {"include_usage": true}})] {
            assert!(said(value).is_ok());
        }
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for value in [
            json!({"logprobs": 1}),
            json!({"logprobs": true}),
            json!({"response_format": {"type": "json_object"}}),
            json!({"tools": [{}]}),
            json!({"best_of": 2}),
        ] {
            assert!(refuse_unsupported(&common(value.clone())).is_err(), "{value}");
        }
        let fine = json!({"logprobs": false, "response_format": {"type": "text"}, "tools": [{}], "tool_choice": "none"});
        assert!(refuse_unsupported(&common(fine)).is_ok());
        assert!(choices(&common(json!({"n": 0})), 1).is_err() && choices(&common(json!({"n": 65})), 2).is_err());
    }
}
