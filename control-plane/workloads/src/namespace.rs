//! Namespaces: what each has from the start, and emptying one that is being deleted.
//!
//! What a namespace has is made again when it goes, seen by a watch or missed by one: [`State`] knows which have it.
//! Emptying waits for others (Pods that take their time, finalizers), so it looks again and again, with a growing pause, and
//! says in the namespace's status what it waits for, in the words of Kubernetes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_controller::{
    ApiError, At, Backoff, CallError, Consistent, Inconsistent, Index, JsonClient, ObjectKey, Objects, Patch, Queue, Reason, Requeue,
    Touched, already_exists, changes, follow, gone_is_done, not_found, workers,
};
use dormouse_runtime::SharedClock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, NamespaceCondition, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, DynamicObject, ListParams, PartialObjectMeta};
use kube::core::Status;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::resources::{Served, served};

const FINALIZER: &str = "kubernetes";
/// Name of the ConfigMap with the authority's certificate, and of its entry.
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";
/// Name of the service account that Pods run under when they name none.
const ACCOUNT: &str = "default";
/// Pauses between two looks at what is left, and after failures.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(2) };

struct Controller {
    client: Client,
    clock: SharedClock,
    json: JsonClient,
    state: Mutex<State>,
    endings: Mutex<HashMap<ObjectKey, Ending>>,
    queue: Queue<ObjectKey>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, root_ca_pem: String) {
    Arc::new(Controller::new(client, clock, root_ca_pem)).run().await;
}

/// Which namespaces have an object that each is to have; before the first list nobody is known to lack it.
#[derive(Debug, Default)]
struct Having {
    namespaces: BTreeSet<String>,
    listed: bool,
}

impl Having {
    fn lacks(&self, namespace: &str) -> bool {
        self.listed && !self.namespaces.contains(namespace)
    }

    fn set(&mut self, namespace: String, has: bool) -> Touched<ObjectKey> {
        if has {
            self.namespaces.insert(namespace);
            return Touched::new();
        }
        self.namespaces.remove(&namespace);
        vec![(ObjectKey::new("", namespace), Reason::Related)]
    }
}

/// The namespaces, and which have what each is to have.
#[derive(Debug, Default)]
struct State {
    namespaces: Objects<Arc<Namespace>>,
    accounts: Having,
    certificates: Having,
    root_ca_pem: String,
}

impl State {
    fn has_certificate(&self, map: &ConfigMap) -> bool {
        map.data.as_ref().and_then(|data| data.get(ROOT_CA_KEY)) == Some(&self.root_ca_pem)
    }

    fn lacking(&self, having: &Having) -> Touched<ObjectKey> {
        self.namespaces.iter().filter(|(key, _)| having.lacks(&key.name)).map(|(key, _)| (key.clone(), Reason::Listed)).collect()
    }
}

fn namespace_of<K: kube::Resource>(object: &K) -> String {
    object.meta().namespace.clone().unwrap_or_default()
}

impl Index<Namespace> for State {
    type Key = ObjectKey;

    fn apply(&mut self, namespace: Namespace) -> Touched<ObjectKey> {
        self.namespaces.apply(namespace)
    }

    fn delete(&mut self, namespace: Namespace) -> Touched<ObjectKey> {
        self.namespaces.delete(namespace)
    }

    fn reset(&mut self, all: Vec<Namespace>) -> Touched<ObjectKey> {
        self.namespaces.reset(all)
    }
}

/// The accounts named [`ACCOUNT`].
impl Index<PartialObjectMeta<ServiceAccount>> for State {
    type Key = ObjectKey;

    fn apply(&mut self, account: PartialObjectMeta<ServiceAccount>) -> Touched<ObjectKey> {
        self.accounts.set(account.namespace().unwrap_or_default(), true)
    }

    fn delete(&mut self, account: PartialObjectMeta<ServiceAccount>) -> Touched<ObjectKey> {
        self.accounts.set(account.namespace().unwrap_or_default(), false)
    }

    fn reset(&mut self, all: Vec<PartialObjectMeta<ServiceAccount>>) -> Touched<ObjectKey> {
        self.accounts = Having { namespaces: all.iter().filter_map(ResourceExt::namespace).collect(), listed: true };
        self.lacking(&self.accounts)
    }
}

/// The maps named [`ROOT_CA`].
impl Index<ConfigMap> for State {
    type Key = ObjectKey;

    fn apply(&mut self, map: ConfigMap) -> Touched<ObjectKey> {
        let has = self.has_certificate(&map);
        self.certificates.set(namespace_of(&map), has)
    }

