//! The live devices of a node: ledger and links behind one short-held lock, with tokio's clock.
//!
//! Held by: the kubelet (hosting them with [`crate::serve`]), or a simulator that runs alone. Callers come through a
//! [`Session`], which owns its leases and gives them back when dropped.
//!
//! No task runs here. Whoever waits for a transfer drives its link: it sleeps until the link's next completion, lets the
//! time pass in the model, and looks whether its own transfer has ended. A new transfer can only make others later, so
//! nobody needs to hear of it; a cancelled one makes others earlier and wakes all waiters of that link.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::gpu::Gpu;
use crate::ledger::{Allocation, Identity, LeaseId, LeaseState, Ledger, LedgerError, Owner};
use crate::link::{Link, Nanos, TransferId};
use crate::protocol::{LinkSnapshot, Rates, Snapshot, TransferKind};

/// What a node has.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The accelerators.
    pub gpus: Vec<Gpu>,
    /// The speeds.
    pub rates: Rates,
}

/// The devices of a node; clones are the same devices.
#[derive(Clone, Debug)]
pub struct Devices(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rates: Rates,
    epoch: Instant,
    ledger: Mutex<Ledger>,
    generation: watch::Sender<u64>,
    /// One per accelerator in the ledger's order, then storage.
    links: Vec<LiveLink>,
    connections: AtomicU64,
}

#[derive(Debug)]
struct LiveLink {
    name: String,
    state: Mutex<LinkState>,
    faster: Notify,
}

#[derive(Debug)]
struct LinkState {
    link: Link,
    /// Ends of transfers whose waiter has not looked yet.
    ended: HashMap<TransferId, Nanos>,
    bytes_in: u64,
    bytes_out: u64,
}

