//! Folding answers into the memory of a node.
//!
//! Called by the executor: [`NodeState::started`] before an action is sent, [`NodeState::finished`] when it has ended,
//! [`NodeState::instances_streamed`] for the events of a launcher's watch stream and [`NodeState::stream_opened`] for its begin
//! and end. Nothing else changes [`Memory`] but [`NodeState::forget_vanished`], which drops what is about Pods that no longer
//! exist.
//!
//! The order of answers about one launcher is not the order of its states: a list that was asked for before an instance was
//! created may arrive after it. So each create, delete and stream event stamps the instance with the memory's clock, and a list
//! speaks only of instances that were not stamped after the list was asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::action::{Action, ActionKey, DeleteInstanceReason, Do, EngineRef, Target, Verb};
use crate::ids::{ContainerId, InstanceId, Uid};
use crate::memory::{
    ActionOutcome, DEATHS_MAX, Deaths, ERROR_TEXT_MAX, Failure, FailureClass, Instance, InstanceEvent, InstanceReport, LauncherMemory,
    Memory, Obs, Sleep, Touch,
};
use crate::state::{Binding, NodeState};

impl NodeState {
    /// An action is about to be sent.
    pub fn started(&mut self, action: &Action) {
        self.memory.begin(&action.key);
        // What an effect changes is unknown until it is answered.
        if let Do::Wake { engine, .. } | Do::Sleep { engine, .. } = &action.what {
            self.memory.engine(engine, action.container.as_ref()).sleep = Obs::Unknown;
        }
    }

    /// An action has ended. Objects that came with the answer have been applied to the index before.
    pub fn finished(&mut self, action: &Action, outcome: &ActionOutcome, now: Timestamp) {
        let began = self.memory.end(&action.key, outcome, now);
        match outcome {
            ActionOutcome::Failed { class, .. } => self.fold_failure(action, *class, now),
            ActionOutcome::Conflict => {}
            _ => self.fold_success(action, outcome, began, now),
        }
    }

    fn fold_failure(&mut self, action: &Action, class: FailureClass, now: Timestamp) {
        match &action.what {
            Do::ReadSleep { engine, .. } => {
                self.memory.engine(engine, action.container.as_ref()).waiting_since.get_or_insert(now);
            }
            Do::Wake { engine, .. } => {
                let memory = self.memory.engine(engine, action.container.as_ref());
                memory.failed_wakes = memory.failed_wakes.saturating_add(1);
            }
            Do::CreateInstance { engine, .. } | Do::DeleteInstance { engine, .. } => {
                // It may have been done, or the refusal may mean that it exists: only a list can tell.
                self.memory.touch(engine, false);
                if let Some(launcher) = self.memory.launchers.get_mut(&engine.provider) {
                    launcher.stale = true;
                }
            }
            Do::ListInstances { launcher, .. } if class == FailureClass::Refused => {
                if let Some(launcher) = self.memory.launchers.get_mut(&launcher.uid) {
                    launcher.followed = false;
                }
            }
            _ => {}
        }
    }

