//! The few figures of an engine's `/metrics` that routing and actuation look at. PURE.

/// Figures of an engine; those it does not give are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineMetrics {
    /// Requests being computed.
    pub running: Option<f64>,
    /// Requests waiting to be computed.
    pub waiting: Option<f64>,
    /// Share of the KV cache in use, 0 to 1.
    pub cache_usage: Option<f64>,
    /// State of sleep as the engine names it: `awake`, `weights_offloaded`, `discard_all`.
    pub sleep_state: Option<String>,
}

impl EngineMetrics {
    /// Reads Prometheus or OpenMetrics text with vLLM's names; several engines of one server are added up (usage: the
    /// highest). What is not understood is skipped.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let Some((name, labels, value)) = split(line) else { continue };
            let sum = |slot: &mut Option<f64>| *slot = Some(slot.unwrap_or(0.0) + value);
            match name {
                "vllm:num_requests_running" => sum(&mut found.running),
                "vllm:num_requests_waiting" => sum(&mut found.waiting),
                "vllm:kv_cache_usage_perc" | "vllm:gpu_cache_usage_perc" => {
                    found.cache_usage = Some(found.cache_usage.unwrap_or(0.0).max(value));
                }
                "vllm:engine_sleep_state" if value > 0.0 => {
                    found.sleep_state = label(labels, "sleep_state").map(str::to_owned);
                }
                _ => {}
            }
        }
        found
    }
}

/// Name, labels without braces, value. A closing brace may stand in a label's value: the last one counts.
fn split(line: &str) -> Option<(&str, &str, f64)> {
    let (head, labels, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, value) = rest.rsplit_once('}')?;
            (name, labels, value)
        }
        None => {
            let (name, value) = line.split_once(' ')?;
            (name, "", value)
        }
    };
    Some((head, labels, rest.split_whitespace().next()?.parse().ok()?))
}

/// Value of a label; values with escapes do not occur among those looked for.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vllms_text_is_read_and_noise_skipped() {
        let text = "# HELP vllm:num_requests_running x\n# TYPE vllm:num_requests_running gauge\n\
            vllm:num_requests_running{engine=\"0\",model_name=\"a}b, c\"} 2.0\n\
            vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 1.0 1700000000\n\
            vllm:num_requests_waiting 4\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
            vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 0.0\n\
            vllm:engine_sleep_state{engine=\"0\",sleep_state=\"discard_all\"} 1.0\n\
            garbage\nbroken{ 1\nvllm:num_requests_waiting{} nope\n# EOF\n";
        let m = EngineMetrics::parse(text);
        assert_eq!((m.running, m.waiting, m.cache_usage), (Some(3.0), Some(4.0), Some(0.25)));
        assert_eq!(m.sleep_state.as_deref(), Some("discard_all"));
        assert_eq!(EngineMetrics::parse(""), EngineMetrics::default());
    }
}
