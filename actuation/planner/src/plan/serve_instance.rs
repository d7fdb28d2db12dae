//! Bringing an instance of a bound launcher to serve (actuation 3.6).
//!
//! List → create the instance (or find it) → wait until it answers → wake → route → relay ready → open the gate. An instance that is known to have
//! existed and is gone or stopped is dead: the launcher is de-routed and the requester deleted, so that its set makes a new one.

use jiff::Timestamp;

use super::draft::EngineCall;
use super::emitted::Emitted;
use super::room::Room;
use super::serve::ask_whether_asleep;
use super::told::{Told, readiness};
use super::view::{BoundInstance, Provider, View};
use super::wake::{tell_failed, wake};
use super::{reclaim, release, sweep};
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject, Target, Verb};
use crate::limits::{self, later};
use crate::routing;
use crate::state::{Applied, Launcher, Recorded, Requester};
use crate::write;

/// A live requester and the live launcher that is bound to it.
#[derive(Clone, Copy)]
struct Pair<'s> {
    requester: &'s Requester,
    launcher: &'s Launcher,
    recorded: &'s Recorded,
    /// Where the launcher's container can be called.
    ip: &'s str,
}

impl Pair<'_> {
    fn subject(self, view: View<'_>) -> Subject {
        view.subject(Some(&self.requester.id()), Some(Provider::Launcher(self.launcher)))
    }

    /// Whether what is written only once the bound instance is awake is there.
    fn has_served(self) -> bool {
        self.launcher.sleeping_label.as_deref() == Some("false") || self.recorded.applied == Applied::Partial
    }

    /// Whether the bound instance is known to have existed under this binding (gaps `a4`, `a13`): it was seen, or what is written only
    /// once it is awake is there. That the requester is ready proves nothing: it may be so from an earlier provider, or always.
    fn existed(self, view: View<'_>) -> bool {
        let memory = view.state.memory.launchers.get(&self.launcher.pod.uid);
        let (requester, instance) = (&self.requester.pod.uid, &self.recorded.instance);
        memory.is_some_and(|memory| memory.seen.contains(&(requester.clone(), instance.clone()))) || self.has_served()
    }
}

/// A live requester and a live launcher.
pub(super) fn serve(view: View<'_>, room: &Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, launcher: &Launcher) {
    let recorded = match &launcher.recorded {
        Ok(recorded) => recorded,
        Err(why) => {
            told.problem(&requester.pod.uid, why.clone());
            return;
        }
    };
    let Some(ip) = launcher.pod.reached_at() else {
        readiness::idles(view, told, out, requester, &view.subject(Some(&requester.id()), Some(Provider::Launcher(launcher))));
        waits_for_launcher(view, told, out, requester, launcher);
        return;
    };
    let pair = Pair { requester, launcher, recorded, ip };
    sweep::refresh(view, room, out, launcher, ip);
    match view.bound_state(launcher, &recorded.instance) {
        BoundInstance::Unlisted => {
            waits_for_launcher(view, told, out, requester, launcher);
            if !view.instance_busy(launcher, &recorded.instance) {
                out.emit(view.list_instances(launcher, ip));
            }
        }
        BoundInstance::Absent if !pair.existed(view) => create(view, room, told, out, pair),
        BoundInstance::Absent | BoundInstance::Stopped => dead(view, out, pair),
        BoundInstance::Running => running(view, room, told, out, pair),
    }
}

/// A launcher that does not come up or does not answer is a problem when that lasts.
fn waits_for_launcher(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, launcher: &Launcher) {
    let pod = &launcher.pod;
    let failure = view.failure(Target::Launcher(pod.uid.clone()), Verb::ListInstances);
    let shown = match failure {
        _ if pod.stuck.is_some() => true,
        Some(failure) if pod.ready => out.wakes.passed(failure.first, limits::REPORT_WAIT_AFTER),
        _ => !pod.ready && out.wakes.passed(pod.not_ready_since(), limits::LAUNCHER_PATIENCE),
    };
    let why = pod.stuck.as_ref().or(failure.map(|failure| &failure.error));
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    told.note(&requester.pod.uid, format!("waiting for launcher Pod {:?}{why}", pod.name), shown);
}

