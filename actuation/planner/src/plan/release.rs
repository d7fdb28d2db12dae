//! Releasing a provider whose requester is gone (3.8, 9.3).
//!
//! The order is: de-route, put to sleep (or delete the instance), unbind. The unbind write is the commit point; it is planned
//! only when the engine was told to sleep and says that it sleeps, or is known to be gone. Everything before may be repeated.
//! It always ends: an engine that will not sleep is deleted, a launcher that will not answer goes as a whole (G8, G9).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Planner;
use super::draft::EngineCall;
use super::view::{BoundInstance, Provider};
use crate::action::{ActionKey, DeleteInstanceReason, DeletePodReason, EngineRef, Subject, Target, Verb};
use crate::ids::InstanceId;
use crate::memory::Sleep;
use crate::state::{Binding, Direct, Launcher, Recorded};
use crate::write;

impl<'s> Planner<'s> {
    /// The next step of releasing `provider`.
    pub(super) fn release(&mut self, binding: &Binding, provider: Provider<'s>) {
        let pod = provider.pod();
        if !pod.live() {
            self.dismiss(Some(binding), provider);
            return;
        }
        let subject = self.subject(Some(binding), Some(provider));
        if pod.in_trouble() {
            let mut action = self.delete_pod(pod, DeletePodReason::Trouble, subject);
            action.log.fields.push(("providerName", pod.name.clone()));
            self.emit(action);
            return;
        }
        match provider {
            Provider::Direct(direct) => self.release_direct(direct, subject),
            Provider::Launcher(launcher) => match &launcher.recorded {
                Ok(recorded) => self.release_launcher(launcher, recorded, subject),
                Err(_) => self.release_unreadable(launcher, subject),
            },
        }
    }

    fn release_direct(&mut self, direct: &'s Direct, subject: Subject) {
        let pod = &direct.pod;
        let engine = EngineRef::direct(&pod.uid);
        let (Some(ip), true) = (&pod.ip, pod.running()) else {
            // Its kubelet is about to start an engine that nobody would put to sleep (G27).
            self.emit(self.delete_pod(pod, DeletePodReason::NeverStarted, subject));
            return;
        };
        if self.state.sleep(&engine, pod) == Some(Sleep::Settled) {
            let object = write::unbind_direct(&pod.object, self.now);
            let mut action = self.replace(pod, Verb::Unbind, object, subject);
            action.log = self.bound_log("Unbound server-providing Pod", Provider::Direct(direct));
            self.emit(action);
            return;
        }
        match direct.port {
            Ok(port) if !self.gave_up(&engine, Verb::Sleep) => {
                let call = EngineCall { engine, provider: pod, port, subject };
                self.emit(self.put_to_sleep(&call, ip));
            }
            _ => self.emit(self.delete_pod(pod, DeletePodReason::WillNotSleep, subject)),
        }
    }

    fn release_launcher(&mut self, launcher: &'s Launcher, recorded: &'s Recorded, subject: Subject) {
        let pod = &launcher.pod;
        let derouted = write::deroute(&pod.object, &recorded.routing);
        if derouted != *pod.object {
            self.emit_deroute(launcher, derouted, subject);
            return;
        }
        let engine = EngineRef::instance(&pod.uid, &recorded.instance);
        let (Some(ip), true) = (&pod.ip, pod.running()) else {
            // Without a running container there is no engine, and the next start of the container has none either.
            self.unbind_launcher(launcher, Some(recorded), subject);
            return;
        };
        match self.state.bound_state(launcher, &recorded.instance) {
            BoundInstance::Unlisted if self.instance_busy(launcher, &recorded.instance) => {}
            BoundInstance::Unlisted => self.list_or_give_up(launcher, ip, subject),
            BoundInstance::Absent => self.unbind_launcher(launcher, Some(recorded), subject),
            BoundInstance::Stopped => self.delete_or_give_up(launcher, recorded, ip, DeleteInstanceReason::Stopped, subject),
            BoundInstance::Running => self.release_running(launcher, recorded, &engine, ip, subject),
        }
    }

    fn release_running(&mut self, launcher: &'s Launcher, recorded: &'s Recorded, engine: &EngineRef, ip: &str, subject: Subject) {
        let instance = self.state.instances(launcher).and_then(|instances| instances.get(&recorded.instance));
        if instance.is_some_and(|instance| instance.obsolete(&self.state.configs)) {
            self.delete_or_give_up(launcher, recorded, ip, DeleteInstanceReason::Obsolete, subject);
        } else if self.state.sleep(engine, &launcher.pod) == Some(Sleep::Settled) {
            self.unbind_launcher(launcher, Some(recorded), subject);
        } else if self.gave_up(engine, Verb::Sleep) {
            self.delete_or_give_up(launcher, recorded, ip, DeleteInstanceReason::WillNotSleep, subject);
        } else {
            let call = EngineCall { engine: engine.clone(), provider: &launcher.pod, port: recorded.port, subject };
            self.emit(self.put_to_sleep(&call, ip));
        }
    }

