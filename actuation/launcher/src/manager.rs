//! The instances of a launcher: creation, exit, deletion, and the events that tell of them.
//!
//! Held: every instance in creation order, the names being created, the event log, behind one lock that is never held
//! across a wait. Callers: the HTTP API, one exit task per instance. Creation and deletion run in tasks of their own, so
//! that a client that goes away leaves no half-done work.
//!
//! Invariants: an ID is in at most one of `slots` and `creating`; an instance's CREATED precedes its STOPPED precedes its
//! DELETED; a reply is sent after its event is in the log; a deletion produces no STOPPED; STOPPED carries the true code.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dormouse_runtime::{CancellationToken, SharedClock};
use serde::Serialize;
use tokio::sync::watch;

use crate::adapter;
use crate::args::{DeviceForm, PortCheck};
use crate::events::{EventLog, Gone, InstanceEvent};
use crate::gpu::Translator;
use crate::instance::{Config, Extra, Phase, State, Status};
use crate::journal::Journal;
use crate::logs::LogFile;
use crate::memory::Memory;
use crate::metrics::{Exit, Metrics};
use crate::process::{Order, Tree};

/// How often a growing log is looked at.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);

/// What a manager is told at its start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) log_gpu_memory: bool,
    pub(crate) adapter: String,
    pub(crate) engine_command: Option<String>,
    pub(crate) log_max_bytes: u64,
    pub(crate) stop_grace: Duration,
    pub(crate) kill_limit: Duration,
    pub(crate) port_check: PortCheck,
    pub(crate) device_form: DeviceForm,
    pub(crate) max_instances: Option<usize>,
    pub(crate) pod_ip: Option<IpAddr>,
}

/// Why an instance was not created.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("Instance with ID {0} already exists")]
    Exists(String),
    #[error(transparent)]
    Gpu(#[from] crate::gpu::Unknown),
    #[error("Launcher is full: {0} instances are there, which is its limit")]
    Full(usize),
    #[error("{0}")]
    PortTaken(String),
    #[error("Launcher is shutting down")]
    Closing,
    #[error("{0}")]
    Failed(String),
}

/// Why an instance was not deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DeleteError {
    #[error("Instance {0} not found")]
    NotFound(String),
    #[error("Instance {id} could not be stopped: {why}")]
    Failed { id: String, why: String },
}

type Deletion = Option<Result<State, DeleteError>>;

/// What does not change about an instance.
#[derive(Debug)]
struct Fixed {
    id: String,
    /// As asked for.
    asked: Config,
    /// With `CUDA_VISIBLE_DEVICES`.
    config: Config,
    engine: &'static str,
    port: Option<u16>,
    started_at: String,
    warnings: Vec<String>,
    tree: Arc<Tree>,
    log: Arc<LogFile>,
    /// Cancelled when the instance is gone; followers of its log end then.
    gone: CancellationToken,
}

#[derive(Debug)]
struct Slot {
    fixed: Arc<Fixed>,
    phase: Phase,
    revision: u64,
    exit_code: Option<i32>,
    deletion: Option<watch::Receiver<Deletion>>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: BTreeMap<u64, Slot>,
    by_id: HashMap<String, u64>,
    creating: HashSet<String>,
    next: u64,
    events: EventLog,
    closing: bool,
}

/// The instances of one launcher.
#[derive(Debug)]
pub(crate) struct Manager {
    settings: Settings,
    clock: SharedClock,
    epoch: String,
    gpus: Translator,
    memory: Arc<Memory>,
    journal: Journal,
    metrics: Metrics,
    inner: Mutex<Inner>,
    /// Revision of the latest event.
    revision: watch::Sender<u64>,
    /// Creations under way.
    creating: watch::Sender<usize>,
}

/// A list with the revision it belongs to.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) revision: u64,
    pub(crate) states: Vec<State>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    r#type: InstanceEvent,
    object: &'a State,
}

