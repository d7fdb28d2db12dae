//! The records manager: a thread that makes records of what the worker hands on, writes them, and keeps them small.
//!
//! It stands behind the worker: counting tokens and writing lines wait, the load does not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use dormouse_perf_data::Tokenizer;
use dormouse_perf_load::answer::Count;
use dormouse_perf_load::exchange::{Answered, Failure, Outcome};
use dormouse_perf_load::worker::{Command, Control, Done};
use dormouse_perf_metrics::columns::Columns;
use dormouse_perf_metrics::record::{self, Facts, Http, Row, Shape};
use dormouse_perf_net::Clock;
use dormouse_perf_report::lines::{self, Ending, Metadata};
use dormouse_perf_report::records::Problem;

use crate::files;
use crate::raw::Raw;
use crate::script::Ready;
use crate::ui::Tap;

/// What is kept of a phase.
#[derive(Debug, Default)]
pub struct PhaseRecords {
    /// Its records.
    pub rows: Columns,
    /// Why some failed, and how many.
    pub problems: BTreeMap<Problem, usize>,
    /// Counts that no metric of a record has.
    pub counts: dormouse_perf_report::folder::Counts,
}

/// What is worth a word to people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// Requests that were sent elsewhere.
    pub redirected: u64,
    /// Streams under another media type.
    pub other_media_type: u64,
    /// Answers with more than one choice.
    pub other_choices: u64,
    /// Successes without usage where it was to be counted by.
    pub no_usage: u64,
    /// Events of which no sense could be made.
    pub undecodable: u64,
    /// Usage that has fewer tokens in all than of reasoning.
    pub strange_usage: u64,
}

/// Everything that was recorded.
#[derive(Debug, Default)]
pub struct Recorded {
    /// By phase.
    pub phases: Vec<PhaseRecords>,
    /// For people.
    pub notes: Notes,
    /// A larger share than was allowed has failed: so many of so many.
    pub too_many_failed: Option<(u64, u64)>,
    /// Why a file is not complete; what was measured is in here all the same.
    pub unwritten: Option<io::Error>,
}

/// A phase as its records name it.
#[derive(Clone, Debug)]
pub struct PhaseName {
    /// Its name.
    pub name: String,
    /// It only warms up.
    pub warmup: bool,
    /// Its number among those that are measured.
    pub profiling_index: Option<u32>,
}

/// How records are made.
#[derive(Debug)]
pub struct Settings {
    /// Phases in their order.
    pub phases: Vec<PhaseName>,
    /// What kind of answers there are.
    pub shape: Shape,
    /// Counts tokens, where we count.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Wall time by monotonic time.
    pub clock: Clock,
    /// The file of records.
    pub records: Option<PathBuf>,
    /// It says when what happened on its connection, too.
    pub trace: bool,
    /// The same with what was sent and came.
    pub raw: Option<PathBuf>,
    /// What was answered.
    pub outputs: Option<PathBuf>,
    /// Who sees each record as it is made, with its phase.
    pub observe: Option<Sender<(usize, Row)>>,
    /// Where each is left for whoever shows the run.
    pub(crate) tap: Option<Arc<Tap>>,
    /// The run ends when a larger share of the profiling requests than this has failed, after so many.
    pub failed_share: Option<(f64, u64)>,
}

/// The thread.
#[derive(Debug)]
pub struct RecordsManager(JoinHandle<Recorded>);

impl RecordsManager {
    /// Begins to take records; the files are made at once, so that a folder that cannot be written to is found before the load.
    ///
    /// # Errors
    /// A file that cannot be made, or no thread.
    pub fn start(settings: Settings, done: Receiver<Vec<Done>>, control: Control) -> io::Result<Self> {
        let mut maker = Maker::new(settings)?;
        let work = move || {
            files::behind();
            for batch in &done {
                for done in &batch {
                    // With a full disk the load goes on and what was measured is kept in memory.
                    if let Err(error) = maker.take(done) {
                        maker.recorded.unwritten.get_or_insert(error);
                        maker.drop_files();
                    }
                }
                maker.check_failures(&control);
            }
            maker.end()
        };
        Ok(Self(std::thread::Builder::new().name("records-manager".to_owned()).spawn(work)?))
    }

