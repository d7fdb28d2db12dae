//! The words of vLLM's administration routes, for those who send them and those who serve them. PURE.

use serde::{Deserialize, Serialize};

/// Answer of `GET /is_sleeping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsSleeping {
    /// True while any part is released, or nothing is scheduled.
    pub is_sleeping: bool,
}

/// What to do with requests that run when sleep is asked for: `mode` of `POST /sleep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SleepMode {
    /// End them.
    Abort,
    /// Let them end.
    Wait,
    /// Keep them for after the wake.
    Keep,
}

impl SleepMode {
    const ALL: [Self; 3] = [Self::Abort, Self::Wait, Self::Keep];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Wait => "wait",
            Self::Keep => "keep",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

/// A part that wakes by itself: a value of `tags` of `POST /wake_up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeTag {
    /// The weights.
    Weights,
    /// The cache of keys and values.
    KvCache,
    /// Computing, where nothing was released.
    Scheduling,
}

impl WakeTag {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::KvCache => "kv_cache",
            Self::Scheduling => "scheduling",
        }
    }
}

/// What an engine says of its accelerator's memory: the gauge `vllm:engine_sleep_state`, in order of how much is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SleepState {
    /// All of it is there.
    Awake,
    /// The weights are in the host's memory, the cache is gone.
    WeightsOffloaded,
    /// The weights are gone too.
    DiscardAll,
}

impl SleepState {
    /// All there are, by how much is gone.
    pub const ALL: [Self; 3] = [Self::Awake, Self::WeightsOffloaded, Self::DiscardAll];
    /// Name of the gauge, whose label `sleep_state` names the state that holds.
    pub const GAUGE: &'static str = "vllm:engine_sleep_state";

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::WeightsOffloaded => "weights_offloaded",
            Self::DiscardAll => "discard_all",
        }
    }

    /// The state that the text of `/metrics` tells, in Prometheus' or OpenMetrics' form; `None` where it tells none. Of
    /// several engines behind one server the one that holds most counts: its memory is not free.
    #[must_use]
    pub fn told(metrics: &str) -> Option<Self> {
        metrics.lines().filter_map(|line| line.strip_prefix(Self::GAUGE)?.strip_prefix('{')).filter_map(Self::held).min()
    }

    /// The state of one series: `labels} value`.
    fn held(series: &str) -> Option<Self> {
        // A closing brace may stand in a label's value: the last one counts.
        let (labels, value) = series.rsplit_once('}')?;
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        (value > 0.0).then_some(())?;
        Self::ALL.into_iter().find(|state| labels.contains(&format!("sleep_state=\"{}\"", state.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_that_of_the_engine_that_holds_most() {
        let text = "# HELP vllm:engine_sleep_state x\nvllm:engine_sleep_state_created 1\n\
            vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 0.0\n\
            vllm:engine_sleep_state{model_name=\"a}b, c\",engine=\"0\",sleep_state=\"discard_all\"} 1.0 1700000000\n";
        assert_eq!(SleepState::told(text), Some(SleepState::DiscardAll));
        let second = "vllm:engine_sleep_state{sleep_state=\"weights_offloaded\",engine=\"1\"} 1\n";
        assert_eq!(SleepState::told(&format!("{text}{second}")), Some(SleepState::WeightsOffloaded));
        for none in ["", "vllm:engine_sleep_state 1", "vllm:engine_sleep_state{ 1", "vllm:engine_sleep_state{sleep_state=\"awake\"} x"] {
            assert_eq!(SleepState::told(none), None, "{none}");
        }
    }

    #[test]
    fn modes_have_names() {
        assert_eq!(SleepMode::named("keep"), Some(SleepMode::Keep));
        assert_eq!(SleepMode::named("hard"), None);
    }
}