fn line(kind: InstanceEvent, object: &State) -> Bytes {
    // Strings and numbers always serialise.
    let mut text = serde_json::to_vec(&EventLine { r#type: kind, object }).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

impl Slot {
    fn status(&self) -> Status {
        if self.exit_code.is_some() { Status::Stopped } else { Status::Running }
    }

    /// The contract's members only.
    fn bare(&self) -> State {
        let config = &self.fixed.config;
        State {
            status: self.status(),
            instance_id: self.fixed.id.clone(),
            revision: self.revision,
            options: config.options.clone(),
            gpu_uuids: config.gpu_uuids.clone(),
            env_vars: config.env_vars.clone(),
            annotations: config.annotations.clone(),
            exit_code: None,
            extra: None,
        }
    }

    /// With the members of ours.
    fn full(&self) -> State {
        let fixed = &self.fixed;
        let extra = Extra {
            phase: self.phase,
            engine: fixed.engine,
            pid: fixed.tree.pid(),
            port: fixed.port,
            started_at: fixed.started_at.clone(),
            warnings: fixed.warnings.clone(),
        };
        State { exit_code: self.exit_code, extra: Some(extra), ..self.bare() }
    }
}

impl Inner {
    fn slot(&self, id: &str) -> Option<&Slot> {
        self.slots.get(self.by_id.get(id)?)
    }

    fn slot_mut(&mut self, id: &str) -> Option<&mut Slot> {
        self.slots.get_mut(self.by_id.get(id)?)
    }
}

impl Manager {
    pub(crate) fn new(
        settings: Settings,
        clock: SharedClock,
        epoch: String,
        gpus: Translator,
        memory: Arc<Memory>,
        journal: Journal,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            clock,
            epoch,
            gpus,
            memory,
            journal,
            metrics,
            inner: Mutex::default(),
            revision: watch::Sender::new(0),
            creating: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The random name of this launcher process.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Tells the latest revision whenever it changes.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Reads the GPU mapping for the first time.
    pub(crate) async fn warm(&self) {
        self.gpus.warm().await;
    }

    /// All instances in creation order.
    pub(crate) fn list(&self) -> Listing {
        let inner = self.lock();
        Listing { revision: inner.events.revision(), states: inner.slots.values().map(Slot::full).collect() }
    }

    /// One instance.
    pub(crate) fn get(&self, id: &str) -> Option<State> {
        self.lock().slot(id).map(Slot::full)
    }

    /// The log of an instance, and what is cancelled when the instance is gone.
    pub(crate) fn log(&self, id: &str) -> Option<(Arc<LogFile>, CancellationToken)> {
        let inner = self.lock();
        let slot = inner.slot(id)?;
        Some((Arc::clone(&slot.fixed.log), slot.fixed.gone.clone()))
    }

    /// A synthetic CREATED for each instance, and the revision after which live events follow: both at one moment.
    pub(crate) fn snapshot_lines(&self) -> (Vec<Bytes>, u64) {
        let inner = self.lock();
        (inner.slots.values().map(|s| line(InstanceEvent::Created, &s.bare())).collect(), inner.events.revision())
    }

    /// Events after `since`.
    pub(crate) fn events_after(&self, since: u64, limit: usize) -> Result<(Vec<Bytes>, u64), Gone> {
        self.lock().events.after(since, limit)
    }

    /// Whether `id` exists and was asked for with this very configuration.
    pub(crate) fn same(&self, id: &str, config: &Config) -> Option<State> {
        self.lock().slot(id).filter(|s| s.fixed.asked.same(config) && s.phase == Phase::Running).map(Slot::full)
    }

    /// Creates an instance; does not wait for its engine.
    pub(crate) async fn create(self: &Arc<Self>, id: String, config: Config) -> Result<State, CreateError> {
        tracing::info!("Accepted request to create vLLM instance with id={id}");
        let begun = Instant::now();
        let mut reservation = self.reserve(&id)?;
        let manager = Arc::clone(self);
        let made = tokio::spawn(async move {
            let made = manager.make(id, config).await;
            // Once registered, the name may already be deleted and reserved by somebody else.
            reservation.registered = made.is_ok();
            drop(reservation);
            made
        });
        let made = made.await.unwrap_or_else(|e| Err(CreateError::Failed(e.to_string())));
        if made.is_ok() {
            self.metrics.start.observe(begun.elapsed().as_secs_f64());
        }
        made
    }

    /// Takes the name, so that nobody else creates it meanwhile.
    fn reserve(self: &Arc<Self>, id: &str) -> Result<Reservation, CreateError> {
        let mut inner = self.lock();
        if inner.closing {
            return Err(CreateError::Closing);
        }
        if inner.by_id.contains_key(id) || inner.creating.contains(id) {
            tracing::warn!("Rejecting request to create vLLM instance: id={id} already exists");
            return Err(CreateError::Exists(id.to_owned()));
        }
        if let Some(limit) = self.settings.max_instances
            && inner.slots.len() + inner.creating.len() >= limit
        {
            return Err(CreateError::Full(limit));
        }
        inner.creating.insert(id.to_owned());
        self.creating.send_modify(|n| *n += 1);
        Ok(Reservation { manager: Arc::clone(self), id: id.to_owned(), registered: false })
    }

    async fn make(self: &Arc<Self>, id: String, asked: Config) -> Result<State, CreateError> {
        let settings = &self.settings;
        let failed = |e: &dyn std::fmt::Display| CreateError::Failed(e.to_string());
        let named = asked.annotations.as_ref().and_then(|a| a.get(dormouse_names::annotation::ENGINE)).unwrap_or(&settings.adapter);
        let adapter = adapter::by_name(named).map_err(|e| failed(&e))?;
        let mut config = asked.clone();
        let mut silent = Vec::new();
        if let Some(uuids) = config.gpu_uuids.as_ref().filter(|u| !u.is_empty()) {
            let devices = self.devices(uuids).await?;
            let env = config.env_vars.get_or_insert_default();
            if devices.by_index && env.get("CUDA_DEVICE_ORDER").is_none() {
                silent.push(("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()));
            }
            env.set(dormouse_names::env::CUDA_VISIBLE_DEVICES, devices.list);
            self.log_gpu_memory(&id, uuids);
        }
        let command = adapter.command_line(settings.engine_command.as_deref(), &config.options, settings.pod_ip);
        let warnings = self.check_port(&id, &command)?;

        let log = Arc::new(LogFile::create(self.journal.log_path(&id)).map_err(|e| failed(&e))?);
        let mut env = silent;
        env.extend(config.env_vars.iter().flat_map(|e| e.0.iter().cloned()));
        let started = match log.for_engine() {
            Ok(file) => Tree::start(Order { argv: command.argv, env, log: file }, format!("{}.{}", self.epoch, self.number())).await,
            Err(e) => Err(e),
        };
        let tree = started.map_err(|e| {
            log.remove();
            tracing::error!(instance_id = %id, error = %e, "cannot start an engine");
            failed(&e)
        })?;
        self.journal.record(&id, tree.pid(), tree.started());

        let fixed = Arc::new(Fixed {
            id,
            asked,
            config,
            engine: adapter.name,
            port: command.port,
            started_at: self.clock.now().to_string(),
            warnings,
            tree,
            log,
            gone: CancellationToken::new(),
        });
        let state = self.register(&fixed);
        tokio::spawn(Arc::clone(self).attend(fixed));
        Ok(state)
    }

    fn number(&self) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        inner.next
    }

    /// The instance exists from here on.
    fn register(&self, fixed: &Arc<Fixed>) -> State {
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        inner.creating.remove(&fixed.id);
        inner.by_id.insert(fixed.id.clone(), number);
        let mut slot = Slot { fixed: Arc::clone(fixed), phase: Phase::Running, revision: 0, exit_code: None, deletion: None };
        let revision = inner.events.push(|r| {
            slot.revision = r;
            line(InstanceEvent::Created, &slot.bare())
        });
        let state = slot.full();
        inner.slots.insert(number, slot);
        self.metrics.instances.set(i64::try_from(inner.slots.len()).unwrap_or(i64::MAX));
        self.revision.send_replace(revision);
        state
    }

    /// Beside the creation, which does not wait for `nvidia-smi`.
    fn log_gpu_memory(&self, id: &str, uuids: &[String]) {
        if self.settings.log_gpu_memory {
            let (memory, id, uuids) = (Arc::clone(&self.memory), id.to_owned(), uuids.to_vec());
            tokio::spawn(async move { memory.log(&id, &uuids).await });
        }
    }

    async fn devices(&self, uuids: &[String]) -> Result<Devices, CreateError> {
        let by_uuid = match self.settings.device_form {
            DeviceForm::Index => false,
            DeviceForm::Uuid => true,
            DeviceForm::Auto => uuids.iter().any(|u| u.starts_with("MIG-")),
        };
        if by_uuid {
            return Ok(Devices { list: uuids.join(","), by_index: false });
        }
        let indexes = self.gpus.translate(uuids).await?;
        Ok(Devices { list: indexes.iter().map(u32::to_string).collect::<Vec<_>>().join(","), by_index: true })
    }

    /// Whether another living instance has the port, or nobody can bind it now.
    fn check_port(&self, id: &str, command: &adapter::CommandLine) -> Result<Vec<String>, CreateError> {
        let (Some(port), false) = (command.port, self.settings.port_check == PortCheck::Off) else { return Ok(Vec::new()) };
        let holder = {
            let inner = self.lock();
            let mut living = inner.slots.values().filter(|s| s.exit_code.is_none());
            living.find(|s| s.fixed.port == Some(port)).map(|s| s.fixed.id.clone())
        };
        let finding = match holder {
            Some(other) => format!("Port {port} is used by instance {other}"),
            None => match TcpListener::bind((command.host.as_str(), port)) {
                Ok(_) => return Ok(Vec::new()),
                Err(e) => format!("Port {port} cannot be bound on {}: {e}", command.host),
            },
        };
        tracing::warn!(instance_id = %id, "{finding}");
        if self.settings.port_check == PortCheck::Reject { Err(CreateError::PortTaken(finding)) } else { Ok(vec![finding]) }
    }

    /// Waits for the end of an engine and tells of it; keeps its log within bounds.
    async fn attend(self: Arc<Self>, fixed: Arc<Fixed>) {
        let mut trim = tokio::time::interval(TRIM_INTERVAL);
        trim.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let code = loop {
            tokio::select! {
                code = fixed.tree.exited() => break code,
                _ = trim.tick() => self.trim(&fixed).await,
            }
        };
        let stopped = {
            let mut inner = self.lock();
            let Inner { slots, by_id, events, .. } = &mut *inner;
            let Some(slot) = by_id.get(&fixed.id).and_then(|n| slots.get_mut(n)).filter(|s| Arc::ptr_eq(&s.fixed, &fixed)) else { return };
            slot.exit_code = Some(code);
            let stopped = slot.deletion.is_none();
            if stopped {
                slot.phase = Phase::Exited;
                let revision = events.push(|r| {
                    slot.revision = r;
                    line(InstanceEvent::Stopped, &State { exit_code: Some(code), ..slot.bare() })
                });
                self.revision.send_replace(revision);
            }
            stopped
        };
        if stopped {
            let log = Arc::clone(&fixed.log);
            let words = tokio::task::spawn_blocking(move || log.last_words()).await.ok().flatten().unwrap_or_default();
            tracing::info!(instance_id = %fixed.id, exit_code = code, last_words = words, "An engine has ended");
            self.metrics.exits.get_or_create(&Exit { code }).inc();
            // What it leaves behind would hold device memory. A deletion, should one come, kills again and reports.
            if let Err(stuck) = fixed.tree.kill_rest(self.settings.kill_limit).await {
                tracing::error!(instance_id = %fixed.id, error = %stuck, "an engine that has ended left processes that do not go away");
            }
            self.trim(&fixed).await;
        }
    }

    async fn trim(&self, fixed: &Arc<Fixed>) {
        let (log, keep) = (Arc::clone(&fixed.log), self.settings.log_max_bytes);
        let _ = tokio::task::spawn_blocking(move || log.trim(keep)).await;
    }

    /// Deletes an instance. A second caller joins the first.
    pub(crate) async fn delete(self: &Arc<Self>, id: &str) -> Result<State, DeleteError> {
        let not_found = || DeleteError::NotFound(id.to_owned());
        let mut outcome = self.start_deletion(id).ok_or_else(not_found)?;
        let done = outcome.wait_for(Option::is_some).await.ok().and_then(|d| d.clone());
        done.unwrap_or_else(|| Err(DeleteError::Failed { id: id.to_owned(), why: "the launcher is ending".to_owned() }))
    }

    fn start_deletion(self: &Arc<Self>, id: &str) -> Option<watch::Receiver<Deletion>> {
        let mut inner = self.lock();
        let slot = inner.slot_mut(id)?;
        if let Some(running) = &slot.deletion {
            return Some(running.clone());
        }
        let (tell, outcome) = watch::channel(None);
        slot.deletion = Some(outcome.clone());
        slot.phase = Phase::Stopping;
        let (manager, fixed) = (Arc::clone(self), Arc::clone(&slot.fixed));
        tokio::spawn(async move {
            let done = manager.end(&fixed).await;
            tell.send_replace(Some(done));
        });
        Some(outcome)
    }

    async fn end(&self, fixed: &Arc<Fixed>) -> Result<State, DeleteError> {
        let begun = Instant::now();
        if let Err(stuck) = fixed.tree.stop(self.settings.stop_grace, self.settings.kill_limit).await {
            tracing::error!(instance_id = %fixed.id, error = %stuck, "cannot stop an engine");
            if let Some(slot) = self.lock().slot_mut(&fixed.id) {
                slot.phase = Phase::Stuck;
                slot.deletion = None;
            }
            return Err(DeleteError::Failed { id: fixed.id.clone(), why: stuck.to_string() });
        }
        self.metrics.stop.observe(begun.elapsed().as_secs_f64());
        let code = fixed.tree.exited().await;
        fixed.log.remove();
        self.journal.forget(&fixed.id);
        let mut inner = self.lock();
        let gone = inner.by_id.remove(&fixed.id).and_then(|n| inner.slots.remove(&n));
        let Some(mut slot) = gone else { return Err(DeleteError::NotFound(fixed.id.clone())) };
        slot.exit_code = Some(code);
        let revision = inner.events.push(|r| {
            slot.revision = r;
            line(InstanceEvent::Deleted, &slot.bare())
        });
        self.metrics.instances.set(i64::try_from(inner.slots.len()).unwrap_or(i64::MAX));
        self.revision.send_replace(revision);
        drop(inner);
        fixed.gone.cancel();
        Ok(slot.bare())
    }

    /// Deletes every instance, all at once; outcomes in creation order.
    pub(crate) async fn delete_all(self: &Arc<Self>) -> Vec<(String, Result<State, DeleteError>)> {
        let ids: Vec<String> = self.lock().slots.values().map(|s| s.fixed.id.clone()).collect();
        let deletions = ids.into_iter().map(|id| async {
            let done = self.delete(&id).await;
            (id, done)
        });
        futures::future::join_all(deletions).await
    }

    /// From here on new instances are refused.
    pub(crate) fn refuse_new(&self) {
        self.lock().closing = true;
    }

    /// After [`Manager::refuse_new`]: waits for creations under way, and deletes everything.
    pub(crate) async fn close(self: &Arc<Self>) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.creating.subscribe().wait_for(|n| *n == 0).await;
        for (id, done) in self.delete_all().await {
            if let Err(error) = done {
                tracing::error!(instance_id = %id, %error, "left behind at the end");
            }
        }
    }
}

struct Devices {
    list: String,
    by_index: bool,
}

/// A name taken for a creation; given back when dropped.
struct Reservation {
    manager: Arc<Manager>,
    id: String,
    registered: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.registered {
            self.manager.lock().creating.remove(&self.id);
        }
        self.manager.creating.send_modify(|n| *n -= 1);
    }
}
