//! `dormouse status`: who serves what, on any cluster.
//!
//! Everything shown is read from the API; instances are asked of their launchers and GPU memory of the device
//! ledger where those can be reached from here, and left out where not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use dormouse_apis::names::{annotation, label, path, port};
use dormouse_controller::{Credentials, NoClient};
use dormouse_devices::{Client as Devices, Identity, LeaseState};
use dormouse_engine_client::{self as engine, Direct};
use dormouse_names::annotation::{ENGINE, NODE_GPUS};
use dormouse_runtime::clock::{Clock, SystemClock};
use dormouse_runtime::http::{self, Method};
use dormouse_runtime::output::Out;
use dormouse_runtime::{net, tls};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::run_folder;
use crate::table::{age, bytes, render};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Name of the plane; `default` unless given, and where that does not run the cluster of KUBECONFIG
    #[arg(long)]
    name: Option<String>,
    /// A kubeconfig instead: any cluster
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    kubeconfig: Option<PathBuf>,
    /// Namespace; the plane's or the kubeconfig's unless given
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The plane that is meant where none is named.
const DEFAULT_NAME: &str = "default";

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Serialize)]
struct Status {
    nodes: Vec<NodeRow>,
    requesters: Vec<RequesterRow>,
    launchers: Vec<LauncherRow>,
    controllers: Vec<ControllerRow>,
    problems: Vec<ProblemRow>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    ready: bool,
    schedulable: bool,
    gpus: Vec<GpuRow>,
}

