//! The ConfigMap `gpu-map`: node name to JSON of GPU UUID to index.
//!
//! Made from the annotation `dormouse.dev/gpus` that each kubelet of ours publishes on its Node. [`sync`] does it once, [`keep`]
//! as long as it runs. Entries of nodes that exist but have no annotation are somebody else's and stay; entries of nodes
//! that are gone are removed only on request. [`plan`] decides and is PURE.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Subcommand;
use dormouse_apis::names::GPU_MAP;
use dormouse_controller::KubeFlags;
use dormouse_names::annotation;
use dormouse_runtime::CancellationToken;
use dormouse_runtime::output::Out;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::error::Error;

const MANAGER: &str = "dormouse-gpu-map";
/// Events of one moment are one change.
const SETTLE: Duration = Duration::from_millis(20);
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Arguments of `gpu-map`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Make the ConfigMap say what the nodes publish, once or as long as it runs
    Sync(SyncArgs),
}

/// Fills the ConfigMap gpu-map from the annotation dormouse.dev/gpus of the nodes.
///
/// Example: dormouse gpu-map sync -n default
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
struct SyncArgs {
    /// Namespace of the ConfigMap.
    #[arg(short, long)]
    namespace: String,
    /// Also removes entries of nodes that no longer exist.
    #[arg(long)]
    prune: bool,
    /// Goes on as nodes change, until interrupted.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    kube: KubeFlags,
}

/// What a synchronisation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Whether the ConfigMap was made.
    pub created: bool,
    /// Nodes whose entry was written.
    pub written: Vec<String>,
    /// Nodes whose entry was removed.
    pub removed: Vec<String>,
    /// Nodes whose entry was right already.
    pub unchanged: Vec<String>,
    /// Nodes that were left out, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// Runs the verb: once, or with `--watch` until `shutdown`.
///
/// # Errors
/// When there are no credentials or the API server refuses.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let What::Sync(args) = args.what;
    let client = args.kube.credentials(None).client().await?;
    if args.watch {
        keep(client, &args.namespace, shutdown).await;
        return Ok(());
    }
    let done = sync(client, &args.namespace, args.prune).await?;
    Ok(Out.line(&told(&args.namespace, &done))?)
}

/// The sentence about what was done.
fn told(namespace: &str, done: &Summary) -> String {
    let list = |what: &str, nodes: &[String]| if nodes.is_empty() { String::new() } else { format!(" {what}: {}.", nodes.join(", ")) };
    let skipped: Vec<String> = done.skipped.iter().map(|(node, why)| format!("{node} ({why})")).collect();
    format!(
        "{} ConfigMap gpu-map in namespace {namespace}.{}{}{}{}",
        if done.created { "made" } else { "looked at" },
        list("Written", &done.written),
        list("Removed", &done.removed),
        list("Right already", &done.unchanged),
        list("Left out", &skipped),
    )
}

/// Makes the ConfigMap say what the nodes say, once.
///
/// # Errors
/// When the API server refuses.
pub async fn sync(client: Client, namespace: &str, prune: bool) -> Result<Summary, Error> {
    let nodes: Vec<Node> = Api::<Node>::all(client.clone()).list(&kube::api::ListParams::default()).await?.items;
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    // A second try when somebody else makes or removes the map meanwhile.
    for last in [false, true] {
        let current = maps.get_opt(GPU_MAP).await?;
        let (mut summary, data) = plan(&nodes, current.as_ref(), prune);
        let done = if current.is_none() {
            let map = ConfigMap {
                metadata: kube::core::ObjectMeta { name: Some(GPU_MAP.to_owned()), ..kube::core::ObjectMeta::default() },
                data: Some(data.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned()))).collect()),
                ..ConfigMap::default()
            };
            summary.created = true;
            maps.create(&PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }, &map).await
        } else if data.is_empty() {
            return Ok(summary);
        } else {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            maps.patch(GPU_MAP, &params, &Patch::Merge(json!({"data": data}))).await
        };
        match done {
            Ok(_) => return Ok(summary),
            Err(kube::Error::Api(status)) if !last && matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Summary::default())
}

