//! `--search`: the highest level that keeps to the objectives, found in one process and one run.
//!
//! The level changes while requests are under way. What is measured at a level counts after it has **settled**: as many requests as the
//! level has places (at least eight, of a rate those of half a second) that began at this level have ended, so that nothing of the
//! level before is in it. A **stretch** is then as long as it takes for [`ENOUGH`] requests that began in it, at least a second. A level that
//! fails by less than twice its limit is measured once more before it is believed: one slip of a busy machine is no knee.
//!
//! Levels are doubled until one fails; then the gap is halved until nothing lies between (concurrency), or it is below 2 % (rate). The
//! answer has an interval: from the highest level that holds clearly, by more than a twentieth of its limits, to the last one below
//! what failed.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dormouse_perf_load::arrivals::Rate;
use dormouse_perf_load::timing::Load;
use dormouse_perf_load::worker::Command;
use dormouse_perf_metrics::summary::{Summary, Window};
use dormouse_perf_metrics::{Row, Stamps};
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};

use crate::config::tree::{Object, set};
use crate::config::wrong;
use crate::export::Place;
use crate::files::put;
use crate::run::{self, MISSED};
use crate::signals::Signals;
use crate::slo::Slo;
use crate::system_controller::{self as controller, Running};

/// Requests of a stretch.
const ENOUGH: usize = 100;
/// And of a slow server at least, when its time is over.
const LONGEST: Duration = Duration::from_secs(6);
/// The whole of it, unless a duration says otherwise.
const BUDGET: f64 = 300.0;
/// Neighbours of a rate are no more than this apart.
const CLOSE: f64 = 0.02;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    rate: bool,
    low: f64,
    high: f64,
}

impl Search {
    /// Reads `concurrency`, `request-rate`, each with `:LOW..HIGH`.
    ///
    /// # Errors
    /// What is none.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| wrong(format!("--search {text:?}: {why}; it is like concurrency:1..64 or request-rate:1..200"));
        let (what, range) = text.split_once(':').map_or((text, None), |(what, range)| (what, Some(range)));
        let rate = match crate::config::name(what).as_str() {
            "concurrency" => false,
            "request_rate" | "rate" => true,
            _ => return Err(bad("it searches concurrency or request-rate")),
        };
        let (low, high) = match range {
            None => (1.0, if rate { 10_000.0 } else { 1024.0 }),
            Some(range) => {
                let (low, high) = range.split_once("..").ok_or_else(|| bad("a range has .. between its ends"))?;
                let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
                (
                    number(low).ok_or_else(|| bad("its low end is no number above 0"))?,
                    number(high).ok_or_else(|| bad("its high end is no number above 0"))?,
                )
            }
        };
        if low > high || (!rate && (low.fract() != 0.0 || high.fract() != 0.0 || low < 1.0 || high > 1e6)) {
            return Err(bad("its ends are in the wrong order, or no numbers of places"));
        }
        Ok(Self { rate, low, high })
    }

    fn name(self) -> &'static str {
        if self.rate { "request-rate" } else { "concurrency" }
    }
}

/// Which level is next, from what is known: the decision alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ladder {
    search: Search,
    holds: Option<f64>,
    fails: Option<f64>,
}

impl Ladder {
    /// Nothing is known.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, holds: None, fails: None }
    }

    /// The next level; none when the answer is known.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        let Search { rate, low, high } = self.search;
        match (self.holds, self.fails) {
            (None, None) => Some(low),
            // Not even the lowest.
            (None, Some(_)) => None,
            (Some(holds), None) if holds >= high => None,
            (Some(holds), None) => Some((holds * 2.0).min(high)),
            (Some(holds), Some(fails)) if rate => (fails / holds > 1.0 + CLOSE).then(|| (holds * fails).sqrt()),
            (Some(holds), Some(fails)) => (fails - holds > 1.0).then(|| f64::midpoint(holds, fails).floor()),
        }
    }

    /// A level was measured.
    pub fn tell(&mut self, level: f64, holds: bool) {
        if holds {
            self.holds = Some(self.holds.map_or(level, |known| known.max(level)));
        } else {
            self.fails = Some(self.fails.map_or(level, |known| known.min(level)));
        }
    }
}

/// One level, measured.
#[derive(Debug)]
struct Tried {
    level: f64,
    window: Window,
    settled: bool,
    requests: usize,
    summary: Summary,
    passed: bool,
    clear: bool,
}

/// What the search came to.
#[derive(Debug, Default)]
struct Found {
    tried: Vec<Tried>,
    /// It was ended before it knew.
    cut_short: bool,
}