    fn delete(&mut self, map: ConfigMap) -> Touched<ObjectKey> {
        self.certificates.set(namespace_of(&map), false)
    }

    fn reset(&mut self, all: Vec<ConfigMap>) -> Touched<ObjectKey> {
        let namespaces = all.iter().filter(|map| self.has_certificate(map)).map(namespace_of).collect();
        self.certificates = Having { namespaces, listed: true };
        self.lacking(&self.certificates)
    }
}

impl Consistent for State {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.namespaces.consistency_check()
    }
}

/// The end of one namespace, from look to look.
struct Ending {
    uid: Option<String>,
    /// What can be in it. Nothing new can come into a namespace that is being deleted, so it is discovered once.
    kinds: Option<Vec<Served>>,
    looks: u32,
    next: Instant,
}

/// What one look at a namespace that is being deleted has found.
#[derive(Debug, Default)]
struct Found {
    /// Why it is not known what can be in it.
    undiscovered: Option<String>,
    /// How many objects are left, by plural and group.
    left: BTreeMap<String, usize>,
    /// How many of them each finalizer holds.
    finalizers: BTreeMap<String, usize>,
    /// What could not be deleted, and why.
    failures: Vec<String>,
}

impl Found {
    fn nothing(&self) -> bool {
        self.undiscovered.is_none() && self.left.is_empty() && self.failures.is_empty()
    }

    /// PURE: the conditions that are not in `old` as they are to be.
    fn conditions(&self, old: &[NamespaceCondition], now: Timestamp) -> Vec<NamespaceCondition> {
        let list = |counts: &BTreeMap<String, usize>, verb: &str| {
            let texts: Vec<String> = counts.iter().map(|(what, n)| format!("{what} {verb} {n} resource instances")).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        };
        let mut failures = self.failures.clone();
        failures.sort();
        let failed = (!failures.is_empty())
            .then(|| format!("Failed to delete all resource types, {} remaining: {}", failures.len(), failures.join(", ")));
        let left = list(&self.left, "has").map(|list| format!("Some resources are remaining: {list}"));
        let held = list(&self.finalizers, "in").map(|list| format!("Some content in the namespace has finalizers remaining: {list}"));
        // Type; reason and message when all is well; reason otherwise, and the problem.
        let all = [
            (
                "NamespaceDeletionDiscoveryFailure",
                ("ResourcesDiscovered", "All resources successfully discovered"),
                ("DiscoveryFailed", self.undiscovered.clone()),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
                ("GroupVersionParsingFailed", None),
            ),
            (
                "NamespaceDeletionContentFailure",
                ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
                ("ContentDeletionFailed", failed),
            ),
            ("NamespaceContentRemaining", ("ContentRemoved", "All content successfully removed"), ("SomeResourcesRemain", left)),
            (
                "NamespaceFinalizersRemaining",
                ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
                ("SomeFinalizersRemain", held),
            ),
        ];
        let condition = |(type_, fine, (reason, problem)): (&str, (&str, &str), (&str, Option<String>))| {
            let status = if problem.is_some() { "True" } else { "False" };
            let (reason, message) = problem.map_or_else(|| (fine.0, fine.1.to_owned()), |problem| (reason, problem));
            let was = old.iter().find(|c| c.type_ == type_);
            if was.is_some_and(|c| c.status == status && c.reason.as_deref() == Some(reason) && c.message.as_deref() == Some(&message)) {
                return None;
            }
            let since = was.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
            Some(NamespaceCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: Some(since.unwrap_or(Time(now))),
            })
        };
        all.into_iter().filter_map(condition).collect()
    }
}

