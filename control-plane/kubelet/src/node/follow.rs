//! Keeps what a Pod's volumes show up to date: with its own labels and annotations, with ConfigMaps and Secrets, with tokens
//! before they expire.
//!
//! A volume that cannot be made as it should be now keeps its last contents, and an event says once what is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::Note;
use futures::future::{FutureExt, select_all};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::atomic;
use super::context::Node;
use super::prepare::{self, Tokens, blocking};
use super::watches::{Handle, Kind, Subject};
use super::worker::News;
use crate::plan::env::{References, Sources};
use crate::plan::fields::FieldFacts;
use crate::plan::volume::{self, Content, Ingredients, VolumePlan};

/// Longest pause between two tries at what the API does not answer.
const LONGEST: Duration = Duration::from_secs(5);

/// What a Pod's volumes are made from.
pub(super) struct Follower {
    pub(super) node: Arc<Node>,
    pub(super) pod: Arc<Pod>,
    about: ObjectReference,
    facts: FieldFacts,
    /// The Pod's folder.
    pub(super) dir: PathBuf,
    pub(super) tokens: Tokens,
    /// Objects that never change: they are not read again, even where one was deleted and made anew.
    fixed: Sources,
}

/// The task of a [`Follower`], if its Pod needs one; ends when dropped.
pub(super) struct Following(Option<AbortOnDropHandle<()>>);

impl Following {
    /// Ends it although somebody may still hold it.
    pub(super) fn end(&self) {
        self.0.iter().for_each(AbortOnDropHandle::abort);
    }
}

/// Why a follower wakes.
enum Cause {
    Object,
    Pod(Arc<Pod>),
    Tokens,
}

impl Follower {
    /// A follower of what is yet to be made.
    pub(super) fn new(node: Arc<Node>, pod: Arc<Pod>, about: ObjectReference, facts: FieldFacts, dir: PathBuf) -> Self {
        Self { node, pod, about, facts, dir, tokens: Tokens::new(), fixed: Sources::default() }
    }

    pub(super) fn ingredients<'a>(&'a self, sources: &'a Sources) -> Ingredients<'a> {
        let ca_pem = self.node.options.api.as_ref().map(|a| a.ca_pem.as_str());
        Ingredients { sources, tokens: &self.tokens, facts: &self.facts, ca_pem }
    }

    /// Follows from now on; the volumes are as `sources` have it.
    pub(super) fn start(mut self, sources: &Sources, news: watch::Receiver<News>) -> Following {
        self.fixed = sources.immutable();
        let watched = self.watch(BTreeMap::new());
        let needed = !watched.is_empty() || !self.tokens.is_empty() || volume::shows_metadata(&self.pod);
        Following(needed.then(|| AbortOnDropHandle::new(tokio::spawn(self.follow(watched, news)))))
    }

    /// The objects that may change.
    fn references(&self) -> References {
        volume::without(volume::references(&self.pod), &self.fixed)
    }

    /// Handles to all that may change, those at hand kept.
    fn watch(&self, mut at_hand: BTreeMap<Subject, Handle>) -> BTreeMap<Subject, Handle> {
        let refs = self.references();
        let subject = |kind, name| Subject { kind, namespace: prepare::namespace(&self.pod).to_owned(), name };
        let maps = refs.config_maps.into_iter().map(|name| subject(Kind::ConfigMap, name));
        let subjects = maps.chain(refs.secrets.into_iter().map(|name| subject(Kind::Secret, name)));
        let handle = |subject: Subject| {
            let handle = at_hand.remove(&subject).unwrap_or_else(|| self.node.watches.of(&subject));
            (subject, handle)
        };
        subjects.map(handle).collect()
    }

    async fn follow(mut self, mut watched: BTreeMap<Subject, Handle>, mut news: watch::Receiver<News>) {
        let life = self.tokens.keys().map(|w| w.expiration_seconds).min();
        // The kubelet's figure: when a fifth of the life is left. A failure is tried again well before that is used up.
        let usual = life.map(|s| Duration::from_secs(u64::try_from(s).unwrap_or(3600)) * 4 / 5);
        let mut renewal = usual.map(|usual| Instant::now() + usual);
        let shows_metadata = volume::shows_metadata(&self.pod);
        let mut told = BTreeMap::new();
        loop {
            let what = tokio::select! {
                () = any(&mut watched) => Cause::Object,
                pod = other_metadata(&mut news, &self.pod), if shows_metadata => Cause::Pod(pod),
                () = at(renewal) => Cause::Tokens,
            };
            // The volumes of a Pod that is ending stay as they are, as the kubelet has it.
            if going(&news.borrow()) {
                return;
            }
            // All is read anew below.
            watched.values_mut().for_each(Handle::heed);
            match what {
                Cause::Object => {}
                Cause::Pod(pod) => self.pod = pod,
                Cause::Tokens => match prepare::tokens(&self.node, &self.pod).await {
                    Ok(tokens) => {
                        self.tokens = tokens;
                        renewal = usual.map(|usual| Instant::now() + usual);
                    }
                    Err(error) => {
                        tracing::warn!(%error, pod = self.about.name, "the Pod's tokens could not be renewed");
                        renewal = usual.map(|usual| Instant::now() + usual / 20);
                    }
                },
            }
            let sources = self.sources().await;
            self.write(&sources, &mut told).await;
            self.fixed = sources.immutable();
            watched = self.watch(watched);
        }
    }

