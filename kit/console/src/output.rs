//! Printing that survives a closed pipe.
//!
//! `println!` panics when the reader has gone (`dormouse … | head -1`). Here a broken pipe is remembered:
//! later writes do nothing and [`Out::closed`] tells, so that long work can end early.

pub mod table;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard output of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Out;

impl Out {
    /// Writes `text` as it is.
    ///
    /// # Errors
    /// Whatever standard output says, a closed pipe excepted.
    pub fn text(self, text: &str) -> io::Result<()> {
        if self.closed() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                CLOSED.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other,
        }
    }

    /// Writes `text` and a line end.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn line(self, text: &str) -> io::Result<()> {
        self.text(&format!("{text}\n"))
    }

    /// Whether the reader has gone.
    #[must_use]
    pub fn closed(self) -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

/// What takes lines in place of standard error.
static TAKER: Mutex<Option<fn(&str)>> = Mutex::new(None);

/// Lines for standard error go to `taker` from now on, which must not write any: while a screen has the terminal. Without one they
/// are written again.
pub fn divert_error_lines(taker: Option<fn(&str)>) {
    *TAKER.lock().unwrap_or_else(PoisonError::into_inner) = taker;
}

/// Writes a line to standard error; nobody can be told when that fails.
pub fn error_line(text: &str) {
    // Held until the line is where it belongs: none is given to a taker that has gone.
    let taker = TAKER.lock().unwrap_or_else(PoisonError::into_inner);
    match *taker {
        Some(take) => take(text),
        None => {
            let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
        }
    }
}
