//! Room: which engine holds which GPU, who is next there, and which providers are spoken for.
//!
//! A step that takes `&Room` can only ask; only requesters without a provider, and the claims of bound pairs, change it.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::view::View;
use crate::action::{EngineRef, Target, Verb};
use crate::ids::{GpuUuid, Uid};

/// Room on a node in a plan in the making.
pub(super) struct Room {
    /// What occupies the GPUs.
    pub(super) ledger: Ledger,
    /// Which requester is next on a GPU; nobody else may begin there.
    claims: BTreeMap<GpuUuid, Uid>,
    /// Providers that a requester has chosen or waits for: not for others, not to be deleted.
    reserved: BTreeSet<Uid>,
    /// Sleeping engines that a requester has chosen: not to be deleted.
    chosen: BTreeSet<EngineRef>,
    /// Launchers that are being created for requesters, by `LauncherConfig`.
    creating: BTreeMap<String, usize>,
    /// How many of the launchers that are being created for the population a requester waits for, by `LauncherConfig`.
    awaited: BTreeMap<String, usize>,
}

impl Room {
    pub(super) fn new(view: View<'_>) -> Self {
        Self {
            ledger: Ledger::new(view),
            claims: BTreeMap::new(),
            reserved: BTreeSet::new(),
            chosen: BTreeSet::new(),
            creating: launchers_in_flight(view),
            awaited: BTreeMap::new(),
        }
    }

    /// This requester is next on these GPUs, as far as nobody else is.
    pub(super) fn claim(&mut self, gpus: &[GpuUuid], requester: &Uid) {
        if gpus.iter().all(|gpu| self.claims.get(gpu).is_none_or(|holder| holder == requester)) {
            for gpu in gpus {
                self.claims.insert(gpu.clone(), requester.clone());
            }
        }
    }

    /// Whether a requester is next on one of these GPUs.
    pub(super) fn claimed(&self, gpus: &[GpuUuid]) -> bool {
        gpus.iter().any(|gpu| self.claims.contains_key(gpu))
    }

    /// Whether an engine may be woken or created for this requester on these GPUs: no other engine is, or may be, awake on any
    /// of them, and no other requester is next. If not, why, for the status.
    pub(super) fn vacant(&self, view: View<'_>, gpus: &[GpuUuid], mine: Option<&EngineRef>, requester: &Uid) -> Result<(), String> {
        for gpu in gpus {
            let other = self.ledger.on(gpu).find(|(engine, entry)| Some(*engine) != mine && entry.occupies());
            if let Some((engine, _)) = other {
                let name = view.provider_name(engine);
                return Err(format!("waiting for GPU {gpu}, which an engine of {name} is not known to have released"));
            }
            if let Some(holder) = self.claims.get(gpu).filter(|holder| *holder != requester) {
                let name = view.state.requesters.get(holder).map_or("another requester", |holder| holder.pod.name.as_str());
                return Err(format!("waiting for GPU {gpu}, which {name} uses"));
            }
        }
        Ok(())
    }

    /// A requester waits for this provider.
    pub(super) fn reserve(&mut self, provider: &Uid) {
        self.reserved.insert(provider.clone());
    }

    /// A requester takes this engine, and its provider with it.
    pub(super) fn choose(&mut self, engine: EngineRef) {
        self.reserve(&engine.provider);
        self.chosen.insert(engine);
    }

    /// Whether a requester has chosen this provider, or waits for it.
    pub(super) fn is_reserved(&self, provider: &Uid) -> bool {
        self.reserved.contains(provider)
    }

    /// Whether a requester has chosen this engine, or waits for the direct provider whose engine it is.
    pub(super) fn is_spoken_for(&self, engine: &EngineRef) -> bool {
        self.chosen.contains(engine) || (engine.instance.is_none() && self.is_reserved(&engine.provider))
    }

    /// Takes one of the launchers that the populator is creating; `false` when there is none.
    pub(super) fn await_launcher(&mut self, view: View<'_>, lc: &str) -> bool {
        let awaited = self.awaited.entry(lc.to_owned()).or_default();
        let more = *awaited < stock_in_flight(view, lc).count();
        *awaited += usize::from(more);
        more
    }

    /// A launcher of this `LauncherConfig` is being created for a requester.
    pub(super) fn creates_launcher(&mut self, lc: &str) {
        *self.creating.entry(lc.to_owned()).or_default() += 1;
    }

    /// Launchers of this `LauncherConfig` that are being created, for the population or for a requester.
    pub(super) fn launchers_coming(&self, view: View<'_>, lc: &str) -> usize {
        stock_in_flight(view, lc).count() + self.creating.get(lc).copied().unwrap_or(0)
    }
}

/// The ordinals of the launchers of this `LauncherConfig` that are being created for the population.
pub(super) fn stock_in_flight<'v>(view: View<'v>, lc: &'v str) -> impl Iterator<Item = u32> + 'v {
    view.state.memory.in_flight.keys().filter_map(move |key| match &key.target {
        Target::NewLauncher(of, ordinal) if of == lc => Some(*ordinal),
        _ => None,
    })
}

/// Launchers whose creation for a requester is under way, by `LauncherConfig`.
fn launchers_in_flight(view: View<'_>) -> BTreeMap<String, usize> {
    let mut coming = BTreeMap::new();
    for key in view.state.memory.in_flight.keys() {
        let (Verb::CreateLauncher, Target::NewProvider(uid)) = (key.verb, &key.target) else { continue };
        let isc = view.state.requesters.get(uid).and_then(|requester| requester.kind.isc());
        if let Some(spec) = isc.and_then(|isc| view.state.configs.isc(isc)) {
            *coming.entry(spec.launcher_config.clone()).or_default() += 1;
        }
    }
    coming
}
