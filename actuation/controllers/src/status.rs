//! What `dormouse status` shows of requesters, launchers and the controllers themselves, on any cluster.
//!
//! All of it is read from the API; instances are asked of their launchers where these can be reached from here. The engines
//! that are told of so ([`engines`]) are those of every kind: also one that no device ledger knows of.

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
/// States of an instance that are told apart from the others.
const STOPPED: &str = "stopped";
const ASLEEP: &str = "asleep";

/// Who is served by whom.
#[derive(Debug, Serialize)]
pub struct Status {
    requesters: Vec<RequesterRow>,
    launchers: Vec<LauncherRow>,
    controllers: Vec<ControllerRow>,
    #[serde(skip)]
    engines: Vec<Engine>,
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
    #[serde(skip)]
    pod: PodName,
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
    /// UUIDs, as the launcher was told; none where it was told none.
    gpus: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ControllerRow {
    name: String,
    ready: i32,
    wanted: i32,
}

/// An engine that a Pod or a launcher tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The node that it is on.
    pub node: String,
    /// The Pod that it runs in.
    pub pod: PodName,
    /// UUIDs of its GPUs.
    pub gpus: Vec<String>,
    /// What people call it: its `InferenceServerConfig` or, in the direct flow, its Pod.
    pub name: String,
    /// It sleeps; one that starts does not.
    pub asleep: bool,
}

/// Which Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl PodName {
    fn of(pod: &Pod) -> Self {
        Self { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any(), uid: pod.uid().unwrap_or_default() }
    }
}

/// What there is in a namespace; of these Pods, those of other namespaces only tell of their engines.
///
/// # Errors
/// When Deployments cannot be listed.
pub async fn gather(client: &Client, namespace: &str, pods: &[Pod]) -> anyhow::Result<Status> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let deployments = deployments.list(&ListParams::default()).await.context("cannot list Deployments")?.items;
    let mut launchers = launcher_rows(pods).await;
    let engines = told(pods, &launchers);
    launchers.retain(|l| l.pod.namespace == namespace);
    let is_controller = |d: &&Deployment| d.labels().get("app.kubernetes.io/name").is_some_and(|n| n == "fma-controllers");
    Ok(Status {
        requesters: pods.iter().filter(|p| p.namespace().as_deref() == Some(namespace)).filter_map(requester_row).collect(),
        launchers,
        engines,
        controllers: deployments.iter().filter(is_controller).map(controller_row).collect(),
    })
}

/// The engines of these Pods, of whichever flow. A launcher that cannot be reached from here tells of none.
pub async fn engines(pods: &[Pod]) -> Vec<Engine> {
    told(pods, &launcher_rows(pods).await)
}

fn told(pods: &[Pod], launchers: &[LauncherRow]) -> Vec<Engine> {
    pods.iter().filter_map(direct_engine).chain(launchers.iter().flat_map(launched)).collect()
}

/// Whether a Pod takes its GPUs from an engine in its place: a requester holds them, and its provider uses them; a launcher
/// tells of its engines itself.
#[must_use]
pub fn stands_for_engines(pod: &Pod) -> bool {
    wants(pod).is_some() || is_launcher(pod) || direct_engine(pod).is_some()
}

/// The provider of the direct flow; the controller says on it which GPUs it has and whether it sleeps.
fn direct_engine(pod: &Pod) -> Option<Engine> {
    if is_launcher(pod) || !pod.annotations().contains_key(annotation::NOMINAL) || ended(pod) {
        return None;
    }
    Some(Engine {
        node: node_of(pod)?,
        pod: PodName::of(pod),
        gpus: accelerators(pod),
        name: pod.name_any(),
        asleep: pod.labels().get(label::SLEEPING).is_some_and(|s| s == "true"),
    })
}

fn launched(launcher: &LauncherRow) -> Vec<Engine> {
    let Some(node) = &launcher.node else { return Vec::new() };
    let running = launcher.instances.iter().flatten().filter(|i| i.state != STOPPED);
    let engine = |i: &InstanceRow| Engine {
        node: node.clone(),
        pod: launcher.pod.clone(),
        gpus: i.gpus.clone(),
        name: i.config.as_ref().unwrap_or(&i.id).clone(),
        asleep: i.state == ASLEEP,
    };
    running.map(engine).collect()
}

impl Status {
    /// What the Pods that it was gathered from told of engines, as [`engines`] does.
    #[must_use]
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

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

fn is_launcher(pod: &Pod) -> bool {
    pod.labels().contains_key(label::LAUNCHER_CONFIG_NAME)
}

fn ended(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).is_some_and(|p| p == "Succeeded" || p == "Failed")
}