    fn fold_success(&mut self, action: &Action, outcome: &ActionOutcome, began: u64, now: Timestamp) {
        let container = action.container.as_ref();
        match (&action.what, outcome) {
            (Do::ReadGpus { requester, .. }, ActionOutcome::Gpus(gpus)) => {
                self.stub_memory(&requester.uid, container).gpus = Obs::Known { value: gpus.clone(), at: now };
            }
            (Do::ReadGpuMemory { requester, .. }, ActionOutcome::GpuMemory(usage)) => {
                self.stub_memory(&requester.uid, container).gpu_memory = Obs::Known { value: usage.clone(), at: now };
            }
            (Do::ListInstances { launcher, .. }, ActionOutcome::Instances(list)) => {
                self.listed(&launcher.uid, container, list, began, now);
            }
            (Do::ReadSleep { engine, .. }, ActionOutcome::Sleeping(asleep)) => {
                let memory = self.memory.engine(engine, container);
                let settled = memory.sleep.known() == Some(&Sleep::Settled);
                memory.sleep = Obs::Known { value: asleep_as(*asleep, settled), at: now };
                memory.waiting_since = None;
                self.memory.answered(engine);
            }
            (Do::Sleep { engine, .. }, ActionOutcome::Sleeping(asleep)) => {
                let memory = self.memory.engine(engine, container);
                memory.sleep = Obs::Known { value: asleep_as(*asleep, true), at: now };
                memory.waiting_since = None;
                self.memory.answered(engine);
                if !*asleep {
                    self.memory.failed(&action.key, FailureClass::Transient, "it still says that it does not sleep", now);
                }
            }
            (Do::Wake { engine, .. }, ActionOutcome::Sleeping(asleep)) => {
                let memory = self.memory.engine(engine, container);
                memory.sleep = Obs::Known { value: asleep_as(*asleep, false), at: now };
                memory.waiting_since = None;
                if *asleep {
                    memory.failed_wakes = memory.failed_wakes.saturating_add(1);
                    self.memory.failed(&action.key, FailureClass::Transient, "it still says that it sleeps", now);
                } else {
                    memory.failed_wakes = 0;
                }
                self.memory.answered(engine);
            }
            (Do::CreateInstance { engine, launcher, body, .. }, _) => self.created(action, engine, &launcher.uid, body, now),
            (Do::DeleteInstance { engine, reason, for_requester, .. }, _) => {
                self.memory.touch(engine, true);
                self.memory.engines.remove(engine);
                self.memory.forget_failures(|key| key.target == Target::Engine(engine.clone()));
                if let Some(id) = &engine.instance {
                    self.memory.drop_instance(&engine.provider, id);
                    // What we delete to make it anew must not look like a death.
                    if let Some(launcher) = self.memory.launchers.get_mut(&engine.provider)
                        && matches!(reason, DeleteInstanceReason::WillNotWake | DeleteInstanceReason::NeverStarted)
                    {
                        launcher.seen.retain(|(_, seen)| seen != id);
                    }
                }
                self.memory.count_deletion(for_requester.as_ref());
            }
            (Do::Relay { requester, ready, .. }, _) => {
                let stub = self.stub_memory(&requester.uid, container);
                stub.relayed = Some((*ready, now));
                stub.history.was_ready |= *ready;
            }
            (Do::CreatePod { binding: Some(binding), .. }, _) => {
                self.memory.stubs.entry(binding.uid.clone()).or_default().history.made_provider = true;
            }
            (Do::DeletePod { for_requester, .. }, _) => self.memory.count_deletion(for_requester.as_ref()),
            _ => {}
        }
    }

    /// A created instance exists from the launcher's answer on, without waiting for a list.
    fn created(&mut self, action: &Action, engine: &EngineRef, launcher: &Uid, body: &serde_json::Value, now: Timestamp) {
        self.memory.touch(engine, false);
        self.memory.engines.remove(engine);
        let bound = action.subject.requester.as_ref().map(|binding| binding.uid.clone());
        if let Some(bound) = &bound {
            self.memory.stubs.entry(bound.clone()).or_default().history.made_instance = true;
        }
        let Some(id) = &engine.instance else { return };
        let report = crate::instance::report_from_body(id, body);
        let memory = self.memory.launcher(launcher, action.container.as_ref());
        if let Obs::Known { value, .. } = &mut memory.instances {
            let order = value.values().map(|instance| instance.order + 1).max().unwrap_or(0);
            value.insert(id.clone(), instance(&report, order, None, now));
        }
        if let Some(bound) = bound {
            memory.seen.insert((bound, id.clone()));
        }
    }

