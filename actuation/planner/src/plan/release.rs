//! Releasing a provider whose requester is gone (actuation 3.8, 9.3).
//!
//! The order is: de-route, put to sleep (or delete the instance), unbind. The unbind write is the commit point; it is planned
//! only when the engine was told to sleep and says that it sleeps, or is known to be gone. Everything before may be repeated.
//! It always ends: an engine that will not sleep is deleted, a launcher that will not answer goes as a whole (gaps `a8`, `a9`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::draft::EngineCall;
use super::emitted::{Emitted, Wakes};
use super::view::{BoundInstance, Provider, View};
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject, Target, Verb};
use crate::ids::InstanceId;
use crate::limits;
use crate::memory::Sleep;
use crate::state::{Binding, Direct, Launcher, Recorded};
use crate::write;

/// The next step of releasing `provider`.
pub(super) fn release(view: View<'_>, out: &mut Emitted<'_>, binding: &Binding, provider: Provider<'_>) {
    let pod = provider.pod();
    if !pod.live() {
        dismiss(view, out, Some(binding), provider);
        return;
    }
    let subject = view.subject(Some(binding), Some(provider));
    if pod.in_trouble() {
        let mut action = view.delete_pod(pod, DeletePodReason::Trouble, subject);
        action.log.fields.push(("providerName", pod.name.clone()));
        out.emit(action);
        return;
    }
    match provider {
        Provider::Direct(direct) => release_direct(view, out, direct, subject),
        Provider::Launcher(launcher) => match &launcher.recorded {
            Ok(recorded) => Release { launcher, recorded, subject }.step(view, out),
            Err(_) => release_unreadable(view, out, launcher, subject),
        },
    }
}

/// Whether the engine of a provider that is being released sleeps or is gone.
pub(super) fn is_quiet(view: View<'_>, provider: Provider<'_>) -> bool {
    let pod = provider.pod();
    if !pod.running() {
        return true;
    }
    let settled = |engine: &EngineRef| view.state.sleep(engine, pod) == Some(Sleep::Settled);
    match provider {
        Provider::Direct(_) => settled(&EngineRef::direct(&pod.uid)),
        Provider::Launcher(launcher) => {
            launcher.recorded.as_ref().is_ok_and(|recorded| match view.bound_state(launcher, &recorded.instance) {
                BoundInstance::Absent | BoundInstance::Stopped => true,
                BoundInstance::Running => settled(&EngineRef::instance(&pod.uid, &recorded.instance)),
                BoundInstance::Unlisted => false,
            })
        }
    }
}

/// Takes the provider finalizer off a provider that is being deleted; deletes one that has ended.
pub(super) fn dismiss(view: View<'_>, out: &mut Emitted<'_>, binding: Option<&Binding>, provider: Provider<'_>) {
    let (pod, subject) = (provider.pod(), view.subject(binding, Some(provider)));
    if pod.deleting.is_none() {
        if pod.terminal {
            out.emit(view.delete_pod(pod, DeletePodReason::Terminal, subject));
        }
        return;
    }
    if provider.has_finalizer() {
        let mut action = view.replace(pod, Verb::DropProviderFinalizer, write::drop_provider_finalizer(&pod.object), subject);
        action.log.done = "Removed finalizer from server-providing Pod";
        action.log.fields = vec![("provider", pod.name.clone())];
        out.emit(action);
    }
}

fn release_direct(view: View<'_>, out: &mut Emitted<'_>, direct: &Direct, subject: Subject) {
    let pod = &direct.pod;
    let engine = EngineRef::direct(&pod.uid);
    let Some(ip) = pod.reached_at() else {
        // Its kubelet is about to start an engine that nobody would put to sleep (gap `a27`).
        out.emit(view.delete_pod(pod, DeletePodReason::NeverStarted, subject));
        return;
    };
    if view.state.sleep(&engine, pod) == Some(Sleep::Settled) {
        let object = write::unbind_direct(&pod.object, view.now);
        let mut action = view.replace(pod, Verb::Unbind, object, subject);
        action.log = view.bound_log("Unbound server-providing Pod", Provider::Direct(direct));
        out.emit(action);
        return;
    }
    match direct.port {
        Ok(port) if !gave_up(view, &mut out.wakes, &engine, Verb::Sleep) => {
            out.emit(view.put_to_sleep(&EngineCall { engine, provider: pod, ip, port, subject }));
        }
        _ => out.emit(view.delete_pod(pod, DeletePodReason::WillNotSleep, subject)),
    }
}

