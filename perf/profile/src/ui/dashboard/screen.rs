//! The terminal while a screen has it: taken once, given back once, whoever ends the run and however.
//!
//! What is written to it goes out while the lock is held that giving it back takes: nothing is drawn behind that. Lines that other
//! threads have for standard error are kept meanwhile, shown in the log, and written when the screen is gone.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use dormouse_runtime::output::{divert_error_lines, error_line};
use ratatui_crossterm::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui_crossterm::crossterm::{cursor, queue, style};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Lines that are kept until the screen is gone.
const KEPT: usize = 1000;
/// How long somebody who ends the process waits for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whether a screen has the terminal.
static TAKEN: Mutex<bool> = Mutex::new(false);
static LINES: Mutex<Lines> = Mutex::new(Lines { kept: VecDeque::new(), lost: 0, unseen: 0 });

#[derive(Debug)]
struct Lines {
    kept: VecDeque<String>,
    lost: usize,
    /// The last so many were not fetched yet.
    unseen: usize,
}

fn lines() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process is in the foreground of its terminal.
pub(crate) fn is_in_front() -> bool {
    rustix::termios::tcgetpgrp(io::stderr()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Takes the terminal.
///
/// # Errors
/// It does not let itself be taken; nothing has changed then.
pub(super) fn take() -> io::Result<()> {
    static HOOK: Once = Once::new();
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if *taken {
        return Err(io::Error::other("it is taken"));
    }
    divert_error_lines(Some(keep));
    if let Err(error) = enable_raw_mode().and_then(|()| enter()) {
        release(true);
        return Err(error);
    }
    *taken = true;
    drop(taken);
    HOOK.call_once(|| {
        // What a panic has to say is said on the screen that stays.
        let then = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |why| {
            give_back();
            then(why);
        }));
    });
    Ok(())
}

fn enter() -> io::Result<()> {
    let mut bytes = Vec::new();
    queue!(bytes, EnterAlternateScreen, cursor::Hide).and_then(|()| io::stderr().write_all(&bytes)).inspect_err(|_| {
        let _ = disable_raw_mode();
    })
}

/// Gives the terminal back as it was, with the lines that were kept; does nothing where no screen has it.
pub(crate) fn give_back() {
    let mut taken = match patiently() {
        Some(taken) if !*taken => return,
        other => other,
    };
    if let Some(taken) = &mut taken {
        **taken = false;
    }
    let _ = disable_raw_mode();
    let open = takes_more(PATIENCE);
    if open {
        let mut bytes = Vec::new();
        // Nobody can be told when that fails.
        let _ = queue!(bytes, style::ResetColor, LeaveAlternateScreen, cursor::Show).and_then(|()| io::stderr().write_all(&bytes));
    }
    drop(taken);
    release(open);
}

/// Keeps no more lines, and writes those that were kept to a terminal that takes them.
fn release(open: bool) {
    divert_error_lines(None);
    let (kept, lost) = {
        let mut lines = lines();
        lines.unseen = 0;
        (std::mem::take(&mut lines.kept), std::mem::take(&mut lines.lost))
    };
    if !open {
        return;
    }
    if lost > 0 {
        error_line(&format!("({lost} lines before these are not shown)"));
    }
    kept.iter().for_each(|line| error_line(line));
}

/// The lock, unless somebody has it for so long that he hangs at the terminal: or is this thread itself.
fn patiently() -> Option<MutexGuard<'static, bool>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match TAKEN.try_lock() {
            Ok(taken) => return Some(taken),
            Err(TryLockError::Poisoned(taken)) => return Some(taken.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// What became of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    Well,
    /// The terminal takes nothing at the moment: what is on it is not known.
    Not,
    /// The terminal was given back, or is gone.
    Over,
}

/// Writes to the screen, if there is one.
pub(super) fn write(bytes: &[u8]) -> Drawn {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !*taken {
        return Drawn::Over;
    }
    if !takes_more(Duration::ZERO) {
        return Drawn::Not;
    }
    match io::stderr().write_all(bytes) {
        Ok(()) => Drawn::Well,
        Err(_) => Drawn::Over,
    }
}

fn takes_more(within: Duration) -> bool {
    let error = io::stderr();
    let mut ask = [PollFd::new(&error, PollFlags::OUT)];
    let within = Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
    poll(&mut ask, Some(&within)).is_ok_and(|n| n > 0)
}

fn keep(line: &str) {
    let mut lines = lines();
    if lines.kept.len() >= KEPT {
        lines.kept.pop_front();
        lines.lost += 1;
    }
    lines.kept.push_back(line.to_owned());
    lines.unseen = (lines.unseen + 1).min(KEPT);
}

/// Lines that came since this was last asked.
pub(super) fn fetch_lines() -> Vec<String> {
    let mut lines = lines();
    let unseen = std::mem::take(&mut lines.unseen);
    let seen = lines.kept.len().saturating_sub(unseen);
    lines.kept.iter().skip(seen).cloned().collect()
}
