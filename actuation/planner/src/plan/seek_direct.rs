//! A provider for a direct requester: a sleeping one that is the very same, else a new one (3.7.1).

use super::Planner;
use super::view::Provider;
use crate::action::{EngineRef, Log, Target, Verb};
use crate::ids::{GpuUuid, join_gpus};
use crate::nominal::{self, Nominal, Place};
use crate::state::{Direct, Requester};
use crate::{status, write};

impl<'s> Planner<'s> {
    pub(super) fn seek_direct(&mut self, requester: &'s Requester, patch: &str, gpus: &[GpuUuid], indices: &[u32]) {
        let uid = &requester.pod.uid;
        let place = Place { node: &self.state.node, gpus, indices, ignored_labels: &self.limits.ignored_labels };
        let nominal = match nominal::build(&requester.pod, patch, place) {
            Ok(nominal) => nominal,
            Err(why) => {
                self.problem(uid, format!("failed to construct the nominal server-providing Pod: {why}"));
                return;
            }
        };
        let matching = self.matching(&nominal.hash);
        let sleeper = matching.first().copied();
        let engine = sleeper.map(|direct| EngineRef::direct(&direct.pod.uid));
        if let Err(blocked) = self.vacant(gpus, engine.as_ref(), uid) {
            self.claim(gpus, uid);
            self.waits(requester, blocked.why);
            return;
        }
        self.claim(gpus, uid);
        if let Some(direct) = sleeper.filter(|direct| self.state.in_flight(&Target::Pod(direct.pod.uid.clone()))) {
            // It is being written right now and can be had a moment later.
            self.reserve(&direct.pod.uid);
            self.waits(requester, "waiting for a sleeping server-providing Pod to answer".to_owned());
        } else if let Some(direct) = sleeper {
            self.bind_direct(requester, direct, matching.len());
        } else if self.may_come(&nominal.hash) {
            self.waits(requester, "waiting for a sleeping server-providing Pod to answer".to_owned());
        } else if !self.within_budget(gpus, None, Some(uid)) {
            self.waits(requester, "waiting for sleeping engines beyond the limit to be deleted".to_owned());
        } else {
            self.create_direct(requester, nominal, gpus);
        }
    }

    /// Sleeping providers that are the same, the best first: most recently used, then by name.
    fn matching(&self, hash: &str) -> Vec<&'s Direct> {
        let mut matching: Vec<&'s Direct> =
            self.candidates(hash).filter(|direct| direct.pod.ready && direct.port.is_ok() && self.known_asleep(direct)).collect();
        matching.sort_by(|one, other| {
            other.last_used.cmp(&one.last_used).then_with(|| (&one.pod.name, &one.pod.uid).cmp(&(&other.pod.name, &other.pod.uid)))
        });
        matching
    }

    /// Unbound live providers that are the same: never one that is bound, ended or on its way out (G11, G52).
    fn candidates(&self, hash: &str) -> impl Iterator<Item = &'s Direct> {
        let state = self.state;
        let taken = self.taken().clone();
        let hash = hash.to_owned();
        state.directs.values().filter(move |direct| {
            direct.binding.is_none()
                && direct.nominal == hash
                && direct.pod.live()
                && direct.pod.running()
                && direct.pod.ip.is_some()
                && !taken.contains(&direct.pod.uid)
        })
    }

    /// Whether a provider that is the same may still turn out to be usable: one that is just being released, or one that has
    /// not answered yet, within patience.
    fn may_come(&mut self, hash: &str) -> bool {
        let released = self.state.directs.values().find(|direct| {
            let engine = EngineRef::direct(&direct.pod.uid);
            direct.nominal == hash
                && direct.pod.live()
                && direct.pod.ready
                && !self.taken().contains(&direct.pod.uid)
                && direct.binding.as_ref().is_some_and(|binding| self.is_released(binding))
                && self.goes_well(Some(engine))
        });
        if let Some(direct) = released {
            self.reserve(&direct.pod.uid);
            return true;
        }
        let candidates: Vec<&'s Direct> = self.candidates(hash).collect();
        let mut may = false;
        for direct in candidates {
            let engine = EngineRef::direct(&direct.pod.uid);
            let unanswered = self.failing_since(&Target::Engine(engine.clone()), Verb::ReadSleep);
            let hopeless = match (direct.pod.ready, unanswered) {
                (false, _) => self.passed(direct.pod.ready_changed, self.limits.direct_patience),
                (true, Some(since)) => self.passed(since, self.limits.direct_patience),
                (true, None) => false,
            };
            if !hopeless && direct.port.is_ok() {
                self.reserve(&direct.pod.uid);
                may = true;
            }
        }
        may
    }

    fn bind_direct(&mut self, requester: &'s Requester, direct: &'s Direct, matching: usize) {
        self.reserve(&direct.pod.uid);
        self.chosen.insert(EngineRef::direct(&direct.pod.uid));
        let binding = requester.id();
        let object = write::bind_direct(&direct.pod.object, &binding);
        let provider = Provider::Direct(direct);
        let mut action = self.replace(&direct.pod, Verb::Bind, object, self.subject(Some(&binding), Some(provider)));
        action.key.detail = binding.uid.to_string();
        action.log = self.bound_log("Bound server-providing Pod", provider);
        if matching > 1 {
            // Said by the peer when it happens; harmless, because the choice is ordered.
            action.log.fields.push(("matching", matching.to_string()));
        }
        self.emit(action);
    }

    fn create_direct(&mut self, requester: &'s Requester, nominal: Nominal, gpus: &[GpuUuid]) {
        let uid = &requester.pod.uid;
        let binding = requester.id();
        let mut action = self.create_pod(Target::NewProvider(uid.clone()), Verb::CreateDirect, nominal.pod, Some(&binding), None);
        // Another patch makes another Pod: an older refusal says nothing about it (G24).
        action.key.detail = nominal.hash;
        action.log = Log {
            done: "Created server-providing pod",
            failed: "Failed to create server-providing Pod",
            fields: vec![("node", self.state.node.name.clone()), ("gpus", join_gpus(gpus))],
            ..Log::default()
        };
        if let Some(failure) = self.state.memory.failures.get(&action.key) {
            if status::is_invalid_pod(&failure.error) {
                let why = format!("the nominal server-providing {}", failure.error);
                self.problem(uid, why);
                return;
            }
            let why = format!("failed to create server-providing Pod: {}", failure.error);
            self.problem(uid, why);
        }
        self.emit(action);
    }
}
