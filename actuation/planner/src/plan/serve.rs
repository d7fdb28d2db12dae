//! Bringing a bound pair to serve, and noticing when it no longer can (3.6).
//!
//! For launchers: list → create the instance (or find it) → wait until it answers → wake → route → relay ready. An instance that
//! is known to have existed and is gone or stopped is dead: the launcher is de-routed and the requester deleted, so that its set
//! makes a new one. For direct providers: wait until it answers → wake → label → relay the Pod's readiness.

use jiff::Timestamp;

use super::Planner;
use super::draft::{EngineCall, for_requester};
use super::ledger::{Age, instance_age};
use super::view::{BoundInstance, Provider};
use crate::action::{Action, ActionKey, Actuation, DeleteInstanceReason, DeletePodReason, Do, EngineRef, Path, Subject, Target, Verb};
use crate::ids::{InstanceId, Uid};
use crate::limits::later;
use crate::memory::{FailureClass, Sleep};
use crate::routing;
use crate::state::{Applied, Direct, Launcher, Recorded, Requester};
use crate::write;

impl<'s> Planner<'s> {
    /// A live requester and a live direct provider.
    pub(super) fn serve_direct(&mut self, requester: &'s Requester, direct: &'s Direct) {
        let subject = self.subject(Some(&requester.id()), Some(Provider::Direct(direct)));
        if !direct.pod.ready {
            self.relay_readiness(requester, false, &subject);
        }
        let name = &direct.pod.name;
        if let Some(why) = &direct.pod.stuck {
            self.problem(&requester.pod.uid, format!("server-providing Pod {name:?}: {why}"));
        } else if direct.pod.in_trouble() {
            let text =
                format!("server-providing Pod {name:?} is not ready after {} restarts; its status and log tell why", direct.pod.restarts);
            self.problem(&requester.pod.uid, text);
        }
        let port = match &direct.port {
            Ok(port) => *port,
            Err(why) => {
                self.problem(&requester.pod.uid, format!("server-providing Pod {:?}: {why}", direct.pod.name));
                return;
            }
        };
        let (Some(ip), true) = (&direct.pod.ip, direct.pod.running()) else { return };
        let engine = EngineRef::direct(&direct.pod.uid);
        let call = EngineCall { engine, provider: &direct.pod, port, subject: subject.clone() };
        match self.state.sleep(&call.engine, &direct.pod) {
            None => self.ask_whether_asleep(requester, &call, ip),
            Some(sleep) if sleep.asleep() => self.wake(requester, &call, ip, &self.state.direct_gpus(direct)),
            Some(_) => {
                if direct.sleeping_label.as_deref() != Some("false") {
                    let object = write::sleeping_label(&direct.pod.object, false);
                    let mut action = self.replace(&direct.pod, Verb::SetSleepingLabel, object, subject.clone());
                    action.log.done = "Updated sleeping label on server-providing Pod";
                    action.log.fields = vec![("sleeping", "false".to_owned())];
                    self.emit(action);
                }
                if direct.pod.ready {
                    self.relay_readiness(requester, true, &subject);
                }
            }
        }
    }

    /// A live requester and a live launcher.
    pub(super) fn serve_launcher(&mut self, requester: &'s Requester, launcher: &'s Launcher) {
        let recorded = match &launcher.recorded {
            Ok(recorded) => recorded,
            Err(why) => {
                self.problem(&requester.pod.uid, why.clone());
                return;
            }
        };
        let (Some(ip), true) = (&launcher.pod.ip, launcher.pod.running()) else {
            self.waits_for_launcher(requester, launcher);
            return;
        };
        let subject = self.subject(Some(&requester.id()), Some(Provider::Launcher(launcher)));
        self.refresh(launcher, ip);
        match self.state.bound_state(launcher, &recorded.instance) {
            BoundInstance::Unlisted => {
                self.waits_for_launcher(requester, launcher);
                if !self.instance_busy(launcher, &recorded.instance) {
                    self.emit(self.list_instances(launcher, ip));
                }
            }
            BoundInstance::Absent if !self.existed(requester, launcher, recorded) => {
                self.create(requester, launcher, recorded, ip, subject);
            }
            BoundInstance::Absent | BoundInstance::Stopped => self.dead(requester, launcher, recorded, subject),
            BoundInstance::Running => self.serve_instance(requester, launcher, recorded, ip, subject),
        }
    }

    /// Whether an instance is being created or deleted right now: asking for a list would tell nothing.
    pub(super) fn instance_busy(&self, launcher: &Launcher, id: &InstanceId) -> bool {
        self.state.in_flight(&Target::Engine(EngineRef::instance(&launcher.pod.uid, id)))
    }