    /// What was recorded; the worker must have gone.
    #[must_use]
    pub fn join(self) -> Recorded {
        let failed = || Recorded { unwritten: Some(io::Error::other("the records manager failed")), ..Recorded::default() };
        self.0.join().unwrap_or_else(|_| failed())
    }
}

struct Maker {
    settings: Settings,
    recorded: Recorded,
    records: Option<BufWriter<File>>,
    raw: Option<Raw>,
    outputs: Option<Outputs>,
    line: Vec<u8>,
    contents: Vec<u64>,
    /// Answers that were counted: many servers say the same again and again.
    counted: BTreeMap<String, u64>,
}

/// Texts that are remembered with their number of tokens.
const REMEMBERED: usize = 4096;

impl Maker {
    fn new(settings: Settings) -> io::Result<Self> {
        let file = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| Ok::<_, io::Error>(BufWriter::with_capacity(1 << 20, File::create(path)?))).transpose()
        };
        let phases = settings.phases.iter().map(|_| PhaseRecords::default()).collect();
        Ok(Self {
            records: file(&settings.records)?,
            raw: settings.raw.as_deref().map(Raw::create).transpose()?,
            outputs: settings.outputs.as_deref().map(Outputs::create).transpose()?,
            recorded: Recorded { phases, ..Recorded::default() },
            settings,
            line: Vec::new(),
            contents: Vec::new(),
            counted: BTreeMap::new(),
        })
    }

    fn drop_files(&mut self) {
        (self.records, self.raw, self.outputs) = (None, None, None);
    }

    fn take(&mut self, done: &Done) -> io::Result<()> {
        let problem = match &done.answered.outcome {
            Outcome::Failed(failure) => Some(told(failure)),
            _ => None,
        };
        let row = self.row(done, problem.as_ref());
        self.note(done);
        if let Some(tap) = &self.settings.tap {
            tap.record(done, &row, problem.as_ref());
        }
        let Some(phase) = self.recorded.phases.get_mut(done.phase) else { return Ok(()) };
        let counts = &mut phase.counts;
        counts.reconnected += u64::from(done.reconnected);
        counts.incomplete += u64::from(done.answered.incomplete);
        if done.censored {
            counts.censored += 1;
        } else {
            phase.rows.push(&row);
            if let Some(observe) = &self.settings.observe {
                // Whoever looked may have seen enough.
                let _ = observe.send((done.phase, row.clone()));
            }
            if let Some(problem) = &problem {
                *phase.problems.entry(problem.clone()).or_default() += 1;
            }
        }
        self.write(done, &row, problem.as_ref().filter(|_| !done.censored))
    }

    fn note(&mut self, done: &Done) {
        let (notes, answered) = (&mut self.recorded.notes, &done.answered);
        notes.redirected += u64::from(done.redirected > 0);
        notes.other_media_type += u64::from(answered.other_media_type);
        notes.other_choices += u64::from(answered.other_choices);
        notes.undecodable += u64::from(answered.counters.undecodable);
        let success = answered.outcome == Outcome::Success;
        notes.no_usage += u64::from(success && self.settings.shape.server_counts && answered.usage.is_none());
        let strange = answered.usage.and_then(|usage| usage.completion.zip(usage.reasoning)).is_some_and(|(all, thought)| thought > all);
        notes.strange_usage += u64::from(success && strange);
    }

    fn row(&mut self, done: &Done, problem: Option<&Problem>) -> Row {
        let clock = self.settings.clock;
        let answered = &done.answered;
        let end = answered.stamps.end.unwrap_or(done.start);
        let script = self.ready(done);
        let input = match (&self.settings.tokenizer, script) {
            (Some(tokenizer), Some(script)) => Some(script.input_tokens(done.turn, &done.before, tokenizer)),
            _ => None,
        };
        let mut row = Row {
            credit_ns: clock.wall(done.intended),
            start_ns: clock.wall(done.start),
            end_ns: clock.wall(end),
            failed: problem.is_some(),
            overflowed: problem.is_some_and(Problem::is_overflow),
            ..Row::default()
        };
        if done.censored {
            return row;
        }
        if problem.is_some() {
            let server = answered.usage.and_then(|usage| usage.prompt).map(Count::get);
            row.values = record::failed(if self.settings.shape.server_counts { server } else { input });
            return row;
        }
        let max_tokens = script.and_then(|script| script.max_tokens(done.turn));
        let tokens = self.tokens(answered, input);
        self.contents.clear();
        self.contents.extend(answered.pieces.iter().map(|piece| piece.at().saturating_sub(done.start)));
        let facts = Facts {
            content: &self.contents,
            first_output: answered.pieces.iter().find(|piece| piece.kind().is_output()).map(|piece| piece.at().saturating_sub(done.start)),
            first_tokens: answered.first_tokens.map(Count::get),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            reasoning_tokens: tokens.reasoning,
            requested_tokens: max_tokens,
            usage: usage(answered),
            http: Some(http(done)),
        };
        row.values = facts.values(self.settings.shape);
        row.gaps = facts.gaps(self.settings.shape);
        row
    }

    fn ready<'a>(&self, done: &'a Done) -> Option<&'a Ready> {
        // Every script of a run is one of ours.
        (&*done.script as &dyn std::any::Any).downcast_ref()
    }

    fn tokens(&mut self, answered: &Answered, input: Option<u64>) -> Tokens {
        if !self.settings.shape.tokens {
            return Tokens { input, ..Tokens::default() };
        }
        if self.settings.shape.server_counts {
            let usage = answered.usage.unwrap_or_default();
            let get = |count: Option<Count>| count.map(Count::get);
            let reasoning = get(usage.reasoning);
            let output = get(usage.completion).map(|all| all.saturating_sub(reasoning.unwrap_or(0)));
            return Tokens { input: get(usage.prompt), output, reasoning };
        }
        let Some(tokenizer) = self.settings.tokenizer.clone() else { return Tokens { input, ..Tokens::default() } };
        let reasoning = (!answered.reasoning.is_empty()).then(|| self.count(&tokenizer, &answered.reasoning));
        let output = match (answered.text.is_empty(), answered.tools.is_empty()) {
            (true, true) => reasoning.is_none().then_some(0),
            (false, true) => Some(self.count(&tokenizer, &answered.text)),
            (true, false) => Some(self.count(&tokenizer, &answered.tools)),
            (false, false) => Some(self.count(&tokenizer, &format!("{}{}", answered.text, answered.tools))),
        };
        Tokens { input, output, reasoning }
    }

    fn count(&mut self, tokenizer: &Tokenizer, text: &str) -> u64 {
        if let Some(known) = self.counted.get(text) {
            return *known;
        }
        let count = tokenizer.count(text) as u64;
        if self.counted.len() >= REMEMBERED {
            self.counted.clear();
        }
        if text.len() < 16 << 10 {
            self.counted.insert(text.to_owned(), count);
        }
        count
    }

    fn write(&mut self, done: &Done, row: &Row, problem: Option<&Problem>) -> io::Result<()> {
        if self.records.is_none() && self.raw.is_none() && self.outputs.is_none() {
            return Ok(());
        }
        let mut id = uuid::Uuid::encode_buffer();
        let Some(phase) = self.settings.phases.get(done.phase) else { return Ok(()) };
        let kind = if phase.warmup { "warmup" } else { "profiling" };
        let metadata = Metadata {
            session_num: done.credit,
            x_request_id: done.request.hyphenated().encode_lower(&mut id),
            x_correlation_id: &done.session,
            conversation_id: done.script.id(),
            turn_index: u32::try_from(done.turn).unwrap_or(u32::MAX),
            credit_issued_ns: row.credit_ns,
            request_start_ns: row.start_ns,
            request_ack_ns: done.answered.stamps.headers.filter(|_| problem.is_none()).map(|at| self.settings.clock.wall(at)),
            request_end_ns: row.end_ns,
            worker_id: "worker_0",
            record_processor_id: "record_processor_0",
            benchmark_phase: kind,
            phase_index: u32::try_from(done.phase).unwrap_or(u32::MAX),
            profiling_index: phase.profiling_index,
            phase_name: &phase.name,
            phase_kind: kind,
            was_cancelled: done.cancelled,
            cancellation_time_ns: done.cancelled.then_some(row.end_ns),
            context_overflow_skip: false,
            agent_depth: 0,
            root_correlation_id: &done.session,
            reconnected: done.reconnected,
            incomplete_stream: done.answered.incomplete,
        };
        if let Some(file) = &mut self.records {
            self.line.clear();
            let trace = if self.settings.trace { trace(done, self.settings.clock) } else { Vec::new() };
            lines::write(&mut self.line, &metadata, row, Ending { error: problem, censored: done.censored, trace: &trace })?;
            file.write_all(&self.line)?;
        }
        if let Some(raw) = &mut self.raw {
            raw.write(&metadata, done, problem)?;
        }
        if let Some(outputs) = &mut self.outputs
            && done.answered.outcome == Outcome::Success
        {
            outputs.write(&metadata, row, &done.answered)?;
        }
        Ok(())
    }

    fn check_failures(&mut self, control: &Control) {
        let Some((share, least)) = self.settings.failed_share.filter(|_| self.recorded.too_many_failed.is_none()) else { return };
        let profiling = self.recorded.phases.iter().zip(&self.settings.phases).filter(|(_, phase)| !phase.warmup);
        let (all, failed) = profiling.fold((0, 0), |(all, failed), (phase, _)| {
            (all + phase.rows.len() as u64, failed + phase.problems.values().sum::<usize>() as u64)
        });
        #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
        let larger = all >= least && failed as f64 > share * all as f64;
        if larger {
            self.recorded.too_many_failed = Some((failed, all));
            control.ask(Command::Cancel);
        }
    }

    fn end(mut self) -> Recorded {
        let records = self.records.take().map(|file| file.into_inner().map(drop).map_err(io::IntoInnerError::into_error));
        let ended = [records, self.raw.take().map(Raw::end), self.outputs.take().map(Outputs::end)];
        for error in ended.into_iter().flatten().filter_map(Result::err) {
            self.recorded.unwritten.get_or_insert(error);
        }
        self.recorded
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
}

