//! The system controller: one benchmark from its configuration to what was measured.
//!
//! In this order: everything that can be wrong without a server (configuration, tokenizer, data, folder), the look at the server,
//! then the threads: data set, records, scraping, and the worker on one of its own. Nothing is sent before all of that stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use dormouse_perf_data::{Dataset, EndpointType, Tokenizer};
use dormouse_perf_load::answer::{Endpoint, Field};
use dormouse_perf_load::exchange::{Ask, Failure as Failed, Limits};
use dormouse_perf_load::fetch;
use dormouse_perf_load::seeds::Seed;
use dormouse_perf_load::target::Target;
use dormouse_perf_load::timing::{Load, PhasePlan, SECOND};
use dormouse_perf_load::transport::Trust;
use dormouse_perf_load::worker::{Channels, Control, Ended, Plan, Reuse, Settings, Worker};
use dormouse_perf_metrics::record::{Row, Shape};
use dormouse_perf_net::{Clock, raise_file_limit};
use dormouse_perf_report::json::Json;
use dormouse_perf_report::records::Problem;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::error_line;

use crate::config::model::Config;
use crate::config::plan::{self, nanoseconds};
use crate::config::{name, wrong};
use crate::dataset_manager::{Conversations, Inputs, Supplier};
use crate::files::{self, Held, Names};
use crate::records_manager::{self, PhaseName, Recorded, RecordsManager};
use crate::scraping::{Scraped, Scraping};
use crate::signals::Signals;
use crate::ui::{Display, Tap};

/// Batches of conversations that are ready and not yet taken.
const READY: usize = 16;
/// Batches of records that are handed on and not yet taken.
const BATCHES: usize = 1 << 14;
/// How long a server is looked for before the load.
const LOOK: Duration = Duration::from_secs(1);
/// Exit code: the server is not there, or its certificate is refused.
pub const UNREACHABLE: u8 = 3;

/// A benchmark that could be run at once.
#[derive(Debug)]
pub struct Prepared {
    /// What was asked for, as a document and typed.
    pub document: Json,
    /// The same.
    pub config: Config,
    /// What requests are sent to.
    pub endpoint: EndpointType,
    /// The models' names.
    pub models: Vec<String>,
    /// Answers come piece by piece.
    pub streaming: bool,
    /// The seed of everything.
    pub seed: Option<u64>,
    /// Phases in their order.
    pub phases: Vec<PhasePlan>,
    /// The data.
    pub conversations: Arc<Conversations>,
    /// What counts tokens.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Its name, as it was given.
    pub tokenizer_name: Option<String>,
    /// Who sees each record as it is made, with its phase.
    pub observe: Option<Sender<(usize, Row)>>,
    /// It is not one of several runs.
    pub alone: bool,
    targets: Vec<Arc<Target>>,
    field: Option<Field>,
    headers: dormouse_perf_load::target::Headers,
    trust: Option<Trust>,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// When, and the worker's own measurements.
    pub ended: Ended,
    /// What was recorded.
    pub recorded: Recorded,
    /// Wall time by monotonic time.
    pub clock: Clock,
    /// What was scraped beside.
    pub scraped: Scraped,
    /// Which run it is.
    pub benchmark_id: String,
}

/// Everything that can be wrong without a server.
///
/// # Errors
/// What is wrong, as exit code 2.
pub fn prepare(document: Json) -> anyhow::Result<Prepared> {
    let config = Config::read(&document)?;
    let endpoint = plan::endpoint(&config)?;
    let models = plan::models(&config)?;
    let streaming = plan::streams(&config, endpoint);
    if config.benchmark.endpoint.streaming && !streaming {
        error_line(&format!("warning: {} has no streams: --streaming is switched off", endpoint.name()));
    }
    let seed = config.random_seed;
    let headers = plan::headers(&config, endpoint, streaming)?;
    let urls = plan::urls(&config, endpoint)?;
    let targets = urls.into_iter().map(|url| Target::new(url, &headers, "POST").map(Arc::new));
    let targets: Vec<Arc<Target>> = targets.collect::<Result<_, _>>().map_err(unreachable_or_wrong)?;
    let spec = plan::data(&config, endpoint, seed)?;
    let (tokenizer, tokenizer_name) = tokenizer(&config, endpoint, &models, &spec)?;
    let payloads = plan::payloads(&config, endpoint, models.clone(), streaming)?;
    let field = payloads.response_field.as_deref().map(Field::parse).transpose().map_err(|why| wrong(format!("response_field: {why}")))?;
    let data = dormouse_perf_data::open(&spec, tokenizer.clone()).map_err(wrong)?;
    if data.is_empty() {
        return Err(wrong("the data set is empty").into());
    }
    let phases = plan::phases(&config, &data, streaming)?;
    warn(&config, &phases, &data);
    let scheduled = phases.iter().any(|phase| matches!(phase.load, Load::Schedule(_)));
    let zero = if scheduled { plan::schedule_zero(&config, &data).map_err(wrong)? } else { 0.0 };
    let conversations = Conversations::new(data, payloads, zero);
    check(&conversations)?;
    let trust = targets.iter().any(|target| target.is_tls()).then(trust).transpose()?;
    Ok(Prepared {
        document,
        config,
        endpoint,
        models,
        streaming,
        seed,
        phases,
        conversations: Arc::new(conversations),
        tokenizer,
        tokenizer_name,
        observe: None,
        alone: true,
        targets,
        field,
        headers,
        trust,
    })
}

