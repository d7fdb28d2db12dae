//! The figures of a node: which engine is where, and whom it serves.

use super::room::Room;
use super::view::View;
use crate::action::Duality;
use crate::planned::{Facts, GpuFacts};

/// Adds what occupies the GPUs, and the pairs of requesters and instances.
pub(super) fn facts(view: View<'_>, room: &Room, facts: &mut Facts) {
    for gpu in room.ledger.gpus() {
        let mut on = GpuFacts::default();
        for (engine, entry) in room.ledger.on(&gpu) {
            if entry.occupies() { on.awake.push(engine.clone()) } else { on.asleep.push(engine.clone()) }
        }
        facts.gpus.insert(gpu, on);
    }
    for launcher in view.state.launchers.values() {
        let (Some(binding), Ok(recorded)) = (&launcher.binding, &launcher.recorded) else { continue };
        facts.duality.push(Duality {
            requester: binding.uid.clone(),
            requester_name: binding.name.clone(),
            provider: launcher.pod.name.clone(),
            instance: recorded.instance.clone(),
            gpus: recorded.gpus.clone(),
        });
    }
}