/// The engine is gone. Traffic first, then the requester.
fn dead(view: View<'_>, out: &mut Emitted<'_>, pair: Pair<'_>) {
    let Pair { requester, launcher, recorded, .. } = pair;
    let subject = pair.subject(view);
    if !readiness::withdrawn(view, out, requester, &subject) || release::deroutes(view, out, launcher, recorded, &subject) {
        return;
    }
    let instance = view.state.instances(launcher).and_then(|instances| instances.get(&recorded.instance));
    let how = instance.map_or_else(|| " or was deleted".to_owned(), |instance| ended(instance.exit_code));
    let message =
        format!("Deleting server-requesting Pod because instance {} in launcher {} ended{how}", recorded.instance, launcher.pod.name);
    let mut action = view.delete_pod(&requester.pod, DeletePodReason::InstanceDead, pair.subject(view));
    action.event = view.event(&requester.pod, "InstanceEnded", message);
    out.emit(action);
}

/// The bound instance was never made: make room for it in the launcher and on the GPUs, then create it.
fn create(view: View<'_>, room: &Room, told: &mut Told, out: &mut Emitted<'_>, pair: Pair<'_>) {
    let Pair { requester, launcher, recorded, ip } = pair;
    let uid = &requester.pod.uid;
    readiness::idles(view, told, out, requester, &pair.subject(view));
    // Its last starts may have ended before it answered, so that it is too early to start it again.
    if let Some(again) = tell_failed_starts(view, told, pair)
        && !out.wakes.reached(again)
    {
        return;
    }
    if let Err(why) = room.vacant(view, &recorded.gpus, None, uid) {
        told.waits(&mut out.wakes, requester, why);
        return;
    }
    let roomy = reclaim::makes_room_in_launcher(view, out, launcher, recorded, ip, uid);
    if !reclaim::makes_room_on_gpus(view, room, out, &recorded.gpus, None, Some(uid)) || !roomy {
        told.waits(&mut out.wakes, requester, "waiting for other instances to be deleted".to_owned());
        return;
    }
    let action = view.create_instance(launcher, &recorded.instance, &recorded.config, ip, pair.subject(view));
    if let Some(failure) = view.state.memory.failures.get(&action.key) {
        let what = format!("failed to create instance {:?} in launcher Pod {:?}", recorded.instance.as_str(), launcher.pod.name);
        told.failing(&mut out.wakes, uid, &what, failure);
    }
    out.emit(action);
}

/// Says in the status how the instance's last starts ended, until it answers: whoever made the configuration has to look at the
/// engine's words. Gives when the next start is due.
fn tell_failed_starts(view: View<'_>, told: &mut Told, pair: Pair<'_>) -> Option<Timestamp> {
    let Pair { requester, launcher, recorded, .. } = pair;
    let deaths = view.state.told_by(launcher)?.deaths.get(&recorded.instance)?;
    let (instance, pod, how, count) = (recorded.instance.as_str(), &launcher.pod.name, ended(deaths.exit_code), deaths.count);
    let times = if count == 1 { "once" } else { "again and again" };
    let text =
        format!("instance {instance:?} in launcher Pod {pod:?} has ended{how} before it could serve, {times}; the Pod's log tells why");
    told.problem(&requester.pod.uid, text);
    Some(later(deaths.last, limits::restart(count)))
}

