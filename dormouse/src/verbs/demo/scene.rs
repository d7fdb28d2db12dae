//! The private plane of the demo, in a temporary folder, and what stands on it before the first path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use dormouse_apis::names::SERVER_CONTAINER;
use dormouse_deploy::ChartValues;
use dormouse_plane::{Options, Plane};
use dormouse_runtime::output::error_line;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::DemoArgs;
use super::manifests::{self, Model, NAMESPACE};
use super::models;
use super::ports::Ports;
use super::stage::{Stage, patience};
use crate::apply::apply;
use crate::verbs::up::actuation::install;

/// A plane with the controllers on it.
pub(super) struct Scene {
    plane: Option<Plane>,
    pub(super) stage: Stage,
    kubeconfig: PathBuf,
    pub(super) models: [Model; 2],
    pub(super) ports: Ports,
}

/// Says one step of the preparations.
pub(super) fn step(text: &str) {
    error_line(&format!("  {text}"));
}

impl Scene {
    /// Starts the plane and the controllers in this folder; returns when they run.
    pub(super) async fn build(args: &DemoArgs, folder: &Path) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let models = models::choose(args, folder, ports.models)?;
        step("starting a control plane with one node and two simulated GPUs");
        let executable = std::env::current_exe().context("cannot find this executable")?;
        let mut options = Options::new(folder.join("plane"), executable);
        options.namespace = NAMESPACE.into();
        args.engine.choose(&mut options);
        options.restart_backoff = Duration::from_secs(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive and finite")]
        let bytes = args.link.map(|link| (link * 1e9) as u64);
        options.gpus.link_bytes_per_second = bytes;
        let plane = Plane::start(options).await?;
        let client = plane.client();
        let kubeconfig = plane.kubeconfig().to_owned();
        step("installing the definitions, a launcher and the two controllers");
        for object in manifests::base() {
            apply(&client, &object).await?;
        }
        let mut values = ChartValues::default();
        let listen = vec![format!("--metrics-port={}", ports.metrics), format!("--debug-port={}", ports.debug)];
        values.dual_pods_controller.extra_args.clone_from(&listen);
        values.launcher_populator.extra_args = listen;
        install(&client, NAMESPACE, values).await?;
        apply(&client, &manifests::launcher_config(&models[0].mounts)).await?;
        for model in &models {
            apply(&client, &manifests::server_config(model)).await?;
        }
        let scene = Self { stage: Stage::new(client, patience(args.engine)), plane: Some(plane), kubeconfig, models, ports };
        scene.gpu_map().await?;
        scene.controllers().await?;
        Ok(scene)
    }

    fn client(&self) -> anyhow::Result<kube::Client> {
        Ok(self.plane.as_ref().context("the plane has ended")?.client())
    }

    /// The ConfigMap that the direct flow needs.
    async fn gpu_map(&self) -> anyhow::Result<()> {
        dormouse_requester::gpu_map::sync(self.client()?, NAMESPACE, true).await?;
        Ok(())
    }

    /// Waits until both controllers are up.
    async fn controllers(&self) -> anyhow::Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client()?, NAMESPACE);
        let up = |d: Option<&Deployment>| d.and_then(|d| d.status.as_ref()).is_some_and(|s| s.ready_replicas.unwrap_or(0) > 0);
        for name in ["fma-dual-pods-controller", "fma-launcher-populator"] {
            let wait = kube::runtime::wait::await_condition(api.clone(), name, up);
            match tokio::time::timeout(Duration::from_secs(30), wait).await {
                Ok(started) => drop(started?),
                Err(_) => bail!("{name} did not start within 30 s{}", self.stage.why().await),
            }
        }
        Ok(())
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// After a failure: Pods and warnings, so that the reason is on the screen.
    pub(super) async fn explain(&self) {
        for pod in self.stage.pods() {
            let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("unknown");
            let name = pod.name_any();
            error_line(&format!("  Pod {name} is {phase}"));
            if phase == "Failed" {
                let log = self.stage.log(&name, SERVER_CONTAINER).await.unwrap_or_default();
                last_lines(log.lines(), 5);
            }
        }
        let Ok(client) = self.client() else { return };
        let api: Api<Event> = Api::namespaced(client, NAMESPACE);
        if let Ok(events) = api.list(&ListParams::default().fields("type=Warning")).await {
            for event in events.items.iter().rev().take(10) {
                let about = event.involved_object.name.as_deref().unwrap_or_default();
                error_line(&format!(
                    "  {} {about}: {}",
                    event.reason.as_deref().unwrap_or_default(),
                    event.message.as_deref().unwrap_or_default()
                ));
            }
        }
        self.controller_log().await;
    }

    /// What the dual-pods controller did last, its polls left out.
    async fn controller_log(&self) {
        let Ok(log) = self.stage.controller_log().await else { return };
        last_lines(log.lines().filter(|l| !l.contains("\"HTTP call done\"") && !l.contains("\"Action failed\"")), 20);
    }

    /// Ends everything.
    pub(super) async fn strike(mut self) {
        if let Some(plane) = self.plane.take() {
            plane.stop(Duration::from_secs(3)).await;
        }
    }
}

fn last_lines<'a>(lines: impl Iterator<Item = &'a str>, count: usize) {
    let lines: Vec<&str> = lines.collect();
    lines.iter().skip(lines.len().saturating_sub(count)).for_each(|line| error_line(&format!("  {line}")));
}