    /// A launcher that does not come up or does not answer is a problem when that lasts.
    fn waits_for_launcher(&mut self, requester: &'s Requester, launcher: &'s Launcher) {
        let key = ActionKey { target: Target::Launcher(launcher.pod.uid.clone()), verb: Verb::ListInstances, detail: String::new() };
        let failure = self.state.memory.failures.get(&key);
        let shown = match failure {
            _ if launcher.pod.stuck.is_some() => true,
            Some(failure) if launcher.pod.ready => self.passed(failure.first, self.limits.report_wait_after),
            _ => !launcher.pod.ready && self.passed(launcher.pod.ready_changed.max(launcher.pod.created), self.limits.launcher_patience),
        };
        let why = launcher.pod.stuck.as_ref().or(failure.map(|failure| &failure.error));
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        self.note(&requester.pod.uid, format!("waiting for launcher Pod {:?}{why}", launcher.pod.name), shown);
    }

    /// Whether the bound instance is known to have existed under this binding (G4, G13): it was seen, or what is written only
    /// once it is awake is there. That the requester is ready proves nothing: it may be so from an earlier provider, or always.
    fn existed(&self, requester: &Requester, launcher: &Launcher, recorded: &Recorded) -> bool {
        let seen = self.state.memory.launchers.get(&launcher.pod.uid);
        let seen = seen.is_some_and(|memory| memory.seen.contains(&(requester.pod.uid.clone(), recorded.instance.clone())));
        seen || has_served(launcher, recorded)
    }

    /// The engine is gone. Traffic first, then the requester.
    fn dead(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, subject: Subject) {
        let derouted = write::deroute(&launcher.pod.object, &recorded.routing);
        if derouted != *launcher.pod.object {
            self.emit_deroute(launcher, derouted, subject);
            return;
        }
        let instance = self.state.instances(launcher).and_then(|instances| instances.get(&recorded.instance));
        let how = instance.map_or_else(|| " or was deleted".to_owned(), |instance| ended(instance.exit_code));
        let message =
            format!("Deleting server-requesting Pod because instance {} in launcher {} ended{how}", recorded.instance, launcher.pod.name);
        let mut action = self.delete_pod(&requester.pod, DeletePodReason::InstanceDead, subject);
        action.event = self.event(&requester.pod, "InstanceEnded", message);
        self.emit(action);
    }

    /// The bound instance was never made: make room for it in the launcher and on the GPUs, then create it.
    fn create(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, ip: &str, subject: Subject) {
        let uid = &requester.pod.uid;
        if self.rests(requester, launcher, recorded) {
            return;
        }
        if let Err(blocked) = self.vacant(&recorded.gpus, None, uid) {
            self.waits(requester, blocked.why);
            return;
        }
        let room = self.room_in_launcher(launcher, recorded, ip, uid);
        if !self.within_budget(&recorded.gpus, None, Some(uid)) || !room {
            self.waits(requester, "waiting for other instances to be deleted".to_owned());
            return;
        }
        let action = self.create_instance(launcher, &recorded.instance, &recorded.config, ip, subject);
        if let Some(failure) = self.state.memory.failures.get(&action.key).cloned() {
            let what = format!("failed to create instance {:?} in launcher Pod {:?}", recorded.instance.as_str(), launcher.pod.name);
            self.report(uid, &what, &failure);
        }
        self.emit(action);
    }

    /// Whether the instance's last starts ended before it answered, so that it is too early to start it again.
    fn rests(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded) -> bool {
        let Some(again) = self.tell_failed_starts(requester, launcher, recorded) else { return false };
        self.wake_at(again);
        self.now < again
    }

    /// Says in the status how the instance's last starts ended, until it answers: whoever made the configuration has to look at
    /// the engine's words. Gives when the next start is due.
    fn tell_failed_starts(&mut self, requester: &Requester, launcher: &Launcher, recorded: &Recorded) -> Option<Timestamp> {
        let deaths = self.state.told(launcher)?.deaths.get(&recorded.instance)?;
        let (instance, pod, how, count) = (recorded.instance.as_str(), &launcher.pod.name, ended(deaths.exit_code), deaths.count);
        let times = if count == 1 { "once" } else { "again and again" };
        let text =
            format!("instance {instance:?} in launcher Pod {pod:?} has ended{how} before it could serve, {times}; the Pod's log tells why");
        let again = later(deaths.last, self.limits.restart(count));
        self.problem(&requester.pod.uid, text);
        Some(again)
    }

    /// Deletes what holds our port and what exceeds the capacity. False: wait until it is gone.
    fn room_in_launcher(&mut self, launcher: &'s Launcher, recorded: &'s Recorded, ip: &str, requester: &Uid) -> bool {
        let max = self.state.configs.lcs.get(&launcher.lc).map_or(usize::MAX, |lc| lc.max_instances);
        let victims = self.victims(launcher, recorded.port, max);
        let none = victims.is_empty();
        for (id, reason) in victims {
            let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
            let mut action = self.delete_instance(launcher, &id, ip, reason, subject);
            action.log.fields.push(("maxOthers", max.saturating_sub(1).to_string()));
            self.emit(for_requester(action, requester));
        }
        none
    }

