//! The fuse: counts what a controller does to the world, and kills it with `SIGKILL` at the n-th effect.
//!
//! An effect is a request other than `GET`, to the API server, a launcher, an engine or a requester's stub. *Before*: the
//! process is dead when the effect would have begun. *After*: the effect is done, and its answer finds nobody. Until
//! [`Fuse::renew`] whatever else the dead process had sent comes to nothing.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// On which side of the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// It is done, then [`Fuse::blow`] is called.
    Last,
    /// It is never answered.
    Lost,
}

struct State {
    begun: Instant,
    process: Option<Pid>,
    armed: Option<(usize, When)>,
    effects: usize,
    under_way: usize,
    latest: Instant,
    blown: bool,
    log: Vec<String>,
}

/// See the module.
pub(crate) struct Fuse(Mutex<State>);

impl Fuse {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            begun: now,
            process: None,
            armed: None,
            effects: 0,
            under_way: 0,
            latest: now,
            blown: false,
            log: Vec::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// This process does the effects from now on.
    pub(crate) fn renew(&self, process: u32) {
        let mut s = self.state();
        s.process = Some(Pid::from_raw(i32::try_from(process).unwrap()));
        (s.blown, s.armed) = (false, None);
        s.note(&format!("-- a controller, process {process}"));
    }

    /// Blow at the n-th effect from now, counted from 1; `None`: only count. Begins the log anew.
    pub(crate) fn arm(&self, at: Option<(usize, When)>) {
        let mut s = self.state();
        s.effects = 0;
        s.armed = at;
        s.log.clear();
        s.note(&format!("-- armed: {at:?}"));
    }

    /// Only count from now on; whether it was in time for that.
    pub(crate) fn disarm(&self) -> bool {
        let mut s = self.state();
        s.armed = None;
        !s.blown
    }

    /// Whether it has blown since [`Fuse::renew`].
    pub(crate) fn is_blown(&self) -> bool {
        self.state().blown
    }

    /// Whether no effect is under way, nor was for so long.
    pub(crate) fn is_quiet(&self, span: Duration) -> bool {
        let s = self.state();
        s.under_way == 0 && s.latest.elapsed() >= span
    }

    /// What was done since [`Fuse::arm`].
    pub(crate) fn log(&self) -> String {
        self.state().log.join("\n")
    }

    /// Something asks.
    pub(crate) fn enter(&self, effect: bool, what: &str) -> Fate {
        let mut s = self.state();
        if s.blown {
            s.note(&format!("    lost {what}"));
            return Fate::Lost;
        }
        if !effect {
            return Fate::Pass;
        }
        s.effects += 1;
        s.latest = Instant::now();
        let n = s.effects;
        s.note(&format!("{n:3} {what}"));
        match s.armed {
            Some((at, When::Before)) if at == n => {
                s.blow();
                Fate::Lost
            }
            armed => {
                s.under_way += 1;
                if armed == Some((n, When::After)) { Fate::Last } else { Fate::Pass }
            }
        }
    }

    /// An effect that was let pass has its answer; whether there is anybody to hear it.
    pub(crate) fn leave(&self, fate: Fate, what: &str, answer: &str) -> bool {
        let mut s = self.state();
        s.under_way -= 1;
        s.latest = Instant::now();
        s.note(&format!("    {answer} {what}"));
        if fate == Fate::Last {
            s.blow();
        }
        !s.blown
    }
}

impl State {
    fn blow(&mut self) {
        self.blown = true;
        self.armed = None;
        // It is a child that nobody has waited for yet: the number is still its own.
        let process = self.process.take().expect("a process is behind the effects");
        kill(process, Signal::SIGKILL).expect("the controller can be killed");
        self.note("-- killed");
    }

    fn note(&mut self, what: &str) {
        let line = format!("{:9.1} ms {what}", self.begun.elapsed().as_secs_f64() * 1e3);
        self.log.push(line);
    }
}
