//! The end-to-end recipe of llm-d Fast Model Actuation, examples 1 to 8, by `kubectl` (Show 4 of the issue on the main
//! job). Observations are those of the recipe (actuation 7.4); where the recipe contradicts the peer's code (a provider at
//! scale to zero) the code is right: it sleeps and stays.

mod cycling;
mod sleeping;
mod troubled;

use std::time::Duration;

use serde_json::Value;

use crate::support::{Kubectl, On, Up, condition, name_of, table, until};

/// A simulated engine loads for two seconds, probes add two.
const SOON: Duration = Duration::from_secs(45);

/// The annotations' prefix of today.
const NEW: &str = "dual-pods.llm-d.ai";
/// The prefix that the recipe of October 2025 has.
const OLD: &str = "dual-pod.llm-d.ai";

/// A plane for the recipe: the dual-pods controller, and nothing that fills the GPU map.
fn plane(args: &[&str]) -> Option<(Kubectl, Up)> {
    let kubectl = Kubectl::find()?;
    let up = Up::start(&[&["--gpu-map", "none", "--controllers", "dual-pods", "--gpu-product", "NVIDIA-L40S"], args].concat());
    Some((kubectl, up))
}

/// Somebody who follows the recipe.
struct Cook<'a> {
    k: On<'a>,
    prefix: &'a str,
    pin: &'a str,
}

/// A served server-requesting Pod with its server-providing Pod.
#[derive(Debug, Clone)]
struct Pair {
    requester: String,
    provider: String,
    node: String,
}

impl<'a> Cook<'a> {
    fn new(kubectl: &Kubectl, up: &'a Up) -> Self {
        Self { k: kubectl.on(up), prefix: NEW, pin: "" }
    }

    fn up(&self) -> &'a Up {
        self.k.up
    }

    /// `scripts/ensure-nodes-mapped.sh`.
    fn map_nodes(&self) {
        self.k.shell(include_str!("ensure-nodes-mapped.sh"), &[]);
    }

    /// `mkrs`; the ReplicaSet's name.
    fn mkrs(&self) -> String {
        let environment = [("PREFIX", self.prefix), ("DELAY", "1"), ("PIN", self.pin), ("CONTAINER_IMG_REG", "registry.example/fma")];
        let said = self.k.shell(include_str!("mkrs.sh"), &environment);
        let name = said.trim().strip_prefix("replicaset.apps/").and_then(|n| n.strip_suffix(" created"));
        name.unwrap_or_else(|| panic!("not created: {said}")).to_owned()
    }

    fn scale(&self, set: &str, replicas: u32) {
        self.k.ok(&format!("scale rs/{set} --replicas={replicas}"));
    }

    /// The Pods of a ReplicaSet.
    fn requesters(&self, set: &str) -> Vec<Value> {
        let mut pods = self.up().api().pods("app=dp-example");
        pods.retain(|p| p["metadata"]["ownerReferences"][0]["name"] == set);
        pods
    }

    /// All server-providing Pods.
    fn providers(&self) -> Vec<Value> {
        self.up().api().pods("model-reg=ibm-granite")
    }

    fn provider_of(&self, requester: &str) -> Option<Value> {
        self.up().api().pods(&format!("{NEW}/dual={requester}")).into_iter().next()
    }

    /// Waits until the one requester of a set is served, and looks that all is as the recipe expects.
    #[track_caller]
    fn expect_pair(&self, set: &str) -> Pair {
        self.expect_pair_other_than(set, "")
    }

    /// The same, for a requester that replaces this one.
    #[track_caller]
    fn expect_pair_other_than(&self, set: &str, old: &str) -> Pair {
        let living = |p: &Value| p["metadata"]["deletionTimestamp"].is_null() && name_of(p) != old;
        let served = until(&format!("a requester of {set} is ready"), SOON, || {
            self.requesters(set).into_iter().find(|p| living(p) && condition(p, "Ready"))
        });
        let requester = name_of(&served);
        let provider = self.provider_of(&requester).expect("a ready requester has a provider");
        assert!(condition(&provider, "Ready"), "the provider is ready first: {}", provider["status"]);
        assert_eq!(provider["spec"]["nodeName"], served["spec"]["nodeName"]);
        assert_eq!(served["metadata"]["labels"][format!("{NEW}/dual")], name_of(&provider).as_str());
        let status: Value =
            serde_json::from_str(served["metadata"]["annotations"][format!("{}/status", self.prefix)].as_str().unwrap()).unwrap();
        assert_eq!(status, serde_json::json!({"Errors": null}));
        Pair { requester, provider: name_of(&provider), node: served["spec"]["nodeName"].as_str().unwrap().to_owned() }
    }

    /// Waits until a set has no Pods.
    #[track_caller]
    fn expect_gone(&self, set: &str) {
        until(&format!("the requesters of {set} go"), SOON, || self.requesters(set).is_empty().then_some(()));
    }

    /// A provider that nobody is bound to: asleep, free of finalizers.
    #[track_caller]
    fn expect_asleep(&self, provider: &str) {
        let pod = self.up().api().pod(provider).unwrap_or_else(|| panic!("{provider} stays"));
        assert!(pod["metadata"]["finalizers"].is_null(), "{}", pod["metadata"]);
        assert!(pod["metadata"]["deletionTimestamp"].is_null(), "{}", pod["metadata"]);
        assert_eq!(pod["metadata"]["labels"][format!("{NEW}/sleeping")], "true");
        assert_eq!(self.up().sleeping(&pod), Some(true), "`/is_sleeping` of {provider}");
    }

    /// The controller's log.
    fn log(&self) -> String {
        self.k.ok("logs deploy/fma-dual-pods-controller --tail=-1")
    }

    /// Names of the Pods that `kubectl get pods` shows, without the controller's.
    fn listed(&self) -> Vec<String> {
        let rows = table(&self.k.ok("get pods -l app.kubernetes.io/name!=fma-controllers --no-headers"));
        rows.into_iter().map(|r| r[0].clone()).collect()
    }

    /// `helm delete`: the Deployment goes with its Pod. What is needed to install it again.
    fn uninstall(&self) -> String {
        let api = self.up().api();
        let path = "/apis/apps/v1/namespaces/default/deployments/fma-dual-pods-controller";
        let was = api.get(path).expect("the controller is installed");
        let mut chart = was.clone();
        chart.as_object_mut().unwrap().remove("status");
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            chart["metadata"].as_object_mut().unwrap().remove(field);
        }
        self.k.ok("delete deployment fma-dual-pods-controller --cascade=foreground");
        until("the controller has gone", SOON, || api.pods("app.kubernetes.io/component=dual-pods-controller").is_empty().then_some(()));
        chart.to_string()
    }

    fn install(&self, chart: &str) {
        self.k.feed("create -f -", chart);
        self.k.ok("wait --for=condition=Available deployment/fma-dual-pods-controller --timeout=30s");
    }
}
