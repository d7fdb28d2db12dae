//! `dormouse up`: the embedded plane in the foreground, or detached.

mod greeting;
mod thrift;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dormouse_deploy::{ChartValues, NODE_VIEW_ROLE, node_view_role, render};
use dormouse_kubelet::plan::image::Rules;
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;
use dormouse_plane::{Error as PlaneError, Listen, Options, Plane, SimulatedGpus, wildcard_holder};
use dormouse_runtime::output::{Out, error_line};
use dormouse_runtime::shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::apply::apply;
use crate::engine::Engine;
use crate::exit;
use crate::run_folder::{self, RunFolder, State};

/// Ports that Pods of ours bind at their own addresses; a program that holds one on the wildcard is in the way.
const POD_PORTS: [u16; 4] = [8000, 8001, 8080, 8081];
/// What Pods get to end in, all together.
const GRACE: Duration = Duration::from_secs(10);

/// Arguments of `up`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dormouse up\n  dormouse up --nodes 2 --gpus-per-node 4 --detach\n  dormouse up --gpus-per-node 0 --controllers none --gpu-map none\n\nExit codes: 0 ended as asked, 2 usage, 3 port or folder in use, 1 anything else."
)]
pub(crate) struct UpArgs {
    /// Number of nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    nodes: u8,
    /// Names of the nodes instead of dormouse-<n>
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', conflicts_with = "nodes")]
    node_names: Vec<String>,
    /// Simulated GPUs of each node; 0 for no device plugin
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus_per_node: u32,
    /// Product name of the GPUs
    #[arg(long, default_value = "NVIDIA-H100-80GB-HBM3")]
    gpu_product: String,
    /// Memory of each GPU, a quantity
    #[arg(long, default_value = "80Gi")]
    gpu_memory: String,
    /// Nominal CPU of a node, a quantity
    #[arg(long, default_value = "64")]
    node_cpu: String,
    /// Nominal memory of a node, a quantity
    #[arg(long, default_value = "512Gi")]
    node_memory: String,
    /// Name of the plane: one runs per name
    #[arg(long, default_value = "default")]
    name: String,
    /// Address and port of the API server; 127.0.0.1:6443 or the next free port unless given
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where the kubeconfig is written; in the run folder unless given
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Focus namespace of the controllers
    #[arg(long, default_value = "default")]
    namespace: String,
    /// What `vllm` means in a Pod
    #[arg(long, value_enum, default_value_t = Engine::Sim)]
    engine: Engine,
    /// Controllers to run as Pods: all, none, or a list of dual-pods, launcher-populator
    #[arg(long, value_name = "all|none|LIST", default_value = "all")]
    controllers: String,
    /// Whether the ConfigMap gpu-map of the focus namespace follows what the nodes publish
    #[arg(long, value_enum, default_value_t = GpuMap::Auto)]
    gpu_map: GpuMap,
    /// File with rules of what images mean
    #[arg(long, value_name = "FILE")]
    images: Option<PathBuf>,
    /// First pause before a container starts again
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = dormouse_controller::duration)]
    restart_backoff: Duration,
    /// How long Pods outlive a node that is gone
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = dormouse_controller::duration)]
    pod_gc_delay: Duration,
    /// Whether containers get a mount namespace of their own
    #[arg(long, value_enum, default_value_t = Sandbox::Auto)]
    sandbox: Sandbox,
    /// Return when ready; `dormouse down` ends it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    later: Later,
}