/// Runs a search to its end.
///
/// # Errors
/// What the shell is told: 4 when no level holds.
pub(crate) fn run(mut document: Json, signals: &Signals) -> anyhow::Result<()> {
    let config = crate::config::Config::read(&document)?;
    let search = Search::parse(config.dormouse.search.as_deref().unwrap_or_default())?;
    let slos = config.dormouse.slo.iter().map(|text| Slo::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if slos.is_empty() {
        return Err(wrong("--search needs an objective: --slo \"ttft:p95<500ms\"").into());
    }
    // Sessions without end, and a level that is set while they run.
    let at = |field: &str| format!("benchmark.phases.{}.{field}", crate::config::document::PROFILING);
    let budget = config.benchmark.phases.iter().find_map(|phase| phase.duration).unwrap_or(BUDGET);
    if search.rate {
        let open = |phase: &crate::config::model::Phase| matches!(phase.r#type.as_deref(), Some("constant" | "poisson" | "gamma"));
        if !config.benchmark.phases.iter().any(open) {
            set(&mut document, &at("type"), Json::from("poisson"));
        }
        set(&mut document, &at("rate"), Json::float(search.low));
    } else {
        set(&mut document, &at("type"), Json::from("concurrency"));
        set(&mut document, &at("concurrency"), Json::float(search.low).whole());
    }
    set(&mut document, &at("duration"), Json::float(budget));
    set(&mut document, &at("grace_period"), Json::float(5.0));
    let mut prepared = controller::prepare(document)?;
    for phase in prepared.phases.iter_mut().filter(|phase| !phase.warmup) {
        (phase.stop.requests, phase.stop.sessions) = (None, None);
    }
    let (observe, observed) = channel();
    // It is only lent to the thread that looks.
    let observed = std::sync::Mutex::new(observed);
    prepared.observe = Some(observe);
    let mut found = Found::default();
    let warmups = prepared.phases.iter().filter(|phase| phase.warmup).count();
    let beside = Beside { search, slos: &slos, budget: Duration::from_secs_f64(budget.clamp(1.0, 1e6)), warmups };
    let meanwhile = |running: Running<'_>| {
        let observed = observed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found = beside.find(&running, &observed);
    };
    let outcome = run::with(&prepared, None, &Place::default(), signals, Box::new(meanwhile))?;
    let answer = answer(search, &found.tried);
    let history = history(&slos, &found.tried, answer);
    put(&outcome.dir.join("search_history.json"), &serde_json::to_vec_pretty(&history)?)?;
    outcome.show()?;
    Out.text(&table(search, &slos, &found.tried))?;
    Out.line(&format!("{}: {}", outcome.dir.display(), outcome.result.verdict.word()))?;
    if outcome.interrupted {
        return outcome.code(&crate::config::Config::default());
    }
    let Some((level, low, high)) = answer else {
        Out.line(&format!("search: no {} from {} up holds", search.name(), shown(search.low)))?;
        return Err(Failure::with_code(
            MISSED,
            format!("the objectives do not hold at the lowest {} of {}", search.name(), shown(search.low)),
        )
        .into());
    };
    if found.cut_short {
        error_line("note: the time was over before the level was known to the last step; --benchmark-duration gives more");
    }
    Out.line(&format!("search: {} {} ({}..{})", search.name(), shown(level), shown(low), shown(high)))?;
    if !outcome.result.verdict.is_certified() && !config.dormouse.as_the_peer() {
        let reasons = outcome.result.verdict.reasons.join("; ");
        return Err(Failure::with_code(crate::run::CLIENT_BOUND, format!("the client was a part of what was measured: {reasons}")).into());
    }
    Ok(())
}

fn shown(level: f64) -> String {
    if level.fract() == 0.0 { format!("{level:.0}") } else { format!("{level:.2}") }
}

/// The highest level that holds, and the interval in which it lies.
fn answer(search: Search, tried: &[Tried]) -> Option<(f64, f64, f64)> {
    let of = |wanted: &dyn Fn(&Tried) -> bool| tried.iter().filter(|t| wanted(t)).map(|t| t.level).collect::<Vec<_>>();
    let fails = of(&|t| !t.passed).into_iter().reduce(f64::min);
    let level = of(&|t| t.passed && fails.is_none_or(|fails| t.level < fails)).into_iter().reduce(f64::max)?;
    let clear = of(&|t| t.passed && t.clear && t.level <= level).into_iter().reduce(f64::max);
    // What holds by a hair may be the one below.
    let low = clear.unwrap_or_else(|| if search.rate { level * (1.0 - CLOSE) } else { (level - 1.0).max(search.low) });
    let high = match fails {
        Some(fails) if search.rate => fails,
        Some(fails) => (fails - 1.0).max(level),
        None => level,
    };
    Some((level, low.min(level), high))
}

/// What runs beside the load.
struct Beside<'a> {
    search: Search,
    slos: &'a [Slo],
    budget: Duration,
    warmups: usize,
}

