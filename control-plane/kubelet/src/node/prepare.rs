//! Before a Pod's first container: its folder, volumes and shim.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join, try_join_all};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use tokio_util::task::AbortOnDropHandle;

use super::context::Node;
use super::folder;
use crate::plan::env::{References, Sources};
use crate::plan::fields::FieldFacts;
use crate::plan::gpus::Given;
use crate::plan::volume::{self, Content, Ingredients, TokenWish};
use crate::shim::Shim;

/// What a Pod's containers run in.
pub(super) struct Stage {
    /// The Pod as it was when this was made.
    pub(super) pod: Arc<Pod>,
    pub(super) uid: String,
    pub(super) dir: PathBuf,
    pub(super) shim: Shim,
    /// Where the root of each volume is.
    pub(super) volumes: BTreeMap<String, PathBuf>,
    pub(super) facts: FieldFacts,
    pub(super) gpus: Given,
    _refresher: Option<AbortOnDropHandle<()>>,
}

/// Why it could not be made.
#[derive(Debug)]
pub(super) struct PrepareError {
    /// Reason of the event.
    pub(super) reason: &'static str,
    /// What went wrong.
    pub(super) message: String,
}

fn mount_error(e: impl std::fmt::Display) -> PrepareError {
    PrepareError { reason: "FailedMount", message: format!("{e}") }
}

fn sandbox_error(e: impl std::fmt::Display) -> PrepareError {
    PrepareError { reason: "FailedCreatePodSandBox", message: format!("Failed to create pod sandbox: {e}") }
}

/// Makes the stage of `pod`.
pub(super) async fn prepare(node: Arc<Node>, pod: Arc<Pod>, ip: String, gpus: Given) -> Result<Stage, PrepareError> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let dir = node.pod_dir(&uid);
    let facts = FieldFacts { pod_ip: ip.clone(), host_ip: node.options.node_ip().to_string(), allocatable: node.capacity() };
    let hosts = volume::hosts_file(&pod, &hostname(&pod), &ip);
    let made = dir.clone();
    blocking(move || folder::create(&made, &hosts)).await.map_err(sandbox_error)?;

    let label = format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or(""), pod.metadata.name.as_deref().unwrap_or(""));
    let mark = [(dormouse_names::env::POD_UID, uid.as_str())];
    let shim = async { Shim::start(&node.options.executable, &label, &mark).await.map_err(sandbox_error) };
    let ((volumes, tokens), shim) = try_join(make_volumes(&node, &pod, &facts, &dir), shim).await?;
    let refresher = tokens.then(|| AbortOnDropHandle::new(tokio::spawn(refresh(node.clone(), pod.clone(), facts.clone(), dir.clone()))));
    Ok(Stage { pod, uid, dir, shim, volumes, facts, gpus, _refresher: refresher })
}

/// The volumes, and whether any of them holds a token.
async fn make_volumes(
    node: &Arc<Node>,
    pod: &Arc<Pod>,
    facts: &FieldFacts,
    dir: &std::path::Path,
) -> Result<(BTreeMap<String, PathBuf>, bool), PrepareError> {
    let plans = plan(node, pod, facts).await.map_err(mount_error)?;
    let has_tokens = !volume::token_wishes(pod).is_empty();
    let dir = dir.to_owned();
    let volumes = blocking(move || {
        plans
            .iter()
            .map(|plan| {
                let failed = |e| std::io::Error::other(format!("MountVolume.SetUp failed for volume {:?} : {e}", plan.name));
                Ok((plan.name.clone(), folder::volume(&dir, plan).map_err(failed)?))
            })
            .collect::<std::io::Result<_>>()
    });
    Ok((volumes.await.map_err(mount_error)?, has_tokens))
}

/// Reads what the volumes are made of and plans them.
async fn plan(node: &Arc<Node>, pod: &Arc<Pod>, facts: &FieldFacts) -> Result<Vec<volume::VolumePlan>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let sources = async { fetch(&node.options.client, namespace, volume::references(pod)).await.map_err(|e| e.to_string()) };
    let (sources, tokens) = try_join(sources, tokens(node, pod)).await?;
    let ca_pem = node.options.api.as_ref().map(|a| a.ca_pem.as_str());
    let with = Ingredients { sources: &sources, tokens: &tokens, facts, ca_pem };
    volume::plan(pod, with).map_err(|e| e.to_string())
}

/// ConfigMaps and Secrets as far as they exist.
pub(super) async fn fetch(client: &kube::Client, namespace: &str, refs: References) -> kube::Result<Sources> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let maps = try_join_all(refs.config_maps.iter().map(|name| maps.get_opt(name)));
    let secrets = try_join_all(refs.secrets.iter().map(|name| secrets.get_opt(name)));
    let (maps, secrets) = try_join(maps, secrets).await?;
    Ok(Sources {
        config_maps: refs.config_maps.into_iter().zip(maps).filter_map(|(n, m)| Some((n, m?))).collect(),
        secrets: refs.secrets.into_iter().zip(secrets).filter_map(|(n, s)| Some((n, s?))).collect(),
    })
}

/// The tokens the Pod's volumes want, bound to the Pod.
async fn tokens(node: &Node, pod: &Pod) -> Result<BTreeMap<TokenWish, String>, String> {
    let wishes = volume::token_wishes(pod);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let account = pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).filter(|n| !n.is_empty()).unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(node.options.client.clone(), namespace);
    let answers = join_all(wishes.iter().map(|wish| {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: wish.audience.clone().map(|a| vec![a]),
                expiration_seconds: Some(wish.expiration_seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts = &accounts;
        async move { accounts.create_token_request(account, &PostParams::default(), &request).await }
    }));
    let mut tokens = BTreeMap::new();
    for (wish, answer) in wishes.iter().zip(answers.await) {
        let answer = answer.map_err(|e| format!("failed to fetch token: {e}"))?;
        let token = answer.status.and_then(|s| s.token).ok_or("failed to fetch token: the answer has no status")?;
        tokens.insert(wish.clone(), token);
    }
    Ok(tokens)
}

/// Writes the volumes that hold tokens again before the tokens expire, for as long as the Pod runs.
async fn refresh(node: Arc<Node>, pod: Arc<Pod>, facts: FieldFacts, dir: PathBuf) {
    let life = volume::token_wishes(&pod).iter().map(|w| w.expiration_seconds).min().unwrap_or(3600);
    // The kubelet's figure: when a fifth of the life is left. A failure is tried again well before that is used up.
    let usual = Duration::from_secs(u64::try_from(life).unwrap_or(3600)) * 4 / 5;
    let mut pause = usual;
    loop {
        tokio::time::sleep(pause).await;
        let written = match plan(&node, &pod, &facts).await {
            Ok(plans) => {
                let dir = dir.clone();
                let write = move || {
                    plans.iter().try_for_each(|plan| match &plan.content {
                        Content::Files(files) => folder::write_files(&dir.join("volumes").join(&plan.name), files),
                        Content::Empty | Content::Host { .. } => Ok(()),
                    })
                };
                blocking(write).await.map_err(|e| e.to_string())
            }
            Err(e) => Err(e),
        };
        pause = match written {
            Ok(()) => usual,
            Err(error) => {
                tracing::warn!(%error, pod = pod.metadata.name, "the Pod's tokens could not be renewed");
                usual / 20
            }
        };
    }
}

/// What a Pod calls itself.
pub(super) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec.and_then(|s| s.hostname.clone()).or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

/// File work off the reactor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}
