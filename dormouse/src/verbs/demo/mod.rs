//! `dormouse demo`: the main job on a private plane, measured from outside.
//!
//! [`ports`] finds free ports, [`models`] what is served, [`scene`] builds the plane and what runs on it, [`stage`] watches it and moves replicas, [`paths`] plays the
//! ways a model gets served, [`measure`] turns stamps into figures ([`observed`] has them of an engine
//! that leaves none), [`load`] sends requests all the while, [`report`] prints them. Everything is
//! removed at the end, also after a failure or Ctrl-C, unless `--keep` says otherwise.

#[cfg(feature = "perf")]
mod load;
mod manifests;
mod measure;
mod models;
mod observed;
mod paths;
mod ports;
mod report;
mod scene;
mod stage;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::{Out, error_line};
use dormouse_runtime::{CancellationToken, shutdown};

use self::report::Report;
use self::scene::Scene;
use crate::engine::Engine;

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// What serves the models: the simulator, the embedded CPU engine, or a real vLLM on this machine
    #[arg(long, value_enum, default_value_t = Engine::Sim)]
    pub(crate) engine: Engine,
    /// What a real vLLM serves instead of two small models that are made: two folders, or names of models that it can fetch
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Further options for a real vLLM, as on its command line
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub(crate) engine_options: Option<String>,
    /// Hot starts to measure, by probe and by gate; a quarter as many swaps of each and direct hot starts
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) iterations: u32,
    /// Form of the result
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Leave the plane running at the end, and say how to look around
    #[arg(long)]
    pub(crate) keep: bool,
    /// Bandwidth of the simulated host link in GB/s
    #[arg(long, value_name = "GB/s", value_parser = link, allow_negative_numbers = true)]
    pub(crate) link: Option<f64>,
    /// Let requesters answer become-ready so much later: shows that the figure for control notices
    #[arg(long, value_name = "MS", default_value_t = 0, hide = true)]
    pub(crate) delay_ready_ms: u64,
    /// Only these paths
    #[arg(long, value_delimiter = ',', hide = true)]
    pub(crate) only: Vec<String>,
}

/// A bandwidth of which at least a byte a second is left.
fn link(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|l: &f64| l.is_finite() && *l >= 1e-9).ok_or("it must be a positive number of GB/s")
}

/// Longest demo; one that takes longer hangs somewhere, and says where. A real engine starts four times.
fn patience(engine: Engine) -> Duration {
    Duration::from_secs(if engine == Engine::Host { 3600 } else { 600 })
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    models::check(args)?;
    dormouse_runtime::tls::install_provider();
    dormouse_runtime::log::init(dormouse_runtime::log::Options { format: dormouse_runtime::log::Format::Klog, verbosity: 0 });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async { shutdown::on_signals() });
    let folder = tempfile::Builder::new().prefix("dormouse-demo-").tempdir().context("cannot make a temporary folder")?;
    let result = runtime.block_on(play(args, folder.path(), ended));
    // The folder goes last: a start that was interrupted may still be writing there.
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(folder);
    result
}

async fn play(args: &DemoArgs, folder: &Path, ended: CancellationToken) -> anyhow::Result<()> {
    let mut scene = tokio::select! {
        scene = Scene::build(args, folder) => scene?,
        () = ended.cancelled() => bail!("interrupted"),
    };
    let mut report = Report::new(args);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(patience(args.engine), paths::all(args, &mut scene, &mut report)) => match outcome {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("the demo took longer than {:?}", patience(args.engine))),
        },
        () = ended.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    if ended.is_cancelled() && outcome.is_err() {
        scene.strike().await;
        bail!("interrupted");
    }
    if let Err(error) = &outcome {
        report.problem(crate::exit::told(error));
        scene.explain().await;
    }
    if !ended.is_cancelled() {
        match args.output {
            Output::Json => Out.line(&serde_json::to_string_pretty(&report.json())?)?,
            Output::Table => Out.text(&report.table())?,
        }
    }
    if args.keep && outcome.is_ok() {
        error_line(&format!("kept: export KUBECONFIG={}; kubectl get pods; press Ctrl-C to end", scene.kubeconfig().display()));
        ended.cancelled().await;
    }
    scene.strike().await;
    if report.failed() {
        bail!("the demo did not complete: {}", report.problems().join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_bandwidth() {
        assert_eq!((link("63"), link("0.5")), (Ok(63.0), Ok(0.5)));
        for bad in ["0", "-1", "nan", "inf", "1e-12", "fast", ""] {
            assert!(link(bad).is_err(), "{bad:?}");
        }
    }
}