impl Beside<'_> {
    fn find(&self, running: &Running<'_>, observed: &Receiver<(usize, Row)>) -> Found {
        let until = Instant::now() + self.budget;
        let mut found = Found::default();
        let mut ladder = Ladder::new(self.search);
        let over = || running.ended.load(std::sync::atomic::Ordering::Acquire) || Instant::now() >= until;
        // Warm-up phases are not searched.
        while !over() && running.control.live.phase.load(std::sync::atomic::Ordering::Relaxed) < self.warmups as u64 {
            std::thread::sleep(Duration::from_millis(5));
        }
        while let Some(level) = ladder.next() {
            let mut tried = match self.measure(running, observed, level, &over) {
                Some(tried) => tried,
                None => {
                    found.cut_short = true;
                    break;
                }
            };
            let hopeless = self.slos.iter().any(|slo| slo.is_hopeless(&tried.summary));
            if !tried.passed
                && !hopeless
                && let Some(again) = self.measure(running, observed, level, &over)
            {
                tried = again;
            }
            error_line(&format!(
                "search: {} {}: {} ({})",
                self.search.name(),
                shown(level),
                if tried.passed { "holds" } else { "does not hold" },
                self.slos.iter().map(|slo| format!("{}: {}", slo.text, slo.said(&tried.summary))).collect::<Vec<_>>().join(", ")
            ));
            ladder.tell(level, tried.passed);
            found.tried.push(tried);
        }
        running.control.ask(Command::Finish);
        // What hangs is not waited for.
        let patience = Instant::now() + Duration::from_secs(3);
        while !running.ended.load(std::sync::atomic::Ordering::Acquire) {
            if Instant::now() >= patience {
                running.control.ask(Command::CutOff);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        found
    }

    /// What a level that was too high has left behind is none of the next one's: nearly nothing is sent until all is back.
    fn drain(&self, running: &Running<'_>, over: &dyn Fn() -> bool) {
        let Ok(still) = Rate::constant(1e-3) else { return };
        running.control.ask(Command::Rate(still));
        let limit = Instant::now() + LONGEST * 2;
        while !over() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
            if running.control.live.in_flight.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                return;
            }
        }
    }

    /// One stretch at a level; none when the run is over.
    fn measure(&self, running: &Running<'_>, observed: &Receiver<(usize, Row)>, level: f64, over: &dyn Fn() -> bool) -> Option<Tried> {
        let command = if self.search.rate {
            Command::Rate(Rate::constant(level).ok()?)
        } else {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of places up to a million")]
            let places = level as u32;
            Command::Concurrency(places)
        };
        if self.search.rate {
            self.drain(running, over);
        }
        running.control.ask(command);
        let wall = || running.clock.wall(dormouse_perf_net::now());
        let changed = wall();
        // A generation of requests that began at this level.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let generation = if self.search.rate { (level * 0.5).ceil().clamp(8.0, 2000.0) as usize } else { level.max(8.0) as usize };
        let mut ended = 0;
        let limit = Instant::now() + LONGEST;
        let mut settled = false;
        while !over() && Instant::now() < limit {
            ended += collect(observed, Duration::from_millis(20)).iter().filter(|row| row.start_ns >= changed).count();
            if ended >= generation {
                settled = true;
                break;
            }
        }
        let begin = wall();
        let (shortest, longest) = (Instant::now() + Duration::from_secs(1), Instant::now() + LONGEST);
        let mut rows: Vec<Row> = Vec::new();
        let enough = ENOUGH.max(generation * 2);
        let mut looked = 0;
        while !over() && Instant::now() < longest && (rows.len() < enough || Instant::now() < shortest) {
            rows.extend(collect(observed, Duration::from_millis(20)).into_iter().filter(|row| row.start_ns >= begin));
            // What is twice too slow already is not waited for.
            if rows.len() >= looked + 30 {
                looked = rows.len();
                let so_far = Summary::of(&rows, Some(Window { start_ns: begin, end_ns: wall() }), &[], Stamps::Whole);
                if self.slos.iter().any(|slo| slo.is_hopeless(&so_far)) {
                    break;
                }
            }
        }
        if over() && rows.len() < 20 {
            return None;
        }
        let window = Window { start_ns: begin, end_ns: wall() };
        let summary = Summary::of(&rows, Some(window), &[], Stamps::Whole);
        let passed = !rows.is_empty() && settled && self.slos.iter().all(|slo| slo.holds(&summary));
        let clear = self.slos.iter().all(|slo| slo.is_clear(&summary));
        Some(Tried { level, window, settled, requests: rows.len(), summary, passed, clear })
    }
}

