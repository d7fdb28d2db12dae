//! `dormouse up`: the embedded plane in the foreground, or detached.

#[cfg(feature = "actuation")]
pub(crate) mod actuation;
mod greeting;
mod trim_memory;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dormouse_plane::run_folder::{self, RunFolder, State};
use dormouse_plane::{Error as PlaneError, Plane, PlaneArgs, wildcard_holder};
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};
use dormouse_runtime::{log, shutdown, tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::apply::apply;
use crate::controllers::Controllers;
use crate::engine::Engine;

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
    #[command(flatten)]
    plane: PlaneArgs,
    /// What `vllm` means in a Pod
    #[arg(long, value_enum, default_value_t = Engine::Sim)]
    engine: Engine,
    /// Controllers to run as Pods: all, none, or a list of dual-pods, launcher-populator
    #[arg(long, value_name = "all|none|LIST", default_value = "all")]
    controllers: Controllers,
    /// Whether the ConfigMap gpu-map of the focus namespace follows what the nodes publish
    #[arg(long, value_enum, default_value_t = GpuMap::Auto)]
    gpu_map: GpuMap,
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
            Some((flag, _)) => Err(Failure::usage(format!("{flag} is planned and not there yet; leave it out")).into()),
            None => Ok(()),
        }
    }
}

pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    args.check_later()?;
    args.plane.check_names()?;
    if args.detach {
        return detach(args);
    }
    tls::install_provider();
    log::init(log::Options::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(serve(args));
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn serve(args: &UpArgs) -> anyhow::Result<()> {
    let ended = shutdown::on_signals();
    let folder = RunFolder::take(&args.plane.name).map_err(|e| match e {
        run_folder::Error::Taken { .. } => Failure::in_use(e).into(),
        run_folder::Error::Name(_) => Failure::usage(e).into(),
        other => anyhow::Error::from(other),
    })?;
    for port in POD_PORTS {
        if let Some(holder) = wildcard_holder(port) {
            error_line(&format!("warning: port {port} is held on all addresses by {holder}; Pods that use it will fail to bind"));
        }
    }
    let mut options = args.plane.options(folder.path())?;
    args.engine.choose(&mut options);
    let plane = Plane::start(options).await.map_err(|e| match e {
        PlaneError::PortInUse { .. } => Failure::in_use(e).into(),
        PlaneError::Nodes(_) => Failure::usage(e).into(),
        other => anyhow::Error::from(other),
    })?;
    let made = tokio::select! {
        made = make_objects(args, &plane) => made,
        () = ended.cancelled() => Ok(()),
    };
    if made.is_ok() && !ended.is_cancelled() {
        folder.announce(&State {
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            server: format!("https://{}", plane.address()),
            kubeconfig: plane.kubeconfig().to_owned(),
            namespace: args.plane.namespace.clone(),
            devices: plane.devices().to_vec(),
        })?;
        greeting::print(args, &plane, folder.path())?;
        #[cfg(feature = "actuation")]
        if args.gpu_map == GpuMap::Auto {
            actuation::keep_gpu_map(plane.client(), args.plane.namespace.clone(), ended.clone());
        }
        tokio::spawn(trim_memory::when_quiet(ended.clone()));
        ended.cancelled().await;
        error_line("ending: Pods have 10 s; press Ctrl-C again to end at once");
    }
    // A second signal ends everything at once: the shims see the plane go and kill what is left.
    let mut again = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = plane.stop(GRACE) => {}
        _ = again.recv() => {}
    }
    made
}

/// What stands on the plane from the start.
async fn make_objects(args: &UpArgs, plane: &Plane) -> anyhow::Result<()> {
    let (client, namespace) = (plane.client(), &args.plane.namespace);
    if namespace != "default" {
        apply(&client, &serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await?;
    }
    #[cfg(feature = "actuation")]
    actuation::install_of(&client, namespace, &args.controllers).await?;
    Ok(())
}

/// Starts the same command in a session of its own and waits until it says that it is ready.
fn detach(args: &UpArgs) -> anyhow::Result<()> {
    if run_folder::running(&args.plane.name)?.is_some() {
        // The child would find out too; saying it here is simpler to read.
        return Err(Failure::in_use(format!(
            "a plane runs under the name {:?} already; end it with `dormouse down --name {}`",
            args.plane.name, args.plane.name
        ))
        .into());
    }
    let log = run_folder::make(&args.plane.name)?.join("up.log");
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
                Some(3) => Err(Failure::in_use(last).into()),
                Some(2) => Err(Failure::usage(last).into()),
                _ => bail!("the plane ended at once ({status}); its log is {}:\n{text}", log.display()),
            };
        }
        if run_folder::running(&args.plane.name)?.is_some() {
            Out.text(&std::fs::read_to_string(&log).unwrap_or_default())?;
            Out.line(&format!(
                "detached as process {}; `dormouse down --name {}` ends it; its log is {}",
                child.id(),
                args.plane.name,
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
