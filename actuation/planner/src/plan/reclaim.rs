//! Reclaim: which engines go when room is needed, in a launcher or on a GPU (actuation 3.7.2, 3.11.2; gaps `a5`, `a6`, `a45`).
//!
//! Only sleepers that nobody has chosen go, and instances that hold the port of a new one. The order is [`Age`], everywhere.

use jiff::Timestamp;

use super::draft::for_requester;
use super::emitted::Emitted;
use super::ledger::Entry;
use super::room::Room;
use super::view::View;
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject};
use crate::ids::{GpuUuid, InstanceId, Uid};
use crate::limits::ReclaimOrder;
use crate::memory::Instance;
use crate::state::{Direct, Launcher, PodMeta, Recorded};

/// The order of reclaim: the smallest goes first, so the order of the fields is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    /// When its use ended, or when it was made ([`ReclaimOrder`]): the longest ago goes first.
    at: Timestamp,
    /// Its place in its launcher's list, 0 for others: the one made first goes first.
    order: u64,
    /// Name of its Pod.
    name: String,
    /// Itself: no two are equal.
    engine: EngineRef,
}

impl Age {
    pub(super) fn direct(direct: &Direct) -> Self {
        Self { at: direct.last_used, ..Self::of_pod(&direct.pod, &EngineRef::direct(&direct.pod.uid)) }
    }

    pub(super) fn instance(launcher: &Launcher, engine: &EngineRef, instance: &Instance, order: ReclaimOrder) -> Self {
        let used = engine.instance.as_ref().and_then(|id| launcher.last_used.get(id));
        let at = match (order, used) {
            (ReclaimOrder::Lru, Some(used)) => *used,
            (ReclaimOrder::Lru, None) | (ReclaimOrder::Fifo, _) => instance.first_seen,
        };
        Self { at, order: instance.order, ..Self::of_pod(&launcher.pod, engine) }
    }

    /// An engine that nothing else is known of yet than its Pod.
    pub(super) fn of_pod(pod: &PodMeta, engine: &EngineRef) -> Self {
        Self { at: pod.created, order: 0, name: pod.name.clone(), engine: engine.clone() }
    }
}

/// The order in which instances go from a full launcher: the smallest goes first, so the order of the fields is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VictimScore {
    /// Its process runs: those that have ended go first.
    running: bool,
    /// Its place in the order of reclaim.
    age: Age,
}

/// An instance that has to go.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub(super) id: InstanceId,
    pub(super) age: Age,
    reason: DeleteInstanceReason,
}

/// The instances that have to go from a launcher for a new one on `port`: those on the same port, and of the others as many as
/// there are above `max` - 1.
pub(super) fn victims(view: View<'_>, launcher: &Launcher, port: u16, max: usize) -> Vec<Victim> {
    let Some(instances) = view.state.instances(launcher) else { return Vec::new() };
    let (mut victims, mut rest) = (Vec::new(), Vec::new());
    for (id, instance) in instances {
        let age = Age::instance(launcher, &EngineRef::instance(&launcher.pod.uid, id), instance, view.state.limits.reclaim);
        if instance.port() == Some(port) {
            victims.push(Victim { id: id.clone(), age, reason: DeleteInstanceReason::PortConflict });
        } else {
            rest.push((VictimScore { running: !instance.stopped, age }, id));
        }
    }
    let surplus = instances.len().saturating_sub(max.saturating_sub(1)).saturating_sub(victims.len());
    rest.sort();
    let capacity =
        |(score, id): (VictimScore, &InstanceId)| Victim { id: id.clone(), age: score.age, reason: DeleteInstanceReason::Capacity };
    victims.extend(rest.into_iter().take(surplus).map(capacity));
    victims
}