/// What has come until then.
fn collect(observed: &Receiver<(usize, Row)>, within: Duration) -> Vec<Row> {
    let until = Instant::now() + within;
    let mut rows = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match observed.recv_timeout(left) {
            Ok((_, row)) => rows.push(row),
            Err(_) => {
                // A channel without a sender answers at once.
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                return rows;
            }
        }
    }
}

fn history(slos: &[Slo], tried: &[Tried], answer: Option<(f64, f64, f64)>) -> Json {
    let level = |level: f64| if level.fract() == 0.0 { Json::float(level).whole() } else { Json::float(level) };
    let found = match answer {
        Some((best, low, high)) => {
            let mut object = Object::new();
            object.put("level", level(best)).put("low", level(low)).put("high", level(high));
            object.json()
        }
        None => Json::Null,
    };
    let one = |tried: &Tried| {
        let mut metrics = Object::new();
        for slo in slos {
            let (tag, stat) = slo.name();
            let mut object = Object::new();
            object.put_some(&stat, slo.shown(&tried.summary));
            metrics.put_any(&tag, object);
        }
        if let Some(rate) = tried.summary.single(dormouse_perf_metrics::Metric::RequestThroughput) {
            let mut object = Object::new();
            object.put("avg", rate);
            metrics.put_any("request_throughput", object);
        }
        let mut object = Object::new();
        object.put("level", level(tried.level)).put("start_ns", tried.window.start_ns).put("end_ns", tried.window.end_ns);
        object.put("settled", tried.settled).put("requests", tried.requests as u64);
        object.put_any("metrics", metrics).put("passed", tried.passed);
        object.json()
    };
    let mut history = Object::new();
    history.put("answer", found).put("holds", answer.is_some()).put("tried", Json::Array(tried.iter().map(one).collect()));
    history.json()
}

fn table(search: Search, slos: &[Slo], tried: &[Tried]) -> String {
    let mut text = format!("\n{:>14}  {:>9}  {:>10}", search.name(), "requests", "req/s");
    for slo in slos {
        text.push_str(&format!("  {:>24}", slo.text));
    }
    text.push('\n');
    for tried in tried {
        let rate = tried.summary.single(dormouse_perf_metrics::Metric::RequestThroughput).unwrap_or(0.0);
        text.push_str(&format!("{:>14}  {:>9}  {rate:>10.2}", shown(tried.level), tried.requests));
        for slo in slos {
            let value = slo.shown(&tried.summary).map_or_else(|| "-".to_owned(), |shown| format!("{shown:.2}"));
            text.push_str(&format!("  {value:>24}"));
        }
        text.push_str(if tried.passed { "  holds\n" } else { "  does not hold\n" });
    }
    text
}

/// Whether a load can be searched at all.
#[must_use]
pub fn is_searchable(load: &Load) -> bool {
    matches!(load, Load::Closed | Load::Open { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_ends_at_the_highest_that_holds() {
        for knee in 1..=64_u32 {
            let mut ladder = Ladder::new(Search::parse("concurrency:1..64").unwrap());
            let mut tried = 0;
            while let Some(level) = ladder.next() {
                ladder.tell(level, level <= f64::from(knee));
                tried += 1;
            }
            assert_eq!(ladder.holds, Some(f64::from(knee)));
            assert!(tried <= 13, "{knee}: {tried}");
        }
        let mut none = Ladder::new(Search::parse("concurrency:4..64").unwrap());
        none.tell(4.0, false);
        assert_eq!((none.next(), none.holds), (None, None));
    }

    #[test]
    fn a_ladder_of_rates_ends_within_two_percent() {
        for knee in [1.5, 37.0, 999.0] {
            let mut ladder = Ladder::new(Search::parse("request-rate:1..10000").unwrap());
            while let Some(level) = ladder.next() {
                ladder.tell(level, level <= knee);
            }
            let holds = ladder.holds.unwrap();
            assert!(holds <= knee && knee / holds < 1.0 + CLOSE, "{knee} {holds}");
        }
    }

    #[test]
    fn what_is_no_search_is_said() {
        for bad in ["users", "concurrency:5", "concurrency:9..3", "concurrency:1.5..4", "request-rate:0..5", "rate:a..b"] {
            assert!(Search::parse(bad).is_err(), "{bad}");
        }
    }
}