/// A failure as files say it.
fn told(failure: &Failure) -> Problem {
    Problem { code: failure.code.map(i64::from), class: Some(failure.class.to_string()), message: failure.message.clone() }
}

fn usage(answered: &Answered) -> record::Usage {
    let Some(u) = &answered.usage else { return record::Usage::default() };
    #[allow(clippy::cast_precision_loss, reason = "counts are at most 2^53")]
    let of = |count: Option<Count>| count.map(|count| count.get() as f64);
    [
        of(u.prompt),
        of(u.cache_read),
        of(u.cache_write),
        of(u.cache_miss),
        of(u.prompt_audio),
        of(u.tool_prompt),
        of(u.audio_seconds),
        of(u.completion),
        of(u.reasoning),
        of(u.completion_audio),
        of(u.accepted_prediction),
        of(u.rejected_prediction),
        of(u.total),
    ]
}

fn http(done: &Done) -> Http {
    let (wire, stamps) = (&done.wire, &done.answered.stamps);
    let between = |from: Option<u64>, to: Option<u64>| to.zip(from).map_or(0, |(to, from)| to.saturating_sub(from));
    let connect = wire.connect;
    Http {
        blocked: connect.map_or(0, |(opened, _)| opened.saturating_sub(done.start)),
        dns_lookup: 0,
        connecting: connect.map_or(0, |(opened, stood)| stood.saturating_sub(opened)),
        sending: between(wire.first_write, wire.sent),
        waiting: between(wire.sent, stamps.first_body),
        receiving: between(stamps.first_body, stamps.last_body),
        reused: wire.reused || wire.connect.is_none(),
        sent: (wire.body as u64, u64::from(wire.writes)),
        received: (done.answered.counters.body_bytes, u64::from(done.answered.counters.body_reads)),
    }
}