    fn listed(&mut self, uid: &Uid, container: Option<&ContainerId>, list: &[InstanceReport], began: u64, now: Timestamp) {
        let bound = self.bound_instance(uid);
        let signature = self.launchers.get(uid).and_then(|launcher| launcher.signature.clone());
        let memory = self.memory.launcher(uid, container);
        let old = memory.instances.known().cloned().unwrap_or_default();
        let fresh = |id: &InstanceId| memory.touched.get(id).filter(|touch| touch.at > began);
        let mut merged: BTreeMap<InstanceId, Instance> = BTreeMap::new();
        for (order, report) in (0u64..).zip(list) {
            // What happened after the question was asked is younger than the answer.
            let known = old.get(&report.id);
            match fresh(&report.id) {
                Some(touch) if touch.gone || known.is_some() => {}
                _ => drop(merged.insert(report.id.clone(), instance(report, order, known, now))),
            }
        }
        let died = |(id, new): &(&InstanceId, &Instance)| new.stopped && !old.get(*id).is_some_and(|old| old.stopped);
        let died: Vec<(InstanceId, Option<i64>)> = merged.iter().filter(died).map(|(id, new)| (id.clone(), new.exit_code)).collect();
        let beyond = merged.values().map(|instance| instance.order + 1).max().unwrap_or(0);
        let younger = old.into_iter().filter(|(id, _)| fresh(id).is_some());
        merged.extend((beyond..).zip(younger).map(|(order, (id, instance))| (id, Instance { order, ..instance })));
        // It may leave something open: ask again.
        memory.stale = memory.touched.values().any(|touch| touch.at > began);
        memory.touched.retain(|_, touch| touch.at > began);
        if let Some((requester, id)) = bound
            && merged.contains_key(&id)
        {
            memory.seen.insert((requester, id));
        }
        memory.signature = signature;
        let gone: Vec<InstanceId> = match &memory.instances {
            Obs::Known { value, .. } => value.keys().filter(|id| !merged.contains_key(*id)).cloned().collect(),
            Obs::Unknown => Vec::new(),
        };
        memory.instances = Obs::Known { value: merged, at: now };
        for (id, exit_code) in died {
            self.memory.died(&EngineRef::instance(uid, &id), exit_code, now);
        }
        for id in gone {
            self.memory.forget_engine(&EngineRef::instance(uid, &id));
        }
    }

    /// An event of a launcher's watch stream. The stream must have begun with the state of all instances (no `since`, or the
    /// revision of a list that was folded in): see [`NodeState::stream_opened`].
    pub fn instances_streamed(&mut self, uid: &Uid, event: &InstanceEvent, now: Timestamp) {
        let bound = self.bound_instance(uid);
        let container = self.launchers.get(uid).and_then(|launcher| launcher.pod.container.id.clone());
        let clock = self.memory.tick();
        let memory = self.memory.launcher(uid, container.as_ref());
        let mut died = None;
        let (id, vanished) = match event {
            InstanceEvent::Created(report) | InstanceEvent::Stopped(report) => {
                if let Obs::Known { value, .. } = &mut memory.instances {
                    let order = value.values().map(|instance| instance.order + 1).max().unwrap_or(0);
                    let mut new = instance(report, order, value.get(&report.id), now);
                    new.stopped |= matches!(event, InstanceEvent::Stopped(_));
                    if new.stopped && !value.get(&report.id).is_some_and(|old| old.stopped) {
                        died = Some(report.exit_code);
                    }
                    value.insert(report.id.clone(), new);
                }
                if let Some((requester, bound)) = bound
                    && bound == report.id
                {
                    memory.seen.insert((requester, bound));
                }
                (report.id.clone(), false)
            }
            InstanceEvent::Deleted(id) => (id.clone(), true),
        };
        self.memory.note(uid, &id, Touch { at: clock, gone: vanished });
        if let Some(exit_code) = died {
            self.memory.died(&EngineRef::instance(uid, &id), exit_code, now);
        }
        if vanished {
            self.memory.drop_instance(uid, &id);
            self.memory.forget_engine(&EngineRef::instance(uid, &id));
        }
    }