    /// What the launcher was bound for cannot be read (G9): everything that is not known to sleep there is ended.
    fn release_unreadable(&mut self, launcher: &'s Launcher, subject: Subject) {
        let pod = &launcher.pod;
        let (Some(ip), true) = (&pod.ip, pod.running()) else {
            self.unbind_launcher(launcher, None, subject);
            return;
        };
        let Some(instances) = self.state.instances(launcher) else {
            self.list_or_give_up(launcher, ip, subject);
            return;
        };
        let mut clean = !self.state.told(launcher).is_some_and(|memory| memory.stale);
        for (id, instance) in instances {
            let engine = EngineRef::instance(&pod.uid, id);
            if instance.stopped || self.state.sleep(&engine, pod).is_some_and(Sleep::asleep) {
                continue;
            }
            clean = false;
            if self.too_long(&Target::Engine(engine), Verb::DeleteInstance) {
                self.emit(self.delete_pod(pod, DeletePodReason::WillNotSleep, subject));
                return;
            }
            self.emit(self.delete_instance(launcher, id, ip, DeleteInstanceReason::Unreadable, subject.clone()));
        }
        if clean {
            self.unbind_launcher(launcher, None, subject);
        }
    }

    pub(super) fn emit_deroute(&mut self, launcher: &'s Launcher, derouted: serde_json::Value, subject: Subject) {
        let mut action = self.replace(&launcher.pod, Verb::Deroute, derouted, subject);
        action.log.done = "Removed ISC routing labels from launcher Pod before sleeping";
        let removed: Vec<&str> = launcher.recorded.iter().flat_map(|recorded| recorded.routing.labels.keys()).map(String::as_str).collect();
        action.log.fields = vec![("name", launcher.pod.name.clone()), ("removed", removed.join(","))];
        self.emit(action);
    }

    fn unbind_launcher(&mut self, launcher: &'s Launcher, recorded: Option<&Recorded>, subject: Subject) {
        let engine = recorded.map(|recorded| EngineRef::instance(&launcher.pod.uid, &recorded.instance));
        if engine.is_some_and(|engine| self.is_busy(&Target::Engine(engine))) {
            return;
        }
        let uses = self.uses(launcher, recorded.map(|recorded| &recorded.instance));
        let object = write::unbind_launcher(&launcher.pod.object, recorded, &uses);
        let mut action = self.replace(&launcher.pod, Verb::Unbind, object, subject);
        action.log = self.bound_log("Unbound server-providing Pod", Provider::Launcher(launcher));
        self.emit(action);
    }

    /// When the instances that remain were last in use; the released one is stamped now (G5).
    fn uses(&self, launcher: &Launcher, released: Option<&InstanceId>) -> BTreeMap<InstanceId, Timestamp> {
        let Some(instances) = self.state.instances(launcher) else {
            return launcher.last_used.clone();
        };
        let mut uses: BTreeMap<InstanceId, Timestamp> =
            launcher.last_used.iter().filter(|(id, _)| instances.contains_key(*id)).map(|(id, at)| (id.clone(), *at)).collect();
        if let Some(id) = released.filter(|id| instances.contains_key(*id)) {
            uses.insert(id.clone(), self.now);
        }
        uses
    }

    /// Lists, or deletes the launcher when it has not answered for too long.
    fn list_or_give_up(&mut self, launcher: &'s Launcher, ip: &str, subject: Subject) {
        if self.too_long(&Target::Launcher(launcher.pod.uid.clone()), Verb::ListInstances) {
            self.emit(self.delete_pod(&launcher.pod, DeletePodReason::WillNotSleep, subject));
        } else {
            self.emit(self.list_instances(launcher, ip));
        }
    }

    /// Deletes the bound instance, or the launcher when that has failed for too long.
    fn delete_or_give_up(&mut self, launcher: &'s Launcher, recorded: &Recorded, ip: &str, reason: DeleteInstanceReason, subject: Subject) {
        let engine = EngineRef::instance(&launcher.pod.uid, &recorded.instance);
        if self.too_long(&Target::Engine(engine), Verb::DeleteInstance) {
            self.emit(self.delete_pod(&launcher.pod, DeletePodReason::WillNotSleep, subject));
            return;
        }
        let mut action = self.delete_instance(launcher, &recorded.instance, ip, reason, subject);
        if reason == DeleteInstanceReason::Obsolete {
            action.log.done = "Deleted obsolete instance during unbinding";
        }
        self.emit(action);
    }

    /// Whether an engine has failed to do this for longer than sleep is waited for.
    pub(super) fn gave_up(&mut self, engine: &EngineRef, verb: Verb) -> bool {
        let since = self.failing_since(&Target::Engine(engine.clone()), verb);
        since.is_some_and(|first| self.passed(first, self.limits.sleep_patience))
    }

    /// Whether a launcher has failed to do this for longer than it is waited for.
    fn too_long(&mut self, target: &Target, verb: Verb) -> bool {
        let since = self.failing_since(target, verb);
        since.is_some_and(|first| self.passed(first, self.limits.launcher_api_patience))
    }

    /// Since when this has failed every time.
    pub(super) fn failing_since(&self, target: &Target, verb: Verb) -> Option<Timestamp> {
        let key = ActionKey { target: target.clone(), verb, detail: String::new() };
        self.state.memory.failures.get(&key).map(|failure| failure.first)
    }
}