/// The time in whole seconds, as conditions have it.
fn now(clock: &SharedClock) -> Timestamp {
    let now = clock.now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

impl Controller {
    fn new(client: Client, clock: SharedClock, root_ca_pem: String) -> Self {
        Self {
            clock,
            json: JsonClient::from(client.clone()),
            client,
            state: Mutex::new(State { root_ca_pem, ..State::default() }),
            endings: Mutex::default(),
            queue: Queue::new(PAUSES),
        }
    }

    async fn run(self: Arc<Self>) {
        let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let namespaces = changes(Api::<Namespace>::all(self.client.clone()), watcher::Config::default());
        let accounts = changes(Api::<PartialObjectMeta<ServiceAccount>>::all(self.client.clone()), named(ACCOUNT));
        let maps = changes(Api::<ConfigMap>::all(self.client.clone()), named(ROOT_CA));
        tokio::join!(
            follow(namespaces, &self.state, &self.queue),
            follow(accounts, &self.state, &self.queue),
            follow(maps, &self.state, &self.queue),
            workers("namespace", &self.queue, 2, |key| Arc::clone(&self).reconcile(key)),
        );
    }

    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let (namespace, no_account, no_certificate) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.namespaces.get(&key).cloned(), state.accounts.lacks(&key.name), state.certificates.lacks(&key.name))
        };
        match namespace {
            Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => self.end(&key, &namespace).await,
            Some(_) => {
                if no_account {
                    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
                    done(self.json.create::<Value>(&At::all::<ServiceAccount>(Some(&key.name)), &account).await, already_exists)?;
                }
                if no_certificate {
                    self.certify(&key.name).await?;
                }
                Ok(Requeue::OnChange)
            }
            None => {
                self.endings().remove(&key);
                Ok(Requeue::OnChange)
            }
        }
    }

    /// Gives a namespace the authority's certificate, in place of another that it may have.
    async fn certify(&self, namespace: &str) -> Result<(), CallError> {
        let data = json!({ROOT_CA_KEY: self.state.lock().unwrap_or_else(PoisonError::into_inner).root_ca_pem});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA}, "data": data});
        match self.json.create::<Value>(&At::all::<ConfigMap>(Some(namespace)), &map).await {
            Err(error) if already_exists(&error) => {
                let at = At::one::<ConfigMap>(Some(namespace), ROOT_CA);
                done(self.json.patch::<Value>(&at, &Patch::Merge(&json!({"data": data}))).await, |_| false)
            }
            result => done(result, |_| false),
        }
    }

    fn endings(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Ending>> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at a namespace that is being deleted.
    async fn end(&self, key: &ObjectKey, namespace: &Namespace) -> Result<Requeue, CallError> {
        let spec = namespace.spec.as_ref().and_then(|s| s.finalizers.as_deref()).unwrap_or_default();
        if !spec.iter().any(|f| f == FINALIZER) {
            return Ok(Requeue::OnChange);
        }
        let uid = namespace.uid();
        let known = self.endings().remove(key).filter(|e| e.uid == uid);
        let mut ending = known.unwrap_or_else(|| Ending { uid, kinds: None, looks: 0, next: Instant::now() });
        let wait = ending.next.saturating_duration_since(Instant::now());
        let more = if wait.is_zero() { self.look(key, namespace, &mut ending).await } else { Ok(Some(wait)) };
        if !matches!(more, Ok(None)) {
            self.endings().insert(key.clone(), ending);
        }
        if let Some(pause) = more? {
            return Ok(Requeue::After(pause));
        }
        let finalizers: Vec<&String> = spec.iter().filter(|f| *f != FINALIZER).collect();
        let metadata = json!({"name": key.name, "uid": namespace.uid()});
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": {"finalizers": finalizers}});
        gone_is_done(self.json.replace::<Value>(&At::one::<Namespace>(None, &key.name).subresource("finalize"), &body).await)?;
        Ok(Requeue::OnChange)
    }

    /// Deletes what is in the namespace and says what is left; when to look again, if anything is.
    async fn look(&self, key: &ObjectKey, namespace: &Namespace, ending: &mut Ending) -> Result<Option<Duration>, CallError> {
        let mut found = Found::default();
        if ending.kinds.is_none() {
            match served(&self.client).await {
                Ok(all) => ending.kinds = Some(all.into_values().filter(|s| s.namespaced).collect()),
                Err(error) => found.undiscovered = Some(words(&error)),
            }
        }
        for kind in ending.kinds.iter().flatten() {
            if let Err(error) = self.clear(kind, &key.name, &mut found).await
                // A kind that is not served any more is told of in plain text.
                && error.status().is_none_or(|status| status.code != 404)
            {
                found.failures.push(words(&error));
            }
        }
        let old = namespace.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        let conditions = found.conditions(old, now(&self.clock));
        // The pause counts from here, and the change of the status that we make ourselves does not cut it short.
        let pause = PAUSES.pause(ending.looks);
        (ending.looks, ending.next) = (ending.looks.saturating_add(1), Instant::now() + pause);
        if !conditions.is_empty() {
            let status = json!({"metadata": {"uid": namespace.uid()}, "status": {"conditions": conditions}});
            let at = At::one::<Namespace>(None, &key.name).subresource("status");
            gone_is_done(self.json.patch::<Value>(&at, &Patch::Strategic(&status)).await)?;
        }
        Ok((!found.nothing()).then_some(pause))
    }

    /// Deletes the objects of one kind and counts those that stay.
    async fn clear(&self, kind: &Served, namespace: &str, found: &mut Found) -> Result<(), kube::Error> {
        let resource = &kind.resource;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        let mut left = api.list_metadata(&ListParams::default()).await?.items;
        if left.iter().any(|o| o.metadata.deletion_timestamp.is_none()) {
            api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
            left = api.list_metadata(&ListParams::default()).await?.items;
        }
        if left.is_empty() {
            return Ok(());
        }
        found.left.insert(format!("{}.{}", resource.plural, resource.group), left.len());
        for finalizer in left.iter().flat_map(ResourceExt::finalizers) {
            *found.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        let now = now(&self.clock);
        // A finalizer holds it, or it has some time left.
        let expected = |o: &PartialObjectMeta<DynamicObject>| {
            !o.finalizers().is_empty() || o.metadata.deletion_timestamp.as_ref().is_some_and(|end| end.0 > now)
        };
        if !left.iter().any(expected) {
            let what = format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural);
            found.failures.push(format!("unexpected items still remain in namespace: {namespace} for gvr: {what}"));
        }
        Ok(())
    }
}

