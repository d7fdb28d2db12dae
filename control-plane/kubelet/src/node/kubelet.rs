//! Starting and ending a node's kubelet, and handing its Pods to workers.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::metrics::EventCounts;
use dormouse_controller::{Change, JsonClient, Note, Recorder, Source, changes};
use dormouse_devices::{Config, Devices, Gpu, Listener};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::context::Node;
use super::worker::{News, Worker};
use super::{folder, register, sweep};
use crate::logs::{LogError, LogQuery, LogReader};
use crate::options::Options;

/// How long the API may take to accept the node.
const REGISTRATION: Duration = Duration::from_secs(30);
/// Beyond the grace, for the last processes to be reaped and the last status to be written.
const AFTER_GRACE: Duration = Duration::from_secs(3);

/// Why a kubelet cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run folder cannot be used.
    #[error("the folder {folder} of node {node} cannot be used: {cause}")]
    Folder {
        /// Name of the node.
        node: String,
        /// The folder.
        folder: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The device socket cannot be bound: another kubelet has this plane and node number.
    #[error("the device socket of node {node} cannot be bound: {cause}")]
    Devices {
        /// Name of the node.
        node: String,
        /// What the system says.
        cause: String,
    },
    /// The API server did not accept the node.
    #[error("node {node} could not be registered: {cause}")]
    Registration {
        /// Name of the node.
        node: String,
        /// What it said last.
        cause: String,
    },
}

/// A node's kubelet. See [`Kubelet::start`].
#[derive(Debug)]
pub struct Kubelet;

/// A running kubelet. When it is dropped, its Pods' processes are killed at once; [`Handle::stop`] is the polite way.
pub struct Handle {
    node: Arc<Node>,
    stop: watch::Sender<Option<Duration>>,
    _pods: AbortOnDropHandle<()>,
    /// Closes when `pods` has ended.
    ended: watch::Receiver<()>,
    shutdown: CancellationToken,
    _others: Vec<AbortOnDropHandle<()>>,
}

impl Kubelet {
    /// Ends what an earlier run of the same folder left, hosts the device ledger, registers the node and runs its Pods.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(mut options: Options) -> Result<Handle, Error> {
        let name = options.node_name.clone();
        let dir = options.run_dir.join(&name);
        let folder_error = |cause| Error::Folder { node: name.clone(), folder: dir.display().to_string(), cause };
        options.executable = options.executable.canonicalize().map_err(folder_error)?;
        let (at, executable, programs) = (dir.clone(), options.executable.clone(), options.programs.clone());
        let setup = tokio::task::spawn_blocking(move || {
            let killed = sweep::sweep(&at.join("pods"));
            if killed > 0 {
                tracing::warn!(killed, "processes of an earlier run were ended");
            }
            // Sources of mounts must not depend on links or on the working directory.
            std::fs::create_dir_all(&at)?;
            let _ = std::fs::remove_dir_all(at.join("logs"));
            folder::links(&at, &executable, programs.links())?;
            at.canonicalize()
        });
        let real = setup.await.map_err(|e| folder_error(std::io::Error::other(e)))?.map_err(folder_error)?;
        options.run_dir = real.parent().map_or_else(|| options.run_dir.clone(), std::path::Path::to_path_buf);

        let device_error = |cause: String| Error::Devices { node: name.clone(), cause };
        let devices = Devices::new(Config { gpus: gpus(&options), rates: options.rates }).map_err(|e| device_error(e.to_string()))?;
        let listener = Listener::bind(&options.device_socket()).map_err(|e| device_error(e.to_string()))?;
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(dormouse_devices::serve(devices.clone(), listener, shutdown.clone()));

        let source = Source { component: "kubelet".to_owned(), host: Some(name.clone()) };
        let recorder = Recorder::start(JsonClient::from(options.client.clone()), source, options.clock.clone(), EventCounts::default());
        let node = Arc::new(Node::new(options, devices, recorder));
        let trying = node.clone();
        tokio::spawn(async move { drop(trying.sandbox().await) });
        register_patiently(&node).await?;
        node.events.record(&about_node(&node), Note::normal("Starting", "Starting kubelet."));
        let limits = "Limits of cpu and memory count in scheduling and are not enforced: containers are plain processes";
        node.events.record(&about_node(&node), Note::normal("LimitsNotEnforced", limits));
        let (stop, stopped) = watch::channel(None);
        let (ending, ended) = watch::channel(());
        let on = node.clone();
        let pods = tokio::spawn(async move {
            run_pods(on, stopped).await;
            drop(ending);
        });
        let alive = tokio::spawn(register::keep_alive(node.clone()));
        let held = tokio::spawn(register::tell_held(node.clone()));
        let _others = vec![AbortOnDropHandle::new(served), AbortOnDropHandle::new(alive), AbortOnDropHandle::new(held)];
        Ok(Handle { node, stop, _pods: AbortOnDropHandle::new(pods), ended, shutdown, _others })
    }
}

fn gpus(options: &Options) -> Vec<Gpu> {
    let o = &options.gpus;
    (0..o.count).map(|index| Gpu { uuid: o.uuid(index as usize), index, product: o.product.clone(), total_bytes: o.memory_bytes }).collect()
}

fn about_node(node: &Node) -> ObjectReference {
    let name = Some(node.name().to_owned());
    let uid = node.object().metadata.uid;
    ObjectReference { api_version: Some("v1".to_owned()), kind: Some("Node".to_owned()), name, uid, ..ObjectReference::default() }
}

