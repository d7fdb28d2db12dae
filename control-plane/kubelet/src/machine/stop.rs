//! Ending containers: hooks, signals, patience, and their order.

use std::time::Duration;

use super::container::{Container, Role, Run, Stop, StopPhase};
use super::pod::{Machine, Stage, record};
use super::{Action, Hook, Now, Signal};

/// What is left to a container after a `preStop` hook that took all of the grace.
const LEAST_GRACE: Duration = Duration::from_secs(2);

impl Machine {
    /// Everything is to end within `grace`; a later, shorter wish shortens.
    pub(super) fn stop(&mut self, grace: Duration, now: Now) {
        let until = now.mono + grace;
        match self.stage {
            Stage::Ended => {}
            Stage::Stopping { until: earlier } if earlier <= until => {}
            _ => {
                self.stage = Stage::Stopping { until };
                for run in self.containers.iter_mut().filter_map(Container::run_mut) {
                    if let Some(stop) = &mut run.stop {
                        stop.kill_at = stop.kill_at.min(until);
                    }
                }
            }
        }
    }

    pub(super) fn hook_done(
        &mut self,
        index: usize,
        attempt: u32,
        hook: Hook,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let grace = self.grace;
        let Some(c) = self.of_attempt(index, attempt) else { return };
        let Some(run) = c.run_mut() else { return };
        match hook {
            Hook::PostStart if run.hook_pending => match outcome {
                Ok(()) => c.hook_returned(now),
                Err(text) => {
                    run.hook_pending = false;
                    out.push(record(true, "FailedPostStartHook", format!("PostStartHook failed: {text}"), Some(index)));
                    self.begin_stop(index, grace, "FailedPostStartHook".to_owned(), now, out);
                }
            },
            Hook::PreStop if run.stop.is_some_and(|s| s.phase == StopPhase::Hook) => {
                if let Err(text) = outcome {
                    out.push(record(true, "FailedPreStopHook", format!("PreStopHook failed: {text}"), Some(index)));
                }
                signal_stop(run, index, now, out);
            }
            _ => {}
        }
    }

    pub(super) fn begin_stop(&mut self, index: usize, grace: Duration, why: String, now: Now, out: &mut Vec<Action>) {
        let c = &mut self.containers[index];
        let pre_stop = c.pre_stop;
        let Some(run) = c.run_mut().filter(|r| r.stop.is_none()) else { return };
        out.push(record(false, "Killing", why, Some(index)));
        run.stop = Some(Stop { phase: StopPhase::Hook, kill_at: now.mono + grace, remind_at: None });
        if pre_stop && !grace.is_zero() {
            out.push(Action::Hook { container: index, attempt: run.attempt, hook: Hook::PreStop, timeout: Some(grace) });
        } else {
            send_stop(run, index, out);
        }
    }

    pub(super) fn stop_containers(&mut self, until: Duration, now: Now, out: &mut Vec<Action>) {
        let left = until.saturating_sub(now.mono);
        let others_active = self.containers.iter().any(|c| c.role != Role::Sidecar && c.active());
        for i in 0..self.containers.len() {
            if self.containers[i].role != Role::Sidecar {
                let why = format!("Stopping container {}", self.containers[i].name);
                self.begin_stop(i, left, why, now, out);
            }
        }
        if others_active {
            return;
        }
        // Sidecars end one by one, the last one first.
        let last = (0..self.containers.len()).rev().find(|i| self.containers[*i].active());
        match last {
            Some(i) => {
                let why = format!("Stopping container {}", self.containers[i].name);
                self.begin_stop(i, left.max(LEAST_GRACE.min(self.grace)), why, now, out);
            }
            None => self.stage = Stage::Ended,
        }
    }
}

/// After the `preStop` hook: what is left of the grace, but at least a little, stays until the kill.
pub(super) fn signal_stop(run: &mut Run, container: usize, now: Now, out: &mut Vec<Action>) {
    if let Some(stop) = &mut run.stop
        && stop.kill_at <= now.mono
    {
        stop.kill_at = now.mono + LEAST_GRACE;
    }
    send_stop(run, container, out);
}

fn send_stop(run: &mut Run, container: usize, out: &mut Vec<Action>) {
    if let Some(stop) = &mut run.stop {
        stop.phase = StopPhase::Signalled;
        out.push(Action::Signal { container, attempt: run.attempt, signal: Signal::Stop });
    }
}