    /// A watch stream of this launcher is open (`true`): no polling is needed; or it has ended (`false`): list again.
    /// The executor lists once after opening the stream, by reporting `stream_opened` first: the planner then asks for the list.
    pub fn stream_opened(&mut self, uid: &Uid, open: bool) {
        let container = self.launchers.get(uid).and_then(|launcher| launcher.pod.container.id.clone());
        let memory = self.memory.launcher(uid, container.as_ref());
        memory.followed = open;
        memory.stale = true;
    }

    /// Drops what is about Pods that are not there any more. Cheap; call it after each change of the Pods. Gives the inference
    /// servers that have come to their end: neither requester nor provider is left (log `End of life of inference server`).
    pub fn forget_vanished(&mut self) -> Vec<Binding> {
        let alive = |uid: &Uid| self.requesters.contains_key(uid) || self.directs.contains_key(uid) || self.launchers.contains_key(uid);
        let memory = &mut self.memory;
        memory.stubs.retain(|uid, _| self.requesters.contains_key(uid));
        memory.launchers.retain(|uid, _| self.launchers.contains_key(uid));
        for launcher in memory.launchers.values_mut() {
            launcher.seen.retain(|(requester, _)| self.requesters.contains_key(requester));
        }
        memory.engines.retain(|engine, _| alive(&engine.provider));
        memory.failures.retain(|key, _| match &key.target {
            Target::Pod(uid) | Target::Stub(uid) | Target::Launcher(uid) | Target::NewProvider(uid) => alive(uid),
            Target::Engine(engine) => alive(&engine.provider),
            Target::NewLauncher(lc, _) => self.configs.lcs.contains_key(lc),
            Target::Config(..) => true,
        });
        let directs = self.directs.values().filter_map(|direct| direct.binding.as_ref());
        let launchers = self.launchers.values().filter_map(|launcher| launcher.binding.as_ref());
        let bound = directs.chain(launchers).map(|binding| (binding.uid.clone(), binding.name.clone()));
        let requesters = self.requesters.iter().map(|(uid, requester)| (uid.clone(), requester.pod.name.clone()));
        let servers: BTreeMap<Uid, String> = bound.chain(requesters).collect();
        let before = std::mem::replace(&mut self.memory.servers, servers);
        before.into_iter().filter(|(uid, _)| !self.memory.servers.contains_key(uid)).map(|(uid, name)| Binding { uid, name }).collect()
    }

    /// The requester and the instance that a launcher is bound for.
    fn bound_instance(&self, uid: &Uid) -> Option<(Uid, InstanceId)> {
        let launcher = self.launchers.get(uid)?;
        let binding = launcher.binding.as_ref()?;
        let recorded = launcher.recorded.as_ref().ok()?;
        Some((binding.uid.clone(), recorded.instance.clone()))
    }
}

fn asleep_as(asleep: bool, settled: bool) -> Sleep {
    match (asleep, settled) {
        (false, _) => Sleep::Awake,
        (true, false) => Sleep::Asleep,
        (true, true) => Sleep::Settled,
    }
}

fn instance(report: &InstanceReport, order: u64, old: Option<&Instance>, now: Timestamp) -> Instance {
    Instance {
        // As told: which of two answers is the younger was decided by whoever calls this.
        stopped: report.stopped,
        exit_code: report.exit_code,
        options: report.options.clone(),
        gpus: report.gpus.clone(),
        env: report.env.clone(),
        annotations: report.annotations.clone(),
        order,
        first_seen: old.map_or(now, |old| old.first_seen),
    }
}

impl Memory {
    /// Notes that an action is under way.
    pub(crate) fn begin(&mut self, key: &ActionKey) {
        let clock = self.tick();
        self.in_flight.insert(key.clone(), clock);
    }

