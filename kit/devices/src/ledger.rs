//! The memory ledger of one node. PURE.
//!
//! Held: the accelerators, and the leases on them. A lease belongs to one connection; ending the connection ends all
//! of its leases. Callers: [`crate::Devices`] (live), tests.
//!
//! Invariants, kept by every call that returns, also one that fails:
//! 1. the bytes of the leases on an accelerator never exceed its total;
//! 2. what is reported as used is the sum of the leases, nothing is cached beside them;
//! 3. a lease id is never used twice;
//! 4. a failed call changes nothing but the count of what did not fit; a call that changes something raises the generation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gpu::{Bytes, Gpu};

/// Name of a lease, unique for the life of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// What the holder of a lease does with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// The engine serves, or is loading to serve.
    Awake,
    /// The engine sleeps; the bytes are the residue that sleeping leaves on the device.
    Asleep,
}

/// What a client says about itself when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Identity {
    /// Name of the Pod (or of the host, outside of one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// UID of the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// What the program is, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub program: String,
}

impl Identity {
    /// The identity a process in a Pod of ours has: `HOSTNAME`, `DORMOUSE_POD_UID`, and the program's name.
    pub fn of_this_process(program: impl Into<String>) -> Self {
        Self {
            pod: std::env::var("HOSTNAME").ok().filter(|v| !v.is_empty()),
            pod_uid: std::env::var(dormouse_names::env::POD_UID).ok().filter(|v| !v.is_empty()),
            program: program.into(),
        }
    }
}

/// Who holds a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// As the client said.
    #[serde(flatten)]
    pub identity: Identity,
    /// Process at the other end of the socket, as the kernel says; absent for a holder in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Connection the lease lives with.
    pub connection: u64,
}

/// A wish for memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// UUID of the accelerator.
    pub gpu: String,
    /// How much.
    pub bytes: u64,
    /// What it is for, shown to people: an instance id, a served model name.
    pub label: String,
    /// The model that lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the holder does.
    pub state: LeaseState,
}

/// Figures of an allocation that did not fit; prints like CUDA's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error(
    "CUDA out of memory. Tried to allocate {}. GPU {gpu_index} ({uuid}) has a total capacity of {} of which {} is free.{}",
    Bytes(*.wanted), Bytes(*.total), Bytes(*.free),
    .holders.iter().map(|h| format!(" {h}")).collect::<String>()
)]
pub struct OutOfMemory {
    /// UUID of the accelerator.
    pub uuid: String,
    /// Its index on the node.
    pub gpu_index: u32,
    /// Bytes asked for beyond what the lease already held.
    pub wanted: u64,
    /// Bytes free.
    pub free: u64,
    /// Memory of the accelerator.
    pub total: u64,
    /// One sentence per other holder, largest first, at most eight.
    pub holders: Vec<String>,
}

/// Why the ledger refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LedgerError {
    /// It does not fit.
    #[error(transparent)]
    OutOfMemory(OutOfMemory),
    /// No such accelerator.
    #[error("no accelerator {uuid:?} on this node (it has {known})")]
    UnknownGpu {
        /// What was asked for.
        uuid: String,
        /// What there is.
        known: String,
    },
    /// No such lease, or one of another connection.
    #[error("no lease {id} on this connection")]
    UnknownLease {
        /// What was asked for.
        id: u64,
    },
    /// Two accelerators with one name or index.
    #[error("two accelerators are called {name}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// One connection holds too many leases.
    #[error("a connection may hold {limit} leases at most")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// One lease as shown to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSnapshot {
    /// Its name.
    pub id: LeaseId,
    /// Who holds it.
    pub owner: Owner,
    /// What it is for.
    pub label: String,
    /// The model that lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How much.
    pub bytes: u64,
    /// What the holder does.
    pub state: LeaseState,
}

/// One accelerator and who holds its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuSnapshot {
    /// The accelerator.
    #[serde(flatten)]
    pub gpu: Gpu,
    /// Sum of the leases.
    pub used_bytes: u64,
    /// How often memory was asked for that was not there. Engines that fill an accelerator cannot be awake on it at the
    /// same time, so this tells, without watching every moment, whether two ever tried.
    #[serde(default)]
    pub refused: u64,
    /// The leases, oldest first.
    pub leases: Vec<LeaseSnapshot>,
}

impl GpuSnapshot {
    /// Leases whose holder is awake.
    pub fn awake(&self) -> impl Iterator<Item = &LeaseSnapshot> {
        self.leases.iter().filter(|l| l.state == LeaseState::Awake)
    }
}