fn unreachable_or_wrong(error: dormouse_perf_load::target::TargetError) -> Failure {
    match error {
        dormouse_perf_load::target::TargetError::Unknown { .. } => Failure::with_code(UNREACHABLE, error),
        other => wrong(other),
    }
}

/// Nothing is sent from a part of a data set: of a file each conversation is looked at, of what is made the first.
pub(crate) fn check(conversations: &Conversations) -> anyhow::Result<()> {
    let data = conversations.data();
    let looked_at = if matches!(data.format(), dormouse_perf_data::Format::Synthetic) { 1 } else { data.len().min(100_000) };
    for k in 0..looked_at {
        conversations.get(k).map_err(wrong)?;
    }
    Ok(())
}

pub(crate) fn trust() -> anyhow::Result<Trust> {
    let verify = std::env::var("AIPERF_HTTP_SSL_VERIFY").ok().and_then(|v| plan::truth(&v)).unwrap_or(true);
    let trust = if verify { Trust::system() } else { Trust::blind() };
    Ok(trust.map_err(|why| Failure::with_code(UNREACHABLE, why))?)
}

/// Names of models that stand for none.
const PLACEHOLDERS: [&str; 4] = ["mock", "test", "fake", "dummy"];

/// Whether a model's name stands for none, so that no tokenizer can be expected under it.
pub(crate) fn is_placeholder(model: &str) -> bool {
    PLACEHOLDERS.iter().any(|p| model.to_lowercase().starts_with(p)) && !Path::new(model).exists()
}

pub(crate) fn tokenizer(
    config: &Config,
    endpoint: EndpointType,
    models: &[String],
    spec: &dormouse_perf_data::Spec,
) -> Result<(Option<Arc<Tokenizer>>, Option<String>), Failure> {
    let given = &config.benchmark.tokenizer;
    let made = matches!(spec.source, dormouse_perf_data::Source::Synthetic);
    let counted = !config.benchmark.endpoint.use_server_token_count && (endpoint.tokens() || !endpoint.ranks());
    // Text that is taken from a file and counted by the server needs none, unless one is given.
    if !made && !counted && given.name.is_none() {
        return Ok((None, None));
    }
    let name = match &given.name {
        Some(name) => name.clone(),
        None => {
            let model = models.first().cloned().unwrap_or_default();
            if is_placeholder(&model) {
                error_line(&format!("warning: {model:?} is a placeholder and has no tokenizer: builtin is taken"));
                "builtin".to_owned()
            } else {
                model
            }
        }
    };
    let loaded = match &given.revision {
        Some(revision) => Tokenizer::load_revision(&name, revision),
        None => Tokenizer::load(&name),
    };
    match loaded {
        Ok(tokenizer) => Ok((Some(Arc::new(tokenizer)), Some(name))),
        // A file brings its own text: without a tokenizer only our own counts are missing.
        Err(error) if !made && given.name.is_none() => {
            error_line(&format!("warning: {error}; requests are sent, and tokens are not counted here"));
            Ok((None, None))
        }
        Err(error) => Err(wrong(error)),
    }
}

