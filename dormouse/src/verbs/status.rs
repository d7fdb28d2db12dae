//! `dormouse status`: who serves what, on any cluster.
//!
//! Each system that is built in shows its part; the last warnings and the way to a cluster are here. What runs beside a plane
//! and not on it (launchers, device ledgers) is asked where it can be reached from here, and left out where not.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use dormouse_controller::{Credentials, NoClient, is_ready};
use dormouse_runtime::clock::{Clock, SystemClock};
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::Out;
use dormouse_runtime::output::table::{age, section};
use dormouse_runtime::program;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Name of the plane; `default` unless given, and where that does not run the cluster of KUBECONFIG
    #[cfg(feature = "plane")]
    #[arg(long)]
    name: Option<String>,
    /// A kubeconfig instead: any cluster
    #[arg(long, value_name = "FILE")]
    #[cfg_attr(feature = "plane", arg(conflicts_with = "name"))]
    kubeconfig: Option<PathBuf>,
    /// Namespace; the plane's or the kubeconfig's unless given
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Status {
    #[cfg(feature = "plane")]
    #[serde(flatten)]
    plane: dormouse_plane::status::Status,
    #[cfg(feature = "actuation")]
    #[serde(flatten)]
    actuation: dormouse_actuation::status::Status,
    problems: Vec<ProblemRow>,
}

#[derive(Debug, Serialize)]
struct ProblemRow {
    age_seconds: i64,
    object: String,
    reason: String,
    message: String,
}

/// Where to look.
struct Target {
    client: Client,
    namespace: String,
    /// Where the device ledgers of nodes are.
    #[cfg(feature = "plane")]
    devices: Vec<(String, String)>,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<()> {
    program::block_on(async {
        let target = connect(args).await?;
        let status = gather(&target).await?;
        match args.output {
            Output::Json => Out.line(&serde_json::to_string_pretty(&status)?)?,
            Output::Table => Out.text(&status.tables().join("\n"))?,
        }
        Ok(())
    })
}

#[cfg(feature = "plane")]
async fn connect(args: &StatusArgs) -> anyhow::Result<Target> {
    use dormouse_plane::run_folder;
    /// The plane that is meant where none is named.
    const DEFAULT_NAME: &str = "default";
    let running = match (&args.kubeconfig, &args.name) {
        (Some(_), _) => None,
        // Whoever names a plane wants no other.
        (None, Some(name)) => Some(run_folder::found(name)?),
        (None, None) => run_folder::running(DEFAULT_NAME)?,
    };
    let file = args.kubeconfig.clone().or_else(|| running.as_ref().map(|s| s.kubeconfig.clone()));
    let config = config(
        file,
        &format!(
            "no plane runs under the name {DEFAULT_NAME:?} and no kubeconfig was found; start one with `dormouse up`, or give --kubeconfig"
        ),
    )
    .await?;
    let namespace = args.namespace.clone().or_else(|| running.as_ref().map(|s| s.namespace.clone()));
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let devices = running.map(|s| s.devices).unwrap_or_default();
    Ok(Target { client: Client::try_from(config).context("cannot make a client")?, namespace, devices })
}

#[cfg(not(feature = "plane"))]
async fn connect(args: &StatusArgs) -> anyhow::Result<Target> {
    let config = config(args.kubeconfig.clone(), "no kubeconfig was found; give --kubeconfig").await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    Ok(Target { client: Client::try_from(config).context("cannot make a client")?, namespace })
}

/// How to reach the API server; `nowhere` says what to do when nothing was found.
async fn config(kubeconfig: Option<PathBuf>, nowhere: &str) -> anyhow::Result<kube::Config> {
    Credentials { kubeconfig, ..Credentials::default() }.config().await.map_err(|error| match error {
        NoClient::Nothing(_) => anyhow::Error::new(error).context(nowhere.to_owned()),
        other => other.into(),
    })
}

async fn gather(target: &Target) -> anyhow::Result<Status> {
    let Target { client, namespace, .. } = target;
    let events = Api::<Event>::namespaced(client.clone(), namespace);
    let events = events.list(&ListParams::default().fields("type=Warning")).await.context("cannot list Events")?.items;
    let pods = target.pods().await?;
    #[cfg(feature = "actuation")]
    let actuation = dormouse_actuation::status::gather(client, namespace, &pods).await?;
    #[cfg(feature = "plane")]
    let plane = {
        #[cfg(feature = "actuation")]
        let told = actuation.engines();
        #[cfg(not(feature = "actuation"))]
        let told = &[];
        dormouse_plane::status::gather(client, &target.devices, &super::devices::with_plain(&pods, told)).await?
    };
    Ok(Status {
        #[cfg(feature = "plane")]
        plane,
        #[cfg(feature = "actuation")]
        actuation,
        problems: problems(&events, &pods, SystemClock.now()),
    })
}

impl Target {
    /// The Pods to look at. On a plane of ours all of them, since a GPU may be used from any namespace.
    async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        #[cfg(feature = "plane")]
        let everywhere = !self.devices.is_empty();
        #[cfg(not(feature = "plane"))]
        let everywhere = false;
        let client = self.client.clone();
        let pods: Api<Pod> = if everywhere { Api::all(client) } else { Api::namespaced(client, &self.namespace) };
        Ok(pods.list(&ListParams::default()).await.context("cannot list Pods")?.items)
    }
}

impl Status {
    fn tables(&self) -> Vec<String> {
        let mut tables = Vec::new();
        #[cfg(feature = "plane")]
        tables.push(self.plane.table());
        #[cfg(feature = "actuation")]
        tables.extend(self.actuation.tables());
        let rows = self.problems.iter().map(|p| vec![age(p.age_seconds), p.object.clone(), p.reason.clone(), p.message.clone()]);
        tables.extend(section(&["AGE", "OBJECT", "REASON", "MESSAGE"], &rows.collect::<Vec<_>>()));
        tables
    }
}

/// The last warnings. A probe that failed is none any more once its Pod is ready, or gone.
fn problems(events: &[Event], pods: &[Pod], now: Timestamp) -> Vec<ProblemRow> {
    let over = |e: &Event| {
        let about = &e.involved_object;
        let same = |of: &Option<String>, named: &Option<String>| named.is_none() || of == named;
        let of = |p: &&Pod| {
            let m = &p.metadata;
            m.name == about.name && same(&m.namespace, &about.namespace) && same(&m.uid, &about.uid)
        };
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
