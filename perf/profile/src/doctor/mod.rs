//! `perf doctor`: whether a benchmark would work, found out before it is run, and what the server refuses.
//!
//! Each [`Check`] stands for itself and says what was seen and what to do. One that cannot be made because another failed is
//! skipped; nothing ends the examination early, but that nothing can be sent to a server that is not there.
//!
//! | Module | Idea |
//! |---|---|
//! | `subject` | the configuration, the tokenizer, the data: what is examined |
//! | `server` | addresses, certificates, and what the server tells without being charged |
//! | `certificate` | who issued one, and until when it holds |
//! | `request` | one request, as `profile` would send it |
//! | `probes` | one small request for each field: which of them the server refuses |
//! | `machine` | files, ports, clock, timers and cores of this machine |

mod certificate;
mod machine;
mod probes;
mod request;
mod server;
mod subject;
#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};

use crate::config::tree::Object;
use crate::options::ProfileArgs;
use crate::system_controller::UNREACHABLE;

/// Options of `perf doctor`: those of `perf profile`, and two of its own.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// How it is told
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub output: Form,
    /// Post nothing: servers charge and count
    #[arg(long)]
    pub no_requests: bool,
    /// What would be run
    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and figures may not be what they seem.
    Warning,
    /// It does not work.
    Failed,
    /// Not looked at, or not there and not needed.
    Skipped,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// What came of it.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to do, where there is something to be done.
    pub advice: Option<String>,
}

/// All that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which it was.
    pub checks: Vec<Check>,
    /// So many requests were posted.
    pub posted: u32,
    /// The configuration cannot be followed.
    usage: bool,
    /// A server is not there, or its certificate is refused.
    unreachable: bool,
}

impl Report {
    fn push(&mut self, state: State, name: &str, seen: impl Into<String>, advice: Option<String>) {
        self.checks.push(Check { name: name.to_owned(), state, seen: line(&seen.into()), advice: advice.map(|text| line(&text)) });
    }

    fn ok(&mut self, name: &str, seen: impl Into<String>) {
        self.push(State::Ok, name, seen, None);
    }

    fn skipped(&mut self, name: &str, seen: impl Into<String>) {
        self.push(State::Skipped, name, seen, None);
    }

    fn warning(&mut self, name: &str, seen: impl Into<String>, advice: impl Into<String>) {
        self.push(State::Warning, name, seen, Some(advice.into()));
    }

    fn failed(&mut self, name: &str, seen: impl Into<String>, advice: impl Into<String>) {
        self.push(State::Failed, name, seen, Some(advice.into()));
    }

    fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }

    /// What the shell is told: 0 when nothing failed, 2 of a configuration that cannot be followed, 3 of a server that is not there,
    /// 1 of anything else.
    #[must_use]
    pub fn code(&self) -> u8 {
        match (self.usage, self.unreachable, self.count(State::Failed)) {
            (true, ..) => 2,
            (_, true, _) => UNREACHABLE,
            (.., 0) => 0,
            _ => 1,
        }
    }

    /// The last line.
    #[must_use]
    pub fn sum(&self) -> String {
        let of = |state: State| format!("{} {}", self.count(state), state.word());
        let [ok, warning, failed, skipped] = [State::Ok, State::Warning, State::Failed, State::Skipped].map(of);
        format!("{ok}, {warning}, {failed}, {skipped}; {} requests were posted", self.posted)
    }

    /// As a table, with what to do below each check.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            text.push_str(&format!("{:<7}  {:<width$}  {}\n", check.state.word(), check.name, check.seen));
            if let Some(advice) = &check.advice {
                text.push_str(&format!("{:<7}  {:<width$}  -> {advice}\n", "", ""));
            }
        }
        text.push_str(&format!("\n{}\n", self.sum()));
        text
    }

    /// As a document.
    #[must_use]
    pub fn json(&self) -> Json {
        let one = |check: &Check| {
            let mut object = Object::new();
            object.put("name", check.name.as_str()).put("state", check.state.word()).put("seen", check.seen.as_str());
            object.put_some("advice", check.advice.clone());
            object.json()
        };
        let mut object = Object::new();
        object.put("checks", Json::Array(self.checks.iter().map(one).collect()));
        for state in [State::Ok, State::Warning, State::Failed, State::Skipped] {
            object.put(state.word(), self.count(state) as u64);
        }
        object.put("requests_posted", self.posted).put("exit_code", u32::from(self.code()));
        object.json()
    }
}

/// Servers may say anything: it stays on its line and has an end.
fn line(text: &str) -> String {
    const MOST: usize = 400;
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// Examines, and says what was found.
///
/// # Errors
/// When something failed, with its exit code.
pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let report = examine(args);
    match args.output {
        Form::Table => Out.text(&report.table())?,
        Form::Json => Out.line(&serde_json::to_string_pretty(&report.json())?)?,
    }
    match report.code() {
        0 => Ok(()),
        code => {
            let failed: Vec<&str> = report.checks.iter().filter(|c| c.state == State::Failed).map(|c| c.name.as_str()).collect();
            Err(Failure::with_code(code, format!("failed: {}", failed.join(", "))).into())
        }
    }
}

/// Examines.
#[must_use]
pub fn examine(args: &DoctorArgs) -> Report {
    let mut report = Report::default();
    let subject = subject::of(&args.profile, &mut report);
    if let Some(subject) = &subject {
        let reached = server::look(subject, &mut report);
        let sends = reached && !args.no_requests && subject.can_send();
        if sends {
            error_line(&format!(
                "note: one request and a small one for each field are posted to {}; --no-requests leaves them out",
                subject.urls.first().map_or("", url::Url::as_str)
            ));
            let goes_on = request::send(subject, &mut report);
            if goes_on {
                probes::send(subject, &mut report);
            } else {
                report.skipped("fields", "the request above shows that none would be answered");
            }
        } else {
            let why = if args.no_requests {
                "--no-requests"
            } else if reached {
                "the configuration cannot be followed"
            } else {
                "the server is not there"
            };
            report.skipped("request", why);
            report.skipped("fields", why);
        }
    }
    machine::look(subject.as_ref(), &mut report);
    report
}