    /// What the volumes are made of, however long the API takes to say it.
    async fn sources(&self) -> Sources {
        let mut pause = Duration::from_millis(20);
        loop {
            match prepare::fetch(&self.node.options.client, prepare::namespace(&self.pod), self.references()).await {
                Ok(mut sources) => {
                    sources.add(self.fixed.clone());
                    return sources;
                }
                Err(error) => tracing::debug!(%error, pod = self.about.name, "what the Pod's volumes are made of cannot be read"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Brings each volume of files up to date. `told`: by volume, what was said of it last.
    async fn write(&self, sources: &Sources, told: &mut BTreeMap<String, String>) {
        let planned: Vec<_> = volume::each(&self.pod, self.ingredients(sources)).collect();
        for plan in planned {
            match plan {
                Ok(VolumePlan { name, content: Content::Files(files) }) => {
                    let (root, now) = (self.dir.join("volumes").join(&name), self.node.now().wall);
                    match blocking(move || atomic::write(&root, &files, now)).await {
                        Ok(_) => drop(told.remove(&name)),
                        // Nothing a Pod can do about: its folder went, or the disk is full.
                        Err(error) => {
                            tracing::warn!(%error, pod = self.about.name, volume = name, "a volume could not be brought up to date");
                        }
                    }
                }
                Ok(_) => {}
                Err(e) => {
                    let message = e.to_string();
                    if told.insert(e.volume, message.clone()).as_ref() != Some(&message) {
                        self.node.events.record(&self.about, Note::warning("FailedMount", message));
                    }
                }
            }
        }
    }
}

fn going(news: &News) -> bool {
    news.gone || news.pod.metadata.deletion_timestamp.is_some()
}

/// Waits until one of the objects may have changed.
async fn any(watched: &mut BTreeMap<Subject, Handle>) {
    if watched.is_empty() {
        std::future::pending::<()>().await;
    }
    select_all(watched.values_mut().map(|handle| handle.changed().boxed())).await;
}

/// Waits until the Pod has other labels or annotations than `pod`.
async fn other_metadata(news: &mut watch::Receiver<News>, pod: &Pod) -> Arc<Pod> {
    while news.changed().await.is_ok() {
        let new = news.borrow_and_update().pod.clone();
        if new.metadata.labels != pod.metadata.labels || new.metadata.annotations != pod.metadata.annotations {
            return new;
        }
    }
    std::future::pending().await
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use dormouse_controller::metrics::EventCounts;
    use dormouse_controller::{JsonClient, Recorder, Source};
    use dormouse_devices::{Config, Devices};
    use kube::Api;
    use kube::api::PostParams;
    use serde_json::json;

    use super::*;
    use crate::options::Options;

    /// How long anything real may take before a test gives up.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn node(client: kube::Client, dir: &std::path::Path) -> Arc<Node> {
        let options = Options::new(client.clone(), "n", dir, "/nowhere");
        let devices = Devices::new(Config { gpus: Vec::new(), rates: options.rates }).unwrap();
        let source = Source { component: "kubelet".to_owned(), host: None };
        let events = Recorder::start(JsonClient::from(client), source, options.clock.clone(), EventCounts::default());
        Arc::new(Node::new(options, devices, events))
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_renewed_before_they_expire() {
        let dir = tempfile::tempdir().unwrap();
        let client = dormouse_apiserver::ApiServer::new(dormouse_apiserver::Options::default()).client();
        let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
        let token = json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}});
        let pod = json!({"metadata": {"name": "p"},
                         "spec": {"volumes": [token], "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "x"}]}});
        let pod = Arc::new(pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap());
        let (_news, receiver) = watch::channel(News { pod: pod.clone(), gone: false, stop: None });
        std::fs::create_dir(dir.path().join("volumes")).unwrap();
        let about = ObjectReference::default();
        let follower = Follower::new(node(client, dir.path()), pod, about, FieldFacts::default(), dir.path().to_owned());
        let Ok((volumes, _following)) = prepare::make_volumes(follower, receiver).await else { panic!("the volume cannot be made") };
        let read = || std::fs::read_to_string(volumes["t"].join("token")).unwrap();
        let first = read();
        tokio::time::sleep(Duration::from_secs(479)).await;
        assert_eq!(read(), first);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begun = std::time::Instant::now();
        while read() == first {
            assert!(begun.elapsed() < PATIENCE, "the token is not renewed");
            tokio::task::yield_now().await;
        }
        assert!(!read().is_empty());
    }
}