/// What the server said, or what hindered us from hearing it.
fn words(error: &kube::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

/// Also when the namespace is going, or gone.
fn done(result: Result<Value, CallError>, also: fn(&CallError) -> bool) -> Result<(), CallError> {
    match result {
        Err(error) if also(&error) || not_found(&error) || error.status().is_some_and(Status::is_forbidden) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_apiserver::{ApiServer, Options, bootstrap};
    use kube::api::{Patch as ApiPatch, PatchParams, PostParams};
    use serde::de::DeserializeOwned;

    use dormouse_runtime::clock;

    use super::*;

    fn object<K: DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    fn shown(found: &Found, old: &[NamespaceCondition], at: i64) -> Vec<NamespaceCondition> {
        found.conditions(old, Timestamp::from_second(at).unwrap())
    }

    fn text(c: &NamespaceCondition) -> String {
        format!("{} {} {}: {}", c.type_, c.status, c.reason.as_deref().unwrap(), c.message.as_deref().unwrap())
    }

    #[test]
    fn conditions_say_what_holds_a_namespace() {
        let counts = |list: &[(&str, usize)]| list.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect::<BTreeMap<_, _>>();
        let found = Found {
            left: counts(&[("pods.", 2), ("jobs.batch", 1)]),
            finalizers: counts(&[("x.example/y", 1)]),
            failures: vec!["b".into(), "a".into()],
            ..Found::default()
        };
        let first = shown(&found, &[], 7);
        let texts: Vec<String> = first.iter().map(text).collect();
        assert_eq!(
            texts,
            [
                "NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered",
                "NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed",
                "NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 2 remaining: a, b",
                "NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances",
                "NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: x.example/y in 1 resource instances",
            ]
        );
        assert_eq!(shown(&found, &first, 8), []);
        // A new text is no transition, a new status is.
        let second = shown(&Found { left: counts(&[("pods.", 1)]), ..Found::default() }, &first, 9);
        let times: Vec<_> = second.iter().map(|c| (text(c), c.last_transition_time.as_ref().unwrap().0.as_second())).collect();
        let fine = |text: &str, at| (text.to_owned(), at);
        assert_eq!(
            times,
            [
                fine(
                    "NamespaceDeletionContentFailure False ContentDeleted: All content successfully deleted, may be waiting on finalization",
                    9
                ),
                fine("NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances", 7),
                fine("NamespaceFinalizersRemaining False ContentHasNoFinalizers: All content-preserving finalizers finished", 9),
            ]
        );
        let unknown = shown(&Found { undiscovered: Some("down".into()), ..Found::default() }, &[], 9);
        assert_eq!(text(&unknown[0]), "NamespaceDeletionDiscoveryFailure True DiscoveryFailed: down");
        assert_eq!(text(&unknown[3]), "NamespaceContentRemaining False ContentRemoved: All content successfully removed");
    }

    #[test]
    fn what_a_list_no_longer_shows_is_missed() {
        let mut state = State { root_ca_pem: "PEM".into(), ..State::default() };
        let namespace = |name: &str| object::<Namespace>(json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}}));
        let account = |ns: &str| object::<PartialObjectMeta<ServiceAccount>>(json!({"metadata": {"name": ACCOUNT, "namespace": ns}}));
        let map =
            |ns: &str, pem: &str| object::<ConfigMap>(json!({"metadata": {"name": ROOT_CA, "namespace": ns}, "data": {ROOT_CA_KEY: pem}}));
        let key = |ns: &str, reason| vec![(ObjectKey::new("", ns), reason)];
        Index::<Namespace>::reset(&mut state, vec![namespace("a"), namespace("b")]);
        assert!(!state.accounts.lacks("a") && !state.certificates.lacks("a"), "nothing is known yet");
        assert_eq!(state.reset(vec![account("a")]), key("b", Reason::Listed));
        assert_eq!(state.apply(account("b")), []);
        assert_eq!(state.delete(account("b")), key("b", Reason::Related));
        // The watch broke, and the account of `a` went meanwhile.
        assert_eq!(state.reset(vec![account("b")]), key("a", Reason::Listed));
        assert_eq!(state.reset(vec![map("a", "PEM"), map("b", "another")]), key("b", Reason::Listed));
        assert_eq!(state.apply(map("a", "another")), key("a", Reason::Related));
        assert!(state.certificates.lacks("a") && state.certificates.lacks("b"));
    }

    /// A server, its controller, the namespace `team`.
    async fn team() -> (Client, Arc<Controller>) {
        let client = ApiServer::new(Options::default()).client();
        let controller = Arc::new(Controller::new(client.clone(), clock::system(), "PEM".into()));
        tokio::spawn(Arc::clone(&controller).run());
        let team = object(json!({"metadata": {"name": "team"}}));
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &team).await.unwrap();
        (client, controller)
    }

    async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
        let wait = async {
            while !check().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"));
    }

    #[tokio::test]
    async fn what_each_has_is_restored() {
        let (client, _controller) = team().await;
        assert_eq!(ROOT_CA, bootstrap::ROOT_CA);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team");
        let certified = || async {
            maps.get_opt(ROOT_CA).await.unwrap().is_some_and(|m| m.data.unwrap().get(ROOT_CA_KEY).is_some_and(|pem| pem == "PEM"))
        };
        until("the certificate", certified).await;
        maps.delete(ROOT_CA, &DeleteParams::default()).await.unwrap();
        until("the certificate again", certified).await;
        let other = json!({"data": {ROOT_CA_KEY: "another"}});
        maps.patch(ROOT_CA, &PatchParams::default(), &ApiPatch::Merge(other)).await.unwrap();
        until("the right certificate", certified).await;
        until("the account", || async { accounts.get_opt(ACCOUNT).await.unwrap().is_some() }).await;
        accounts.delete(ACCOUNT, &DeleteParams::default()).await.unwrap();
        until("the account again", || async { accounts.get_opt(ACCOUNT).await.unwrap().is_some() }).await;
    }

    #[tokio::test]
    async fn a_kind_that_went_meanwhile_holds_nothing() {
        let (client, controller) = team().await;
        let resource = kube::api::ApiResource {
            group: "example.com".into(),
            version: "v1".into(),
            api_version: "example.com/v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        };
        let kinds = Some(vec![Served { resource, namespaced: true }]);
        let mut ending = Ending { uid: None, kinds, looks: 0, next: Instant::now() };
        let team = Api::<Namespace>::all(client).get("team").await.unwrap();
        assert_eq!(controller.look(&ObjectKey::new("", "team"), &team, &mut ending).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_is_held_says_by_what_and_is_looked_at_ever_less() {
        let (client, controller) = team().await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
        let held = object(json!({"metadata": {"name": "m", "finalizers": ["x.example/y"]}}));
        maps.create(&PostParams::default(), &held).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.delete("team", &DeleteParams::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let conditions = namespaces.get("team").await.unwrap().status.unwrap().conditions.unwrap();
        let texts: Vec<String> = conditions.iter().map(text).collect();
        assert_eq!(conditions.len(), 5, "{texts:?}");
        assert!(texts[2].ends_with("False ContentDeleted: All content successfully deleted, may be waiting on finalization"), "{texts:?}");
        assert!(texts[3].ends_with("Some resources are remaining: configmaps. has 1 resource instances"), "{texts:?}");
        assert!(texts[4].ends_with("finalizers remaining: x.example/y in 1 resource instances"), "{texts:?}");
        let looks = controller.endings().values().next().unwrap().looks;
        // Seven within the first 2.5 s, then one in 2 s.
        assert!((12..=18).contains(&looks), "{looks} looks");
        maps.patch("m", &PatchParams::default(), &ApiPatch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
        until("the namespace to go", || async { namespaces.get_opt("team").await.unwrap().is_none() }).await;
        until("it to be forgotten", || async { controller.endings().is_empty() }).await;
    }
}