/// Deletes what holds our port in a launcher and what exceeds its capacity. `false`: wait until it is gone.
pub(super) fn makes_room_in_launcher(
    view: View<'_>,
    out: &mut Emitted<'_>,
    launcher: &Launcher,
    recorded: &Recorded,
    ip: &str,
    requester: &Uid,
) -> bool {
    let max = view.state.configs.lcs.get(&launcher.lc).map_or(usize::MAX, |lc| lc.max_instances);
    let victims = victims(view, launcher, recorded.port, max);
    for victim in &victims {
        let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
        let mut action = view.delete_instance(launcher, &victim.id, ip, victim.reason, subject);
        action.log.fields.push(("maxOthers", max.saturating_sub(1).to_string()));
        out.emit(for_requester(action, requester));
    }
    victims.is_empty()
}

/// A GPU with sleepers beyond the budget.
struct Crowd<'g> {
    gpu: &'g GpuUuid,
    sleepers: usize,
    limit: usize,
}

/// Deletes sleepers on these GPUs until the rest fits the budget, `mine` not counted. `false`: some had to go, or are on their
/// way; wait.
pub(super) fn makes_room_on_gpus(
    view: View<'_>,
    room: &Room,
    out: &mut Emitted<'_>,
    gpus: &[GpuUuid],
    mine: Option<&EngineRef>,
    requester: Option<&Uid>,
) -> bool {
    let limit = view.state.limits.sleeper_limit();
    let mut fits = true;
    for gpu in gpus {
        let sleepers = room.ledger.on(gpu).filter(|(engine, entry)| Some(*engine) != mine && entry.spare());
        let mut sleepers: Vec<(&EngineRef, &Entry)> = sleepers.collect();
        let crowd = Crowd { gpu, sleepers: sleepers.len(), limit };
        if crowd.sleepers <= limit {
            continue;
        }
        fits = false;
        let leaving = sleepers.iter().filter(|(_, entry)| entry.leaving).count();
        sleepers.retain(|(engine, entry)| !entry.leaving && !room.is_spoken_for(engine));
        sleepers.sort_by_key(|(_, entry)| &entry.age);
        for (engine, _) in sleepers.iter().take((crowd.sleepers - limit).saturating_sub(leaving)) {
            evict(view, out, engine, &crowd, requester);
        }
    }
    fits
}

/// Deletes a sleeper that is one too many.
fn evict(view: View<'_>, out: &mut Emitted<'_>, engine: &EngineRef, crowd: &Crowd<'_>, requester: Option<&Uid>) {
    let mut action = match &engine.instance {
        None => {
            let Some(direct) = view.state.directs.get(&engine.provider) else { return };
            let subject = Subject { provider: Some(direct.pod.name.clone()), ..Subject::default() };
            view.delete_pod(&direct.pod, DeletePodReason::SleeperLimit, subject)
        }
        Some(id) => {
            let Some(launcher) = view.state.launchers.get(&engine.provider) else { return };
            let Some(ip) = &launcher.pod.ip else { return };
            let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
            view.delete_instance(launcher, id, ip, DeleteInstanceReason::SleeperLimit, subject)
        }
    };
    let index = view.state.gpu_map.by_uuid.get(crowd.gpu).map_or_else(|| crowd.gpu.to_string(), |(_, index)| index.to_string());
    action.log.fields.extend([("idx", index), ("total", crowd.sleepers.to_string()), ("limit", crowd.limit.to_string())]);
    if let Some(requester) = requester {
        action = for_requester(action, requester);
    }
    out.emit(action);
}

/// Sleepers beyond the budget on GPUs where something is awake, or about to be (actuation 9.3).
pub(super) fn sleepers_beyond_budget(view: View<'_>, room: &Room, out: &mut Emitted<'_>) {
    for gpu in room.ledger.gpus() {
        if room.ledger.on(&gpu).any(|(_, entry)| entry.occupies()) {
            makes_room_on_gpus(view, room, out, std::slice::from_ref(&gpu), None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Age {
        /// One of which only the time matters.
        pub(in crate::plan) fn at(at: Timestamp) -> Self {
            Self { at, order: 0, name: String::new(), engine: EngineRef::direct(&Uid::from("p")) }
        }
    }

    #[test]
    fn what_has_ended_goes_before_the_oldest_that_runs() {
        let score = |running, second| VictimScore { running, age: Age::at(Timestamp::from_second(second).unwrap()) };
        assert!([score(false, 2), score(true, 0), score(true, 1)].is_sorted());
    }
}
