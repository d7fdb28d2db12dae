//! Which provider a requester gets: here a hot start is decided (actuation 3.7.1, 3.7.2).
//!
//! Every launcher of the wanted config makes an [`Offer`] and the smallest is taken; of direct providers that are the very same
//! Pod, the smallest [`SleeperScore`]. Nothing is deleted here: room is made after the binding, so that the choice cannot change
//! under way.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::emitted::{Busy, Wakes};
use super::reclaim::{self, Age};
use super::room::Room;
use super::view::View;
use crate::action::{EngineRef, Target, Verb};
use crate::ids::{GpuUuid, InstanceId, Uid};
use crate::instance::{self, Wanted};
use crate::limits::{self, ReclaimOrder};
use crate::memory::{Instance, Sleep};
use crate::state::{Direct, IscSpec, Launcher, Lc, PodMeta};

/// The instance that a requester wants, and in what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'s> {
    pub(super) lc: &'s Lc,
    pub(super) spec: &'s IscSpec,
    pub(super) gpus: &'s [GpuUuid],
    pub(super) instance: &'s Wanted,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Choice<'s> {
    /// It holds the wanted instance, under this ID.
    Hot(&'s Launcher, &'s InstanceId),
    /// It has room for it, or room can be made.
    Warm(&'s Launcher),
    /// It will be free in a moment: its requester is gone.
    Releasing(&'s Launcher),
    /// It is starting, or about to answer.
    Starting(&'s Launcher),
    /// One is being created.
    Coming,
    /// Nothing.
    None,
}

impl<'s> Choice<'s> {
    pub(super) fn launcher(&self) -> Option<&'s Launcher> {
        match self {
            Self::Hot(launcher, _) | Self::Warm(launcher) | Self::Releasing(launcher) | Self::Starting(launcher) => Some(launcher),
            Self::Coming | Self::None => None,
        }
    }
}

/// What a launcher offers. The smallest is taken, so the order of the variants, and of the fields in them, is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Offer<'s> {
    /// It holds the wanted instance asleep.
    Hot {
        /// The one used last goes first: the others are reclaimed sooner.
        used: Reverse<Age>,
        /// The instance.
        id: &'s InstanceId,
    },
    /// It holds the wanted instance and is just being released.
    SoonHot(Named<'s>),
    /// It has room.
    Room {
        /// How many instances it holds: the emptiest goes first.
        instances: usize,
        /// How many of them share a GPU with the wanted one: as few as possible.
        same_gpu: usize,
        /// By name.
        named: Named<'s>,
    },
    /// Room can be made.
    Reclaim {
        /// How many instances that costs: as few as possible.
        lost: usize,
        /// The oldest of them: what was not used for longest goes first.
        oldest: Option<Age>,
        /// By name.
        named: Named<'s>,
    },
    /// It is just being released.
    Soon(Named<'s>),
    /// It is starting, or about to answer.
    Starting {
        /// One that is ready goes first.
        unready: bool,
        /// The one that began first.
        created: Timestamp,
        /// By name.
        named: Named<'s>,
    },
}

/// The last word between equals: a name, then the UID, so that no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named<'s> {
    name: &'s str,
    uid: &'s Uid,
}

impl<'s> Named<'s> {
    fn of(pod: &'s PodMeta) -> Self {
        Self { name: &pod.name, uid: &pod.uid }
    }
}

/// The launcher for a wanted instance.
pub(super) fn launcher<'s>(view: View<'s>, room: &mut Room, busy: &Busy, wakes: &mut Wakes, want: Want<'s>) -> Choice<'s> {
    let Some((offer, launcher)) = best(view, room, busy, wakes, want) else {
        return if room.await_launcher(view, &want.lc.name) { Choice::Coming } else { Choice::None };
    };
    let choice = match offer {
        Offer::Hot { id, .. } => Choice::Hot(launcher, id),
        Offer::Room { .. } | Offer::Reclaim { .. } => Choice::Warm(launcher),
        Offer::SoonHot(_) | Offer::Soon(_) => return Choice::Releasing(launcher),
        Offer::Starting { .. } => return Choice::Starting(launcher),
    };
    // One that is being written right now can be had a moment later.
    if view.in_flight(&Target::Pod(launcher.pod.uid.clone())) { Choice::Starting(launcher) } else { choice }
}

/// Of the launchers of the wanted `LauncherConfig` that live and nobody has chosen, the one with the best offer.
fn best<'s>(view: View<'s>, room: &Room, busy: &Busy, wakes: &mut Wakes, want: Want<'s>) -> Option<(Offer<'s>, &'s Launcher)> {
    let current = view.config_hash(want.lc);
    let mut offers = Vec::new();
    for launcher in view.state.launchers.values() {
        if !launcher.pod.live() || room.is_reserved(&launcher.pod.uid) {
            continue;
        }
        let of_this_template = launcher.config_hash == current;
        let offer = match &launcher.binding {
            Some(binding) if of_this_template && view.is_released(binding) => releasing(view, launcher, want),
            Some(_) => None,
            // What the peer made is eligible for the sake of the sleepers that it holds.
            None if launcher.lc == want.lc.name && ((of_this_template && current.is_some()) || launcher.is_foreign()) => {
                unbound(view, busy, wakes, launcher, want)
            }
            None => None,
        };
        offers.extend(offer.map(|offer| (offer, launcher)));
    }
    offers.into_iter().min_by(|(one, _), (other, _)| one.cmp(other))
}

/// The offer of a launcher that is being released, as long as that goes well.
fn releasing<'s>(view: View<'s>, launcher: &'s Launcher, want: Want<'s>) -> Option<Offer<'s>> {
    let pod = &launcher.pod;
    let recorded = launcher.recorded.as_ref().ok()?;
    if !pod.ready || !goes_to_sleep(view, EngineRef::instance(&pod.uid, &recorded.instance)) {
        return None;
    }
    let mut instances = view.state.instances(launcher).into_iter().flatten();
    let holds = instances.any(|(_, instance)| !instance.stopped && instance::same_content(instance, want.spec, want.gpus));
    let named = Named::of(pod);
    Some(if holds { Offer::SoonHot(named) } else { Offer::Soon(named) })
}

