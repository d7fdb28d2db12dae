//! The edge: a thread for each endpoint asks it again and again until the run is over.
//!
//! One thread each, because an endpoint that hangs must not delay what is seen of the others. Whoever starts this is never kept
//! waiting: what is there is looked for in the background, and [`Scraper::stop`] takes no longer than [`Options::last`], whatever the
//! endpoints do.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dormouse_perf_report::json::Json;

use crate::collect::{History, Limits, When};
use crate::endpoints::candidates;
use crate::files::{About, Endpoint, gpu, server, text};
use crate::gpu::{DEFAULT_URLS, Fields};

/// Bytes of an answer that are read at most; whoever fetches should stop there, too.
pub const MAX_BODY: usize = 64 << 20;
/// Endpoints that are asked at most.
const MAX_ENDPOINTS: usize = 256;
/// Different reasons for failures that are told apart.
const MAX_REASONS: usize = 16;
/// Between two looks for what is not there yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nothing here waits longer.
const HOUR: Duration = Duration::from_secs(3_600);
/// What a fetch may take longer than it was told to.
const SLACK: Duration = Duration::from_millis(200);

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Whoever can fetch; functions can.
pub trait Fetch: Send + Sync {
    /// Asks with GET, and gives up after that time; says why there is no answer.
    ///
    /// # Errors
    ///
    /// When there is no answer at all. One with any status is an answer.
    fn get(&self, url: &str, timeout: Duration) -> Result<Fetched, String>;
}

impl<F: Fn(&str, Duration) -> Result<Fetched, String> + Send + Sync> Fetch for F {
    fn get(&self, url: &str, timeout: Duration) -> Result<Fetched, String> {
        self(url, timeout)
    }
}

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Endpoints, whole addresses: see [`metrics_urls`](crate::metrics_urls) and [`telemetry_urls`](crate::telemetry_urls).
    pub urls: Vec<String>,
    /// From one scrape to the next.
    pub interval: Duration,
    /// What a scrape may take.
    pub timeout: Duration,
    /// How long an endpoint is looked for that is not there.
    pub reachability: Duration,
    /// What stopping may take: the final scrape, and one that is under way.
    pub last: Duration,
    /// How much is kept of each.
    pub limits: Limits,
}

impl Default for Options {
    /// The peer's, and one second to stop.
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            interval: Duration::from_millis(333),
            timeout: Duration::from_secs(30),
            reachability: Duration::from_secs(10),
            last: Duration::from_secs(1),
            limits: Limits::default(),
        }
    }
}

#[derive(Default)]
struct State {
    endpoint: Endpoint,
    warnings: Vec<String>,
}

#[derive(Default)]
struct Control {
    /// When everything must be over.
    stop: Option<Instant>,
    done: Vec<bool>,
}

struct Shared {
    fetch: Arc<dyn Fetch>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    options: Options,
    control: Mutex<Control>,
    bell: Condvar,
    states: Vec<Mutex<State>>,
    /// What is being read, so that nothing is read twice under two names.
    taken: Mutex<HashSet<String>>,
}

/// What a thread that panicked left behind is still as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Endpoints that are being asked.
pub struct Scraper {
    shared: Arc<Shared>,
    threads: Vec<Option<JoinHandle<()>>>,
    warnings: Vec<String>,
}

impl Scraper {
    /// Starts at once, and looks for the endpoints in the background; what answers is scraped right then, as a reference. The clock
    /// tells wall time in nanoseconds, and should not step.
    #[must_use]
    pub fn start(mut options: Options, fetch: Arc<dyn Fetch>, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let mut warnings = Vec::new();
        if options.urls.len() > MAX_ENDPOINTS {
            warnings.push(format!("metrics: of {} endpoints only the first {MAX_ENDPOINTS} are asked", options.urls.len()));
            options.urls.truncate(MAX_ENDPOINTS);
        }
        options.interval = options.interval.clamp(Duration::from_millis(1), HOUR);
        for wait in [&mut options.timeout, &mut options.reachability, &mut options.last] {
            *wait = (*wait).min(HOUR);
        }
        let state = |url: &String| {
            let endpoint = Endpoint { url: url.clone(), history: History::new(options.limits), ..Endpoint::default() };
            Mutex::new(State { endpoint, warnings: Vec::new() })
        };
        let states: Vec<Mutex<State>> = options.urls.iter().map(state).collect();
        let control = Mutex::new(Control { done: vec![false; states.len()], ..Control::default() });
        let taken = Mutex::new(options.urls.iter().cloned().collect());
        let shared = Arc::new(Shared { fetch, clock: Box::new(clock), options, control, bell: Condvar::new(), states, taken });
        let thread = |number: usize| {
            let shared = shared.clone();
            let run = move || Worker { shared: &shared, number }.run();
            thread::Builder::new().name(format!("scrape-{number}")).spawn(run)
        };
        let mut threads = Vec::new();
        for number in 0..shared.states.len() {
            match thread(number) {
                Ok(thread) => threads.push(Some(thread)),
                Err(why) => {
                    warnings.push(format!("metrics: nobody can ask {}: {why}", text::without_user(&shared.options.urls[number])));
                    lock(&shared.control).done[number] = true;
                    threads.push(None);
                }
            }
        }
        Self { shared, threads, warnings }
    }