/// When what happened on the connection of a request, in Unix nanoseconds, and how long its parts took (perf contract 4.8).
fn trace(done: &Done, clock: Clock) -> Vec<(&'static str, u64)> {
    let (wire, stamps, counters) = (&done.wire, &done.answered.stamps, &done.answered.counters);
    let times = http(done);
    let moments = [
        ("request_send_start_ns", wire.first_write),
        ("request_send_end_ns", wire.sent),
        ("response_headers_received_ns", stamps.headers),
        ("response_receive_start_ns", stamps.first_body),
        ("response_receive_end_ns", stamps.last_body),
        ("tcp_connect_start_ns", wire.connect.map(|(opened, _)| opened)),
        ("tcp_connect_end_ns", wire.connect.map(|(_, stood)| stood)),
        ("connection_reused_ns", wire.first_write.filter(|_| times.reused)),
    ];
    let mut all: Vec<(&'static str, u64)> = moments.into_iter().filter_map(|(name, at)| Some((name, clock.wall(at?)))).collect();
    all.extend([
        ("sending_ns", times.sending),
        ("waiting_ns", times.waiting),
        ("receiving_ns", times.receiving),
        ("duration_ns", times.sending + times.waiting + times.receiving),
        ("blocked_ns", times.blocked),
        ("dns_lookup_ns", times.dns_lookup),
        ("connecting_ns", times.connecting),
        ("request_bytes_sent", wire.body as u64),
        ("request_chunks_sent", u64::from(wire.writes)),
        ("response_bytes_received", counters.body_bytes),
        ("response_chunks_received", u64::from(counters.body_reads)),
    ]);
    all.extend(done.answered.status.map(|status| ("response_status_code", u64::from(status))));
    all
}

/// `outputs.json`: what was answered (perf contract 6.7).
struct Outputs {
    file: BufWriter<File>,
    path: PathBuf,
    first: bool,
}

impl Outputs {
    fn create(path: &std::path::Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(files::partial(path))?);
        file.write_all(b"{\"schema_version\":\"1.0\",\"data\":[")?;
        Ok(Self { file, path: path.to_owned(), first: true })
    }

    fn write(&mut self, metadata: &Metadata<'_>, row: &Row, answered: &Answered) -> io::Result<()> {
        let out = &mut self.file;
        out.write_all(if std::mem::take(&mut self.first) { b"\n" } else { b",\n" })?;
        let session = metadata.session_num;
        write!(out, "{{\"session_num\":{session},\"conversation_id\":")?;
        serde_json::to_writer(&mut *out, metadata.conversation_id)?;
        write!(out, ",\"turn_index\":{},\"x_request_id\":\"{}\"", metadata.turn_index, metadata.x_request_id)?;
        write!(out, ",\"request_start_ns\":{},\"request_end_ns\":{},\"metrics\":{{", metadata.request_start_ns, metadata.request_end_ns)?;
        for (at, (metric, base)) in row.values.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(out, "{comma}\"{}\":", metric.tag())?;
            serde_json::to_writer(&mut *out, &metric.entry().unit.show(base))?;
        }
        out.write_all(b"},\"response_text\":")?;
        let text = if answered.text.is_empty() { &answered.tools } else { &answered.text };
        serde_json::to_writer(&mut *out, text)?;
        if !answered.reasoning.is_empty() {
            out.write_all(b",\"reasoning_text\":")?;
            serde_json::to_writer(&mut *out, &answered.reasoning)?;
        }
        out.write_all(b"}")
    }

    fn end(mut self) -> io::Result<()> {
        self.file.write_all(b"\n]}\n")?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(files::partial(&self.path), &self.path)
    }
}
