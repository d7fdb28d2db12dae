//! What `dormouse status` shows of requesters, launchers and the controllers themselves, on any cluster.
//!
//! All of it is read from the API; instances are asked of their launchers where these can be reached from here.

use std::time::Duration;

use anyhow::Context;
use dormouse_apis::names::{annotation, label, path, port};
use dormouse_controller::is_ready;
use dormouse_engine_client as engine;
use dormouse_names::annotation::ENGINE;
use dormouse_runtime::http::{self, Method};
use dormouse_runtime::net;
use dormouse_runtime::output::table::section;
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

/// For one answer of a launcher or engine, and for all that is asked about one launcher.
const BRIEF: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Launchers asked at once.
const AT_ONCE: usize = 16;

/// Who is served by whom.
#[derive(Debug, Serialize)]
pub struct Status {
    requesters: Vec<RequesterRow>,
    launchers: Vec<LauncherRow>,
    controllers: Vec<ControllerRow>,
}

#[derive(Debug, Serialize)]
struct RequesterRow {
    name: String,
    node: Option<String>,
    wants: String,
    provider: Option<String>,
    ready: bool,
    accelerators: Vec<String>,
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LauncherRow {
    name: String,
    node: Option<String>,
    config: String,
    ready: bool,
    bound_to: Option<String>,
    /// `None` where the launcher cannot be reached from here.
    instances: Option<Vec<InstanceRow>>,
}

#[derive(Debug, Serialize)]
struct InstanceRow {
    id: String,
    config: Option<String>,
    state: String,
}

#[derive(Debug, Serialize)]
struct ControllerRow {
    name: String,
    ready: i32,
    wanted: i32,
}

/// What there is in a namespace with these Pods.
///
/// # Errors
/// When Deployments cannot be listed.
pub async fn gather(client: &Client, namespace: &str, pods: &[Pod]) -> anyhow::Result<Status> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let deployments = deployments.list(&ListParams::default()).await.context("cannot list Deployments")?.items;
    let engines = engines();
    let launchers = pods.iter().filter(|p| p.labels().contains_key(label::LAUNCHER_CONFIG_NAME));
    let launchers = stream::iter(launchers).map(|pod| launcher_row(pod, engines.as_ref())).buffered(AT_ONCE).collect().await;
    let is_controller = |d: &&Deployment| d.labels().get("app.kubernetes.io/name").is_some_and(|n| n == "fma-controllers");
    Ok(Status {
        requesters: pods.iter().filter_map(requester_row).collect(),
        launchers,
        controllers: deployments.iter().filter(is_controller).map(controller_row).collect(),
    })
}

impl Status {
    /// For people: a table of each that there is.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
        let requesters = self.requesters.iter().map(|r| {
            vec![
                r.name.clone(),
                r.node.clone().unwrap_or_default(),
                r.wants.clone(),
                r.provider.clone().unwrap_or_default(),
                yes(r.ready),
                r.accelerators.join(","),
                r.errors.join("; "),
            ]
        });
        let launchers = self.launchers.iter().map(|l| {
            let instances = match &l.instances {
                Some(list) => {
                    list.iter().map(|i| format!("{}:{}", i.config.as_deref().unwrap_or(&i.id), i.state)).collect::<Vec<_>>().join(" ")
                }
                None => "(cannot be reached from here)".to_owned(),
            };
            vec![
                l.name.clone(),
                l.node.clone().unwrap_or_default(),
                l.config.clone(),
                yes(l.ready),
                l.bound_to.clone().unwrap_or_default(),
                instances,
            ]
        });
        let controllers = self.controllers.iter().map(|c| vec![c.name.clone(), format!("{}/{}", c.ready, c.wanted)]);
        let tables = [
            section(&["REQUESTER", "NODE", "WANTS", "PROVIDER", "READY", "GPUS", "PROBLEMS"], &requesters.collect::<Vec<_>>()),
            section(&["LAUNCHER", "NODE", "CONFIG", "READY", "SERVES", "INSTANCES"], &launchers.collect::<Vec<_>>()),
            section(&["CONTROLLER", "READY"], &controllers.collect::<Vec<_>>()),
        ];
        tables.into_iter().flatten().collect()
    }
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|s| s.node_name.clone())
}

fn requester_row(pod: &Pod) -> Option<RequesterRow> {
    let notes = pod.annotations();
    let isc = notes.get(annotation::INFERENCE_SERVER_CONFIG);
    let patch = notes.contains_key(annotation::SERVER_PATCH) || notes.contains_key(annotation::OLD_SERVER_PATCH);
    let wants = isc.cloned().or_else(|| patch.then(|| "(server patch)".to_owned()))?;
    let status: serde_json::Value = notes.get(annotation::STATUS).and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
    Some(RequesterRow {
        name: pod.name_any(),
        node: node_of(pod),
        wants,
        provider: pod.labels().get(label::DUAL).cloned(),
        ready: is_ready(pod),
        accelerators: notes
            .get(annotation::ACCELERATORS)
            .into_iter()
            .flat_map(|a| a.split(','))
            .filter(|a| !a.is_empty())
            .map(str::to_owned)
            .collect(),
        errors: status["Errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str().map(str::to_owned)).collect(),
    })
}

async fn launcher_row(pod: &Pod, engines: Option<&http::Client>) -> LauncherRow {
    LauncherRow {
        name: pod.name_any(),
        node: node_of(pod),
        config: pod.labels().get(label::LAUNCHER_CONFIG_NAME).cloned().unwrap_or_default(),
        ready: is_ready(pod),
        bound_to: pod.labels().get(label::DUAL).filter(|d| !d.is_empty()).cloned(),
        instances: match engines {
            Some(engines) => tokio::time::timeout(PATIENCE, instances(pod, engines)).await.ok().flatten(),
            None => None,
        },
    }
}

/// How launchers and engines are asked: who does not answer soon cannot be reached from here.
fn engines() -> Option<http::Client> {
    http::client(http::Timeouts { connect: BRIEF / 2, total: Some(BRIEF) }).ok()
}

async fn instances(pod: &Pod, engines: &http::Client) -> Option<Vec<InstanceRow>> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    let url = net::base_url(ip, port::LAUNCHER) + path::INSTANCES;
    let list: serde_json::Value = http::call(engines, http::Request::new(Method::GET, &url)).await.ok()?.json().ok()?;
    let mut rows = Vec::new();
    for instance in list["instances"].as_array()? {
        let engine_port = instance["annotations"][annotation::INSTANCE_INFERENCE_PORT].as_str().and_then(|p| p.parse().ok());
        let mut state = instance["status"].as_str().unwrap_or("unknown").to_owned();
        if let (Some(engine_port), "running") = (engine_port, state.as_str()) {
            let adapter = instance["annotations"][ENGINE].as_str().unwrap_or(engine::DEFAULT_ADAPTER);
            let sleeps = match engine::driver(adapter, &net::base_url(ip, engine_port), engines.clone()) {
                Some(driver) => driver.is_sleeping().await.ok(),
                None => None,
            };
            state = match sleeps {
                Some(true) => "asleep".into(),
                Some(false) => "awake".into(),
                None => "starting".into(),
            };
        }
        rows.push(InstanceRow {
            id: instance["instance_id"].as_str().unwrap_or_default().to_owned(),
            config: instance["annotations"][annotation::INSTANCE_ISC_NAME].as_str().map(str::to_owned),
            state,
        });
    }
    Some(rows)
}

fn controller_row(d: &Deployment) -> ControllerRow {
    ControllerRow {
        name: d.name_any(),
        ready: d.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0),
        wanted: d.spec.replicas.unwrap_or(1),
    }
}