/// Keeps the ConfigMap equal to the nodes' annotations until `shutdown`; entries of vanished nodes are removed.
pub async fn keep(client: Client, namespace: &str, shutdown: CancellationToken) {
    let nodes = watcher(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff();
    let only = watcher::Config::default().fields(&format!("metadata.name={GPU_MAP}"));
    let maps = watcher(Api::<ConfigMap>::namespaced(client.clone(), namespace), only).default_backoff();
    let mut changes = futures::stream::select(nodes.map(|e| e.map(drop)), maps.map(|e| e.map(drop))).boxed();
    let follow = async {
        loop {
            match changes.next().await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "watching nodes for gpu-map");
                    continue;
                }
                None => return,
            }
            let settled = tokio::time::sleep(SETTLE);
            tokio::pin!(settled);
            loop {
                tokio::select! {
                    () = &mut settled => break,
                    change = changes.next() => if change.is_none() { break },
                }
            }
            while let Err(error) = sync_logged(&client, namespace).await {
                tracing::warn!(%error, "cannot write gpu-map; trying again");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = shutdown.cancelled() => {}
    }
}

async fn sync_logged(client: &Client, namespace: &str) -> Result<(), Error> {
    let summary = sync(client.clone(), namespace, true).await?;
    if summary.created || !summary.written.is_empty() || !summary.removed.is_empty() {
        tracing::info!(written = ?summary.written, removed = ?summary.removed, "Wrote gpu-map");
    }
    Ok(())
}

/// What has to change: data to merge into the ConfigMap, null meaning removal.
fn plan(nodes: &[Node], current: Option<&ConfigMap>, prune: bool) -> (Summary, BTreeMap<String, Value>) {
    let empty = BTreeMap::new();
    let have = current.and_then(|m| m.data.as_ref()).unwrap_or(&empty);
    let (mut summary, mut data) = (Summary::default(), BTreeMap::new());
    for node in nodes {
        let name = node.name_any();
        let Some(text) = node.annotations().get(annotation::NODE_GPUS) else {
            summary.skipped.push((name, format!("no annotation {}", annotation::NODE_GPUS)));
            continue;
        };
        let gpus: BTreeMap<String, u32> = match serde_json::from_str(text) {
            Ok(gpus) => gpus,
            Err(error) => {
                summary.skipped.push((name, format!("annotation {} is no JSON object of UUID to index: {error}", annotation::NODE_GPUS)));
                continue;
            }
        };
        let same = have.get(&name).and_then(|t| serde_json::from_str::<BTreeMap<String, u32>>(t).ok()).is_some_and(|h| h == gpus);
        if same {
            summary.unchanged.push(name);
        } else {
            data.insert(name.clone(), json!(json!(gpus).to_string()));
            summary.written.push(name);
        }
    }
    if prune {
        for name in have.keys().filter(|k| !nodes.iter().any(|n| n.name_any() == **k)) {
            data.insert(name.clone(), Value::Null);
            summary.removed.push(name.clone());
        }
    }
    (summary, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, gpus: Option<&str>) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        node.metadata.annotations = gpus.map(|g| [(annotation::NODE_GPUS.to_owned(), g.to_owned())].into());
        node
    }

    #[test]
    fn a_plan_writes_differences_only() {
        let nodes =
            [node("n.1", Some(r#"{"GPU-0":0,"GPU-1":1}"#)), node("n2", Some(r#"{"GPU-2":0}"#)), node("n3", None), node("n4", Some("x"))];
        let have = ConfigMap {
            data: Some(
                [("n2".to_owned(), "{ \"GPU-2\": 0 }".to_owned()), ("n3".to_owned(), "{}".to_owned()), ("old".to_owned(), "{}".to_owned())]
                    .into(),
            ),
            ..ConfigMap::default()
        };
        let (summary, data) = plan(&nodes, Some(&have), true);
        assert_eq!(data, BTreeMap::from([("n.1".to_owned(), json!(r#"{"GPU-0":0,"GPU-1":1}"#)), ("old".to_owned(), Value::Null)]));
        assert_eq!(
            (summary.written, summary.unchanged, summary.removed),
            (vec!["n.1".to_owned()], vec!["n2".to_owned()], vec!["old".to_owned()])
        );
        assert_eq!(summary.skipped.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), ["n3", "n4"]);
        assert!(plan(&nodes, Some(&have), false).0.removed.is_empty());
        assert_eq!(plan(&nodes, None, true).1.len(), 2);
    }
}
