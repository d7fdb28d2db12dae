//! Waking a bound engine (3.11.1): room, memory, call.

use super::Planner;
use super::draft::EngineCall;
use crate::action::{ActionKey, Target, Verb, base_url};
use crate::ids::{GpuUuid, Uid};
use crate::limits::later;
use crate::memory::{Failure, Obs};
use crate::state::Requester;
use crate::status;
use dormouse_apis::names::path;
use std::time::Duration;

/// An answer about memory in use counts for this long.
const MEMORY_FRESH: Duration = Duration::from_secs(1);

impl<'s> Planner<'s> {
    /// Wakes an engine that is known to be asleep, when there is room.
    pub(super) fn wake(&mut self, requester: &'s Requester, call: &EngineCall<'s>, ip: &str, gpus: &[GpuUuid]) {
        let uid = &requester.pod.uid;
        if let Err(blocked) = self.vacant(gpus, Some(&call.engine), uid) {
            self.waits(requester, blocked.why);
            return;
        }
        if !self.within_budget(gpus, Some(&call.engine), Some(uid)) {
            self.waits(requester, "waiting for sleeping engines beyond the limit to be deleted".to_owned());
            return;
        }
        if self.limits.check_gpu_memory && !self.memory_allows(requester, gpus) {
            return;
        }
        let key = ActionKey { target: Target::Engine(call.engine.clone()), verb: Verb::Wake, detail: String::new() };
        if let Some(failure) = self.state.memory.failures.get(&key).cloned() {
            let what = call.engine.instance.as_ref().map_or_else(
                || format!("the engine of server-providing Pod {:?}", call.provider.name),
                |id| format!("instance {:?} of launcher Pod {:?}", id.as_str(), call.provider.name),
            );
            self.report(uid, &format!("failed to wake {what}"), &failure);
        }
        // Bound and never told ready: this is the first wake after the binding.
        let fresh = self.state.stub(requester).is_none_or(|stub| !stub.history.was_ready);
        self.emit(self.wake_up(call, ip, if fresh { "freshly-bound" } else { "discovered-bound" }));
    }

    /// Whether so little memory is in use on these GPUs that sleepers alone can account for it.
    fn memory_allows(&mut self, requester: &'s Requester, gpus: &[GpuUuid]) -> bool {
        let (Some(ip), Ok(port)) = (&requester.pod.ip, &requester.admin_port) else { return false };
        let url = format!("{}{}", base_url(ip, *port), path::ACCELERATOR_MEMORY);
        let known = self.state.stub(requester).map(|stub| &stub.gpu_memory);
        if let Some(Obs::Known { value, at }) = known {
            let verdict = check_memory(value, gpus, self.limits.wake_memory_limit_mib());
            if self.now <= later(*at, MEMORY_FRESH) {
                let Err(why) = verdict else { return true };
                self.problem(&requester.pod.uid, why);
                // Ask again as soon as the answer is too old.
                self.wake_at(later(*at, MEMORY_FRESH + Duration::from_millis(1)));
                return false;
            }
            if let Err(why) = verdict {
                self.problem(&requester.pod.uid, why);
            }
        }
        self.report_get(requester, Verb::ReadGpuMemory, &url);
        self.emit(self.read_gpu_memory(requester, &url));
        false
    }

    /// A failing GET of the stub, in the words of the contract.
    pub(super) fn report_get(&mut self, requester: &'s Requester, verb: Verb, url: &str) {
        let key = ActionKey { target: Target::Stub(requester.pod.uid.clone()), verb, detail: String::new() };
        let Some(failure) = self.state.memory.failures.get(&key) else { return };
        let shown = self.passed(failure.first, self.limits.report_after);
        self.note(&requester.pod.uid, format!("GET {url:?} fails: {}", failure.error), shown);
    }

    /// Something that was tried in vain; shown when it lasts.
    pub(super) fn report(&mut self, requester: &Uid, what: &str, failure: &Failure) {
        let shown = self.passed(failure.first, self.limits.report_after);
        self.note(requester, format!("{what}: {}{}", failure.error, status::tries(failure.attempts)), shown);
    }

    /// The requester waits for something; shown when it has lasted since its container started.
    pub(super) fn waits(&mut self, requester: &'s Requester, why: String) {
        let since = requester.pod.container.running_since.unwrap_or(requester.pod.created);
        let shown = self.passed(since, self.limits.report_wait_after);
        self.note(&requester.pod.uid, why, shown);
    }
}

fn check_memory(usage: &std::collections::BTreeMap<GpuUuid, u64>, gpus: &[GpuUuid], limit: u64) -> Result<(), String> {
    for gpu in gpus {
        match usage.get(gpu) {
            None => return Err(format!("no GPU usage information for GPU {gpu}")),
            Some(used) if *used > limit => {
                return Err(format!("accelerator {gpu} is currently using {used} MiB of memory, limit for sleeping total is {limit} MiB"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
