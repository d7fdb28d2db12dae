//! Room on the GPUs: who may begin there, and which sleepers have to go (G6, G45, G52).

use super::Planner;
use super::draft::for_requester;
use super::ledger::Entry;
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject};
use crate::ids::{GpuUuid, Uid};

/// Why something may not begin on a GPU now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    /// For the status, when it lasts.
    pub(super) why: String,
}

impl Planner<'_> {
    /// This requester is next on these GPUs, as far as nobody else is.
    pub(super) fn claim(&mut self, gpus: &[GpuUuid], requester: &Uid) {
        if gpus.iter().all(|gpu| self.claims.get(gpu).is_none_or(|holder| holder == requester)) {
            for gpu in gpus {
                self.claims.insert(gpu.clone(), requester.clone());
            }
        }
    }

    /// Whether an engine may be woken or created for this requester on these GPUs: no other engine is, or may be, awake on any
    /// of them, and no other requester is next.
    pub(super) fn vacant(&self, gpus: &[GpuUuid], mine: Option<&EngineRef>, requester: &Uid) -> Result<(), Blocked> {
        for gpu in gpus {
            let other = self.ledger.on(gpu).find(|(engine, entry)| Some(*engine) != mine && entry.occupies());
            if let Some((engine, _)) = other {
                let name = self.provider_name(engine);
                return Err(Blocked { why: format!("waiting for GPU {gpu}, which an engine of {name} is not known to have released") });
            }
            if let Some(holder) = self.claims.get(gpu).filter(|holder| *holder != requester) {
                let name = self.state.requesters.get(holder).map_or("another requester", |holder| holder.pod.name.as_str());
                return Err(Blocked { why: format!("waiting for GPU {gpu}, which {name} uses") });
            }
        }
        Ok(())
    }

    /// Makes the sleepers on these GPUs fit the budget, `mine` not counted. False: some had to go, or are on their way; wait.
    pub(super) fn within_budget(&mut self, gpus: &[GpuUuid], mine: Option<&EngineRef>, requester: Option<&Uid>) -> bool {
        let limit = self.limits.sleeper_limit();
        let mut fits = true;
        for gpu in gpus {
            let mut sleepers: Vec<(EngineRef, Entry)> = self
                .ledger
                .on(gpu)
                .filter(|(engine, entry)| Some(*engine) != mine && entry.spare())
                .map(|(engine, entry)| (engine.clone(), entry.clone()))
                .collect();
            if sleepers.len() <= limit {
                continue;
            }
            fits = false;
            let total = sleepers.len();
            let leaving = sleepers.iter().filter(|(_, entry)| entry.leaving).count();
            sleepers.retain(|(engine, entry)| !entry.leaving && !self.chosen.contains(engine) && !self.reserved_engine(engine));
            sleepers.sort_by(|(_, one), (_, other)| one.age.cmp(&other.age));
            for (engine, _) in sleepers.iter().take((total - limit).saturating_sub(leaving)) {
                self.evict(engine, gpu, total, limit, requester);
            }
        }
        fits
    }

    /// A direct provider that a requester has chosen is its engine too.
    fn reserved_engine(&self, engine: &EngineRef) -> bool {
        engine.instance.is_none() && self.taken().contains(&engine.provider)
    }

    /// Deletes a sleeper that is one too many.
    fn evict(&mut self, engine: &EngineRef, gpu: &GpuUuid, total: usize, limit: usize, requester: Option<&Uid>) {
        let mut action = match &engine.instance {
            None => {
                let Some(direct) = self.state.directs.get(&engine.provider) else { return };
                let subject = Subject { provider: Some(direct.pod.name.clone()), ..Subject::default() };
                self.delete_pod(&direct.pod, DeletePodReason::SleeperLimit, subject)
            }
            Some(id) => {
                let Some(launcher) = self.state.launchers.get(&engine.provider) else { return };
                let Some(ip) = &launcher.pod.ip else { return };
                let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
                self.delete_instance(launcher, id, ip, DeleteInstanceReason::SleeperLimit, subject)
            }
        };
        let index = self.state.gpu_map.by_uuid.get(gpu).map_or_else(|| gpu.to_string(), |(_, index)| index.to_string());
        action.log.fields.extend([("idx", index), ("total", total.to_string()), ("limit", limit.to_string())]);
        if let Some(requester) = requester {
            action = for_requester(action, requester);
        }
        self.emit(action);
    }

    /// Sleepers beyond the budget on GPUs where something is awake, or about to be (9.3, last).
    pub(super) fn sleepers_beyond_budget(&mut self) {
        for gpu in self.ledger.gpus() {
            let awake = self.ledger.on(&gpu).any(|(_, entry)| entry.occupies());
            if awake {
                self.within_budget(std::slice::from_ref(&gpu), None, None);
            }
        }
    }
}