/// Whether nothing has failed yet in putting this engine to sleep.
fn goes_to_sleep(view: View<'_>, engine: EngineRef) -> bool {
    let target = Target::Engine(engine);
    [Verb::Sleep, Verb::DeleteInstance].iter().all(|verb| view.failing_since(&target, *verb).is_none())
}

/// The offer of a launcher that nobody is bound to.
fn unbound<'s>(view: View<'s>, busy: &Busy, wakes: &mut Wakes, launcher: &'s Launcher, want: Want<'s>) -> Option<Offer<'s>> {
    let pod = &launcher.pod;
    // Bounded patience: one that is stuck, or not ready for too long, is as good as none (gap `a7`).
    if !pod.ready && (launcher.stuck_label || wakes.passed(pod.not_ready_since(), limits::LAUNCHER_PATIENCE)) {
        return None;
    }
    let named = Named::of(pod);
    let later = Offer::Starting { unready: !pod.ready, created: pod.created, named };
    let told = view.state.told_by(launcher).filter(|memory| !memory.stale && pod.reached_at().is_some());
    let Some(instances) = told.and_then(|memory| memory.instances.known()) else {
        let unanswered = view.failing_since(&Target::Launcher(pod.uid.clone()), Verb::ListInstances);
        let hopeless = unanswered.is_some_and(|since| wakes.passed(since, limits::LAUNCHER_PATIENCE));
        return if hopeless || launcher.is_foreign() { None } else { Some(later) };
    };
    let matching = instances.iter().filter(|(id, instance)| reusable(busy, launcher, id, instance, want));
    let hot = matching.map(|(id, instance)| {
        let engine = EngineRef::instance(&pod.uid, id);
        Offer::Hot { used: Reverse(Age::instance(launcher, &engine, instance, ReclaimOrder::Lru)), id }
    });
    if let Some(hot) = hot.min() {
        return Some(hot);
    }
    if launcher.is_foreign() {
        return None;
    }
    // Being tidied up: what has ended under our ID would look like a death, what says no port may hold ours.
    let untidy = |instance: &Instance| !instance.stopped && instance.port().is_none();
    if instances.contains_key(&want.instance.id) || instances.values().any(untidy) {
        return Some(later);
    }
    let victims = reclaim::victims(view, launcher, want.instance.port, want.lc.max_instances);
    if !victims.is_empty() {
        return Some(Offer::Reclaim { lost: victims.len(), oldest: victims.into_iter().map(|victim| victim.age).min(), named });
    }
    let shares = |instance: &&Instance| instance.gpus.iter().flatten().any(|gpu| want.gpus.contains(gpu));
    Some(Offer::Room { instances: instances.len(), same_gpu: instances.values().filter(shares).count(), named })
}

