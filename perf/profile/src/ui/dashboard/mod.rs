//! `--ui dashboard`: one screen on a terminal (perf contract 6.10).
//!
//! Decide apart from do: a look at the run goes into a [`board::Board`], which becomes a picture in [`view`]; both are pure. The
//! thread in here looks, draws four times a second, and hears keys. It stands behind the threads that measure.
//!
//! | Room | Idea |
//! |---|---|
//! | [`mod@tap`] | what has ended, from the records manager |
//! | [`board`] | what is known |
//! | [`view`], [`panels`], [`text`] | how it is drawn |
//! | [`screen`] | the terminal, which is given back on every path |

mod board;
mod panels;
pub(crate) mod screen;
mod tap;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_perf_load::arrivals::Pattern;
use dormouse_perf_load::timing::{Load, PhasePlan};
use dormouse_perf_load::worker::{Control, Live};
use dormouse_perf_net::now;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use ratatui_crossterm::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::board::{About, Board, Look, Panel};
use self::screen::Drawn;
use self::tap::Slot;
use self::view::Palette;
use crate::config::plan;
use crate::signals::Signals;
use crate::system_controller::Prepared;

pub(crate) use self::tap::Tap;

/// How often it is drawn, in nanoseconds.
const FRAME: u64 = 250_000_000;
/// How long the end of the run waits for the screen at most.
const BREATH: Duration = Duration::from_millis(50);
/// Seconds of which the figures are.
const WINDOW: f64 = 5.0;

/// The place where records are left for the screen.
pub(crate) fn tap(prepared: &Prepared) -> Arc<Tap> {
    Arc::new(Tap::new(prepared.phases.iter().map(|phase| phase.warmup).collect()))
}

/// Everything that the thread needs.
pub(crate) struct Dashboard {
    board: Board,
    tap: Arc<Tap>,
    live: Arc<Live>,
    signals: Signals,
    palette: Palette,
    load_thread: Option<PathBuf>,
    /// Nothing that is on the screen is taken for what it should be.
    anew: bool,
    empty: Slot,
}

impl Dashboard {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be had.
    pub(crate) fn new(prepared: &Prepared, control: &Control, tap: Arc<Tap>, signals: &Signals) -> io::Result<Self> {
        let window = prepared.config.dormouse.stats_interval.filter(|seconds| *seconds >= 1.0).unwrap_or(WINDOW);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
        let board = Board::new(about(prepared), &prepared.phases, window.round() as usize, now());
        let colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        screen::take()?;
        Ok(Self {
            empty: Slot::new(prepared.phases.len()),
            board,
            tap,
            live: Arc::clone(&control.live),
            signals: signals.clone(),
            palette: Palette::new(colour),
            load_thread: None,
            anew: false,
        })
    }

    /// Draws until it is told to stop, or the terminal is gone.
    pub(crate) fn run(mut self, stop: &AtomicBool) {
        crate::files::behind();
        // Whatever happens in here, the terminal is given back.
        let _back = Back;
        let page = Page::default();
        let Ok(mut terminal) = Terminal::new(CrosstermBackend::new(page.clone())) else { return };
        let mut next = now();
        while !stop.load(Ordering::Acquire) {
            let mut pressed = false;
            // A terminal that cannot be read from is looked at all the same.
            match event::poll(BREATH) {
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) => pressed = self.press(key),
                    Ok(Event::Resize(..)) => pressed = true,
                    _ => {}
                },
                Ok(false) => {}
                Err(_) => std::thread::sleep(BREATH),
            }
            if now() < next && !pressed {
                continue;
            }
            next = now() + FRAME;
            self.look();
            if std::mem::take(&mut self.anew) && terminal.size().and_then(|size| terminal.resize(size.into())).is_err() {
                return;
            }
            let drawn = terminal.draw(|frame| view::draw(&self.board, self.palette, frame.area(), frame.buffer_mut()));
            if drawn.is_err() {
                return;
            }
            let bytes = std::mem::take(&mut *page.0.borrow_mut());
            match screen::write(&bytes) {
                Drawn::Well => {}
                // What is on it is not known: all of it is drawn the next time.
                Drawn::Not => self.anew = true,
                Drawn::Over => return,
            }
        }
    }

    fn look(&mut self) {
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let live = &self.live;
        self.empty.clear();
        self.tap.fetch(&mut self.empty);
        if self.load_thread.is_none() {
            self.load_thread = thread("worker");
        }
        let look = Look {
            now: now(),
            phase: usize::try_from(get(&live.phase)).unwrap_or(usize::MAX),
            started: get(&live.started),
            sent: get(&live.sent),
            returned: get(&live.returned),
            failed: get(&live.failed),
            in_flight: get(&live.in_flight),
            load_thread: self.load_thread.as_ref().and_then(schedule),
            own_cpu: own_cpu(),
            ending: self.signals.have_come(),
        };
        self.board.look(&look, &self.empty);
        screen::fetch_lines().into_iter().for_each(|line| self.board.say(line));
    }

    /// A key; whether the screen is another one now.
    fn press(&mut self, key: KeyEvent) -> bool {
        match meaning(key) {
            Some(Key::End) => self.signals.interrupt(),
            Some(Key::Alone(panel)) => self.board.alone = panel,
            Some(Key::Lines) => self.board.shows_lines = !self.board.shows_lines,
            Some(Key::Anew) => self.anew = true,
            None => return false,
        }
        true
    }
}