async fn register_patiently(node: &Node) -> Result<(), Error> {
    let mut pause = Duration::from_millis(5);
    let mut last = String::new();
    let attempts = async {
        loop {
            match register::register(node).await {
                Ok(()) => return,
                Err(e) => last = e.to_string(),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    };
    let outcome = tokio::time::timeout(REGISTRATION, attempts).await;
    outcome.map_err(|_| Error::Registration { node: node.name().to_owned(), cause: last })
}

/// The workers of a node by their Pod's UID.
#[derive(Default)]
struct Workers {
    news: HashMap<String, watch::Sender<News>>,
    running: JoinSet<String>,
}

impl Workers {
    fn apply(&mut self, node: &Arc<Node>, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let pod = Arc::new(pod);
        if let Some(worker) = self.news.get(&uid) {
            worker.send_modify(|news| news.pod = pod);
            return;
        }
        let (sender, receiver) = watch::channel(News { pod, gone: false, stop: None });
        self.news.insert(uid, sender);
        self.running.spawn(Worker::new(node.clone(), receiver).run());
    }

    /// A Pod's object is gone. What it leaves is a leftover from here on: the next change may bring the Pod that wants its place,
    /// and that one's worker may ask for it before this one's has heard.
    fn gone(&self, node: &Node, uid: &str, last: Option<Pod>) {
        node.orphan(uid);
        if let Some(worker) = self.news.get(uid) {
            worker.send_modify(|news| {
                news.gone = true;
                if let Some(last) = last {
                    news.pod = Arc::new(last);
                }
            });
        }
    }

    fn reset(&mut self, node: &Arc<Node>, all: Vec<Pod>) {
        let there: HashSet<&str> = all.iter().filter_map(|p| p.metadata.uid.as_deref()).collect();
        for uid in self.news.keys().filter(|uid| !there.contains(uid.as_str())) {
            self.gone(node, uid, None);
        }
        all.into_iter().for_each(|pod| self.apply(node, pod));
    }

    fn stop(&self, grace: Duration) {
        for worker in self.news.values() {
            worker.send_modify(|news| news.stop = Some(grace));
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => drop(self.news.remove(&uid)),
            // A worker that panicked has dropped its shim, so its processes are gone.
            Err(error) => tracing::error!(%error, "the worker of a Pod failed"),
        }
    }
}

/// Gives each Pod of the node a worker and each worker what happens to its Pod, until told to stop.
async fn run_pods(node: Arc<Node>, mut stop: watch::Receiver<Option<Duration>>) {
    let api: Api<Pod> = Api::all(node.options.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", node.name()));
    let mut pods = Box::pin(changes(api, config));
    let mut workers = Workers::default();
    let grace = loop {
        tokio::select! {
            change = pods.next() => match change {
                Some(Change::Apply(pod)) => workers.apply(&node, pod),
                Some(Change::Delete(pod)) => {
                    let uid = pod.metadata.uid.clone().unwrap_or_default();
                    workers.gone(&node, &uid, Some(pod));
                }
                Some(Change::Reset(all)) => workers.reset(&node, all),
                None => break Duration::ZERO,
            },
            Some(ended) = workers.running.join_next(), if !workers.running.is_empty() => workers.ended(ended),
            changed = stop.changed() => match *stop.borrow_and_update() {
                Some(grace) => break grace,
                // The handle was dropped.
                None if changed.is_err() => return,
                None => {}
            },
        }
    };
    workers.stop(grace);
    let mut deadline = tokio::time::Instant::now() + grace + AFTER_GRACE;
    loop {
        tokio::select! {
            ended = workers.running.join_next() => match ended {
                Some(ended) => workers.ended(ended),
                None => return,
            },
            // A second wish, shorter.
            changed = stop.changed() => match (changed, *stop.borrow_and_update()) {
                (Ok(()), Some(grace)) => {
                    deadline = deadline.min(tokio::time::Instant::now() + grace + AFTER_GRACE);
                    workers.stop(grace);
                }
                _ => return,
            },
            () = tokio::time::sleep_until(deadline) => {
                tracing::warn!(pods = workers.running.len(), "Pods that did not end in time are killed");
                workers.running.shutdown().await;
                return;
            }
        }
    }
}

impl Handle {
    /// Name of the node.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.node.name()
    }

    /// Address of the node.
    #[must_use]
    pub fn node_ip(&self) -> Ipv4Addr {
        self.node.options.node_ip()
    }

    /// The node's device ledger and links.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.node.devices
    }

    /// A reader of the log of a container.
    ///
    /// # Errors
    /// [`LogError`] when there is no such log.
    pub async fn logs(&self, query: LogQuery) -> Result<LogReader, LogError> {
        let lacking = |query: &LogQuery| LogError::of(query, self.node.status(&query.uid).as_ref());
        let log = self.node.logs.find(&query).ok_or_else(|| lacking(&query))?;
        let now = self.node.options.clock.now();
        // The files went between the two calls: as if there had been none.
        LogReader::open(log, query.clone(), now).await.map_err(|_| lacking(&query))
    }

    /// Ends every Pod's processes within `grace` (then by SIGKILL) and everything of this kubelet. Objects stay. A second
    /// call beside the first, with a shorter grace, shortens.
    pub async fn stop(&self, grace: Duration) {
        self.begin_stop(grace);
        let mut ended = self.ended.clone();
        // An error is what is waited for: the other end has gone with the last worker.
        while ended.changed().await.is_ok() {}
        self.shutdown.cancel();
    }

    /// Begins [`Self::stop`] without waiting; a second, shorter grace shortens.
    pub fn begin_stop(&self, grace: Duration) {
        let _ = self.stop.send(Some(grace));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
