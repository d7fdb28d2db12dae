//! Bringing a plane up, and down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_apiserver::serve::{Endpoint, Identity, Limits};
use dormouse_apiserver::{ApiServer, Options as ServerOptions};
use dormouse_devices::Rates;
use dormouse_kubelet::machine::backoff::Policy as RestartPolicy;
use dormouse_kubelet::{ApiAddress, Gpus, Handle, Kubelet, Options as KubeletOptions, SandboxMode};
use dormouse_runtime::CancellationToken;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::net::NetClaim;
use crate::node_side::Reachable;
use crate::options::{Error, Listen, Options};
use crate::ports::holder;
use crate::run_folder;

/// The usual port of an API server, and how many after it are tried.
const PORT: u16 = 6443;
const PORTS_TRIED: u16 = 100;

/// A running plane. Dropping it kills what runs on it; [`Plane::stop`] ends it in order.
pub struct Plane {
    server: ApiServer,
    address: SocketAddr,
    moved_from: Option<u16>,
    kubeconfig: PathBuf,
    devices: Vec<(String, String)>,
    kubelets: Vec<Arc<Handle>>,
    reachable: Option<Reachable>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
    _net: NetClaim,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Plane {
    /// Starts a plane; when this returns the API answers, the kubeconfig is written and the nodes are registered.
    ///
    /// # Errors
    /// See [`Error`]; nothing keeps running after one.
    pub async fn start(options: Options) -> Result<Self, Error> {
        check(&options)?;
        dormouse_runtime::tls::install_provider();
        let net = NetClaim::take().map_err(Error::Network)?;
        let shutdown = CancellationToken::new();
        let guard = shutdown.clone().drop_guard();
        let (listener, moved_from) = listen(options.listen).await?;
        let address =
            listener.local_addr().map_err(|source| Error::Listen { address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), source })?;

        // The first objects and the certificates know nothing of each other: they are made at the same time.
        let server_options =
            ServerOptions { clock: Arc::clone(&options.clock), default_namespace: options.namespace.clone(), ..ServerOptions::default() };
        let server = tokio::task::spawn_blocking(move || ApiServer::new(server_options));
        let identity = Identity::generate(options.clock.now(), &[address.ip()]).map_err(|e| Error::Certificates(e.to_string()))?;
        let kubeconfig = options.kubeconfig.clone().unwrap_or_else(|| options.run_dir.join("kubeconfig"));
        let url = format!("https://{address}");
        let written =
            run_folder::make_private(&options.run_dir).and_then(|()| identity.kubeconfig(&url, &options.namespace).write(&kubeconfig));
        written.map_err(|source| Error::Kubeconfig { path: kubeconfig.clone(), source })?;
        // Whoever has waited for the file may connect from here on: the listener is bound, and answers begin with the server.
        let server = server.await.map_err(|e| Error::Server(e.to_string()))?;
        let endpoint = Endpoint::with(&server, identity);
        let ca_pem = endpoint.authority().ca_pem().to_owned();
        let mut tasks = JoinSet::new();
        let end = shutdown.clone();
        tasks.spawn(async move {
            if let Err(error) = endpoint.serve(listener, Limits::default(), end).await {
                tracing::error!(%error, "the API server's listener failed");
            }
        });
        let client = server.client();
        let workloads = dormouse_workloads::Options {
            clock: Arc::clone(&options.clock),
            pod_gc_delay: options.pod_gc_delay,
            terminated_pods: options.terminated_pods,
            root_ca_pem: ca_pem.clone(),
        };
        tasks.spawn(dormouse_workloads::run(client.clone(), workloads, shutdown.clone()));
        let scheduler = dormouse_scheduler::Options { name: "default-scheduler".into(), clock: Arc::clone(&options.clock) };
        tasks.spawn(dormouse_scheduler::run(client.clone(), scheduler, shutdown.clone()));

        let api = ApiAddress { host: address.ip().to_string(), port: address.port(), ca_pem };
        let reachable = Reachable::of(&server);
        let mut kubelets = Vec::new();
        let mut devices = Vec::new();
        for (i, name) in options.nodes.iter().enumerate() {
            let kubelet = kubelet(&options, &client, &net, &api, i);
            devices.push((name.clone(), kubelet.device_socket()));
            let handle = Kubelet::start(kubelet).await.map_err(|e| Error::Kubelet { node: name.clone(), source: Box::new(e) })?;
            let handle = Arc::new(handle);
            reachable.add(&handle);
            kubelets.push(handle);
        }
        guard.disarm();
        let reachable = Some(reachable);
        Ok(Self { server, address, moved_from, kubeconfig, devices, kubelets, reachable, tasks, shutdown, _net: net })
    }

