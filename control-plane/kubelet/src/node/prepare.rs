//! Before a Pod's first container: its folder, volumes and shim.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{join_all, try_join, try_join_all};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;

use super::context::Node;
use super::folder;
use super::follow::{Follower, Following};
use super::worker::News;
use crate::plan::env::{References, Sources};
use crate::plan::fields::FieldFacts;
use crate::plan::gpus::Given;
use crate::plan::volume::{self, TokenWish};
use crate::shim::Shim;

/// Tokens by what was wished for.
pub(super) type Tokens = BTreeMap<TokenWish, String>;

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
    /// Keeps the volumes up to date.
    pub(super) following: Following,
}

/// Whose stage it is to be.
pub(super) struct Wish {
    pub(super) pod: Arc<Pod>,
    pub(super) about: ObjectReference,
    pub(super) news: watch::Receiver<News>,
    pub(super) ip: String,
    pub(super) gpus: Given,
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

/// Makes the stage of a Pod.
pub(super) async fn prepare(node: Arc<Node>, wish: Wish) -> Result<Stage, PrepareError> {
    let Wish { pod, about, news, ip, gpus } = wish;
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let dir = node.pod_dir(&uid);
    let facts = FieldFacts { pod_ip: ip.clone(), host_ip: node.options.node_ip().to_string(), allocatable: node.capacity() };
    let hosts = volume::hosts_file(&pod, &hostname(&pod), &ip);
    let made = dir.clone();
    blocking(move || folder::create(&made, &hosts)).await.map_err(sandbox_error)?;

    let label = format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or(""), pod.metadata.name.as_deref().unwrap_or(""));
    let mark = [(dormouse_names::env::POD_UID, uid.as_str())];
    let shim = async { Shim::start(&node.options.executable, &label, &mark).await.map_err(sandbox_error) };
    let follower = Follower::new(node.clone(), pod.clone(), about, facts.clone(), dir.clone());
    let ((volumes, following), shim) = try_join(make_volumes(follower, news), shim).await?;
    Ok(Stage { pod, uid, dir, shim, volumes, facts, gpus, following })
}

/// The volumes, and what keeps them up to date.
pub(super) async fn make_volumes(
    mut follower: Follower,
    news: watch::Receiver<News>,
) -> Result<(BTreeMap<String, PathBuf>, Following), PrepareError> {
    let (node, pod) = (follower.node.clone(), follower.pod.clone());
    let sources = async { fetch(&node.options.client, namespace(&pod), volume::references(&pod)).await.map_err(mount_error) };
    let tokens = async { tokens(&node, &pod).await.map_err(mount_error) };
    let (sources, tokens) = try_join(sources, tokens).await?;
    follower.tokens = tokens;
    let plans = volume::plan(&pod, follower.ingredients(&sources)).map_err(mount_error)?;
    let (dir, now) = (follower.dir.clone(), node.now().wall);
    let volumes = blocking(move || {
        plans
            .iter()
            .map(|plan| {
                let failed = |e| std::io::Error::other(format!("MountVolume.SetUp failed for volume {:?} : {e}", plan.name));
                Ok((plan.name.clone(), folder::volume(&dir, plan, now).map_err(failed)?))
            })
            .collect::<std::io::Result<_>>()
    });
    Ok((volumes.await.map_err(mount_error)?, follower.start(&sources, news)))
}

/// A Pod's namespace.
pub(super) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
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
pub(super) async fn tokens(node: &Node, pod: &Pod) -> Result<Tokens, String> {
    let wishes = volume::token_wishes(pod);
    let account = pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).filter(|n| !n.is_empty()).unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(node.options.client.clone(), namespace(pod));
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
    let mut tokens = Tokens::new();
    for (wish, answer) in wishes.iter().zip(answers.await) {
        let answer = answer.map_err(|e| format!("failed to fetch token: {e}"))?;
        let token = answer.status.and_then(|s| s.token).ok_or("failed to fetch token: the answer has no status")?;
        tokens.insert(wish.clone(), token);
    }
    Ok(tokens)
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
