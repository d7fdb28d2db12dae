//! Ctrl-C: the first one ends the run in an orderly way, the second one at once.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_perf_load::worker::{Command, Control};
use dormouse_runtime::output::error_line;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Exit code of a run that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// What is done about signals, for the whole process.
#[derive(Clone, Debug)]
pub struct Signals {
    came: Arc<AtomicBool>,
    control: Arc<Mutex<Option<Control>>>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        let signals = Self { came: Arc::default(), control: Arc::default() };
        let (mut hears, rings) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, rings.try_clone()?)?;
        }
        let heard = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            // The other end is held by the handlers for ever.
            while hears.read(&mut [0]).is_ok_and(|n| n > 0) {
                heard.came();
            }
        })?;
        Ok(signals)
    }

    /// As if one came: a terminal that gives its keys to a screen makes no signal of Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.came();
    }

    /// Listens to none: whoever runs this has signals of its own.
    #[must_use]
    pub fn none() -> Self {
        Self { came: Arc::default(), control: Arc::default() }
    }

    fn came(&self) {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*control, self.came.swap(true, Ordering::AcqRel)) {
            (Some(control), false) => {
                error_line("interrupted: what was measured is being written; once more to end at once");
                control.ask(Command::Cancel);
            }
            // Nothing was sent yet, or somebody is in a hurry.
            _ => {
                crate::ui::restore();
                std::process::exit(INTERRUPTED.into())
            }
        }
    }

    /// From now on a run is what is interrupted.
    pub fn watch(&self, control: &Control) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(control.clone());
        // One that came between two runs is meant for the next one, too.
        if self.have_come() {
            control.ask(Command::Cancel);
        }
    }

    /// The run has ended; its files are being written, and that is not interrupted by the first signal either.
    pub fn forget(&self) {}

    /// Whether one came.
    #[must_use]
    pub fn have_come(&self) -> bool {
        self.came.load(Ordering::Acquire)
    }
}
