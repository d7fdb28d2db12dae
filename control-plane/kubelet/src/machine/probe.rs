//! One probe of one run of a container: when the next one is due and what the last ones add up to. Pure.
//!
//! Held: the outcome streak and the next due moment. The first probe is due after the initial delay, then one each
//! period, counted from when it was due; one that took longer than a period is followed at once. Never two at a time.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Whether the container has started; the other two wait for it.
    Startup,
    /// Whether it may get requests.
    Readiness,
    /// Whether it must be restarted.
    Liveness,
}

impl ProbeKind {
    /// As it begins the event's text.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// The figures of a probe with the defaults of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Before the first probe.
    pub initial_delay: Duration,
    /// Between probes.
    pub period: Duration,
    /// For one probe.
    pub timeout: Duration,
    /// Successes in a row that make it succeed.
    pub successes: u32,
    /// Failures in a row that make it fail.
    pub failures: u32,
    /// Grace of the kill that a failure causes, when not the Pod's.
    pub grace: Option<Duration>,
}

impl From<&Probe> for Settings {
    fn from(p: &Probe) -> Self {
        let seconds = |v: Option<i32>, default: u64, least: u64| {
            let v = v.map_or(default, |v| u64::try_from(v).unwrap_or(0));
            Duration::from_secs(if v < least { default } else { v })
        };
        let count = |v: Option<i32>, default: u32| v.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default);
        Self {
            initial_delay: seconds(p.initial_delay_seconds, 0, 0),
            period: seconds(p.period_seconds, 10, 1),
            timeout: seconds(p.timeout_seconds, 1, 1),
            successes: count(p.success_threshold, 1),
            failures: count(p.failure_threshold, 3),
            grace: p.termination_grace_period_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
        }
    }
}

/// The state of one probe.
#[derive(Clone, Debug)]
pub struct Prober {
    settings: Settings,
    due: Duration,
    in_flight: bool,
    streak: Option<(bool, u32)>,
    verdict: Option<bool>,
}

impl Prober {
    /// For a container that started at `started`.
    #[must_use]
    pub fn new(settings: Settings, started: Duration) -> Self {
        Self { settings, due: started + settings.initial_delay, in_flight: false, streak: None, verdict: None }
    }

    /// The figures.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When the next probe is due; `None` while one is running.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        (!self.in_flight).then_some(self.due)
    }

    /// The verdict so far: `None` until a threshold was reached.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Makes the next probe due no later than `now`, unless the initial delay forbids it.
    pub fn hurry(&mut self, now: Duration, started: Duration) {
        self.due = self.due.min(now.max(started + self.settings.initial_delay));
    }

    /// Whether a probe must run now; if so it counts as running.
    pub fn begin(&mut self, now: Duration) -> bool {
        let begin = !self.in_flight && self.due <= now;
        self.in_flight |= begin;
        begin
    }

    /// Notes an outcome. Returns the verdict when it changed.
    pub fn finish(&mut self, ok: bool, now: Duration) -> Option<bool> {
        self.in_flight = false;
        self.due = (self.due + self.settings.period).max(now);
        let run = match self.streak {
            Some((same, n)) if same == ok => n.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((ok, run));
        let threshold = if ok { self.settings.successes } else { self.settings.failures };
        if run < threshold || self.verdict == Some(ok) {
            return None;
        }
        self.verdict = Some(ok);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn prober(json: serde_json::Value) -> Prober {
        Prober::new(Settings::from(&serde_json::from_value::<Probe>(json).unwrap()), S(100))
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let p = prober(serde_json::json!({}));
        let s = *p.settings();
        assert_eq!((s.period, s.timeout, s.successes, s.failures), (S(10), S(1), 1, 3));
        assert_eq!(p.next_due(), Some(S(100)));
    }

    #[test]
    fn cadence_counts_from_when_a_probe_was_due() {
        let mut p = prober(serde_json::json!({"initialDelaySeconds": 2, "periodSeconds": 5}));
        assert!(!p.begin(S(101)));
        assert!(p.begin(S(102)));
        assert!(!p.begin(S(103)), "never two at a time");
        assert_eq!(p.next_due(), None);
        p.finish(true, S(103));
        assert_eq!(p.next_due(), Some(S(107)));
        assert!(p.begin(S(107)));
        p.finish(true, S(120));
        assert_eq!(p.next_due(), Some(S(120)), "a slow probe is followed at once");
    }

    #[test]
    fn thresholds_count_in_a_row() {
        let mut p = prober(serde_json::json!({"failureThreshold": 2, "successThreshold": 2}));
        let mut now = S(100);
        let mut verdicts = Vec::new();
        for ok in [true, false, true, true, false, true, false, false, false] {
            p.begin(now);
            verdicts.push(p.finish(ok, now));
            now += S(10);
        }
        assert_eq!(verdicts, [None, None, None, Some(true), None, None, None, Some(false), None]);
    }

    #[test]
    fn hurry_respects_the_initial_delay() {
        let mut p = prober(serde_json::json!({"initialDelaySeconds": 10, "periodSeconds": 60}));
        p.hurry(S(105), S(100));
        assert_eq!(p.next_due(), Some(S(110)));
        p.begin(S(110));
        p.finish(false, S(110));
        p.hurry(S(115), S(100));
        assert_eq!(p.next_due(), Some(S(115)));
    }
}