/// Flags whose time has not come: they are known, and say so.
#[derive(Debug, Args)]
struct Later {
    #[arg(long, hide = true, value_name = "DIR")]
    data_dir: Option<String>,
    #[arg(long, hide = true, value_name = "K")]
    fake_nodes: Option<u32>,
    #[arg(long, hide = true)]
    merge: bool,
    #[arg(long, hide = true, value_name = "A.B=V")]
    chart_set: Vec<String>,
    #[arg(long, hide = true, value_name = "simulated|real")]
    gpus: Option<String>,
    #[arg(long, hide = true, value_name = "loopback|netns")]
    network: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GpuMap {
    /// It follows
    Auto,
    /// Somebody else fills it
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sandbox {
    /// Where the kernel allows it
    Auto,
    /// Never
    Off,
}

impl UpArgs {
    fn check_later(&self) -> anyhow::Result<()> {
        let l = &self.later;
        let given = [
            ("--data-dir", l.data_dir.is_some()),
            ("--fake-nodes", l.fake_nodes.is_some()),
            ("--merge", l.merge),
            ("--chart-set", !l.chart_set.is_empty()),
            ("--gpus", l.gpus.is_some()),
            ("--network", l.network.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(exit::usage(format!("{flag} is planned and not there yet; leave it out"))),
            None => Ok(()),
        }
    }

    /// Names that the API would refuse later, when half of the plane is up.
    fn check_names(&self) -> anyhow::Result<()> {
        let nodes = self.node_names.iter().map(|n| ("node-names", n, [names::dns1123_subdomain(n), names::label_value(n)].concat()));
        let others = [
            ("namespace", &self.namespace, names::dns1123_label(&self.namespace)),
            ("gpu-product", &self.gpu_product, names::label_value(&self.gpu_product)),
        ];
        match nodes.chain(others).find(|(_, _, wrong)| !wrong.is_empty()) {
            Some((flag, value, wrong)) => Err(exit::usage(format!("--{flag}: {value:?} cannot be used: {}", wrong.join("; ")))),
            None => Ok(()),
        }
    }

    /// Whether the dual-pods controller and the populator are to run.
    fn wanted_controllers(&self) -> anyhow::Result<(bool, bool)> {
        match self.controllers.as_str() {
            "all" => return Ok((true, true)),
            "none" | "" => return Ok((false, false)),
            _ => {}
        }
        let mut wanted = (false, false);
        for name in self.controllers.split(',') {
            match name.trim() {
                "dual-pods" => wanted.0 = true,
                "launcher-populator" => wanted.1 = true,
                later @ ("trainer" | "jobset") => {
                    return Err(exit::usage(format!("--controllers: {later} is planned and not there yet; leave it out")));
                }
                other => return Err(exit::usage(format!("--controllers: {other:?} is none of all, none, dual-pods, launcher-populator"))),
            }
        }
        Ok(wanted)
    }

    fn options(&self, run_dir: &Path) -> anyhow::Result<Options> {
        let executable = std::env::current_exe().context("cannot find this executable")?;
        let mut o = Options::new(run_dir.to_owned(), executable);
        o.listen = self.listen.map_or(Listen::Auto, Listen::At);
        o.kubeconfig.clone_from(&self.kubeconfig);
        o.namespace.clone_from(&self.namespace);
        o.nodes = if self.node_names.is_empty() { Options::default_names(self.nodes) } else { self.node_names.clone() };
        let quantity =
            |flag: &str, text: &str| Quantity::parse(text).map_err(|e| exit::usage(format!("--{flag}: {text:?} is no quantity: {e}")));
        quantity("node-cpu", &self.node_cpu)?;
        quantity("node-memory", &self.node_memory)?;
        let memory = quantity("gpu-memory", &self.gpu_memory)?;
        let memory_bytes =
            u64::try_from(memory.value()).ok().filter(|n| *n > 0).ok_or_else(|| exit::usage("--gpu-memory must be more than nothing"))?;
        o.gpus =
            SimulatedGpus { per_node: self.gpus_per_node, product: self.gpu_product.clone(), memory_bytes, ..SimulatedGpus::default() };
        o.node_cpu.clone_from(&self.node_cpu);
        o.node_memory.clone_from(&self.node_memory);
        if let Some(file) = &self.images {
            let text = std::fs::read_to_string(file).map_err(|e| exit::usage(format!("--images: cannot read {}: {e}", file.display())))?;
            o.images = Rules::parse(&text).map_err(|e| exit::usage(format!("--images: {}: {e}", file.display())))?;
        }
        self.engine.choose(&mut o);
        o.restart_backoff = self.restart_backoff;
        o.pod_gc_delay = self.pod_gc_delay;
        o.sandbox = self.sandbox == Sandbox::Auto;
        Ok(o)
    }
}

pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    args.check_later()?;
    args.check_names()?;
    args.wanted_controllers()?;
    if args.detach {
        return detach(args);
    }
    dormouse_runtime::tls::install_provider();
    super::log(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(serve(args));
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn serve(args: &UpArgs) -> anyhow::Result<()> {
    let ended = shutdown::on_signals();
    let folder = RunFolder::take(&args.name).map_err(|e| match e {
        run_folder::Error::Taken { .. } => exit::in_use(e),
        run_folder::Error::Name(_) => exit::usage(e),
        other => other.into(),
    })?;
    for port in POD_PORTS {
        if let Some(holder) = wildcard_holder(port) {
            error_line(&format!("warning: port {port} is held on all addresses by {holder}; Pods that use it will fail to bind"));
        }
    }
    let options = args.options(folder.path())?;
    let plane = Plane::start(options).await.map_err(|e| match e {
        PlaneError::PortInUse { .. } => exit::in_use(e),
        PlaneError::Nodes(_) => exit::usage(e),
        other => other.into(),
    })?;
    let furnished = tokio::select! {
        furnished = furnish(args, &plane) => furnished,
        () = ended.cancelled() => Ok(()),
    };
    if furnished.is_ok() && !ended.is_cancelled() {
        folder.announce(&State {
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            server: format!("https://{}", plane.address()),
            kubeconfig: plane.kubeconfig().to_owned(),
            namespace: args.namespace.clone(),
            devices: plane.devices().to_vec(),
        })?;
        greeting::print(args, &plane, folder.path())?;
        if args.gpu_map == GpuMap::Auto {
            let (client, namespace, end) = (plane.client(), args.namespace.clone(), ended.clone());
            tokio::spawn(async move { dormouse_requester::gpu_map::keep(client, &namespace, end).await });
        }
        tokio::spawn(thrift::keep_small(ended.clone()));
        ended.cancelled().await;
        error_line("ending: Pods have 10 s; press Ctrl-C again to end at once");
    }
    // A second signal ends everything at once: the shims see the plane go and kill what is left.
    let mut again = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = plane.stop(GRACE) => {}
        _ = again.recv() => {}
    }
    furnished
}

/// Definitions, rights and controllers.
async fn furnish(args: &UpArgs, plane: &Plane) -> anyhow::Result<()> {
    let client = plane.client();
    if args.namespace != "default" {
        apply(&client, &serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": args.namespace}})).await?;
    }
    for crd in dormouse_apis::fma::definitions() {
        apply(&client, &crd).await?;
    }
    let (dual_pods, populator) = args.wanted_controllers()?;
    let mut values = ChartValues::default();
    values.global.node_view_cluster_role = NODE_VIEW_ROLE.into();
    values.dual_pods_controller.enabled = dual_pods;
    values.launcher_populator.enabled = populator;
    apply(&client, &node_view_role()).await?;
    if dual_pods || populator {
        for object in render(&values, "fma", &args.namespace) {
            apply(&client, &object).await?;
        }
    }
    Ok(())
}

/// Starts the same command in a session of its own and waits until it says that it is ready.
fn detach(args: &UpArgs) -> anyhow::Result<()> {
    if run_folder::running(&args.name)?.is_some() {
        // The child would find out too; saying it here is simpler to read.
        return Err(exit::in_use(format!(
            "a plane runs under the name {:?} already; end it with `dormouse down --name {}`",
            args.name, args.name
        )));
    }
    let path = run_folder::path(&args.name)?;
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let log = path.join("up.log");
    let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let rest = std::env::args_os().skip(1).filter(|a| a != "--detach");
    let mut command = std::process::Command::new("setsid");
    command.arg(std::env::current_exe()?).args(rest);
    command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().context("cannot start the plane (is setsid installed?)")?;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(status) = child.try_wait()? {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            return match status.code() {
                Some(3) => Err(exit::in_use(last)),
                Some(2) => Err(exit::usage(last)),
                _ => bail!("the plane ended at once ({status}); its log is {}:\n{text}", log.display()),
            };
        }
        if run_folder::running(&args.name)?.is_some() {
            Out.text(&std::fs::read_to_string(&log).unwrap_or_default())?;
            Out.line(&format!(
                "detached as process {}; `dormouse down --name {}` ends it; its log is {}",
                child.id(),
                args.name,
                log.display()
            ))?;
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            bail!("the plane was not ready after 30 s; its log is {}", log.display());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