/// What is odd about a configuration, and not wrong.
pub(crate) fn warn(config: &Config, phases: &[PhasePlan], data: &Dataset) {
    if matches!(config.dormouse.log_level.as_deref(), Some("error" | "critical")) {
        return;
    }
    let benchmark = &config.benchmark;
    if benchmark.runtime.workers.is_some_and(|workers| workers > 1) {
        error_line("note: --workers-max: one thread sends here, and says when it is too slow");
    }
    let asks = benchmark.datasets.first().is_some_and(|dataset| dataset.prompts.osl.is_some());
    let forced = benchmark.endpoint.extra.0.iter().any(|(name, _)| name == "ignore_eos" || name == "min_tokens");
    if asks && !forced {
        error_line("note: --osl is an upper limit: without --extra-inputs ignore_eos:true or min_tokens:N answers may be shorter");
    }
    for phase in phases.iter().filter(|phase| !phase.warmup) {
        let (Some(requests), Some(places)) = (phase.stop.requests, phase.concurrency) else { continue };
        if matches!(phase.load, Load::Closed) && places > 1 && requests < u64::from(places) * 5 {
            error_line(&format!("note: {requests} requests are few for {places} at a time: begin and end weigh more than the middle"));
        }
        if data.turns() > 0 && requests > data.turns() as u64 {
            error_line(&format!(
                "note: {requests} requests are more than the data set's {} turns: prompts are sent again, and may be in the server's cache",
                data.turns()
            ));
        }
    }
}

/// The look at the server: a connection, and nothing is asked.
///
/// # Errors
/// What keeps it from being reached, as exit code 3.
pub fn look(prepared: &Prepared) -> anyhow::Result<()> {
    let waits = prepared.config.benchmark.endpoint.wait_for_model_timeout;
    if waits > 0.0 {
        crate::readiness::wait(prepared, Duration::from_secs_f64(waits))?;
    }
    let mut seen = std::collections::HashSet::new();
    for target in prepared.targets.iter().filter(|target| seen.insert(Arc::clone(&target.origin))) {
        fetch::connect(target, prepared.trust.as_ref(), LOOK).map_err(|why| {
            let hint = if matches!(why, fetch::Error::Tls { .. }) {
                "name its root in SSL_CERT_FILE"
            } else {
                "is the server running, and is --url right?"
            };
            Failure::with_code(UNREACHABLE, format!("{why}; nothing was sent ({hint})"))
        })?;
    }
    Ok(())
}

impl Prepared {
    /// The addresses of requests.
    #[must_use]
    pub fn urls(&self) -> Vec<url::Url> {
        self.targets.iter().map(|target| target.url.clone()).collect()
    }

    /// What requests say in their heads.
    #[must_use]
    pub fn headers(&self) -> &dormouse_perf_load::target::Headers {
        &self.headers
    }

    /// Trust in servers under TLS.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// What kind of answers there are.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let server_counts = self.config.benchmark.endpoint.use_server_token_count;
        Shape { streaming: self.streaming, tokens: self.endpoint.tokens(), server_counts }
    }

    /// The folder of the run's files.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        match &self.config.benchmark.artifacts.dir {
            Some(dir) => PathBuf::from(dir),
            None => Path::new("artifacts").join(plan::folder(&self.config, &self.models, self.endpoint)),
        }
    }

    /// Whether a line for each request is written.
    #[must_use]
    pub fn writes_records(&self) -> bool {
        let artifacts = &self.config.benchmark.artifacts;
        artifacts.raw || artifacts.records.as_ref().is_none_or(|formats| !formats.is_empty())
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let (given, ours) = (&self.config.benchmark.endpoint, &self.config.dormouse);
        let reuse = match name(&given.connection_reuse).as_str() {
            "pooled" => Reuse::Pooled,
            "never" => Reuse::Never,
            "sticky_user_sessions" => Reuse::Sticky,
            other => return Err(wrong(format!("--connection-reuse-strategy: {other:?} is none of pooled, never, sticky-user-sessions"))),
        };
        let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<f64>().ok()).filter(|n| *n > 0.0);
        let timeout = if given.timeout.is_finite() && given.timeout > 0.0 {
            given.timeout
        } else {
            return Err(wrong("--request-timeout-seconds must be above 0"));
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of connections")]
        let connections = number("AIPERF_HTTP_CONNECTION_LIMIT").map(|n| n as usize);
        Ok(Settings {
            targets: self.targets.clone(),
            ask: Ask { endpoint: answers(self.endpoint), streaming: self.streaming },
            field: self.field.clone(),
            limits: Limits::default(),
            reuse,
            connections,
            preconnect: ours.preconnect.unwrap_or(!ours.as_the_peer()),
            keep_alive: nanoseconds(number("AIPERF_HTTP_KEEPALIVE_TIMEOUT").unwrap_or(300.0)),
            timeout: nanoseconds(timeout),
            idle_timeout: ours.idle_timeout.filter(|s| *s > 0.0).map(nanoseconds),
            trust: self.trust.clone(),
            record: self.config.benchmark.artifacts.raw,
            spin: if ours.pace.as_deref() == Some("spin") { Duration::from_micros(80) } else { Duration::ZERO },
            seed: Seed(self.seed.unwrap_or_else(|| self.conversations.data().seed())),
            names: uuid::Uuid::new_v4().as_u64_pair().0,
            goes_on: if ours.on_turn_error.as_deref() == Some("end-session") {
                |_: &Failed| false
            } else {
                |failure: &Failed| !overflows(failure)
            },
        })
    }
}