    /// A client in process that may do anything.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.server.client()
    }

    /// The API server.
    #[must_use]
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that was wanted and is taken, when another one was chosen.
    #[must_use]
    pub fn moved_from(&self) -> Option<u16> {
        self.moved_from
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Node name to the abstract socket of its device ledger.
    #[must_use]
    pub fn devices(&self) -> &[(String, String)] {
        &self.devices
    }

    /// Ends Pods within `grace`, then everything else.
    pub async fn stop(mut self, grace: Duration) {
        self.reachable = None;
        let kubelets = std::mem::take(&mut self.kubelets);
        kubelets.iter().for_each(|k| k.begin_stop(grace));
        futures::future::join_all(kubelets.iter().map(|k| k.stop(grace))).await;
        self.shutdown.cancel();
        // What does not end by itself is dropped with the set.
        let _ = tokio::time::timeout(Duration::from_secs(3), async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

fn check(options: &Options) -> Result<(), Error> {
    let nodes = &options.nodes;
    if nodes.is_empty() || nodes.len() > 250 {
        return Err(Error::Nodes(format!("a plane has 1 to 250 nodes, not {}", nodes.len())));
    }
    let mut sorted = nodes.clone();
    sorted.sort();
    sorted.dedup();
    if sorted.len() != nodes.len() {
        return Err(Error::Nodes("two nodes have the same name".into()));
    }
    Ok(())
}

async fn listen(wanted: Listen) -> Result<(TcpListener, Option<u16>), Error> {
    let taken = |address: SocketAddr| Error::PortInUse { address, holder: holder(Some(address.ip()), address.port()) };
    match wanted {
        Listen::At(address) => match TcpListener::bind(address).await {
            Ok(listener) => Ok((listener, None)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(taken(address)),
            Err(source) => Err(Error::Listen { address, source }),
        },
        Listen::Auto => {
            for port in PORT..PORT + PORTS_TRIED {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                match TcpListener::bind(address).await {
                    Ok(listener) => return Ok((listener, (port != PORT).then_some(PORT))),
                    Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                    Err(source) => return Err(Error::Listen { address, source }),
                }
            }
            Err(taken(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))))
        }
    }
}

fn kubelet(options: &Options, client: &kube::Client, net: &NetClaim, api: &ApiAddress, i: usize) -> KubeletOptions {
    let index = u32::try_from(i).unwrap_or(0);
    let gpus = &options.gpus;
    let mut rates = Rates::default();
    if let Some(link) = gpus.link_bytes_per_second.and_then(std::num::NonZeroU64::new) {
        rates.link = link;
        rates.link_peak = rates.link_peak.max(link);
    }
    let mut kubelet = KubeletOptions::new(client.clone(), options.nodes[i].clone(), options.run_dir.clone(), options.executable.clone());
    kubelet.plane = net.number();
    kubelet.node = u8::try_from(i + 1).unwrap_or(u8::MAX);
    kubelet.images = options.images.clone();
    kubelet.programs = options.programs.clone();
    kubelet.env.clone_from(&options.env);
    kubelet.gpus =
        Gpus { count: gpus.per_node, first: index * gpus.per_node, product: gpus.product.clone(), memory_bytes: gpus.memory_bytes };
    kubelet.rates = rates;
    kubelet.cpu.clone_from(&options.node_cpu);
    kubelet.memory.clone_from(&options.node_memory);
    kubelet.restart = RestartPolicy { base: options.restart_backoff, ..RestartPolicy::default() };
    kubelet.api = Some(api.clone());
    kubelet.sandbox = if options.sandbox { SandboxMode::Auto } else { SandboxMode::Off };
    kubelet.clock = Arc::clone(&options.clock);
    kubelet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, nodes: &[&str]) -> Options {
        let dir = std::env::temp_dir().join(format!("dormouse-plane-{name}-{}", std::process::id()));
        let mut options = Options::new(dir, std::env::current_exe().unwrap());
        options.listen = Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        options.nodes = nodes.iter().map(|n| (*n).to_owned()).collect();
        options
    }

    /// Everything of a plane holds its clock; what is left when the plane has gone is this one.
    async fn gone(clock: &dormouse_runtime::SharedClock) {
        let wait = async {
            while Arc::strong_count(clock) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(ended.is_ok(), "{} hold on", Arc::strong_count(clock) - 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plane_that_is_dropped_leaves_nothing() {
        let options = options("dropped", &["a", "b"]);
        let (dir, clock) = (options.run_dir.clone(), Arc::clone(&options.clock));
        drop(Plane::start(options).await.unwrap());
        gone(&clock).await;
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plane_that_does_not_start_leaves_nothing() {
        let options = options("failed", &["a", "b"]);
        let (dir, clock) = (options.run_dir.clone(), Arc::clone(&options.clock));
        // The second node finds a file where its folder is to be.
        run_folder::make_private(&dir).unwrap();
        std::fs::write(dir.join("b"), "").unwrap();
        let error = Plane::start(options).await.err().unwrap();
        assert!(matches!(&error, Error::Kubelet { node, .. } if node == "b"), "{error}");
        gone(&clock).await;
        std::fs::remove_dir_all(dir).unwrap();
    }
}