    /// Asks everything a last time and gives what there is, no later than [`Options::last`] from now, or just after.
    #[must_use]
    pub fn stop(mut self) -> Collected {
        let last = Instant::now() + self.shared.options.last;
        let mut control = lock(&self.shared.control);
        control.stop = Some(last);
        self.shared.bell.notify_all();
        loop {
            let left = (last + SLACK).saturating_duration_since(Instant::now());
            if left.is_zero() || control.done.iter().all(|done| *done) {
                break;
            }
            control = self.shared.bell.wait_timeout(control, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let done = control.done.clone();
        drop(control);
        let mut warnings = std::mem::take(&mut self.warnings);
        let mut endpoints = Vec::new();
        for ((thread, state), is_done) in self.threads.drain(..).zip(&self.shared.states).zip(done) {
            let State { endpoint, warnings: of_thread } = std::mem::take(&mut *lock(state));
            let url = text::without_user(&endpoint.url);
            warnings.extend(of_thread);
            // One that still waits for an answer ends by itself when that comes: nobody waits for it here.
            if !is_done && endpoint.reached {
                warnings.push(format!("metrics: {url} did not answer any more: its final scrape is missing"));
            } else if !is_done {
                if !DEFAULT_URLS.contains(&endpoint.url.as_str()) {
                    warnings.push(format!("metrics: {url} is left out: it had not answered when all was over"));
                }
            } else if thread.is_some_and(|thread| thread.join().is_err()) {
                warnings.push(format!("metrics: whoever asked {url} failed"));
            }
            warnings.extend(endpoint.history.notes().into_iter().map(|note| format!("metrics: {url}: {note}")));
            let failures: u64 = endpoint.failures.iter().map(|(_, count)| count).sum();
            if let Some((why, _)) = endpoint.failures.first() {
                warnings.push(format!("metrics: {url} could not be read {failures} times, first: {why}"));
            }
            endpoints.push(endpoint);
        }
        Collected { endpoints, warnings }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        lock(&self.shared.control).stop.get_or_insert_with(Instant::now);
        self.shared.bell.notify_all();
    }
}

/// Why something was not read.
enum Trouble {
    /// It is not there.
    Silent(String),
    /// It is there, but not this.
    Foreign(String),
}

enum Next {
    Tick,
    /// Until then.
    Stop(Instant),
}

struct Worker<'a> {
    shared: &'a Shared,
    number: usize,
}

/// Says that a thread is over, however that came.
struct Done<'a>(&'a Shared, usize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        lock(&self.0.control).done[self.1] = true;
        self.0.bell.notify_all();
    }
}