    /// The instances that have to go from a launcher for a new one on `port`: those on the same port, and the oldest of the
    /// others as far as there are more than `max` - 1.
    pub(super) fn victims(&self, launcher: &Launcher, port: u16, max: usize) -> Vec<(InstanceId, DeleteInstanceReason)> {
        let Some(instances) = self.state.instances(launcher) else { return Vec::new() };
        let conflict = |id: &InstanceId| instances.get(id).is_some_and(|instance| instance.port() == Some(port));
        let (conflicts, rest): (Vec<&InstanceId>, Vec<&InstanceId>) = instances.keys().partition(|id| conflict(id));
        let surplus = instances.len().saturating_sub(max.saturating_sub(1)).saturating_sub(conflicts.len());
        let mut rest: Vec<(bool, Age, &InstanceId)> = rest
            .into_iter()
            .filter_map(|id| {
                let instance = instances.get(id)?;
                let engine = EngineRef::instance(&launcher.pod.uid, id);
                // Those that have ended go first.
                Some((!instance.stopped, instance_age(launcher, &engine, instance, self.limits.reclaim), id))
            })
            .collect();
        rest.sort();
        let conflicts = conflicts.into_iter().map(|id| (id.clone(), DeleteInstanceReason::PortConflict));
        conflicts.chain(rest.into_iter().take(surplus).map(|(_, _, id)| (id.clone(), DeleteInstanceReason::Capacity))).collect()
    }

    /// The process of the bound instance runs.
    fn serve_instance(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, ip: &str, subject: Subject) {
        let engine = EngineRef::instance(&launcher.pod.uid, &recorded.instance);
        let call = EngineCall { engine, provider: &launcher.pod, port: recorded.port, subject: subject.clone() };
        match self.state.sleep(&call.engine, &launcher.pod) {
            None => {
                self.tell_failed_starts(requester, launcher, recorded);
                self.await_engine(requester, launcher, recorded, &call, ip);
            }
            Some(sleep) if sleep.asleep() => self.wake_instance(requester, launcher, recorded, &call, ip),
            Some(_) if launcher.pod.ready => self.route(requester, launcher, recorded, subject),
            // The Pod would be no endpoint yet.
            Some(_) => self.waits_for_launcher(requester, launcher),
        }
    }

    /// It has not answered yet (G49).
    fn await_engine(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, call: &EngineCall<'s>, ip: &str) {
        let waiting = self.state.memory.engines.get(&call.engine).and_then(|memory| memory.waiting_since);
        if let (Some(since), Some(deadline)) = (waiting, self.limits.startup_deadline)
            && self.passed(since, deadline)
        {
            self.replace_instance(requester, launcher, recorded, ip, DeleteInstanceReason::NeverStarted, &call.subject);
            return;
        }
        self.ask_whether_asleep(requester, call, ip);
    }

    /// An engine that does not answer yet is starting. One that refuses to tell will go on refusing: somebody has to change how it
    /// is started (G12).
    fn ask_whether_asleep(&mut self, requester: &'s Requester, call: &EngineCall<'s>, ip: &str) {
        let action = self.read_sleep(call, ip);
        let failure = self.state.memory.failures.get(&action.key).filter(|failure| failure.class == FailureClass::Refused);
        if let Some(failure) = failure {
            let shown = self.passed(failure.first, self.limits.report_after);
            let text = format!(
                "the engine of server-providing Pod {:?} does not tell whether it sleeps (vLLM needs --enable-sleep-mode and \
                 VLLM_SERVER_DEV_MODE=1): {}",
                call.provider.name, failure.error
            );
            self.note(&requester.pod.uid, text, shown);
        }
        self.emit(action);
    }

    fn wake_instance(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, call: &EngineCall<'s>, ip: &str) {
        let failed = self.state.memory.engines.get(&call.engine).map_or(0, |memory| memory.failed_wakes);
        if failed >= self.limits.wake_attempts {
            self.replace_instance(requester, launcher, recorded, ip, DeleteInstanceReason::WillNotWake, &call.subject);
            return;
        }
        self.wake(requester, call, ip, &recorded.gpus);
    }