/// A poisoned lock means a panic elsewhere; the ledger keeps its invariants on every return, so it stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Devices {
    /// Devices with an empty ledger and idle links.
    ///
    /// # Errors
    /// When two accelerators share a name or an index.
    pub fn new(config: Config) -> Result<Self, LedgerError> {
        let live = |name: String, rate: NonZeroU64| LiveLink {
            name,
            state: Mutex::new(LinkState { link: Link::new(rate), ended: HashMap::new(), bytes_in: 0, bytes_out: 0 }),
            faster: Notify::new(),
        };
        let mut links: Vec<_> = config.gpus.iter().map(|g| live(g.uuid.clone(), config.rates.link)).collect();
        links.push(live("storage".to_owned(), config.rates.storage));
        let ledger = Ledger::new(config.gpus)?;
        Ok(Self(Arc::new(Inner {
            rates: config.rates,
            epoch: Instant::now(),
            generation: watch::Sender::new(ledger.generation()),
            ledger: Mutex::new(ledger),
            links,
            connections: AtomicU64::new(1),
        })))
    }

    /// A holder of leases. `pid` is what the kernel says about the other end, absent for a holder in this process.
    pub fn session(&self, identity: Identity, pid: Option<i32>) -> Session {
        let connection = self.0.connections.fetch_add(1, Ordering::Relaxed);
        Session { devices: self.clone(), owner: Owner { identity, pid, connection } }
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let (generation, gpus) = {
            let ledger = lock(&self.0.ledger);
            (ledger.generation(), ledger.snapshot())
        };
        let now = self.now();
        let links = self
            .0
            .links
            .iter()
            .map(|l| {
                let mut state = lock(&l.state);
                state.advance(now);
                LinkSnapshot { name: l.name.clone(), active: state.link.active(), bytes_in: state.bytes_in, bytes_out: state.bytes_out }
            })
            .collect();
        Snapshot { generation, rates: self.0.rates, gpus, links }
    }

    /// Waits until the ledger's generation is another one than `generation`, then shows everything.
    pub async fn changed_since(&self, generation: u64) -> Snapshot {
        let mut seen = self.0.generation.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = seen.wait_for(|now| *now != generation).await;
        self.snapshot()
    }

    fn now(&self) -> Nanos {
        u64::try_from(self.0.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs one ledger call and tells the watchers if it changed something.
    fn with_ledger<T>(&self, call: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = lock(&self.0.ledger);
        let result = call(&mut ledger);
        let generation = ledger.generation();
        self.0.generation.send_if_modified(|seen| std::mem::replace(seen, generation) != generation);
        result
    }
}

impl LinkState {
    fn advance(&mut self, now: Nanos) {
        self.link.advance(now);
        self.ended.extend(self.link.take_finished());
    }
}

/// One holder of leases; dropping it gives everything back.
#[derive(Debug)]
pub struct Session {
    devices: Devices,
    owner: Owner,
}

impl Session {
    /// The devices this session is on.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Takes memory.
    ///
    /// # Errors
    /// Out of memory, unknown accelerator, too many leases.
    pub fn allocate(&self, wish: Allocation) -> Result<LeaseId, LedgerError> {
        self.devices.with_ledger(|l| l.allocate(self.owner.clone(), wish))
    }

    /// Changes size and state of a lease in one step.
    ///
    /// # Errors
    /// Out of memory (nothing changes), unknown lease.
    pub fn resize(&self, lease: LeaseId, bytes: u64, state: LeaseState) -> Result<(), LedgerError> {
        self.devices.with_ledger(|l| l.resize(self.owner.connection, lease, bytes, state))
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// Unknown lease.
    pub fn release(&self, lease: LeaseId) -> Result<(), LedgerError> {
        self.devices.with_ledger(|l| l.release(self.owner.connection, lease))
    }

    /// Moves bytes; completes when they have moved and says how long that took in the model. Dropping the future
    /// cancels the transfer and gives its share of the link to the others.
    ///
    /// # Errors
    /// Unknown accelerator.
    pub async fn transfer(&self, kind: &TransferKind, bytes: u64) -> Result<Duration, LedgerError> {
        let devices = &self.devices;
        let (position, towards_host) = match kind {
            TransferKind::HostToDevice { gpu } => (lock(&devices.0.ledger).position(gpu)?, false),
            TransferKind::DeviceToHost { gpu } => (lock(&devices.0.ledger).position(gpu)?, true),
            TransferKind::Storage => (devices.0.links.len() - 1, false),
        };
        let live = &devices.0.links[position];
        let begun = devices.now();
        let id = lock(&live.state).link.start(begun, bytes);
        let mut under_way = UnderWay { devices, live, id, ended: false };
        let ended = loop {
            let faster = live.faster.notified();
            tokio::pin!(faster);
            faster.as_mut().enable();
            let next = {
                let mut state = lock(&live.state);
                state.advance(devices.now());
                if let Some(at) = state.ended.remove(&id) {
                    if towards_host {
                        state.bytes_out += bytes;
                    } else {
                        state.bytes_in += bytes;
                    }
                    break at;
                }
                state.link.next_completion()
            };
            // A transfer under way always has a completion ahead; without one the notification is waited for.
            let next = next.unwrap_or(u64::MAX);
            let far = Duration::from_secs(365 * 24 * 3600);
            let wait = Duration::from_nanos(next.saturating_sub(devices.now())).min(far);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = faster => {}
            }
        };
        under_way.ended = true;
        Ok(Duration::from_nanos(ended.saturating_sub(begun)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.devices.with_ledger(|l| l.end_connection(self.owner.connection));
    }
}

/// Cancels a transfer whose waiter goes away.
struct UnderWay<'a> {
    devices: &'a Devices,
    live: &'a LiveLink,
    id: TransferId,
    ended: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = lock(&self.live.state);
        state.advance(self.devices.now());
        state.ended.remove(&self.id);
        state.link.cancel(self.devices.now(), self.id);
        drop(state);
        self.live.faster.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Devices {
        let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "H100".into(), total_bytes: 80 << 30 };
        Devices::new(Config { gpus: vec![gpu(0), gpu(1)], rates: Rates::default() }).unwrap()
    }

    fn to_device(gpu: &str) -> TransferKind {
        TransferKind::HostToDevice { gpu: gpu.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_take_bytes_over_bandwidth_and_share_only_their_own_link() {
        let d = devices();
        let s = d.session(Identity::default(), None);
        let (zero, one) = (to_device("GPU-0"), to_device("GPU-1"));
        let back = TransferKind::DeviceToHost { gpu: "GPU-0".into() };
        let (a, b, c, e) = tokio::join!(
            s.transfer(&zero, 8_000_000_000),
            s.transfer(&back, 8_000_000_000),
            s.transfer(&one, 8_000_000_000),
            s.transfer(&TransferKind::Storage, 8_000_000_000),
        );
        let millis = |r: Result<Duration, _>| r.unwrap().as_millis();
        assert_eq!([millis(a), millis(b), millis(c), millis(e)], [320, 320, 160, 1600]);
        let links = d.snapshot().links;
        assert_eq!((links[0].bytes_in, links[0].bytes_out, links[0].active), (8_000_000_000, 8_000_000_000, 0));
        assert_eq!((links[2].name.as_str(), links[2].bytes_in), ("storage", 8_000_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_transfer_speeds_the_others_up() {
        let d = devices();
        let s = d.session(Identity::default(), None);
        let begun = Instant::now();
        let kind = to_device("GPU-0");
        let (kept, cancelled) = tokio::join!(
            s.transfer(&kind, 5_000_000_000),
            tokio::time::timeout(Duration::from_millis(100), s.transfer(&kind, 5_000_000_000)),
        );
        assert!(cancelled.is_err());
        // 100 ms at half speed leave half of the bytes: 50 ms more at full speed.
        assert_eq!(kept.unwrap().as_millis(), 150);
        assert!(begun.elapsed() < Duration::from_millis(155), "the waiter heard of the cancellation");
    }

    #[tokio::test(start_paused = true)]
    async fn watchers_wake_on_change_and_a_dropped_session_gives_back() {
        let d = devices();
        let before = d.snapshot().generation;
        let watching = tokio::spawn({
            let d = d.clone();
            async move { d.changed_since(before).await }
        });
        let s = d.session(Identity::default(), Some(7));
        let wish = Allocation { gpu: "GPU-1".into(), bytes: 5, label: "x".into(), model: None, state: LeaseState::Awake };
        s.allocate(wish).unwrap();
        assert_eq!(watching.await.unwrap().gpus[1].used_bytes, 5);
        drop(s);
        assert_eq!(d.snapshot().gpus[1].used_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_accelerators_are_errors() {
        let s = devices().session(Identity::default(), None);
        assert!(s.transfer(&to_device("GPU-9"), 1).await.is_err());
        assert_eq!(s.transfer(&TransferKind::Storage, 0).await.unwrap(), Duration::ZERO);
    }
}
