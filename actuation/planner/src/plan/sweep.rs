//! Tidying up what nobody is bound to (actuation 9.3).
//!
//! Evaluated in every plan, so that nothing depends on having seen an event (gap `a14`). An unbound engine must sleep: one that does
//! not is put to sleep, whatever brought it about; one that will not is deleted when a requester needs its GPU.

use super::draft::EngineCall;
use super::emitted::{Emitted, Wakes};
use super::release::{dismiss, gave_up};
use super::room::Room;
use super::view::{Provider, View};
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject, Target, Verb};
use crate::ids::{GpuUuid, InstanceId};
use crate::limits::{LIST_INTERVAL, later};
use crate::memory::{Instance, Obs, Sleep};
use crate::state::{Direct, Launcher};

/// All providers, bound launchers included: they hold instances that nobody is bound to.
pub(super) fn sweep(view: View<'_>, room: &Room, out: &mut Emitted<'_>) {
    for direct in view.state.directs.values() {
        if direct.binding.is_none() {
            if direct.pod.live() { sweep_direct(view, room, out, direct) } else { dismiss(view, out, None, Provider::Direct(direct)) }
        }
    }
    for launcher in view.state.launchers.values() {
        if launcher.pod.live() {
            sweep_launcher(view, room, out, launcher);
        } else if launcher.binding.is_none() {
            dismiss(view, out, None, Provider::Launcher(launcher));
        }
    }
}

fn sweep_direct(view: View<'_>, room: &Room, out: &mut Emitted<'_>, direct: &Direct) {
    let pod = &direct.pod;
    let (Some(ip), Ok(port)) = (pod.reached_at(), &direct.port) else { return };
    let subject = view.subject(None, Some(Provider::Direct(direct)));
    let call = EngineCall { engine: EngineRef::direct(&pod.uid), provider: pod, ip, port: *port, subject };
    let sleep = view.state.sleep(&call.engine, pod);
    if sleep.is_some_and(Sleep::asleep) {
        return;
    }
    if gave_up_idle(view, &mut out.wakes, &call.engine, sleep) && room.claimed(&view.direct_gpus(direct)) {
        out.emit(view.delete_pod(pod, DeletePodReason::WillNotSleep, call.subject));
    } else {
        put_to_sleep(view, out, &call, sleep);
    }
}

fn sweep_launcher(view: View<'_>, room: &Room, out: &mut Emitted<'_>, launcher: &Launcher) {
    let Some(ip) = launcher.pod.reached_at() else { return };
    refresh(view, room, out, launcher, ip);
    let bound = if launcher.binding.is_some() { launcher.recorded.as_ref().ok().map(|recorded| &recorded.instance) } else { None };
    if launcher.binding.is_some() && bound.is_none() {
        // Being released by `release_unreadable`, or waiting for somebody to mend its annotations.
        return;
    }
    for (id, instance) in view.state.instances(launcher).into_iter().flatten() {
        if Some(id) != bound {
            sweep_instance(view, room, out, launcher, (id, instance), ip);
        }
    }
}

fn sweep_instance(
    view: View<'_>,
    room: &Room,
    out: &mut Emitted<'_>,
    launcher: &Launcher,
    (id, instance): (&InstanceId, &Instance),
    ip: &str,
) {
    let subject = Subject {
        provider: Some(launcher.pod.name.clone()),
        instance: Some(id.clone()),
        isc: instance.isc().map(str::to_owned),
        ..Subject::default()
    };
    let delete = |reason| view.delete_instance(launcher, id, ip, reason, subject.clone());
    if instance.stopped {
        out.emit(delete(DeleteInstanceReason::Stopped));
        return;
    }
    let Some(port) = instance.port() else {
        out.emit(delete(DeleteInstanceReason::NoPort));
        return;
    };
    let engine = EngineRef::instance(&launcher.pod.uid, id);
    let sleep = view.state.sleep(&engine, &launcher.pod);
    if sleep.is_some_and(Sleep::asleep) {
        if instance.obsolete(&view.state.configs) && !room.is_spoken_for(&engine) {
            out.emit(delete(DeleteInstanceReason::Obsolete));
        }
        return;
    }
    let gpus: Vec<GpuUuid> = instance.gpus.iter().flatten().cloned().collect();
    if gave_up_idle(view, &mut out.wakes, &engine, sleep) && room.claimed(&gpus) {
        out.emit(delete(DeleteInstanceReason::WillNotSleep));
    } else {
        put_to_sleep(view, out, &EngineCall { engine, provider: &launcher.pod, ip, port, subject: subject.clone() }, sleep);
    }
}

/// Puts an engine to sleep that nobody is bound to; one that is not known is asked first.
fn put_to_sleep(view: View<'_>, out: &mut Emitted<'_>, call: &EngineCall<'_>, sleep: Option<Sleep>) {
    if sleep.is_none() {
        out.emit_idle(view.read_sleep(call));
    } else {
        out.emit(view.put_to_sleep(call));
    }
}

/// Whether an unbound engine has neither answered nor gone to sleep for longer than is waited for.
fn gave_up_idle(view: View<'_>, wakes: &mut Wakes, engine: &EngineRef, sleep: Option<Sleep>) -> bool {
    let verb = if sleep.is_none() { Verb::ReadSleep } else { Verb::Sleep };
    gave_up(view, wakes, engine, verb) || gave_up(view, wakes, engine, Verb::Sleep)
}

/// Asks a launcher for its instances when what it told is missing, or may be old.
pub(super) fn refresh(view: View<'_>, room: &Room, out: &mut Emitted<'_>, launcher: &Launcher, ip: &str) {
    let list = match view.state.told_by(launcher).map(|memory| (memory, &memory.instances)) {
        None | Some((_, Obs::Unknown)) => true,
        Some((memory, Obs::Known { at, .. })) => {
            let changed = launcher.signature != memory.signature && !memory.followed;
            // Nobody tells of changes: look from time to time, as long as somebody depends on it.
            let blind = launcher.binding.is_some() && !memory.followed && launcher.signature.is_none();
            let due = blind && out.wakes.reached(later(*at, LIST_INTERVAL));
            memory.stale || changed || due
        }
    };
    if !list || out.busy.contains(&Target::Launcher(launcher.pod.uid.clone())) {
        return;
    }
    let action = view.list_instances(launcher, ip);
    if launcher.pod.ready || launcher.binding.is_some() || room.is_reserved(&launcher.pod.uid) {
        out.emit(action);
    } else {
        out.emit_idle(action);
    }
}
