//! One file per verb; what they share is here.

pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod down;
pub(crate) mod engine;
pub(crate) mod gpu_map;
pub(crate) mod status;
pub(crate) mod up;

use std::future::Future;

use anyhow::Context;
use dormouse_runtime::{CancellationToken, log, output, shutdown, tls};
use tokio::runtime::{Builder, Runtime};

/// Starts logging in klog's form.
pub(crate) fn log(verbosity: u8) {
    log::init(log::Options { format: log::Format::Klog, verbosity });
}

/// A runtime of one thread: programs that mostly wait need no more, and stay small.
fn small_runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// Runs a program of one Pod until it ends or is told to by a signal.
pub(crate) fn program<F>(run: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    tls::install_provider();
    small_runtime()?.block_on(async { run(shutdown::on_signals()).await })
}

/// Prints the CustomResourceDefinitions as YAML documents.
pub(crate) fn crds() -> anyhow::Result<()> {
    for crd in dormouse_apis::fma::definitions() {
        output::Out.text(&format!("---\n{}", dormouse_machinery::yaml::to_string(&crd)))?;
    }
    Ok(())
}