/// The process of the bound instance runs.
fn running(view: View<'_>, room: &Room, told: &mut Told, out: &mut Emitted<'_>, pair: Pair<'_>) {
    let Pair { requester, launcher, recorded, ip } = pair;
    let engine = EngineRef::instance(&launcher.pod.uid, &recorded.instance);
    let call = EngineCall { engine, provider: &launcher.pod, ip, port: recorded.port, subject: pair.subject(view) };
    let memory = view.state.memory.engines.get(&call.engine);
    tell_failed(view, told, out, requester, &call);
    match view.state.sleep(&call.engine, &launcher.pod) {
        None => {
            tell_failed_starts(view, told, pair);
            // It has not answered yet (gap `a49`).
            match memory.and_then(|memory| memory.waiting_since) {
                Some(since) if out.wakes.passed(since, limits::STARTUP_DEADLINE) => {
                    replace(view, out, pair, DeleteInstanceReason::NeverStarted);
                }
                _ => ask_whether_asleep(view, told, out, requester, &call),
            }
        }
        Some(sleep) if sleep.asleep() => {
            readiness::idles(view, told, out, requester, &call.subject);
            if memory.is_some_and(|memory| memory.failed_wakes >= limits::WAKE_ATTEMPTS) {
                replace(view, out, pair, DeleteInstanceReason::WillNotWake);
            } else {
                wake(view, room, told, out, requester, &call, &recorded.gpus);
            }
        }
        Some(_) if launcher.pod.ready => route(view, told, out, pair),
        // The Pod would be no endpoint yet.
        Some(_) => waits_for_launcher(view, told, out, requester, launcher),
    }
}

/// Deletes the bound instance; what is bound stays bound, so the next plan creates it anew. One that has served counts as dead
/// instead: traffic may still go there.
fn replace(view: View<'_>, out: &mut Emitted<'_>, pair: Pair<'_>, reason: DeleteInstanceReason) {
    if pair.has_served() {
        dead(view, out, pair);
        return;
    }
    let Pair { requester, launcher, recorded, ip } = pair;
    let mut action = view.delete_instance(launcher, &recorded.instance, ip, reason, pair.subject(view));
    let why = if reason == DeleteInstanceReason::NeverStarted { "did not answer in time" } else { "could not be woken" };
    let message = format!("Replacing instance {} of launcher {} because it {why}", recorded.instance, launcher.pod.name);
    action.event = view.event(&requester.pod, "InstanceReplaced", message);
    out.emit(action);
}

/// The engine is awake and the Pod is ready: labels first, then readiness.
fn route(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, pair: Pair<'_>) {
    let Pair { requester, launcher, recorded, .. } = pair;
    let routed = launcher.sleeping_label.as_deref() == Some("false");
    if routed && recorded.applied == Applied::Full {
        readiness::serves(view, told, out, requester, &pair.subject(view));
        return;
    }
    readiness::idles(view, told, out, requester, &pair.subject(view));
    // What was applied before and has drifted is repaired; only at the first time can a key be somebody else's (gap `a29`).
    let problems =
        if routed || recorded.applied == Applied::Full { Vec::new() } else { routing::problems(&recorded.routing, &launcher.pod.object) };
    if problems.is_empty() {
        let object = write::route(&launcher.pod.object, &recorded.routing);
        let mut action = view.replace(&launcher.pod, Verb::Route, object, pair.subject(view));
        action.log.done = "Reconciled bound launcher Pod labels and annotations";
        action.log.fields = vec![
            ("name", launcher.pod.name.clone()),
            ("sleeping", "false".to_owned()),
            ("labelsApplied", "true".to_owned()),
            ("instanceID", recorded.instance.to_string()),
        ];
        out.emit(action);
        return;
    }
    let message = format!(
        "Deleting server-requesting Pod because bound launcher is committed to outdated ISC routing metadata: {}",
        problems.join("; ")
    );
    let mut action = view.delete_pod(&requester.pod, DeletePodReason::OutdatedRouting, pair.subject(view));
    action.event = view.event(&requester.pod, "OutdatedRoutingMetadata", message);
    out.emit(action);
}

/// How a process ended, as a part of a sentence.
fn ended(exit_code: Option<i64>) -> String {
    match exit_code {
        None => String::new(),
        Some(code @ 0..) => format!(" with exit code {code}"),
        Some(signal) => format!(" by signal {}", signal.unsigned_abs()),
    }
}
