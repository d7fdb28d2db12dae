//! The dual-pods controller is a process, and is killed with `SIGKILL` before and after each of its writes to the API
//! server and of its calls to launchers, engines and stubs. The next one brings the world to where an undisturbed one
//! would have brought it, and no GPU ever has two engines awake.
//!
//! The same without processes, with more moments and more stories, is `actuation/controllers/tests/it/crash.rs`.

mod fuse;
mod stage;
mod state;
mod wire;

use std::collections::BTreeMap;

use dormouse_runtime::output::error_line;
use serde_json::Value;

use fuse::When;
use stage::{Act, Flow, Stage};

/// One act, played with the fuse at each effect in turn.
struct Sweep {
    name: &'static str,
    /// With fewer effects it is not the act that was meant.
    least: usize,
    at: (usize, When),
    killed: usize,
    /// Where it leads undisturbed, by the model that it is about.
    expected: BTreeMap<&'static str, Value>,
    through: bool,
}

impl Sweep {
    fn new(name: &'static str, least: usize) -> Self {
        Self { name, least, at: (1, When::Before), killed: 0, expected: BTreeMap::new(), through: false }
    }

    /// Plays it with the next fuse: with none where it is not known yet what it leads to, or nothing is left to do. The
    /// name of the requester that came.
    fn play(&mut self, stage: &mut Stage, act: &Act, model: &'static str) -> Option<String> {
        let known = self.expected.get(model);
        let at = (known.is_some() && !self.through).then_some(self.at);
        let ended = stage.play(act, at, known);
        if known.is_none() {
            self.expected.insert(model, ended.state);
        }
        let Some((n, when)) = at else { return ended.came };
        if ended.blew {
            self.killed += 1;
            self.at.0 += 1;
            return ended.came;
        }
        let effects = n - 1;
        assert!(effects >= self.least, "{} has {effects} effects only: it is not what was meant\n{}", self.name, ended.log);
        match when {
            When::Before => self.at = (1, When::After),
            When::After => {
                self.through = true;
                error_line(&format!("crash: {}: {effects} effects, controllers killed: {}", self.name, self.killed));
            }
        }
        ended.came
    }
}

/// From nothing to a served requester.
fn bind(name: &'static str, flow: Flow, model: &'static str, least: usize) {
    let mut stage = Stage::new(flow);
    let mut bind = Sweep::new(name, least);
    while !bind.through {
        bind.play(&mut stage, &Act { come: Some(model), go: None }, model);
        stage.clear();
    }
    stage.end();
}

/// A sleeper is woken for a requester that comes, and put to sleep when that goes, in turn.
fn wake_and_unbind(names: [&'static str; 2], flow: Flow, model: &'static str, least: [usize; 2]) {
    let mut stage = Stage::new(flow);
    let first = stage.play(&Act { come: Some(model), go: None }, None, None).came;
    stage.play(&Act { come: None, go: first }, None, None);
    let mut wake = Sweep::new(names[0], least[0]);
    let mut unbind = Sweep::new(names[1], least[1]);
    while !(wake.through && unbind.through) {
        let came = wake.play(&mut stage, &Act { come: Some(model), go: None }, model);
        unbind.play(&mut stage, &Act { come: None, go: came }, model);
    }
    stage.end();
}

#[test]
fn direct_bind() {
    bind("direct bind", Flow::Direct, "m", 4);
}

#[test]
fn direct_wake_and_unbind() {
    wake_and_unbind(["direct wake", "direct unbind"], Flow::Direct, "m", [4, 4]);
}

#[test]
fn launcher_bind() {
    bind("launcher bind", Flow::Launchers, "alpha", 5);
}

#[test]
fn launcher_wake_and_unbind() {
    wake_and_unbind(["launcher wake", "launcher unbind"], Flow::Launchers, "alpha", [4, 4]);
}

/// The readiness gate is one more write on each way.
#[test]
fn gated_wake_and_unbind() {
    wake_and_unbind(["gated wake", "gated unbind"], Flow::Gated, "alpha", [5, 5]);
}

/// Two models take turns on one GPU, in one launcher.
#[test]
fn launcher_swap() {
    let mut stage = Stage::new(Flow::Launchers);
    let first = stage.play(&Act { come: Some("alpha"), go: None }, None, None).came;
    let mut awake = stage.play(&Act { come: Some("beta"), go: first }, None, None).came;
    let mut swap = Sweep::new("launcher swap", 8);
    for model in ["alpha", "beta"].into_iter().cycle() {
        awake = swap.play(&mut stage, &Act { come: Some(model), go: awake }, model);
        if swap.through {
            break;
        }
    }
    stage.end();
}