/// Whether an instance is what is wanted, and nothing is about to happen to it.
fn reusable(busy: &Busy, launcher: &Launcher, id: &InstanceId, instance: &Instance, want: Want<'_>) -> bool {
    !instance.stopped
        && instance.port() == Some(want.spec.port)
        && instance::same_content(instance, want.spec, want.gpus)
        && !busy.contains(&Target::Engine(EngineRef::instance(&launcher.pod.uid, id)))
}

/// Which of several sleeping direct providers that are the very same is taken: the smallest, so the order of the fields is the
/// policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SleeperScore<'s> {
    /// When it was last in use: the most recent goes first.
    used: Reverse<Timestamp>,
    /// By name.
    named: Named<'s>,
}

/// Sleeping direct providers that are the wanted Pod, the best first.
pub(super) fn sleepers<'s>(view: View<'s>, room: &Room, hash: &str) -> Vec<&'s Direct> {
    let asleep = |direct: &Direct| view.state.sleep(&EngineRef::direct(&direct.pod.uid), &direct.pod).is_some_and(Sleep::asleep);
    let usable = |direct: &&Direct| direct.pod.ready && direct.port.is_ok() && asleep(direct);
    let mut sleepers: Vec<&Direct> = candidates(view, room, hash).filter(usable).collect();
    sleepers.sort_by_key(|direct| SleeperScore { used: Reverse(direct.last_used), named: Named::of(&direct.pod) });
    sleepers
}

/// Unbound live providers that are the wanted Pod: never one that is bound, ended or on its way out (gaps `a11`, `a52`).
fn candidates<'s>(view: View<'s>, room: &Room, hash: &str) -> impl Iterator<Item = &'s Direct> {
    view.state.directs.values().filter(move |direct| {
        direct.binding.is_none()
            && direct.nominal == hash
            && direct.pod.live()
            && direct.pod.reached_at().is_some()
            && !room.is_reserved(&direct.pod.uid)
    })
}

/// Whether a provider that is the wanted Pod may still turn out to be usable: one that is just being released, or one that has not
/// answered yet, within patience. It is waited for.
pub(super) fn sleeper_may_come(view: View<'_>, room: &mut Room, wakes: &mut Wakes, hash: &str) -> bool {
    let released = view.state.directs.values().find(|direct| {
        direct.nominal == hash
            && direct.pod.live()
            && direct.pod.ready
            && !room.is_reserved(&direct.pod.uid)
            && direct.binding.as_ref().is_some_and(|binding| view.is_released(binding))
            && goes_to_sleep(view, EngineRef::direct(&direct.pod.uid))
    });
    if let Some(direct) = released {
        room.reserve(&direct.pod.uid);
        return true;
    }
    let mut hopeful = Vec::new();
    for direct in candidates(view, room, hash) {
        let unanswered = view.failing_since(&Target::Engine(EngineRef::direct(&direct.pod.uid)), Verb::ReadSleep);
        let hopeless = match (direct.pod.ready, unanswered) {
            (false, _) => wakes.passed(direct.pod.ready_changed, limits::DIRECT_PATIENCE),
            (true, Some(since)) => wakes.passed(since, limits::DIRECT_PATIENCE),
            (true, None) => false,
        };
        if !hopeless && direct.port.is_ok() {
            hopeful.push(&direct.pod.uid);
        }
    }
    for uid in &hopeful {
        room.reserve(uid);
    }
    !hopeful.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_offers_is_the_policy() {
        let (uid, id) = (Uid::from("u"), InstanceId::from("i"));
        let named = |name: &'static str| Named { name, uid: &uid };
        let age = |second| Age::at(Timestamp::from_second(second).unwrap());
        let sorted = [
            Offer::Hot { used: Reverse(age(2)), id: &id },
            Offer::Hot { used: Reverse(age(1)), id: &id },
            Offer::SoonHot(named("a")),
            Offer::Room { instances: 0, same_gpu: 0, named: named("b") },
            Offer::Room { instances: 1, same_gpu: 0, named: named("a") },
            Offer::Room { instances: 1, same_gpu: 1, named: named("a") },
            Offer::Reclaim { lost: 1, oldest: Some(age(1)), named: named("b") },
            Offer::Reclaim { lost: 1, oldest: Some(age(2)), named: named("a") },
            Offer::Reclaim { lost: 2, oldest: Some(age(0)), named: named("a") },
            Offer::Soon(named("a")),
            Offer::Starting { unready: false, created: Timestamp::MAX, named: named("b") },
            Offer::Starting { unready: true, created: Timestamp::MIN, named: named("a") },
        ];
        assert!(sorted.is_sorted(), "{sorted:?}");
    }
}