/// Leases one connection may hold: far above what an engine needs, far below what would hurt.
const MAX_LEASES_PER_CONNECTION: usize = 256;
/// Holders named in an out-of-memory message.
const HOLDERS_SHOWN: usize = 8;

#[derive(Clone, Debug)]
struct Lease {
    gpu: usize,
    owner: Owner,
    label: String,
    model: Option<String>,
    bytes: u64,
    state: LeaseState,
}

/// The ledger; see the module's invariants.
#[derive(Clone, Debug)]
pub struct Ledger {
    gpus: Vec<Gpu>,
    /// Refusals by accelerator.
    refused: Vec<u64>,
    leases: BTreeMap<LeaseId, Lease>,
    next: u64,
    generation: u64,
}

impl Ledger {
    /// An empty ledger over these accelerators.
    ///
    /// # Errors
    /// [`LedgerError::Duplicate`] when two share a UUID or an index.
    pub fn new(gpus: Vec<Gpu>) -> Result<Self, LedgerError> {
        for (i, gpu) in gpus.iter().enumerate() {
            if let Some(other) = gpus[..i].iter().find(|g| g.uuid == gpu.uuid || g.index == gpu.index) {
                let name = if other.uuid == gpu.uuid { gpu.uuid.clone() } else { format!("index {}", gpu.index) };
                return Err(LedgerError::Duplicate { name });
            }
        }
        Ok(Self { refused: vec![0; gpus.len()], gpus, leases: BTreeMap::new(), next: 1, generation: 1 })
    }

