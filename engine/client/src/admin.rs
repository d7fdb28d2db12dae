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

/// What an engine says of its accelerator's memory: the label `sleep_state` of the gauge `vllm:engine_sleep_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::WeightsOffloaded => "weights_offloaded",
            Self::DiscardAll => "discard_all",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_names() {
        assert_eq!(SleepMode::named("keep"), Some(SleepMode::Keep));
        assert_eq!(SleepMode::named("hard"), None);
    }
}
