//! What the screen knows of a run, put together from looks at it. No clock, no terminal: the same looks give the same board.

use std::collections::{BTreeMap, VecDeque};

use dormouse_perf_load::timing::{Load, PhasePlan, SECOND};
use hdrhistogram::Histogram;

use super::tap::{Slot, TIMES, count, histogram};

/// Seconds of throughput that are kept: as many as the widest screens have columns.
const SECONDS: usize = 600;
/// Lines that are kept.
const LINES: usize = 500;
/// The quantiles of a line of times.
pub(super) const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// What a run is about, in words.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) model: String,
    pub(super) endpoint: String,
    pub(super) url: String,
    pub(super) load: String,
}

/// A look at a run at a moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Monotonic nanoseconds.
    pub(super) now: u64,
    /// The phase under way, and when it began; 0: none has.
    pub(super) phase: usize,
    pub(super) started: u64,
    /// Its counts.
    pub(super) sent: u64,
    pub(super) returned: u64,
    pub(super) failed: u64,
    pub(super) in_flight: u64,
    /// What the thread that loads has computed, and how long it waited for a processor, in nanoseconds; none: nobody can say.
    pub(super) load_thread: Option<(u64, u64)>,
    /// What the screen's own thread has computed.
    pub(super) own_cpu: u64,
    /// It was told to end.
    pub(super) ending: bool,
}

/// A phase: what it is to do, and how far it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) requests: Option<u64>,
    /// How long it sends, in nanoseconds.
    pub(super) duration: Option<u64>,
    pub(super) sent: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) in_flight: u64,
    pub(super) begun: Option<u64>,
    pub(super) ended: Option<u64>,
    /// What its records say: the last look at it was a moment before its end.
    recorded: (u64, u64),
    /// Requests per second of the last seconds, or of all when it is over.
    pub(super) rate: Option<f64>,
}

impl Phase {
    fn of(plan: &PhasePlan) -> Self {
        let scheduled = match &plan.load {
            Load::Schedule(times) => times.last().map(|last| last.at),
            _ => None,
        };
        let duration = match (plan.stop.duration, scheduled) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { name: plan.name.clone(), requests: plan.stop.requests, duration, ..Self::default() }
    }

    /// How much of it is done, where anybody knows.
    pub(super) fn share(&self, now: u64) -> Option<f64> {
        if self.ended.is_some() {
            return Some(1.0);
        }
        let begun = self.begun?;
        let requests = self.requests.filter(|n| *n > 0).map(|n| float(self.done) / float(n));
        let time = self.duration.filter(|ns| *ns > 0).map(|ns| float(now.saturating_sub(begun)) / float(ns));
        requests.into_iter().chain(time).reduce(f64::max).map(|share| share.min(1.0))
    }

    /// Seconds until it sends nothing more, where anybody knows.
    pub(super) fn left(&self, now: u64) -> Option<f64> {
        let begun = self.begun.filter(|_| self.ended.is_none())?;
        let rate = self.rate.filter(|rate| *rate > 0.0);
        let requests = self.requests.zip(rate).map(|(n, rate)| float(n.saturating_sub(self.done)) / rate);
        let time = self.duration.map(|ns| seconds(begun.saturating_add(ns).saturating_sub(now)));
        requests.into_iter().chain(time).reduce(f64::min)
    }
}

/// A line of times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Times {
    pub(super) count: u64,
    /// By [`QUANTILES`].
    pub(super) quantiles: [f64; 5],
    pub(super) mean: f64,
    pub(super) max: f64,
}

impl Times {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let ms = |us: u64| float(us) * 1e-3;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            quantiles: QUANTILES.map(|q| ms(histogram.value_at_quantile(q))),
            mean: histogram.mean() * 1e-3,
            max: ms(histogram.max()),
        })
    }
}

/// What the client does to the figures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    /// From when requests could leave to when they did, of the whole run.
    pub(super) late: Option<Times>,
    /// Shares of the last seconds: the loading thread computed, was kept from computing, and the screen's own thread computed.
    pub(super) load: Option<f64>,
    pub(super) kept: Option<f64>,
    pub(super) own: Option<f64>,
    /// Requests that have ended and are no records yet.
    pub(super) behind: u64,
    /// What lateness is allowed before the figures are the client's, in milliseconds.
    pub(super) allowed: f64,
}

