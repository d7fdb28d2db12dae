//! What is seen of a run while it runs.
//!
//! | Kind | Idea |
//! |---|---|
//! | `dashboard` | one screen: the default on a terminal |
//! | `simple` | a line that changes: the default of several runs, and where more is to be said |
//! | `none` | a line from time to time: the default elsewhere |

mod dashboard;
mod lines;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::Thread;
use std::time::Duration;

use dormouse_perf_load::worker::Control;
use dormouse_runtime::output::error_line;

pub(crate) use self::dashboard::{Tap, screen};
use crate::signals::Signals;
use crate::system_controller::Prepared;

/// How long the end of a run waits for what shows it: a terminal that takes nothing holds nobody up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A way to show a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dashboard,
    Simple,
    None,
}

/// Where it would be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Standard error is a terminal on which a line can be replaced.
    terminal: bool,
    /// This process is in its foreground: whoever sits before it waits for this run.
    front: bool,
    /// It can be had as a whole.
    screen: bool,
    /// Standard output is a terminal too: nothing else draws there.
    output: bool,
}

impl Place {
    fn here() -> Self {
        let term = std::env::var_os("TERM").unwrap_or_default();
        let terminal = std::io::stderr().is_terminal() && term != "dumb";
        let front = screen::is_in_front();
        // Whoever changes a terminal from its background is stopped by the system.
        Self { terminal, front, screen: terminal && front && !term.is_empty(), output: std::io::stdout().is_terminal() }
    }
}

/// Which way it is, of what was asked for and what can be had; several runs, and much to say, are better read in lines.
fn kind(asked: Option<&str>, place: Place, lines: bool) -> Kind {
    match asked {
        Some("dashboard") if place.screen => Kind::Dashboard,
        Some("simple") if place.terminal => Kind::Simple,
        Some(_) => Kind::None,
        None if place.screen && place.output && !lines => Kind::Dashboard,
        None if place.terminal && place.front => Kind::Simple,
        None => Kind::None,
    }
}

/// What was decided before anything runs.
#[derive(Debug)]
pub(crate) struct Display {
    kind: Kind,
    tap: Option<Arc<Tap>>,
}

impl Display {
    /// As the configuration wants it, where that can be had.
    pub(crate) fn of(prepared: &Prepared) -> Self {
        let asked = prepared.config.benchmark.runtime.ui.as_deref();
        let talks = prepared.config.dormouse.log_level.as_deref().is_some_and(|level| matches!(level, "debug" | "trace"));
        let kind = kind(asked, Place::here(), talks || !prepared.alone);
        if asked == Some("dashboard") && kind != Kind::Dashboard {
            error_line("note: --ui dashboard needs a terminal in its foreground that knows how to: there are lines instead");
        }
        Self { kind, tap: (kind == Kind::Dashboard).then(|| dashboard::tap(prepared)) }
    }

    /// Where records are left for it, if it wants them.
    pub(crate) fn tap(&self) -> Option<Arc<Tap>> {
        self.tap.clone()
    }

    /// Shows it from now on.
    pub(crate) fn start(self, prepared: &Prepared, control: &Control, signals: &Signals) -> Progress {
        let stop = Arc::new(AtomicBool::new(false));
        let (over, ended) = channel();
        let (live, stopped) = (Arc::clone(&control.live), Arc::clone(&stop));
        let screen = self.tap.and_then(|tap| {
            let screen = dashboard::Dashboard::new(prepared, control, tap, signals);
            screen.inspect_err(|error| error_line(&format!("note: the terminal cannot be had as a screen: {error}"))).ok()
        });
        let work: Box<dyn FnOnce() + Send> = if let Some(screen) = screen {
            Box::new(move || screen.run(&stopped))
        } else {
            let lively = self.kind == Kind::Simple;
            let every = prepared.config.dormouse.stats_interval.unwrap_or(if lively { 0.5 } else { 30.0 });
            let phases = prepared.phases.clone();
            if every <= 0.0 {
                return Progress { stop, ended: None };
            }
            Box::new(move || lines::run(&live, &phases, every, lively, &stopped))
        };
        let thread = std::thread::Builder::new().name("ui".to_owned()).spawn(move || {
            work();
            let _ = over.send(());
        });
        if thread.is_err() {
            restore();
        }
        Progress { stop, ended: thread.ok().map(|thread| (thread.thread().clone(), ended)) }
    }
}

/// What is shown until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    stop: Arc<AtomicBool>,
    ended: Option<(Thread, Receiver<()>)>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some((thread, ended)) = self.ended.take() {
            thread.unpark();
            if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                restore();
            }
        }
    }
}

/// Gives the terminal back, if a screen has it: for whoever ends the process.
pub(crate) fn restore() {
    screen::give_back();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_can_be() {
        let full = Place { terminal: true, front: true, screen: true, output: true };
        let piped = Place { output: false, ..full };
        let behind = Place { front: false, screen: false, ..full };
        let dumb = Place { terminal: false, screen: false, ..full };
        for (asked, place, lines, want) in [
            (None, full, false, Kind::Dashboard),
            (None, full, true, Kind::Simple),
            (None, piped, false, Kind::Simple),
            (None, behind, false, Kind::None),
            (Some("simple"), behind, false, Kind::Simple),
            (None, dumb, false, Kind::None),
            (Some("dashboard"), piped, false, Kind::Dashboard),
            (Some("dashboard"), full, true, Kind::Dashboard),
            (Some("dashboard"), dumb, false, Kind::None),
            (Some("simple"), full, false, Kind::Simple),
            (Some("simple"), dumb, false, Kind::None),
            (Some("none"), full, false, Kind::None),
        ] {
            assert_eq!(kind(asked, place, lines), want, "{asked:?} {place:?} {lines}");
        }
    }
}