    /// The accelerators, in the order given.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// Rises with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Position of an accelerator in [`Self::gpus`].
    ///
    /// # Errors
    /// [`LedgerError::UnknownGpu`].
    pub fn position(&self, uuid: &str) -> Result<usize, LedgerError> {
        self.gpus.iter().position(|g| g.uuid == uuid).ok_or_else(|| LedgerError::UnknownGpu {
            uuid: uuid.to_owned(),
            known: self.gpus.iter().map(|g| g.uuid.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Bytes held on the accelerator at `position`.
    pub fn used(&self, position: usize) -> u64 {
        self.leases.values().filter(|l| l.gpu == position).map(|l| l.bytes).sum()
    }

    /// Takes memory for `owner`.
    ///
    /// # Errors
    /// Out of memory, unknown accelerator, too many leases.
    pub fn allocate(&mut self, owner: Owner, wish: Allocation) -> Result<LeaseId, LedgerError> {
        let gpu = self.position(&wish.gpu)?;
        let held = self.leases.values().filter(|l| l.owner.connection == owner.connection).count();
        if held >= MAX_LEASES_PER_CONNECTION {
            return Err(LedgerError::TooMany { limit: MAX_LEASES_PER_CONNECTION });
        }
        self.fits(gpu, wish.bytes, None)?;
        let id = LeaseId(self.next);
        self.next += 1;
        let Allocation { bytes, label, model, state, .. } = wish;
        self.leases.insert(id, Lease { gpu, owner, label, model, bytes, state });
        self.generation += 1;
        Ok(id)
    }

    /// Changes size and state of a lease of `connection` in one step.
    ///
    /// # Errors
    /// Out of memory (the lease keeps what it had), unknown lease.
    pub fn resize(&mut self, connection: u64, id: LeaseId, bytes: u64, state: LeaseState) -> Result<(), LedgerError> {
        let lease = self.lease_of(connection, id)?;
        let (gpu, before) = (lease.gpu, lease.bytes);
        if bytes > before {
            self.fits(gpu, bytes - before, Some(id))?;
        }
        if let Some(lease) = self.leases.get_mut(&id) {
            (lease.bytes, lease.state) = (bytes, state);
            self.generation += 1;
        }
        Ok(())
    }

    /// Gives a lease of `connection` back.
    ///
    /// # Errors
    /// Unknown lease.
    pub fn release(&mut self, connection: u64, id: LeaseId) -> Result<(), LedgerError> {
        self.lease_of(connection, id)?;
        self.leases.remove(&id);
        self.generation += 1;
        Ok(())
    }

    /// Gives back everything a connection held; how many leases that were.
    pub fn end_connection(&mut self, connection: u64) -> usize {
        let before = self.leases.len();
        self.leases.retain(|_, l| l.owner.connection != connection);
        let ended = before - self.leases.len();
        if ended > 0 {
            self.generation += 1;
        }
        ended
    }

    /// Everything, for others to look at.
    pub fn snapshot(&self) -> Vec<GpuSnapshot> {
        (0..self.gpus.len())
            .map(|position| GpuSnapshot {
                gpu: self.gpus[position].clone(),
                used_bytes: self.used(position),
                refused: self.refused[position],
                leases: self
                    .leases
                    .iter()
                    .filter(|(_, l)| l.gpu == position)
                    .map(|(id, l)| LeaseSnapshot {
                        id: *id,
                        owner: l.owner.clone(),
                        label: l.label.clone(),
                        model: l.model.clone(),
                        bytes: l.bytes,
                        state: l.state,
                    })
                    .collect(),
            })
            .collect()
    }

    fn lease_of(&self, connection: u64, id: LeaseId) -> Result<&Lease, LedgerError> {
        self.leases.get(&id).filter(|l| l.owner.connection == connection).ok_or(LedgerError::UnknownLease { id: id.0 })
    }

    /// Whether `more` bytes fit on the accelerator; `asker` is left out of the holders that are named.
    fn fits(&mut self, position: usize, more: u64, asker: Option<LeaseId>) -> Result<(), LedgerError> {
        let gpu = &self.gpus[position];
        let free = gpu.total_bytes - self.used(position);
        if more <= free {
            return Ok(());
        }
        self.refused[position] += 1;
        let mut holders: Vec<(&LeaseId, &Lease)> = self.leases.iter().filter(|(id, l)| l.gpu == position && Some(**id) != asker).collect();
        holders.sort_by_key(|(id, l)| (std::cmp::Reverse(l.bytes), **id));
        let holders = holders.into_iter().take(HOLDERS_SHOWN).map(|(_, l)| sentence(l)).collect();
        Err(LedgerError::OutOfMemory(OutOfMemory {
            uuid: gpu.uuid.clone(),
            gpu_index: gpu.index,
            wanted: more,
            free,
            total: gpu.total_bytes,
            holders,
        }))
    }
}

/// `Process 12 (vllm of pod p, awake) has 72.00 GiB memory in use.`
fn sentence(lease: &Lease) -> String {
    let process = lease.owner.pid.map_or_else(|| "This process".to_owned(), |pid| format!("Process {pid}"));
    let pod = lease.owner.identity.pod.as_ref().map(|p| format!(" of pod {p}")).unwrap_or_default();
    let state = match lease.state {
        LeaseState::Awake => "awake",
        LeaseState::Asleep => "asleep",
    };
    format!("{process} ({}{pod}, {state}) has {} memory in use.", lease.label, Bytes(lease.bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger() -> Ledger {
        let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "NVIDIA-H100-80GB-HBM3".into(), total_bytes: 80 << 30 };
        Ledger::new(vec![gpu(0), gpu(1)]).unwrap()
    }

    fn owner(connection: u64) -> Owner {
        let identity = Identity { pod: Some(format!("pod-{connection}")), ..Identity::default() };
        Owner { identity, pid: Some(100), connection }
    }

    fn leases(ledger: &Ledger) -> Vec<Vec<LeaseSnapshot>> {
        ledger.snapshot().into_iter().map(|g| g.leases).collect()
    }

    fn wish(gpu: &str, bytes: u64) -> Allocation {
        Allocation { gpu: gpu.into(), bytes, label: "vllm".into(), model: Some("m".into()), state: LeaseState::Awake }
    }

    #[test]
    fn two_awake_models_that_do_not_fit_fail_with_the_figures() {
        let mut l = ledger();
        l.allocate(owner(1), wish("GPU-0", 72 << 30)).unwrap();
        let e = l.allocate(owner(2), wish("GPU-0", 72 << 30)).unwrap_err();
        assert_eq!(
            e.to_string(),
            "CUDA out of memory. Tried to allocate 72.00 GiB. GPU 0 (GPU-0) has a total capacity of 80.00 GiB of which \
             8.00 GiB is free. Process 100 (vllm of pod pod-1, awake) has 72.00 GiB memory in use."
        );
        l.allocate(owner(2), wish("GPU-1", 72 << 30)).unwrap();
    }

    #[test]
    fn sleep_makes_room_and_wake_fails_when_it_is_taken() {
        let mut l = ledger();
        let a = l.allocate(owner(1), wish("GPU-0", 72 << 30)).unwrap();
        l.resize(1, a, 1 << 30, LeaseState::Asleep).unwrap();
        let b = l.allocate(owner(2), wish("GPU-0", 72 << 30)).unwrap();
        let before = l.snapshot();
        let generation = l.generation();
        assert!(matches!(l.resize(1, a, 72 << 30, LeaseState::Awake), Err(LedgerError::OutOfMemory(_))));
        assert_eq!((l.snapshot()[0].refused, before[0].refused), (1, 0), "it is counted");
        assert_eq!((leases(&l), l.generation()), (before.into_iter().map(|g| g.leases).collect(), generation), "and changes nothing else");
        l.release(2, b).unwrap();
        l.resize(1, a, 72 << 30, LeaseState::Awake).unwrap();
        assert_eq!(l.snapshot()[0].awake().count(), 1);
    }

    #[test]
    fn a_connection_reaches_only_its_own_leases_and_takes_them_along() {
        let mut l = ledger();
        let a = l.allocate(owner(1), wish("GPU-0", 1)).unwrap();
        l.allocate(owner(1), wish("GPU-1", 2)).unwrap();
        assert_eq!(l.release(2, a), Err(LedgerError::UnknownLease { id: a.0 }));
        assert_eq!(l.end_connection(1), 2);
        assert_eq!((l.used(0), l.used(1)), (0, 0));
        assert_eq!(l.end_connection(1), 0);
    }

    #[test]
    fn names_must_be_unique_and_known() {
        let gpus = ledger().gpus().to_vec();
        let twice = vec![gpus[0].clone(), Gpu { index: 7, ..gpus[0].clone() }];
        assert!(matches!(Ledger::new(twice), Err(LedgerError::Duplicate { .. })));
        let e = ledger().allocate(owner(1), wish("GPU-7", 1)).unwrap_err();
        assert_eq!(e.to_string(), "no accelerator \"GPU-7\" on this node (it has GPU-0, GPU-1)");
    }

    #[test]
    fn errors_survive_the_wire() {
        let mut l = ledger();
        let e = l.allocate(owner(1), wish("GPU-0", 81 << 30)).unwrap_err();
        let text = serde_json::to_string(&e).unwrap();
        assert!(text.contains("\"kind\":\"out-of-memory\""), "{text}");
        assert_eq!(serde_json::from_str::<LedgerError>(&text).unwrap(), e);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u64, usize, u64),
        Resize(u64, u64, u64, bool),
        Release(u64, u64),
        End(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop_oneof![0..100u64, Just(u64::MAX)];
        prop_oneof![
            4 => (0..4u64, 0..3usize, bytes.clone()).prop_map(|(c, g, b)| Step::Allocate(c, g, b)),
            4 => (0..4u64, 0..20u64, bytes, any::<bool>()).prop_map(|(c, i, b, s)| Step::Resize(c, i, b, s)),
            2 => (0..4u64, 0..20u64).prop_map(|(c, i)| Step::Release(c, i)),
            1 => (0..4u64).prop_map(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn never_over_the_total_and_the_sum_is_a_naive_models(steps in prop::collection::vec(step(), 0..60)) {
            let gpu = |k: u32| Gpu { uuid: k.to_string(), index: k, product: String::new(), total_bytes: 150 };
            let mut l = Ledger::new(vec![gpu(0), gpu(1)]).unwrap();
            // The model: what every successful call should have left, by lease.
            let mut model: BTreeMap<u64, (u64, usize, u64)> = BTreeMap::new();
            for s in steps {
                let (before, generation) = (leases(&l), l.generation());
                let changed = match s {
                    Step::Allocate(c, g, b) => match l.allocate(owner(c), wish(&g.to_string(), b)) {
                        Ok(id) => { prop_assert!(model.insert(id.0, (c, g, b)).is_none()); true }
                        Err(_) => false,
                    },
                    Step::Resize(c, i, b, awake) => {
                        let state = if awake { LeaseState::Awake } else { LeaseState::Asleep };
                        match l.resize(c, LeaseId(i), b, state) {
                            Ok(()) => { model.get_mut(&i).unwrap().2 = b; true }
                            Err(_) => false,
                        }
                    }
                    Step::Release(c, i) => match l.release(c, LeaseId(i)) {
                        Ok(()) => { prop_assert_eq!(model.remove(&i).unwrap().0, c); true }
                        Err(_) => false,
                    },
                    Step::End(c) => {
                        model.retain(|_, v| v.0 != c);
                        l.end_connection(c) > 0
                    }
                };
                prop_assert_eq!(changed, l.generation() > generation);
                if !changed { prop_assert_eq!(before, leases(&l)); }
                for (g, shown) in l.snapshot().iter().enumerate() {
                    let sum: u64 = model.values().filter(|v| v.1 == g).map(|v| v.2).sum();
                    prop_assert_eq!(shown.used_bytes, sum);
                    prop_assert!(shown.used_bytes <= shown.gpu.total_bytes);
                    prop_assert_eq!(shown.leases.iter().map(|x| x.bytes).sum::<u64>(), sum);
                }
            }
        }
    }
}
