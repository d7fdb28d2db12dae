//! What the workers of a node share.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_controller::Recorder;
use dormouse_devices::Devices;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::addresses::Addresses;
use super::watches::Watches;
use super::writer::Newest;
use crate::logs::Logs;
use crate::machine::Now;
use crate::options::{Options, SandboxMode};
use crate::plan::admit::Rejection;
use crate::plan::gpus::{Given, RESOURCE};
use crate::plan::room::{Amounts, Refusal, Room};
use crate::shim::{Place, RunSpec, Sandbox, Shim};

/// One node.
pub(super) struct Node {
    pub(super) options: Options,
    pub(super) dir: PathBuf,
    pub(super) events: Recorder,
    pub(super) logs: Logs,
    pub(super) devices: Devices,
    pub(super) watches: Watches,
    epoch: Instant,
    state: Mutex<State>,
    /// What leftovers hold; changes whenever something that was taken is free.
    held: watch::Sender<Amounts>,
    sandbox: OnceCell<Result<(), String>>,
    http: OnceCell<Option<reqwest::Client>>,
}

struct State {
    addresses: Addresses,
    room: Room,
    object: NodeObject,
    /// The newest status of each Pod, by UID.
    statuses: HashMap<String, Newest>,
}

/// What a Pod gets at its admission.
pub(super) struct Admitted {
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) gpus: Given,
}

impl Node {
    pub(super) fn new(options: Options, devices: Devices, events: Recorder) -> Self {
        let dir = options.run_dir.join(&options.node_name);
        let state = State {
            addresses: Addresses::new(options.plane, options.node),
            room: Room::new(usize::try_from(options.gpus.count).unwrap_or(0)),
            object: NodeObject::default(),
            statuses: HashMap::new(),
        };
        Self {
            logs: Logs::new(dir.join("logs")),
            dir,
            events,
            devices,
            watches: Watches::new(options.client.clone()),
            epoch: Instant::now(),
            state: Mutex::new(state),
            held: watch::Sender::default(),
            sandbox: OnceCell::new(),
            http: OnceCell::new(),
            options,
        }
    }