/// A conversation that has become too long does not go on.
fn overflows(failure: &Failed) -> bool {
    Problem { code: None, class: None, message: failure.message.clone() }.is_overflow()
}

pub(crate) fn answers(endpoint: EndpointType) -> Endpoint {
    match endpoint {
        EndpointType::Chat => Endpoint::Chat,
        EndpointType::Completions => Endpoint::Completions,
        EndpointType::Responses => Endpoint::Responses,
        EndpointType::Messages => Endpoint::Messages,
        EndpointType::Embeddings => Endpoint::Embeddings,
        EndpointType::NimRankings | EndpointType::CohereRankings | EndpointType::TeiRankings => Endpoint::Rankings,
        EndpointType::Template | EndpointType::Raw => Endpoint::Any,
    }
}

/// Sockets and ports that the load will need.
fn foresee(prepared: &Prepared, settings: &Settings) -> Result<(), Failure> {
    let files = raise_file_limit();
    let most = prepared.phases.iter().filter_map(|phase| phase.concurrency).max().unwrap_or(0);
    if let Some(files) = files
        && u64::from(most) + 64 > files
    {
        return Err(wrong(format!("{most} at a time need more open files than the {files} that are allowed here: raise ulimit -n")));
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range.split_ascii_whitespace().filter_map(|bound| bound.parse::<u64>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else { return Ok(()) };
    let ports = high.saturating_sub(low) + 1;
    let origins = settings.targets.iter().map(|target| &target.origin).collect::<std::collections::HashSet<_>>().len().max(1) as u64;
    if u64::from(most) > ports * origins {
        return Err(wrong(format!(
            "{most} at a time need more ports than the {ports} of this machine for each server (net.ipv4.ip_local_port_range)"
        )));
    }
    // A port that was used rests for a minute.
    let sent: u64 = prepared.phases.iter().filter_map(|phase| phase.stop.requests).sum();
    if settings.reuse == Reuse::Never && sent > ports * origins {
        return Err(wrong(format!(
            "{sent} requests that each have a connection of their own need more ports than the {ports} of this machine for each server: \
             a port rests for a minute. Pass --connection-reuse-strategy pooled, fewer requests, or widen net.ipv4.ip_local_port_range"
        )));
    }
    Ok(())
}

/// A run on its way: what others may look at and ask while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// The handle of the worker.
    pub control: &'a Control,
    /// It has ended.
    pub ended: &'a AtomicBool,
    /// Wall time by monotonic time, as its records have it.
    pub clock: Clock,
}

/// Measures, with files in this folder. `meanwhile` runs on a thread of its own beside.
///
/// # Errors
/// What kept it from beginning; what was measured is never an error.
pub fn measure(
    prepared: &Prepared,
    names: &Names,
    signals: &Signals,
    meanwhile: impl FnOnce(Running<'_>) + Send,
) -> anyhow::Result<Measured> {
    let settings = prepared.settings()?;
    foresee(prepared, &settings)?;
    let clock = Clock::start();
    let (supply, supplied) = sync_channel(READY);
    let (done_to, done) = sync_channel(BATCHES);
    let (worker, control) = Worker::new(settings, Channels { supply: supplied, done: done_to }).context("cannot wait for sockets")?;
    let display = Display::of(prepared);
    let records = RecordsManager::start(records_settings(prepared, names, clock, display.tap()), done, control.clone())
        .with_context(|| format!("cannot write into {}", names.dir().display()))?;
    let scraping = Scraping::start(prepared, clock);
    let supplier = Supplier::start(&prepared.conversations, order(prepared)?, supply, control.clone()).context("no thread")?;
    let made = matches!(prepared.conversations.data().format(), dormouse_perf_data::Format::Synthetic);
    let inputs = made.then(|| Inputs::start(&prepared.conversations, names.other("inputs.json"))).transpose().context("no thread")?;
    let plan = Plan { phases: prepared.phases.clone() };
    signals.watch(&control);
    let progress = display.start(prepared, &control, signals);
    let over = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let running = std::thread::Builder::new().name("worker".to_owned()).spawn_scoped(scope, || {
            let ended = worker.run(&plan);
            over.store(true, std::sync::atomic::Ordering::Release);
            ended
        });
        let control = &control;
        let over = &over;
        scope.spawn(move || meanwhile(Running { control, ended: over, clock }));
        running.map(|running| running.join().unwrap_or_else(|_| Err(std::io::Error::other("the worker failed"))))
    });
    let ended = ended.context("no thread")?.context("cannot wait for sockets")?;
    drop(progress);
    signals.forget();
    let scraped = scraping.stop();
    let mut recorded = records.join();
    supplier.join().map_err(wrong)?;
    if let Some(inputs) = inputs
        && let Err(error) = inputs.join(ended.cancelled)
    {
        recorded.unwritten.get_or_insert(error);
    }
    let benchmark_id = uuid::Uuid::new_v4().simple().to_string();
    Ok(Measured { ended, recorded, clock, scraped, benchmark_id })
}