/// A launcher that is released, and what it recorded of its binding.
struct Release<'s> {
    launcher: &'s Launcher,
    recorded: &'s Recorded,
    subject: Subject,
}

impl Release<'_> {
    fn engine(&self) -> EngineRef {
        EngineRef::instance(&self.launcher.pod.uid, &self.recorded.instance)
    }

    fn step(self, view: View<'_>, out: &mut Emitted<'_>) {
        let (launcher, recorded) = (self.launcher, self.recorded);
        if deroutes(view, out, launcher, recorded, &self.subject) {
            return;
        }
        let Some(ip) = launcher.pod.reached_at() else {
            // Without a running container there is no engine, and the next start of the container has none either.
            unbind_launcher(view, out, launcher, Some(recorded), self.subject);
            return;
        };
        match view.bound_state(launcher, &recorded.instance) {
            BoundInstance::Unlisted if view.instance_busy(launcher, &recorded.instance) => {}
            BoundInstance::Unlisted => list_or_give_up(view, out, launcher, ip, self.subject),
            BoundInstance::Absent => unbind_launcher(view, out, launcher, Some(recorded), self.subject),
            BoundInstance::Stopped => self.delete_or_give_up(view, out, ip, DeleteInstanceReason::Stopped),
            BoundInstance::Running => self.quieten(view, out, ip),
        }
    }

    /// The process of the bound instance runs.
    fn quieten(self, view: View<'_>, out: &mut Emitted<'_>, ip: &str) {
        let (launcher, recorded, engine) = (self.launcher, self.recorded, self.engine());
        let instance = view.state.instances(launcher).and_then(|instances| instances.get(&recorded.instance));
        if instance.is_some_and(|instance| instance.obsolete(&view.state.configs)) {
            self.delete_or_give_up(view, out, ip, DeleteInstanceReason::Obsolete);
        } else if view.state.sleep(&engine, &launcher.pod) == Some(Sleep::Settled) {
            unbind_launcher(view, out, launcher, Some(recorded), self.subject);
        } else if gave_up(view, &mut out.wakes, &engine, Verb::Sleep) {
            self.delete_or_give_up(view, out, ip, DeleteInstanceReason::WillNotSleep);
        } else {
            let call = EngineCall { engine, provider: &launcher.pod, ip, port: recorded.port, subject: self.subject };
            out.emit(view.put_to_sleep(&call));
        }
    }

    /// Deletes the bound instance, or the launcher when that has failed for too long.
    fn delete_or_give_up(self, view: View<'_>, out: &mut Emitted<'_>, ip: &str, reason: DeleteInstanceReason) {
        if too_long(view, &mut out.wakes, &Target::Engine(self.engine()), Verb::DeleteInstance) {
            out.emit(view.delete_pod(&self.launcher.pod, DeletePodReason::WillNotSleep, self.subject));
            return;
        }
        let mut action = view.delete_instance(self.launcher, &self.recorded.instance, ip, reason, self.subject);
        if reason == DeleteInstanceReason::Obsolete {
            action.log.done = "Deleted obsolete instance during unbinding";
        }
        out.emit(action);
    }
}