    /// Deletes the bound instance; what is bound stays bound, so the next plan creates it anew. One that has served counts as
    /// dead instead: traffic may still go there.
    fn replace_instance(
        &mut self,
        requester: &'s Requester,
        launcher: &'s Launcher,
        recorded: &'s Recorded,
        ip: &str,
        reason: DeleteInstanceReason,
        subject: &Subject,
    ) {
        if has_served(launcher, recorded) {
            self.dead(requester, launcher, recorded, subject.clone());
            return;
        }
        let mut action = self.delete_instance(launcher, &recorded.instance, ip, reason, subject.clone());
        let why = if reason == DeleteInstanceReason::NeverStarted { "did not answer in time" } else { "could not be woken" };
        let message = format!("Replacing instance {} of launcher {} because it {why}", recorded.instance, launcher.pod.name);
        action.event = self.event(&requester.pod, "InstanceReplaced", message);
        self.emit(action);
    }

    /// The engine is awake and the Pod is ready: labels first, then readiness.
    fn route(&mut self, requester: &'s Requester, launcher: &'s Launcher, recorded: &'s Recorded, subject: Subject) {
        let routed = launcher.sleeping_label.as_deref() == Some("false");
        if routed && recorded.applied == Applied::Full {
            self.relay_readiness(requester, true, &subject);
            return;
        }
        // What was applied before and has drifted is repaired; only at the first time can a key be somebody else's (G29).
        let problems = if routed || recorded.applied == Applied::Full {
            Vec::new()
        } else {
            routing::problems(&recorded.routing, &launcher.pod.object)
        };
        if problems.is_empty() {
            let object = write::route(&launcher.pod.object, &recorded.routing);
            let mut action = self.replace(&launcher.pod, Verb::Route, object, subject);
            action.log.done = "Reconciled bound launcher Pod labels and annotations";
            action.log.fields = vec![
                ("name", launcher.pod.name.clone()),
                ("sleeping", "false".to_owned()),
                ("labelsApplied", "true".to_owned()),
                ("instanceID", recorded.instance.to_string()),
            ];
            self.emit(action);
            return;
        }
        let message = format!(
            "Deleting server-requesting Pod because bound launcher is committed to outdated ISC routing metadata: {}",
            problems.join("; ")
        );
        let mut action = self.delete_pod(&requester.pod, DeletePodReason::OutdatedRouting, subject);
        action.event = self.event(&requester.pod, "OutdatedRoutingMetadata", message);
        self.emit(action);
    }

    /// Tells the stub, unless it was told since its container started or the kubelet already sees it so (G10).
    pub(super) fn relay_readiness(&mut self, requester: &'s Requester, ready: bool, subject: &Subject) {
        let told = self.state.stub(requester).and_then(|stub| stub.relayed);
        let as_wanted = match told {
            Some((told, _)) => told == ready,
            None => requester.pod.container.ready == ready,
        };
        if !as_wanted && let Some(action) = self.relay_action(requester, ready, subject.clone()) {
            self.emit(action);
        }
    }

    fn relay_action(&self, requester: &'s Requester, ready: bool, subject: Subject) -> Option<Action> {
        let since = requester.pod.container.running_since?;
        let (ip, port) = (requester.pod.ip.as_ref()?, *requester.admin_port.as_ref().ok()?);
        let isc = subject.isc.clone().unwrap_or_default();
        let mut action = self.relay(requester, ip, port, ready, subject);
        let history = self.state.memory.stubs.get(&requester.pod.uid).map(|stub| stub.history.clone()).unwrap_or_default();
        if ready
            && !history.was_ready
            && let Do::Relay { first, .. } = &mut action.what
        {
            let path = match (history.made_provider, history.made_instance) {
                (true, _) => Path::Cold,
                (false, true) => Path::Warm,
                (false, false) => Path::Hot,
            };
            *first = Some(Actuation { path, deleted: history.deleted, isc, since });
        }
        Some(action)
    }

    /// A requester that is leaving may end now: its engine sleeps, or it has none. Told once.
    pub(super) fn tell_unready(&mut self, requester: &'s Requester) {
        let told = self.state.stub(requester).and_then(|stub| stub.relayed);
        if requester.pod.deleting.is_none() || told.is_some_and(|(ready, _)| !ready) {
            return;
        }
        let subject = self.subject(Some(&requester.id()), None);
        if let Some(action) = self.relay_action(requester, false, subject) {
            self.emit(action);
        }
    }

    /// The engine of a direct provider is asleep for certain.
    pub(super) fn known_asleep(&self, direct: &Direct) -> bool {
        self.state.sleep(&EngineRef::direct(&direct.pod.uid), &direct.pod).is_some_and(Sleep::asleep)
    }
}

/// How a process ended, as a part of a sentence.
fn ended(exit_code: Option<i64>) -> String {
    match exit_code {
        None => String::new(),
        Some(code @ 0..) => format!(" with exit code {code}"),
        Some(signal) => format!(" by signal {}", signal.unsigned_abs()),
    }
}

/// What is written only once the bound instance is awake is there.
fn has_served(launcher: &Launcher, recorded: &Recorded) -> bool {
    launcher.sleeping_label.as_deref() == Some("false") || recorded.applied == Applied::Partial
}
