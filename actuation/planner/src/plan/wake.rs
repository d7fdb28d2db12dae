//! Waking a bound engine (actuation 3.11.1): room, memory, call.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_apis::names::path;

use super::draft::EngineCall;
use super::emitted::Emitted;
use super::reclaim;
use super::room::Room;
use super::told::Told;
use super::view::View;
use crate::action::{Target, Verb, base_url};
use crate::ids::GpuUuid;
use crate::limits::{MEMORY_FRESH, later};
use crate::memory::Obs;
use crate::state::Requester;

/// Wakes an engine that is known to be asleep, when there is room.
pub(super) fn wake(
    view: View<'_>,
    room: &Room,
    told: &mut Told,
    out: &mut Emitted<'_>,
    requester: &Requester,
    call: &EngineCall<'_>,
    gpus: &[GpuUuid],
) {
    let uid = &requester.pod.uid;
    if let Err(why) = room.vacant(view, gpus, Some(&call.engine), uid) {
        told.waits(&mut out.wakes, requester, why);
        return;
    }
    if !reclaim::makes_room_on_gpus(view, room, out, gpus, Some(&call.engine), Some(uid)) {
        told.waits(&mut out.wakes, requester, "waiting for sleeping engines beyond the limit to be deleted".to_owned());
        return;
    }
    if view.state.limits.check_gpu_memory && !memory_allows(view, told, out, requester, gpus) {
        return;
    }
    // Bound and never told ready: this is the first wake after the binding.
    let fresh = view.state.stub(requester).is_none_or(|stub| !stub.history.was_ready);
    out.emit(view.wake_up(call, if fresh { "freshly-bound" } else { "discovered-bound" }));
}

/// Says that it could not be woken so far; also while it is tried again.
pub(super) fn tell_failed(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, call: &EngineCall<'_>) {
    let Some(failure) = view.failure(Target::Engine(call.engine.clone()), Verb::Wake) else { return };
    let what = call.engine.instance.as_ref().map_or_else(
        || format!("the engine of server-providing Pod {:?}", call.provider.name),
        |id| format!("instance {:?} of launcher Pod {:?}", id.as_str(), call.provider.name),
    );
    told.failing(&mut out.wakes, &requester.pod.uid, &format!("failed to wake {what}"), failure);
}

/// Whether so little memory is in use on these GPUs that sleepers alone can account for it.
fn memory_allows(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, gpus: &[GpuUuid]) -> bool {
    let (Some(ip), Ok(port)) = (&requester.pod.ip, &requester.admin_port) else { return false };
    let url = format!("{}{}", base_url(ip, *port), path::ACCELERATOR_MEMORY);
    let known = view.state.stub(requester).map(|stub| &stub.gpu_memory);
    if let Some(Obs::Known { value, at }) = known {
        let verdict = check_memory(value, gpus, view.state.limits.wake_memory_limit_mib());
        let fresh = view.now <= later(*at, MEMORY_FRESH);
        match verdict {
            Ok(()) if fresh => return true,
            Ok(()) => {}
            Err(why) => told.problem(&requester.pod.uid, why),
        }
        if fresh {
            // Ask again as soon as the answer is too old.
            out.wakes.at(later(*at, MEMORY_FRESH + Duration::from_millis(1)));
            return false;
        }
    }
    told.failing_get(view, &mut out.wakes, requester, Verb::ReadGpuMemory, &url);
    out.emit(view.read_gpu_memory(requester, &url));
    false
}

fn check_memory(usage: &BTreeMap<GpuUuid, u64>, gpus: &[GpuUuid], limit: u64) -> Result<(), String> {
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