impl Client {
    /// It is late for more than a slip.
    pub(super) fn is_late(&self) -> bool {
        self.late.is_some_and(|late| late.count >= 100 && late.quantiles[3] > self.allowed)
    }
}

/// What was computed until a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    at: u64,
    load: Option<(u64, u64)>,
    own: u64,
}

/// A panel that can have the screen for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Progress,
    Times,
    Throughput,
    Errors,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) about: About,
    pub(super) phases: Vec<Phase>,
    /// The phase under way; none: nothing was sent yet.
    pub(super) phase: Option<usize>,
    pub(super) begun: u64,
    pub(super) now: u64,
    pub(super) ending: bool,
    /// Of the last seconds, and of all that are measured, by [`TIMES`].
    pub(super) last: [Option<Times>; 3],
    pub(super) whole: [Option<Times>; 3],
    /// How many seconds the last are.
    pub(super) window: usize,
    /// Requests that came back in each second, and tokens; the last one is over.
    pub(super) requests: VecDeque<u64>,
    pub(super) tokens: VecDeque<Option<u64>>,
    pub(super) client: Client,
    pub(super) problems: BTreeMap<String, u64>,
    pub(super) lines: VecDeque<String>,
    pub(super) alone: Option<Panel>,
    pub(super) shows_lines: bool,
    all: Slot,
    seconds: VecDeque<Slot>,
    second: Slot,
    /// Scratch.
    sum: Histogram<u64>,
    second_began: u64,
    second_requests: u64,
    meter: Meter,
}

impl Board {
    /// Nothing has happened; figures of the last seconds are of so many.
    pub(super) fn new(about: About, phases: &[PhasePlan], window: usize, now: u64) -> Self {
        let slot = || Slot::new(phases.len());
        Self {
            about,
            phases: phases.iter().map(Phase::of).collect(),
            phase: None,
            begun: now,
            now,
            ending: false,
            last: [None; 3],
            whole: [None; 3],
            window: window.clamp(1, 60),
            requests: VecDeque::new(),
            tokens: VecDeque::new(),
            client: Client::default(),
            problems: BTreeMap::new(),
            lines: VecDeque::new(),
            alone: None,
            shows_lines: true,
            all: slot(),
            seconds: VecDeque::new(),
            second: slot(),
            sum: histogram(),
            second_began: now,
            second_requests: 0,
            meter: Meter { at: now, ..Meter::default() },
        }
    }

    /// Another look, and what ended since the one before.
    pub(super) fn look(&mut self, look: &Look, slot: &Slot) {
        self.now = look.now;
        self.ending |= look.ending;
        self.gather(slot);
        let before = self.returned();
        self.count(look);
        self.second_requests += self.returned().saturating_sub(before);
        let length = look.now.saturating_sub(self.second_began);
        if length >= SECOND {
            self.end_second(look, length);
        }
    }

    /// A line that somebody had to say.
    pub(super) fn say(&mut self, line: String) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn returned(&self) -> u64 {
        self.phases.iter().map(|phase| phase.done).sum()
    }

    fn gather(&mut self, slot: &Slot) {
        if slot.anew {
            // What was shown until now was a warm-up.
            self.all = Slot::new(self.phases.len());
            self.second.clear();
            self.seconds.clear();
        }
        for to in [&mut self.all, &mut self.second] {
            for (sum, times) in to.times.iter_mut().zip(&slot.times) {
                // They grow by themselves: nothing fails.
                let _ = sum.add(times);
            }
            let _ = to.lateness.add(&slot.lateness);
            if let Some(tokens) = slot.tokens {
                *to.tokens.get_or_insert(0) += tokens;
            }
        }
        for (phase, (records, failed)) in self.phases.iter_mut().zip(&slot.phases) {
            phase.recorded.0 += records;
            phase.recorded.1 += failed;
        }
        for (words, more) in &slot.problems {
            count(&mut self.problems, words.clone(), *more);
        }
    }