fn records_settings(prepared: &Prepared, names: &Names, clock: Clock, tap: Option<Arc<Tap>>) -> records_manager::Settings {
    let mut profiling = 0;
    let phases = prepared.phases.iter().map(|phase| {
        let index = (!phase.warmup).then(|| {
            profiling += 1;
            profiling - 1
        });
        PhaseName { name: phase.name.clone(), warmup: phase.warmup, profiling_index: index }
    });
    let artifacts = &prepared.config.benchmark.artifacts;
    let most = prepared.phases.iter().filter_map(|phase| phase.concurrency).max().unwrap_or(0);
    let threshold = prepared.config.benchmark.phases.iter().find_map(|phase| phase.failed_request_threshold);
    records_manager::Settings {
        phases: phases.collect(),
        shape: prepared.shape(),
        tokenizer: prepared.tokenizer.clone().filter(|_| !prepared.shape().server_counts),
        clock,
        records: prepared.writes_records().then(|| names.records()),
        trace: artifacts.trace,
        raw: artifacts.raw.then(|| names.raw()),
        outputs: artifacts.export_outputs_json.then(|| names.other("outputs.json")),
        observe: prepared.observe.clone(),
        tap,
        failed_share: threshold.map(|share| (share, u64::from(most.max(10)))),
    }
}

/// The order in which conversations are taken: by time in a schedule, else as the data set has it, warm-up first.
fn order(prepared: &Prepared) -> anyhow::Result<Box<dyn Iterator<Item = usize> + Send>> {
    let data = prepared.conversations.data();
    if prepared.phases.iter().any(|phase| matches!(phase.load, Load::Schedule(_))) {
        let warm = prepared
            .phases
            .iter()
            .filter(|phase| phase.warmup)
            .filter_map(|phase| phase.stop.requests.or(phase.stop.sessions))
            .sum::<u64>();
        let warm = data.order().take(usize::try_from(warm).unwrap_or(0));
        let order = plan::schedule_order(data).map_err(wrong)?;
        return Ok(Box::new(warm.chain(order.into_iter().map(|(_, k)| k)).collect::<Vec<_>>().into_iter()));
    }
    Ok(Box::new(data.order()))
}

/// Takes the folder for this run.
///
/// # Errors
/// It cannot be made, or another run has it.
pub fn hold(dir: &Path) -> anyhow::Result<Held> {
    files::hold(dir).map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::WouldBlock {
            "another run is writing into it; pass another --artifact-dir".to_owned()
        } else {
            error.to_string()
        };
        wrong(format!("{}: {why}", dir.display())).into()
    })
}

/// Seconds of nanoseconds.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let seconds = ns as f64 / SECOND as f64;
    seconds
}