/// Gives the terminal back when it is dropped.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        screen::give_back();
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    End,
    Alone(Option<Panel>),
    Lines,
    Anew,
}

fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            // The terminal makes no signal of it any more.
            KeyCode::Char('c') => Some(Key::End),
            KeyCode::Char('l') => Some(Key::Anew),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('q') => Key::End,
        KeyCode::Char('1') => Key::Alone(Some(Panel::Progress)),
        KeyCode::Char('2') => Key::Alone(Some(Panel::Times)),
        KeyCode::Char('3') => Key::Alone(Some(Panel::Throughput)),
        KeyCode::Char('4') => Key::Alone(Some(Panel::Errors)),
        KeyCode::Esc => Key::Alone(None),
        KeyCode::Char('l') => Key::Lines,
        _ => return None,
    })
}

/// What is drawn goes to the terminal in one piece.
#[derive(Clone, Debug, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The place where the system counts for a thread of this process; Linux does.
fn thread(name: &str) -> Option<PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let mut paths = tasks.filter_map(|task| Some(task.ok()?.path()));
    let path = paths.find(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name))?;
    Some(path.join("schedstat"))
}

/// What a thread has computed, and how long it waited to, in nanoseconds.
fn schedule(path: &PathBuf) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut words = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
    Some((words.next()?, words.next()?))
}

fn own_cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn about(prepared: &Prepared) -> About {
    let urls = prepared.urls();
    let url = urls.first().map(|url| {
        let mut shown = url.clone();
        // What only its owner may see is none of a screen's.
        let _ = shown.set_password(None).and_then(|()| shown.set_username(""));
        shown.set_query(None);
        shown.to_string()
    });
    let more = |n: usize| if n > 1 { format!(" and {} more", n - 1) } else { String::new() };
    About {
        model: format!("{}{}", prepared.models.first().map_or("", String::as_str), more(prepared.models.len())),
        endpoint: format!("{}{}", prepared.endpoint.name(), if prepared.streaming { ", streaming" } else { "" }),
        url: format!("{}{}", url.unwrap_or_default(), more(urls.len())),
        load: match &prepared.config.dormouse.search {
            Some(search) => format!("search {search}"),
            None => {
                let rate = prepared.config.benchmark.phases.iter().find(|phase| !plan::is_warmup(phase)).and_then(|phase| phase.rate);
                prepared.phases.iter().find(|phase| !phase.warmup).map(|phase| load(phase, rate)).unwrap_or_default()
            }
        },
    }
}

/// What a phase does, in words; its rate is as it was asked for.
fn load(phase: &PhasePlan, rate: Option<f64>) -> String {
    let places = phase.concurrency.map(|n| format!("{} at a time", text::number(n.into())));
    let what = match &phase.load {
        Load::Closed => None,
        Load::Open { pattern, .. } => {
            let rate = rate.map_or_else(|| "changing".to_owned(), text::rate);
            let pattern = match pattern {
                Pattern::Constant => "constant",
                Pattern::Poisson => "poisson",
                Pattern::Gamma(_) => "gamma",
            };
            Some(format!("{rate} req/s, {pattern}"))
        }
        Load::Schedule(times) => Some(format!("schedule of {} sessions", text::number(times.len() as u64))),
        Load::Users { users, rate, .. } => Some(format!("{} users, {} req/s", text::number((*users).into()), text::rate(*rate))),
    };
    let stop = &phase.stop;
    let until = [
        stop.requests.map(|n| format!("{} requests", text::number(n))),
        stop.sessions.map(|n| format!("{} sessions", text::number(n))),
        stop.duration.map(|ns| text::clock(board::seconds(ns))),
    ];
    what.into_iter().chain(places).chain(until.into_iter().flatten()).collect::<Vec<_>>().join(", ")
}