#[derive(Debug, Serialize)]
struct GpuRow {
    uuid: String,
    /// Engines that hold memory as awake ones.
    awake: Vec<String>,
    asleep: Vec<String>,
    used_bytes: Option<u64>,
    total_bytes: Option<u64>,
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

#[derive(Debug, Serialize)]
struct ProblemRow {
    age_seconds: i64,
    object: String,
    reason: String,
    message: String,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<()> {
    tls::install_provider();
    super::small_runtime()?.block_on(async {
        let (client, namespace, devices) = connect(args).await?;
        let status = gather(&client, &namespace, &devices).await?;
        match args.output {
            Output::Json => Out.line(&serde_json::to_string_pretty(&status)?)?,
            Output::Table => Out.text(&print(&status))?,
        }
        Ok(())
    })
}

/// A client, the namespace to look at, and where device ledgers are.
async fn connect(args: &StatusArgs) -> anyhow::Result<(Client, String, Vec<(String, String)>)> {
    let running = match (&args.kubeconfig, &args.name) {
        (Some(_), _) => None,
        // Whoever names a plane wants no other.
        (None, Some(name)) => Some(run_folder::found(name)?),
        (None, None) => run_folder::running(DEFAULT_NAME)?,
    };
    let file = args.kubeconfig.clone().or_else(|| running.as_ref().map(|s| s.kubeconfig.clone()));
    let credentials = Credentials { kubeconfig: file, ..Credentials::default() };
    let config = credentials.config().await.map_err(|error| match error {
        NoClient::Nothing(_) => anyhow::Error::new(error).context(format!(
            "no plane runs under the name {DEFAULT_NAME:?} and no kubeconfig was found; start one with `dormouse up`, or give --kubeconfig"
        )),
        other => other.into(),
    })?;
    let namespace = args
        .namespace
        .clone()
        .or_else(|| running.as_ref().map(|s| s.namespace.clone()))
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("cannot make a client")?;
    Ok((client, namespace, running.map(|s| s.devices).unwrap_or_default()))
}

async fn gather(client: &Client, namespace: &str, devices: &[(String, String)]) -> anyhow::Result<Status> {
    let all = ListParams::default();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&all).await.context("cannot list Pods")?.items;
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.context("cannot list nodes")?.items;
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await.context("cannot list Deployments")?.items;
    let events = Api::<Event>::namespaced(client.clone(), namespace)
        .list(&ListParams::default().fields("type=Warning"))
        .await
        .context("cannot list Events")?
        .items;
    let mut node_rows = Vec::new();
    for node in &nodes {
        let socket = devices.iter().find(|(name, _)| *name == node.name_any()).map(|(_, socket)| socket.as_str());
        node_rows.push(node_row(node, socket).await);
    }
    let mut launchers = Vec::new();
    for pod in pods.iter().filter(|p| p.labels().contains_key(label::LAUNCHER_CONFIG_NAME)) {
        launchers.push(launcher_row(pod).await);
    }
    let is_controller = |d: &&Deployment| d.labels().get("app.kubernetes.io/name").is_some_and(|n| n == "fma-controllers");
    Ok(Status {
        nodes: node_rows,
        requesters: pods.iter().filter_map(requester_row).collect(),
        launchers,
        controllers: deployments.iter().filter(is_controller).map(controller_row).collect(),
        problems: problems(&events, &pods, SystemClock.now()),
    })
}

async fn node_row(node: &Node, socket: Option<&str>) -> NodeRow {
    let condition = |t: &str| {
        node.status.as_ref().and_then(|s| s.conditions.as_ref()).and_then(|c| c.iter().find(|c| c.type_ == t)).map(|c| c.status == "True")
    };
    let published: BTreeMap<String, u32> = node.annotations().get(NODE_GPUS).and_then(|g| serde_json::from_str(g).ok()).unwrap_or_default();
    let mut gpus: Vec<GpuRow> = published
        .into_keys()
        .map(|uuid| GpuRow { uuid, awake: Vec::new(), asleep: Vec::new(), used_bytes: None, total_bytes: None })
        .collect();
    if let Some(socket) = socket
        && let Ok(snapshot) = snapshot(socket).await
    {
        for gpu in &mut gpus {
            let Some(held) = snapshot.gpus.iter().find(|g| g.gpu.uuid == gpu.uuid) else { continue };
            gpu.used_bytes = Some(held.used_bytes);
            gpu.total_bytes = Some(held.gpu.total_bytes);
            for lease in &held.leases {
                let name = lease.model.clone().unwrap_or_else(|| lease.label.clone());
                match lease.state {
                    LeaseState::Awake => gpu.awake.push(name),
                    LeaseState::Asleep => gpu.asleep.push(name),
                }
            }
        }
    }
    NodeRow {
        name: node.name_any(),
        ready: condition("Ready").unwrap_or(false),
        schedulable: node.spec.as_ref().and_then(|s| s.unschedulable) != Some(true),
        gpus,
    }
}

pub(crate) async fn snapshot(socket: &str) -> anyhow::Result<dormouse_devices::Snapshot> {
    let client = tokio::time::timeout(Duration::from_secs(2), Devices::connect(socket, Identity::of_this_process("dormouse"))).await??;
    Ok(tokio::time::timeout(Duration::from_secs(2), client.snapshot()).await??)
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|s| s.conditions.as_ref()).is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
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

async fn launcher_row(pod: &Pod) -> LauncherRow {
    LauncherRow {
        name: pod.name_any(),
        node: node_of(pod),
        config: pod.labels().get(label::LAUNCHER_CONFIG_NAME).cloned().unwrap_or_default(),
        ready: is_ready(pod),
        bound_to: pod.labels().get(label::DUAL).filter(|d| !d.is_empty()).cloned(),
        instances: instances(pod).await,
    }
}

async fn instances(pod: &Pod) -> Option<Vec<InstanceRow>> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    let brief = Duration::from_secs(1);
    let client = http::client(http::Timeouts { connect: brief / 2, total: Some(brief) }).ok()?;
    let engines = Direct { client: client.clone(), timeouts: engine::Timeouts { is_sleeping: brief, ..engine::Timeouts::default() } };
    let url = net::base_url(ip, port::LAUNCHER) + path::INSTANCES;
    let list: serde_json::Value = http::call(&client, Method::GET, &url, None, None).await.ok()?.json().ok()?;
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

/// The last warnings. A probe that failed is none any more once its Pod is ready, or gone.
fn problems(events: &[Event], pods: &[Pod], now: Timestamp) -> Vec<ProblemRow> {
    let over = |e: &Event| {
        let about = &e.involved_object;
        let of = |p: &&Pod| p.metadata.name == about.name && (about.uid.is_none() || p.metadata.uid == about.uid);
        let probe = e.reason.as_deref() == Some("Unhealthy") && about.kind.as_deref() == Some("Pod");
        probe && pods.iter().find(of).is_none_or(is_ready)
    };
    let when = |e: &Event| {
        let series = e.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
        let micro = e.event_time.as_ref().map(|t| t.0);
        series.or(micro).or(e.last_timestamp.as_ref().map(|t| t.0)).or(e.metadata.creation_timestamp.as_ref().map(|t| t.0))
    };
    let mut rows: Vec<ProblemRow> = events
        .iter()
        .filter(|e| !over(e))
        .map(|e| ProblemRow {
            age_seconds: when(e).map_or(0, |at| now.duration_since(at).as_secs()),
            object: format!(
                "{}/{}",
                e.involved_object.kind.as_deref().unwrap_or_default().to_lowercase(),
                e.involved_object.name.as_deref().unwrap_or_default()
            ),
            reason: e.reason.clone().unwrap_or_default(),
            message: e.message.clone().unwrap_or_default(),
        })
        .collect();
    rows.sort_by(|a, b| (a.age_seconds, &a.object, &a.reason).cmp(&(b.age_seconds, &b.object, &b.reason)));
    rows.truncate(10);
    rows
}

fn print(status: &Status) -> String {
    let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
    let mut rows = Vec::new();
    for node in &status.nodes {
        let state = if !node.ready {
            "NotReady"
        } else if node.schedulable {
            "Ready"
        } else {
            "Ready,cordoned"
        };
        if node.gpus.is_empty() {
            rows.push(vec![node.name.clone(), state.to_owned()]);
        }
        for gpu in &node.gpus {
            let memory = gpu.used_bytes.zip(gpu.total_bytes).map(|(u, t)| format!("{} of {}", bytes(u), bytes(t))).unwrap_or_default();
            rows.push(vec![node.name.clone(), state.to_owned(), gpu.uuid.clone(), gpu.awake.join(","), gpu.asleep.join(","), memory]);
        }
    }
    let mut text = render(&["NODE", "STATE", "GPU", "AWAKE", "ASLEEP", "MEMORY"], &rows);
    let section = |text: &mut String, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&render(header, &rows));
        }
    };
    let rows = status.requesters.iter().map(|r| {
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
    section(&mut text, &["REQUESTER", "NODE", "WANTS", "PROVIDER", "READY", "GPUS", "PROBLEMS"], rows.collect());
    let rows = status.launchers.iter().map(|l| {
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
    section(&mut text, &["LAUNCHER", "NODE", "CONFIG", "READY", "SERVES", "INSTANCES"], rows.collect());
    let rows = status.controllers.iter().map(|c| vec![c.name.clone(), format!("{}/{}", c.ready, c.wanted)]);
    section(&mut text, &["CONTROLLER", "READY"], rows.collect());
    let rows = status.problems.iter().map(|p| vec![age(p.age_seconds), p.object.clone(), p.reason.clone(), p.message.clone()]);
    section(&mut text, &["AGE", "OBJECT", "REASON", "MESSAGE"], rows.collect());
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid-{name}")},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn warning(reason: &str, kind: &str, name: &str, uid: &Value) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "reason": reason, "involvedObject": {"kind": kind, "name": name, "uid": uid}, "message": "m",
        }))
        .unwrap()
    }

    #[test]
    fn failed_probes_of_pods_that_are_ready_or_gone_are_no_problems() {
        let pods = [pod("ready", "True"), pod("unready", "False")];
        let events = [
            warning("Unhealthy", "Pod", "ready", &json!("uid-ready")),
            warning("Unhealthy", "Pod", "unready", &json!("uid-unready")),
            warning("Unhealthy", "Pod", "unready", &json!("uid-of-an-earlier-one")),
            warning("Unhealthy", "Pod", "gone", &Value::Null),
            warning("BackOff", "Pod", "ready", &json!("uid-ready")),
            warning("FailedCreate", "ReplicaSet", "gone", &Value::Null),
        ];
        let rows = problems(&events, &pods, Timestamp::UNIX_EPOCH);
        let shown: Vec<_> = rows.iter().map(|r| (r.object.as_str(), r.reason.as_str())).collect();
        assert_eq!(shown, [("pod/ready", "BackOff"), ("pod/unready", "Unhealthy"), ("replicaset/gone", "FailedCreate")]);
    }
}