impl Worker<'_> {
    fn run(&self) {
        let _done = Done(self.shared, self.number);
        let Some(url) = self.reach() else { return };
        let options = &self.shared.options;
        let mut next = Instant::now() + options.interval;
        loop {
            match self.wait(next) {
                Next::Stop(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if !left.is_zero() {
                        self.scrape(&url, left.min(options.timeout), true);
                    }
                    return;
                }
                Next::Tick => {
                    self.scrape(&url, options.timeout, false);
                    let stride = lock(&self.shared.states[self.number]).endpoint.history.stride();
                    // What was missed is not made up for.
                    next = (next + options.interval * stride).max(Instant::now());
                }
            }
        }
    }

    /// Looks for the endpoint, and takes its first answer as a reference. Under which address it was found, if at all.
    fn reach(&self) -> Option<String> {
        let options = &self.shared.options;
        let wanted = lock(&self.shared.states[self.number]).endpoint.url.clone();
        let until = Instant::now() + options.reachability;
        loop {
            let mut trouble = None;
            let mut is_there = false;
            for url in candidates(&wanted) {
                let left = until.saturating_duration_since(Instant::now()).min(options.timeout);
                let is_others = url != wanted && lock(&self.shared.taken).contains(&url);
                if is_others || left.is_zero() {
                    continue;
                }
                match self.ask(&url, left, true) {
                    Ok(()) => {
                        self.found(&wanted, &url);
                        return Some(url);
                    }
                    Err(Trouble::Foreign(why)) => {
                        is_there = true;
                        trouble.get_or_insert(why);
                    }
                    Err(Trouble::Silent(why)) => {
                        trouble.get_or_insert(why);
                        break;
                    }
                }
                if lock(&self.shared.control).stop.is_some() {
                    break;
                }
            }
            let now = Instant::now();
            let pause = (now + PATIENCE).min(until);
            if is_there || now >= until || matches!(self.wait(pause), Next::Stop(_)) || Instant::now() >= until {
                // Where GPUs are usually told of, there is mostly nothing.
                if is_there || !DEFAULT_URLS.contains(&wanted.as_str()) {
                    let why = trouble.unwrap_or_else(|| "there was no time to look".to_owned());
                    let url = text::without_user(&wanted);
                    self.warn(format!("metrics: {url} is left out: {why}"));
                }
                return None;
            }
        }
    }

    fn found(&self, wanted: &str, url: &str) {
        if url != wanted {
            lock(&self.shared.taken).insert(url.to_owned());
            let (wanted, url) = (text::without_user(wanted), text::without_user(url));
            self.warn(format!("metrics: {wanted} has none, {url} is read instead"));
        }
        let mut state = lock(&self.shared.states[self.number]);
        url.clone_into(&mut state.endpoint.url);
        state.endpoint.reached = true;
    }

    fn warn(&self, warning: String) {
        lock(&self.shared.states[self.number]).warnings.push(warning);
    }

    /// Until something is due.
    fn wait(&self, next: Instant) -> Next {
        let mut control = lock(&self.shared.control);
        loop {
            if let Some(until) = control.stop {
                return Next::Stop(until);
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Tick;
            }
            control = self.shared.bell.wait_timeout(control, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn scrape(&self, url: &str, timeout: Duration, keep: bool) {
        let Err(Trouble::Silent(why) | Trouble::Foreign(why)) = self.ask(url, timeout, keep) else { return };
        let failures = &mut lock(&self.shared.states[self.number]).endpoint.failures;
        // Those that no longer fit are counted with the last.
        let known = failures.iter().position(|(have, _)| *have == why);
        match known.or_else(|| (failures.len() >= MAX_REASONS).then_some(MAX_REASONS - 1)) {
            Some(at) => failures[at].1 += 1,
            None => failures.push((why, 1)),
        }
    }

    fn ask(&self, url: &str, timeout: Duration, keep: bool) -> Result<(), Trouble> {
        let sent_ns = (self.shared.clock)();
        let answer = self.shared.fetch.get(url, timeout);
        let answered_ns = (self.shared.clock)().max(sent_ns);
        let Fetched { status, body } = answer.map_err(Trouble::Silent)?;
        if !(200..300).contains(&status) {
            return Err(Trouble::Foreign(format!("it answers with status {status}")));
        }
        if body.len() > MAX_BODY {
            return Err(Trouble::Foreign(format!("its answer has more than {MAX_BODY} bytes")));
        }
        let when = When { sent_ns, answered_ns, keep };
        let is_read = lock(&self.shared.states[self.number]).endpoint.history.add(when, &body);
        if is_read { Ok(()) } else { Err(Trouble::Foreign("its answer is not the text format of Prometheus".to_owned())) }
    }
}

/// What was scraped.
#[derive(Debug, Default)]
pub struct Collected {
    endpoints: Vec<Endpoint>,
    warnings: Vec<String>,
}

impl Collected {
    /// Of endpoints as they are: those of a test, or of several scrapers.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, warnings: Vec<String>) -> Self {
        Self { endpoints, warnings }
    }

    /// Every endpoint, in the order in which they were given.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What people should know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Nothing answered: the peer writes no server metrics then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.endpoints.iter().any(|endpoint| endpoint.reached)
    }

    /// `server_metrics_export.json`: indented by two, and no line feed at its end.
    #[must_use]
    pub fn document(&self, about: &About) -> Json {
        server::document(&self.endpoints, about)
    }

    /// `phases/<name>/server_metrics.json` of the phase of this number in [`About::phases`]; this file ends with a line feed.
    #[must_use]
    pub fn phase_document(&self, about: &About, index: usize) -> Json {
        server::phase_document(&self.endpoints, about, index)
    }

    /// `server_metrics_export.csv`.
    #[must_use]
    pub fn csv(&self, about: &About) -> String {
        server::csv(&self.endpoints, about)
    }

    /// The lines of `server_metrics_export.jsonl`, made as they are taken.
    pub fn lines(&self) -> impl Iterator<Item = Json> {
        server::lines(&self.endpoints)
    }

    /// `telemetry_data` of the summary, of endpoints that tell of GPUs.
    #[must_use]
    pub fn telemetry(&self, fields: &Fields, about: &About) -> Json {
        gpu::telemetry(&self.endpoints, fields, about)
    }

    /// The lines of `gpu_telemetry_export.jsonl`, made as they are taken.
    pub fn telemetry_lines<'a>(&'a self, fields: &'a Fields) -> impl Iterator<Item = Json> + 'a {
        gpu::lines(&self.endpoints, fields)
    }
}