    fn count(&mut self, look: &Look) {
        if look.started != 0
            && let Some(phase) = self.phases.get_mut(look.phase)
        {
            self.phase = Some(look.phase);
            phase.begun = Some(look.started);
            (phase.sent, phase.done, phase.failed, phase.in_flight) = (look.sent, look.returned, look.failed, look.in_flight);
        }
        let Some(current) = self.phase else { return };
        for phase in self.phases.iter_mut().take(current) {
            let begun = *phase.begun.get_or_insert(look.started);
            let ended = *phase.ended.get_or_insert(look.started);
            phase.done = phase.done.max(phase.recorded.0);
            phase.sent = phase.sent.max(phase.done);
            phase.failed = phase.failed.max(phase.recorded.1);
            phase.in_flight = 0;
            phase.rate = Some(float(phase.done) / seconds(ended.saturating_sub(begun)).max(1e-9));
        }
        self.client.behind = self.phases.iter().map(|phase| phase.done.saturating_sub(phase.recorded.0)).sum();
    }

    fn end_second(&mut self, look: &Look, length: u64) {
        let per_second = |amount: u64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
            let rate = (float(amount) / seconds(length)).round() as u64;
            rate
        };
        if self.phase.is_some() {
            push(&mut self.requests, per_second(self.second_requests));
            push(&mut self.tokens, self.second.tokens.map(per_second));
        }
        self.second_requests = 0;
        self.second_began = look.now;
        let mut old = if self.seconds.len() >= self.window { self.seconds.pop_front() } else { None };
        let mut next = old.take().unwrap_or_else(|| Slot::new(self.phases.len()));
        next.clear();
        self.seconds.push_back(std::mem::replace(&mut self.second, next));
        for at in 0..TIMES.len() {
            self.sum.reset();
            for second in &self.seconds {
                let _ = self.sum.add(&second.times[at]);
            }
            self.last[at] = Times::of(&self.sum);
            self.whole[at] = Times::of(&self.all.times[at]);
        }
        self.rate_of_phase(look.now);
        self.measure_client(look);
    }

    fn rate_of_phase(&mut self, now: u64) {
        let Some(phase) = self.phase.and_then(|at| self.phases.get_mut(at)) else { return };
        let whole = seconds(now.saturating_sub(phase.begun.unwrap_or(now)));
        let last: Vec<u64> = self.requests.iter().rev().take(self.window).copied().collect();
        // What belongs to the phase before is none of this one's.
        phase.rate = if whole > float(last.len() as u64) && !last.is_empty() {
            Some(float(last.iter().sum()) / float(last.len() as u64))
        } else {
            (whole > 0.0).then(|| float(phase.done) / whole)
        };
    }

    fn measure_client(&mut self, look: &Look) {
        let client = &mut self.client;
        client.late = Times::of(&self.all.lateness);
        let median = self.whole[0].or(self.whole[2]).map_or(0.0, |times| times.quantiles[0]);
        client.allowed = (median * 0.01).max(1.0);
        let passed = float(look.now.saturating_sub(self.meter.at).max(1));
        let share = |now: u64, then: u64| float(now.saturating_sub(then)) / passed;
        let pair = look.load_thread.zip(self.meter.load);
        client.load = pair.map(|(now, then)| share(now.0, then.0));
        client.kept = pair.map(|(now, then)| share(now.1, then.1));
        client.own = (self.meter.own > 0).then(|| share(look.own_cpu, self.meter.own));
        self.meter = Meter { at: look.now, load: look.load_thread, own: look.own_cpu };
    }

    /// Failures, the most frequent first.
    pub(super) fn worst(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.problems.iter().map(|(words, n)| (words.as_str(), *n)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all
    }

    /// What the run does, in a word.
    pub(super) fn state(&self) -> &'static str {
        match self.phase.and_then(|at| self.phases.get(at)) {
            _ if self.ending => "ending",
            None => "starting",
            Some(phase) if phase.in_flight > 0 && phase.duration.is_some() && phase.left(self.now) == Some(0.0) => "last answers",
            Some(_) => "running",
        }
    }

    /// Seconds since the beginning.
    pub(super) fn elapsed(&self) -> f64 {
        seconds(self.now.saturating_sub(self.begun))
    }
}

fn push<T>(values: &mut VecDeque<T>, value: T) {
    if values.len() >= SECONDS {
        values.pop_front();
    }
    values.push_back(value);
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

pub(super) fn seconds(ns: u64) -> f64 {
    float(ns) / float(SECOND)
}
