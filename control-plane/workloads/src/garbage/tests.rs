//! The collector against the API server, in process.

use std::future::Future;

use dormouse_apiserver::{ApiServer, Options};
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ListParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

fn client() -> Client {
    ApiServer::new(Options::default()).client()
}

fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

fn named<K: DeserializeOwned>(name: &str, owners: Value) -> K {
    serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners}})).unwrap()
}

async fn made(api: &Api<ConfigMap>, name: &str, owners: Value) -> ConfigMap {
    api.create(&PostParams::default(), &named(name, owners)).await.unwrap()
}

fn reference(owner: &ConfigMap) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(), "uid": owner.uid()})
}

/// A collector that knows what is there now, and hears of nothing after it.
async fn collector(client: &Client) -> Arc<Controller> {
    let c = Controller::new(client.clone(), recorder(client));
    let kinds = served(client).await.unwrap();
    c.with(|g| g.expect(kinds.clone()));
    for (resource, kind) in kinds {
        let all = c.api_of(&kind.resource, None).list_metadata(&ListParams::default()).await.unwrap().items;
        c.with(|g| g.reset(&resource, all.iter().map(|meta| object(&resource, meta)).collect()));
    }
    Arc::new(c)
}

async fn change(api: &Api<ConfigMap>, name: &str, metadata: Value) {
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"metadata": metadata}))).await.unwrap();
}

async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

fn recorder(client: &Client) -> Recorder {
    let source = dormouse_controller::Source { component: "kube-controller-manager".to_owned(), host: None };
    let counts = dormouse_controller::metrics::EventCounts::default();
    Recorder::start(dormouse_controller::JsonClient::from(client.clone()), source, dormouse_runtime::clock::system(), counts)
}

#[tokio::test]
async fn an_owner_stays_until_each_orphan_is_let_go() {
    let client = client();
    let maps = maps(&client, "default");
    let owner = made(&maps, "owner", json!([])).await;
    let uid = owner.uid().unwrap();
    made(&maps, "orphan", json!([reference(&owner)])).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    maps.delete("owner", &orphan).await.unwrap();
    let c = collector(&client).await;
    change(&maps, "orphan", json!({"labels": {"changed": "since"}})).await;
    assert_eq!(c.reconcile(uid.clone()).await.unwrap(), Requeue::After(BEHIND));
    assert_eq!(maps.get("owner").await.unwrap().finalizers(), ["orphan"]);
    assert_eq!(maps.get("orphan").await.unwrap().owner_references().len(), 1);
    collector(&client).await.reconcile(uid).await.unwrap();
    assert!(maps.get_opt("owner").await.unwrap().is_none());
    assert!(maps.get("orphan").await.unwrap().owner_references().is_empty());
}

#[tokio::test]
async fn what_has_changed_since_it_was_decided_on_is_not_deleted() {
    let client = client();
    let maps = maps(&client, "default");
    let (gone, next) = (made(&maps, "gone", json!([])).await, made(&maps, "next", json!([])).await);
    let uid = made(&maps, "child", json!([reference(&gone)])).await.uid().unwrap();
    maps.delete("gone", &DeleteParams::default()).await.unwrap();
    let c = collector(&client).await;
    assert!(matches!(Arc::clone(&c).reconcile(uid.clone()).await.unwrap(), Requeue::After(_)), "the owner is asked for");
    change(&maps, "child", json!({"ownerReferences": [reference(&next)]})).await;
    assert_eq!(c.reconcile(uid.clone()).await.unwrap(), Requeue::OnChange);
    assert!(maps.get_opt("child").await.unwrap().is_some());
    let c = collector(&client).await;
    assert_eq!(c.with(|g| g.decide(&uid)).unwrap().1, Step::Nothing);
}

#[tokio::test]
async fn an_owner_that_cannot_be_asked_for_is_waited_for_without_asking_again() {
    let client = client();
    let maps = maps(&client, "default");
    for (name, version, kind) in [("a", "example.com/v1", "Thing"), ("b", "v9", "ConfigMap"), ("c", "v1?x", "ConfigMap")] {
        let owner = json!([{"apiVersion": version, "kind": kind, "name": "x", "uid": "x"}]);
        let uid = made(&maps, name, owner).await.uid().unwrap();
        assert_eq!(collector(&client).await.reconcile(uid).await.unwrap(), Requeue::OnChange, "{version} {kind}");
        assert!(maps.get_opt(name).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_owner_that_is_there_unseen_is_waited_for() {
    let client = client();
    let maps = maps(&client, "default");
    let owner = made(&maps, "owner", json!([])).await;
    let uid = made(&maps, "child", json!([reference(&owner)])).await.uid().unwrap();
    let c = collector(&client).await;
    let child = c.with(|g| g.decide(&uid)).unwrap().0;
    // As if nothing but the child had been shown.
    c.with(|g| g.reset(&child.resource, Vec::new()));
    c.with(|g| g.apply(child));
    assert_eq!(c.reconcile(uid).await.unwrap(), Requeue::After(UNSEEN));
    assert!(maps.get_opt("child").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_in_another_namespace_is_none_and_an_event_says_so() {
    let client = client();
    let collecting = tokio::spawn({
        let client = client.clone();
        async move { run(client.clone(), &recorder(&client)).await }
    });
    let (here, there) = (maps(&client, "default"), maps(&client, "kube-public"));
    let owner = made(&there, "owner", json!([])).await;
    let uid = owner.uid().unwrap();
    let roles: Api<ClusterRole> = Api::all(client.clone());
    roles.create(&PostParams::default(), &named("of-the-cluster", json!([reference(&owner)]))).await.unwrap();
    made(&here, "child", json!([reference(&owner)])).await;
    made(&there, "heir", json!([reference(&owner)])).await;
    until("the child to go", || async { here.get_opt("child").await.unwrap().is_none() }).await;
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let told = || async {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        all.into_iter().map(|e| (e.involved_object.kind.unwrap(), e.reason.unwrap(), e.message.unwrap())).collect::<Vec<_>>()
    };
    until("both events", || async { told().await.len() == 2 }).await;
    let mut told = told().await;
    told.sort();
    let event = |kind: &str, namespace: &str| {
        let message =
            format!("ownerRef [v1/ConfigMap, namespace: {namespace}, name: owner, uid: {uid}] does not exist in namespace \"{namespace}\"");
        (kind.to_owned(), "OwnerRefInvalidNamespace".to_owned(), message)
    };
    assert_eq!(told, [event("ClusterRole", ""), event("ConfigMap", "default")]);
    assert!(there.get_opt("heir").await.unwrap().is_some());
    // Neither is an owner that is gone the end of an object of the cluster.
    there.delete("owner", &DeleteParams::default()).await.unwrap();
    until("the heir to go", || async { there.get_opt("heir").await.unwrap().is_none() }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(roles.get_opt("of-the-cluster").await.unwrap().is_some());
    collecting.abort();
}