    /// Notes how an action ended; gives the count at its start. A 409 is no failure of ours and needs no pause: the newer object
    /// makes a new plan.
    pub(crate) fn end(&mut self, key: &ActionKey, outcome: &ActionOutcome, now: Timestamp) -> u64 {
        let began = self.in_flight.remove(key).unwrap_or(self.clock);
        self.tick();
        match outcome {
            ActionOutcome::Failed { class, error } => self.failed(key, *class, error, now),
            ActionOutcome::Conflict => {}
            _ => drop(self.failures.remove(key)),
        }
        began
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn touch(&mut self, engine: &EngineRef, gone: bool) {
        let at = self.clock;
        if let Some(id) = &engine.instance {
            self.note(&engine.provider, id, Touch { at, gone });
        }
    }

    /// Remembers an event about an instance, for the sake of a list that is under way.
    fn note(&mut self, launcher: &Uid, id: &InstanceId, touch: Touch) {
        let listing = self.in_flight.keys().any(|key| key.target == Target::Launcher(launcher.clone()));
        if let Some(memory) = self.launchers.get_mut(launcher) {
            if !listing {
                memory.touched.clear();
            }
            memory.touched.insert(id.clone(), touch);
        }
    }

    /// An engine answers: what its earlier starts ended in is over.
    fn answered(&mut self, engine: &EngineRef) {
        if let Some(memory) = self.engines.get_mut(engine) {
            memory.answered = true;
        }
        if let (Some(id), Some(launcher)) = (&engine.instance, self.launchers.get_mut(&engine.provider)) {
            launcher.deaths.remove(id);
        }
    }

    /// The process of an instance has ended. Only starts that never came to an answer are counted: whoever tries again waits.
    fn died(&mut self, engine: &EngineRef, exit_code: Option<i64>, now: Timestamp) {
        let answered = self.engines.get(engine).is_some_and(|memory| memory.answered);
        let (Some(id), Some(launcher), false) = (&engine.instance, self.launchers.get_mut(&engine.provider), answered) else { return };
        let deaths = &mut launcher.deaths;
        if deaths.len() >= DEATHS_MAX
            && !deaths.contains_key(id)
            && let Some(oldest) = deaths.iter().min_by_key(|(id, death)| (death.last, *id)).map(|(id, _)| id.clone())
        {
            deaths.remove(&oldest);
        }
        let count = deaths.get(id).map_or(0, |death| death.count);
        deaths.insert(id.clone(), Deaths { count: count.saturating_add(1), last: now, exit_code });
    }

    fn drop_instance(&mut self, launcher: &Uid, id: &InstanceId) {
        if let Some(LauncherMemory { instances: Obs::Known { value, .. }, .. }) = self.launchers.get_mut(launcher) {
            value.remove(id);
        }
    }

    fn forget_engine(&mut self, engine: &EngineRef) {
        self.engines.remove(engine);
        self.forget_failures(|key| key.target == Target::Engine(engine.clone()) && key.verb != Verb::CreateInstance);
    }

    fn forget_failures(&mut self, which: impl Fn(&ActionKey) -> bool) {
        self.failures.retain(|key, _| !which(key));
    }

    fn count_deletion(&mut self, requester: Option<&Uid>) {
        if let Some(uid) = requester {
            let history = &mut self.stubs.entry(uid.clone()).or_default().history;
            history.deleted = history.deleted.saturating_add(1);
        }
    }

    fn failed(&mut self, key: &ActionKey, class: FailureClass, error: &str, now: Timestamp) {
        let mut end = error.len().min(ERROR_TEXT_MAX);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        let error = if end < error.len() { format!("{}...", &error[..end]) } else { error.to_owned() };
        let failure =
            self.failures.entry(key.clone()).or_insert_with(|| Failure { attempts: 0, first: now, last: now, class, error: String::new() });
        failure.attempts = failure.attempts.saturating_add(1);
        failure.last = now;
        failure.class = class;
        failure.error = error;
    }
}