fn accelerators(pod: &Pod) -> Vec<String> {
    let listed = pod.annotations().get(annotation::ACCELERATORS).into_iter().flat_map(|a| a.split(','));
    listed.filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

/// What a requester asks for; `None` for any other Pod.
fn wants(pod: &Pod) -> Option<String> {
    let notes = pod.annotations();
    let isc = notes.get(annotation::INFERENCE_SERVER_CONFIG);
    let patch = notes.contains_key(annotation::SERVER_PATCH) || notes.contains_key(annotation::OLD_SERVER_PATCH);
    isc.cloned().or_else(|| patch.then(|| "(server patch)".to_owned()))
}

fn requester_row(pod: &Pod) -> Option<RequesterRow> {
    let wants = wants(pod)?;
    let notes = pod.annotations();
    let status: serde_json::Value = notes.get(annotation::STATUS).and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
    Some(RequesterRow {
        name: pod.name_any(),
        node: node_of(pod),
        wants,
        provider: pod.labels().get(label::DUAL).cloned(),
        ready: is_ready(pod),
        accelerators: accelerators(pod),
        errors: status["Errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str().map(str::to_owned)).collect(),
    })
}

async fn launcher_rows(pods: &[Pod]) -> Vec<LauncherRow> {
    let client = client();
    stream::iter(pods.iter().filter(|p| is_launcher(p))).map(|pod| launcher_row(pod, client.as_ref())).buffered(AT_ONCE).collect().await
}

async fn launcher_row(pod: &Pod, engines: Option<&http::Client>) -> LauncherRow {
    LauncherRow {
        name: pod.name_any(),
        pod: PodName::of(pod),
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
fn client() -> Option<http::Client> {
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
                Some(true) => ASLEEP.into(),
                Some(false) => "awake".into(),
                None => "starting".into(),
            };
        }
        rows.push(InstanceRow {
            id: instance["instance_id"].as_str().unwrap_or_default().to_owned(),
            config: instance["annotations"][annotation::INSTANCE_ISC_NAME].as_str().map(str::to_owned),
            state,
            gpus: instance["gpu_uuids"].as_array().into_iter().flatten().filter_map(|g| g.as_str().map(str::to_owned)).collect(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: &serde_json::Value, notes: &serde_json::Value, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "x", "uid": "u", "labels": labels, "annotations": notes},
            "spec": {"nodeName": "n", "containers": []}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_direct_provider_tells_of_its_engine() {
        let notes = json!({annotation::NOMINAL: "hash", annotation::ACCELERATORS: "GPU-0,GPU-3"});
        let told = |sleeping: &str, phase: &str| direct_engine(&pod(&json!({label::SLEEPING: sleeping}), &notes, phase));
        let engine = told("true", "Running").unwrap();
        assert_eq!((engine.node.as_str(), engine.gpus.len(), engine.asleep), ("n", 2, true));
        assert!(!told("false", "Running").unwrap().asleep);
        assert_eq!(told("false", "Failed"), None);
        assert_eq!(direct_engine(&pod(&json!({}), &json!({}), "Running")), None);
    }

    #[test]
    fn a_launcher_tells_of_what_runs_in_it() {
        let instance =
            |state: &str| InstanceRow { id: "i".into(), config: Some("isc".into()), state: state.into(), gpus: vec!["GPU-1".into()] };
        let row = LauncherRow {
            name: "l".into(),
            pod: PodName { namespace: "x".into(), name: "l".into(), uid: "u".into() },
            node: Some("n".into()),
            config: "c".into(),
            ready: true,
            bound_to: None,
            instances: Some(["asleep", "awake", "starting", "stopped"].map(instance).into()),
        };
        let told: Vec<_> = launched(&row).into_iter().map(|e| (e.name, e.asleep)).collect();
        assert_eq!(told, [("isc".to_owned(), true), ("isc".to_owned(), false), ("isc".to_owned(), false)]);
    }

    #[test]
    fn who_only_holds_gpus_is_no_engine() {
        let plain = pod(&json!({}), &json!({}), "Running");
        assert!(!stands_for_engines(&plain));
        for note in [annotation::SERVER_PATCH, annotation::INFERENCE_SERVER_CONFIG, annotation::NOMINAL] {
            assert!(stands_for_engines(&pod(&json!({}), &json!({note: "x"}), "Running")), "{note}");
        }
        assert!(stands_for_engines(&pod(&json!({label::LAUNCHER_CONFIG_NAME: "c"}), &json!({}), "Running")));
    }
}