    /// The state's invariants hold between any two calls, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: self.options.clock.now(), mono: self.epoch.elapsed() }
    }

    /// The moment `mono` of this node's time.
    pub(super) fn instant(&self, mono: std::time::Duration) -> Instant {
        self.epoch + mono
    }

    pub(super) fn name(&self) -> &str {
        &self.options.node_name
    }

    /// Folder of a Pod.
    pub(super) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.dir.join("pods").join(uid)
    }

    /// What this kubelet itself puts into the node's capacity; other keys belong to others.
    pub(super) fn capacity(&self) -> BTreeMap<String, Quantity> {
        let o = &self.options;
        let mut own = vec![
            ("cpu", o.cpu.clone()),
            ("memory", o.memory.clone()),
            ("pods", o.pods.to_string()),
            ("ephemeral-storage", "100Gi".to_owned()),
        ];
        if o.gpus.count > 0 {
            own.push((RESOURCE, o.gpus.count.to_string()));
        }
        own.into_iter().map(|(k, v)| (k.to_owned(), Quantity(v))).collect()
    }

    pub(super) fn set_object(&self, object: NodeObject) {
        self.lock().object = object;
    }

    pub(super) fn object(&self) -> NodeObject {
        self.lock().object.clone()
    }

    /// Accepts a Pod: its resources, an address, GPUs.
    pub(super) async fn admit(&self, uid: &str, pod: &Pod) -> Result<Admitted, Refusal> {
        match self.try_admit(uid, pod) {
            Err(Refusal::Rejected(rejection)) if rejection.reason == "NodeAffinity" => {
                // A label may be newer than what is remembered.
                let nodes: Api<NodeObject> = Api::all(self.options.client.clone());
                if let Ok(object) = nodes.get(self.name()).await {
                    self.set_object(object);
                }
                self.try_admit(uid, pod)
            }
            other => other,
        }
    }

    fn try_admit(&self, uid: &str, pod: &Pod) -> Result<Admitted, Refusal> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let gpus = state.room.admit(uid, pod, &state.object, &self.capacity())?;
        let host_network = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
        let had = pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).and_then(|ip| ip.parse().ok());
        let ip = if host_network { Some(self.options.node_ip()) } else { state.addresses.take(uid, had) };
        if ip.is_none() {
            state.room.release(uid);
            return Err(Refusal::Rejected(Rejection {
                reason: "OutOfpods".to_owned(),
                message: "Pod was rejected: all addresses of the node are taken".to_owned(),
            }));
        }
        Ok(Admitted { ip, gpus })
    }

    /// Keeps the address of a Pod that had ended before this kubelet saw it.
    pub(super) fn reserve_address(&self, uid: &str, had: Option<Ipv4Addr>) {
        if had.is_some() {
            self.lock().addresses.take(uid, had);
        }
    }

    /// A Pod's processes have ended: its resources and GPUs are free again.
    pub(super) fn release(&self, uid: &str) {
        let mut state = self.lock();
        state.room.release(uid);
        self.held.send_replace(state.room.held_by_leftovers());
    }

    /// A Pod's object is gone while its processes may live.
    pub(super) fn orphan(&self, uid: &str) {
        let mut state = self.lock();
        if state.room.orphan(uid) {
            self.held.send_replace(state.room.held_by_leftovers());
        }
    }

    /// What leftovers hold, told whenever something may have become free.
    pub(super) fn held(&self) -> watch::Receiver<Amounts> {
        self.held.subscribe()
    }

    /// Remembers where the newest status of a Pod is found.
    pub(super) fn remember_status(&self, uid: &str, newest: Newest) {
        self.lock().statuses.insert(uid.to_owned(), newest);
    }

    /// The newest status of a Pod of this node.
    pub(super) fn status(&self, uid: &str) -> Option<PodStatus> {
        let newest = self.lock().statuses.get(uid).cloned();
        newest.and_then(|n| n.borrow().as_ref().map(|wanted| wanted.status.clone()))
    }

    /// A Pod's object is gone: its address is free again.
    pub(super) fn forget(&self, uid: &str) {
        self.release(uid);
        let mut state = self.lock();
        state.addresses.release(uid);
        state.statuses.remove(uid);
        drop(state);
        self.logs.remove(uid);
    }

    /// Whether containers get a root of their own; if not, why. Found out once, in a shim of its own, beginning when the
    /// kubelet starts.
    pub(super) async fn sandbox(&self) -> Result<(), String> {
        let result = self.sandbox.get_or_init(|| async {
            let outcome = match self.options.sandbox {
                SandboxMode::Off => return Err("--sandbox off".to_owned()),
                SandboxMode::Auto => self.try_sandbox().await,
            };
            if let Err(why) = &outcome {
                tracing::warn!(%why, node = self.name(), "containers run without a sandbox");
            }
            outcome
        });
        result.await.clone()
    }

    async fn try_sandbox(&self) -> Result<(), String> {
        let root = self.dir.join("try");
        std::fs::create_dir_all(&root).map_err(|e| e.to_string())?;
        let shim = Shim::start(&self.options.executable, "sandbox?", &[]).await.map_err(|e| e.to_string())?;
        let attempt = RunSpec { place: Place::Try(Sandbox { root, mounts: Vec::new() }), ..RunSpec::default() };
        let run = shim.run(&attempt).await.map_err(|e| e.to_string())?;
        let (mut reports, _control, _stdout, _stderr) = run.split();
        reports.tried().await
    }

    /// The client of HTTP probes and hooks: no proxy, no redirects, no certificates to please, no connection kept.
    pub(super) async fn http(&self) -> Option<reqwest::Client> {
        let client = self.http.get_or_init(|| async {
            dormouse_runtime::tls::install_provider();
            let built = reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .tls_danger_accept_invalid_certs(true)
                .pool_max_idle_per_host(0)
                .tcp_nodelay(true)
                .build();
            built.inspect_err(|error| tracing::error!(%error, "no HTTP client for probes")).ok()
        });
        client.await.clone()
    }
}