/// What the launcher was bound for cannot be read (gap `a9`): everything that is not known to sleep there is ended.
fn release_unreadable(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, subject: Subject) {
    let pod = &launcher.pod;
    let Some(ip) = pod.reached_at() else {
        unbind_launcher(view, out, launcher, None, subject);
        return;
    };
    let Some(instances) = view.state.instances(launcher) else {
        list_or_give_up(view, out, launcher, ip, subject);
        return;
    };
    let mut clean = !view.state.told_by(launcher).is_some_and(|memory| memory.stale);
    for (id, instance) in instances {
        let engine = EngineRef::instance(&pod.uid, id);
        if instance.stopped || view.state.sleep(&engine, pod).is_some_and(Sleep::asleep) {
            continue;
        }
        clean = false;
        if too_long(view, &mut out.wakes, &Target::Engine(engine), Verb::DeleteInstance) {
            out.emit(view.delete_pod(pod, DeletePodReason::WillNotSleep, subject));
            return;
        }
        out.emit(view.delete_instance(launcher, id, ip, DeleteInstanceReason::Unreadable, subject.clone()));
    }
    if clean {
        unbind_launcher(view, out, launcher, None, subject);
    }
}

/// Takes the routing metadata off a launcher, before its engine sleeps or because it is dead. `false`: none is on it.
pub(super) fn deroutes(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, recorded: &Recorded, subject: &Subject) -> bool {
    let derouted = write::deroute(&launcher.pod.object, &recorded.routing);
    if derouted == *launcher.pod.object {
        return false;
    }
    let mut action = view.replace(&launcher.pod, Verb::Deroute, derouted, subject.clone());
    action.log.done = "Removed ISC routing labels from launcher Pod before sleeping";
    let removed: Vec<&str> = recorded.routing.labels.keys().map(String::as_str).collect();
    action.log.fields = vec![("name", launcher.pod.name.clone()), ("removed", removed.join(","))];
    out.emit(action);
    true
}

fn unbind_launcher(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, recorded: Option<&Recorded>, subject: Subject) {
    let engine = recorded.map(|recorded| EngineRef::instance(&launcher.pod.uid, &recorded.instance));
    if engine.is_some_and(|engine| out.busy.contains(&Target::Engine(engine))) {
        return;
    }
    let uses = uses(view, launcher, recorded.map(|recorded| &recorded.instance));
    let object = write::unbind_launcher(&launcher.pod.object, recorded, &uses);
    let mut action = view.replace(&launcher.pod, Verb::Unbind, object, subject);
    action.log = view.bound_log("Unbound server-providing Pod", Provider::Launcher(launcher));
    out.emit(action);
}

/// When the instances that remain were last in use; the released one is stamped now (gap `a5`).
fn uses(view: View<'_>, launcher: &Launcher, released: Option<&InstanceId>) -> BTreeMap<InstanceId, Timestamp> {
    let Some(instances) = view.state.instances(launcher) else {
        return launcher.last_used.clone();
    };
    let mut uses: BTreeMap<InstanceId, Timestamp> =
        launcher.last_used.iter().filter(|(id, _)| instances.contains_key(*id)).map(|(id, at)| (id.clone(), *at)).collect();
    if let Some(id) = released.filter(|id| instances.contains_key(*id)) {
        uses.insert(id.clone(), view.now);
    }
    uses
}

/// Lists, or deletes the launcher when it has not answered for too long.
fn list_or_give_up(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, ip: &str, subject: Subject) {
    if too_long(view, &mut out.wakes, &Target::Launcher(launcher.pod.uid.clone()), Verb::ListInstances) {
        out.emit(view.delete_pod(&launcher.pod, DeletePodReason::WillNotSleep, subject));
    } else {
        out.emit(view.list_instances(launcher, ip));
    }
}

/// Whether an engine has failed to do this for longer than sleep is waited for.
pub(super) fn gave_up(view: View<'_>, wakes: &mut Wakes, engine: &EngineRef, verb: Verb) -> bool {
    let since = view.failing_since(&Target::Engine(engine.clone()), verb);
    since.is_some_and(|first| wakes.passed(first, limits::SLEEP_PATIENCE))
}

/// Whether a launcher has failed to do this for longer than it is waited for.
fn too_long(view: View<'_>, wakes: &mut Wakes, target: &Target, verb: Verb) -> bool {
    let since = view.failing_since(target, verb);
    since.is_some_and(|first| wakes.passed(first, limits::LAUNCHER_API_PATIENCE))
}
