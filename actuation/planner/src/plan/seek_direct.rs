//! A provider for a direct requester: a sleeping one that is the very same, else a new one (actuation 3.7.1).

use super::emitted::Emitted;
use super::room::Room;
use super::told::Told;
use super::view::{Provider, View};
use super::{choice, reclaim};
use crate::action::{EngineRef, Log, Target, Verb};
use crate::ids::{GpuUuid, join_gpus};
use crate::nominal::{self, Nominal, Place};
use crate::state::{Direct, Requester};
use crate::write;

/// A live requester that wants the Pod which this patch makes of it, on these GPUs.
pub(super) fn seek(
    view: View<'_>,
    room: &mut Room,
    told: &mut Told,
    out: &mut Emitted<'_>,
    requester: &Requester,
    patch: &str,
    (gpus, indices): (&[GpuUuid], &[u32]),
) {
    let uid = &requester.pod.uid;
    let nominal = match nominal::build(&requester.pod, patch, Place { node: &view.state.node, gpus, indices }) {
        Ok(nominal) => nominal,
        Err(why) => {
            told.problem(uid, format!("failed to construct the nominal server-providing Pod: {why}"));
            return;
        }
    };
    let sleepers = choice::sleepers(view, room, &nominal.hash);
    let sleeper = sleepers.first().copied();
    let engine = sleeper.map(|direct| EngineRef::direct(&direct.pod.uid));
    let vacant = room.vacant(view, gpus, engine.as_ref(), uid);
    room.claim(gpus, uid);
    if let Err(why) = vacant {
        told.waits(&mut out.wakes, requester, why);
        return;
    }
    if let Some(direct) = sleeper.filter(|direct| view.in_flight(&Target::Pod(direct.pod.uid.clone()))) {
        // It is being written right now and can be had a moment later.
        room.reserve(&direct.pod.uid);
        told.waits(&mut out.wakes, requester, "waiting for a sleeping server-providing Pod to answer".to_owned());
    } else if let Some(direct) = sleeper {
        bind(view, room, out, requester, direct, sleepers.len());
    } else if choice::sleeper_may_come(view, room, &mut out.wakes, &nominal.hash) {
        told.waits(&mut out.wakes, requester, "waiting for a sleeping server-providing Pod to answer".to_owned());
    } else if !reclaim::makes_room_on_gpus(view, room, out, gpus, None, Some(uid)) {
        told.waits(&mut out.wakes, requester, "waiting for sleeping engines beyond the limit to be deleted".to_owned());
    } else {
        create(view, told, out, requester, nominal, gpus);
    }
}

fn bind(view: View<'_>, room: &mut Room, out: &mut Emitted<'_>, requester: &Requester, direct: &Direct, matching: usize) {
    room.choose(EngineRef::direct(&direct.pod.uid));
    let binding = requester.id();
    let object = write::bind_direct(&direct.pod.object, &binding);
    let provider = Provider::Direct(direct);
    let mut action = view.replace(&direct.pod, Verb::Bind, object, view.subject(Some(&binding), Some(provider)));
    action.key.detail = binding.uid.to_string();
    action.log = view.bound_log("Bound server-providing Pod", provider);
    if matching > 1 {
        // Said by the peer when it happens; harmless, because the choice is ordered.
        action.log.fields.push(("matching", matching.to_string()));
    }
    out.emit(action);
}

fn create(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, nominal: Nominal, gpus: &[GpuUuid]) {
    let uid = &requester.pod.uid;
    let binding = requester.id();
    let mut action = view.create_pod(Target::NewProvider(uid.clone()), Verb::CreateDirect, nominal.pod, Some(&binding), None);
    // Another patch makes another Pod: an older refusal says nothing about it (gap `a24`).
    action.key.detail = nominal.hash;
    action.log = Log {
        done: "Created server-providing pod",
        failed: "Failed to create server-providing Pod",
        fields: vec![("node", view.state.node.name.clone()), ("gpus", join_gpus(gpus))],
        ..Log::default()
    };
    if told.failed_create(view, uid, &action.key, ("the nominal server-providing", "server-providing Pod")) {
        return;
    }
    out.emit(action);
}
