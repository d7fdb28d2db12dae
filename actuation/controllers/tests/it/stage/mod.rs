//! The stage: an API server in process, a node side of stubs, controllers that can be killed.
//!
//! One [`Stage`] per test: an own loopback network (`127.A.0.0/16`, claimed as planes claim theirs), a [`Fuse`]
//! that every request of the controllers passes, a [`Ledger`] of what is awake on which GPU. Real time, and
//! waiting is always for a condition that is looked at again whenever anything changed.

mod engine;
mod fuse;
mod kubelet;
mod launcher;
mod ledger;
mod net;
pub(crate) mod objects;
mod requester;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dormouse_actuation::{Options, Role};
use dormouse_apiserver::ApiServer;
use dormouse_planner::limits::Limits;
use dormouse_runtime::{CancellationToken, clock};
use kube::Client;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use fuse::{Fuse, When};
pub(crate) use ledger::Ledger;

/// The namespace of everything.
pub(crate) const NS: &str = "default";
/// The node.
pub(crate) const NODE: &str = "n1";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all parts of the stage share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) net: net::Net,
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) ledger: Arc<Ledger>,
    /// Every Pod, by UID, as the node side last saw it.
    pub(crate) pods: Mutex<BTreeMap<String, Value>>,
    /// How often each stub was told or asked what, by Pod name and path.
    pub(crate) told: Mutex<BTreeMap<(String, String), usize>>,
    /// When that was last, and when each Pod was last reported running.
    pub(crate) stamps: Mutex<BTreeMap<(String, String), Instant>>,
    /// How long an engine takes to start, to sleep and to wake.
    pub(crate) effect_time: Mutex<Duration>,
    pub(crate) launchers: Mutex<BTreeMap<String, Arc<launcher::Launcher>>>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn tell(&self, pod: &str, what: &str) {
        self.stamp(pod, what);
        *self.told.lock().unwrap().entry((pod.to_owned(), what.to_owned())).or_default() += 1;
        self.touch();
    }

    pub(crate) fn stamp(&self, pod: &str, what: &str) {
        if what == "running" {
            self.fuse.mark(&format!("{pod} runs"));
        }
        self.stamps.lock().unwrap().insert((pod.to_owned(), what.to_owned()), Instant::now());
    }

    /// Takes the time that engines take.
    pub(crate) async fn take_time(&self) {
        let time = *self.effect_time.lock().unwrap();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    /// A request of the node side or of a test.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value, kube::Error> {
        // Of a Pod's conditions some are the kubelet's and some the controller's.
        let kind = match method {
            "PATCH" if path.starts_with("/api/") => "application/strategic-merge-patch+json",
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(bytes).unwrap();
        self.client.request(request).await
    }
}

/// A test's world.
pub(crate) struct Stage {
    pub(crate) shared: Arc<Shared>,
    server: ApiServer,
    kubelet: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kubelet.abort();
        if !std::thread::panicking() {
            let violations = self.shared.ledger.violations();
            assert!(violations.is_empty(), "two engines awake on one GPU: {violations:#?}\n{}", self.shared.fuse.log().join("\n"));
        }
    }
}

/// A running controller.
pub(crate) struct Ctl {
    task: JoinHandle<()>,
    pub(crate) registry: Registry,
}

impl Ctl {
    /// As `kill -9`: nothing is ended in order.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// Limits that do not ask for memory and give up soon.
pub(crate) fn limits() -> Limits {
    Limits { check_gpu_memory: false, ..Limits::default() }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        static LOG: std::sync::Once = std::sync::Once::new();
        LOG.call_once(|| {
            if let Some(level) = std::env::var_os("STAGE_LOG").and_then(|v| v.to_str()?.parse().ok()) {
                dormouse_runtime::log::init(dormouse_runtime::log::Options {
                    format: dormouse_runtime::log::Format::Klog,
                    verbosity: level,
                });
            }
        });
        dormouse_runtime::tls::install_provider();
        let server = ApiServer::new(dormouse_apiserver::Options::default());
        let changed = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            client: server.client(),
            net: net::Net::take(),
            fuse: Arc::default(),
            ledger: Arc::default(),
            pods: Mutex::default(),
            told: Mutex::default(),
            stamps: Mutex::default(),
            effect_time: Mutex::default(),
            launchers: Mutex::default(),
            changed,
        });
        let stage = Self { kubelet: tokio::spawn(kubelet::run(Arc::clone(&shared))), server, shared };
        for crd in dormouse_apis::fma::definitions() {
            stage.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await;
        }
        stage.post("/api/v1/nodes", &objects::node(NODE)).await;
        stage
    }

    pub(crate) async fn post(&self, path: &str, object: &Value) -> Value {
        self.shared.api("POST", path, object).await.unwrap_or_else(|e| panic!("POST {path}: {e}\n{object:#}"))
    }

    pub(crate) async fn create(&self, object: Value) -> Value {
        self.post(&objects::collection(object["kind"].as_str().unwrap()), &object).await
    }

    pub(crate) async fn patch(&self, kind: &str, name: &str, patch: Value) -> Value {
        let path = format!("{}/{name}", objects::collection(kind));
        self.shared.api("PATCH", &path, &patch).await.unwrap_or_else(|e| panic!("PATCH {path}: {e}"))
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let path = format!("{}/{name}", objects::collection(kind));
        self.shared.api("DELETE", &path, &Value::Null).await.unwrap_or_else(|e| panic!("DELETE {path}: {e}"));
    }

    /// Starts a controller whose requests pass the fuse.
    pub(crate) fn start(&self, role: Role, limits: Limits) -> Ctl {
        let mut registry = Registry::default();
        let client = Client::new(fuse::Fused::new(self.server.clone(), Arc::clone(&self.shared.fuse)), NS);
        let options = Options { namespace: NS.into(), role, limits, clock: clock::system(), fence: dormouse_controller::Fence::none() };
        let work = dormouse_actuation::run(&client, options, &mut registry, CancellationToken::new()).unwrap();
        Ctl { task: tokio::spawn(work), registry }
    }

    pub(crate) fn pods(&self) -> Vec<Value> {
        self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The Pod of this name, or whose name begins so.
    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        let pods = self.pods();
        let named = |p: &&Value| p["metadata"]["name"] == name;
        let begins = |p: &&Value| p["metadata"]["name"].as_str().unwrap().starts_with(name);
        pods.iter().find(named).or_else(|| pods.iter().find(begins)).cloned()
    }

    /// Times that a stub was told this.
    pub(crate) fn told(&self, pod: &str, what: &str) -> usize {
        self.shared.told.lock().unwrap().iter().filter(|((p, w), _)| p.starts_with(pod) && w == what).map(|(_, n)| n).sum()
    }

    /// Time from one stamp of a Pod to another.
    pub(crate) fn between(&self, pod: &str, from: &str, to: &str) -> Duration {
        let stamps = self.shared.stamps.lock().unwrap();
        let at = |what: &str| stamps[&(pod.to_owned(), what.to_owned())];
        at(to) - at(from)
    }

    /// Waits until this holds; it is asked again whenever anything changed.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if holds(self) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("never: {what}\n{}", self.dump());
        }
    }

    /// As [`Stage::until`], for what has to be asked for: asked again after every request of the controllers.
    pub(crate) async fn until_async(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let waiting = async {
            while !holds().await {
                self.shared.fuse.acted().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("never: {what}\n{}", self.dump());
        }
    }

    pub(crate) fn dump(&self) -> String {
        let pods: Vec<String> = self
            .pods()
            .iter()
            .map(|p| format!("{} {} {:?}", p["metadata"], p["status"]["phase"], p["status"]["containerStatuses"][0]["ready"]))
            .collect();
        format!("{}\n{:#?}\n{}", pods.join("\n"), self.shared.ledger.engines(), self.shared.fuse.log().join("\n"))
    }

    /// Waits until the requester counts as ready.
    pub(crate) async fn serving(&self, requester: &str) {
        self.until(&format!("{requester} serves"), |s| s.pod(requester).is_some_and(|p| objects::ready(&p))).await;
    }

    /// Waits until no Pod of this name is left.
    pub(crate) async fn gone(&self, pod: &str) {
        self.until(&format!("{pod} is gone"), |s| !s.pods().iter().any(|p| p["metadata"]["name"] == pod)).await;
    }

    /// Deletes a requester and waits until it is gone: its engine then sleeps.
    pub(crate) async fn retire(&self, requester: &str) {
        self.delete("Pod", requester).await;
        self.gone(requester).await;
    }

    /// Takes all Pods off, whatever holds them.
    pub(crate) async fn clear(&self) {
        for pod in self.pods() {
            let path = format!("{}/{}", objects::collection("Pod"), objects::name(&pod));
            let _ = self.shared.api("PATCH", &path, &json!({"metadata": {"finalizers": null}})).await;
            let _ = self.shared.api("DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
        }
        self.until("the stage is empty", |s| s.pods().is_empty() && s.shared.ledger.engines().is_empty()).await;
        self.shared.fuse.renew();
        self.shared.fuse.forget();
    }

    /// What the status annotation of a Pod says is wrong.
    pub(crate) fn problems(&self, pod: &str) -> Vec<String> {
        let Some(pod) = self.pod(pod) else { return Vec::new() };
        let text = pod["metadata"]["annotations"]["dual-pods.llm-d.ai/status"].as_str().unwrap_or("{}").to_owned();
        let status: Value = serde_json::from_str(&text).unwrap_or(json!({}));
        status["Errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str().map(str::to_owned)).collect()
    }

    /// Waits until the controllers have asked for nothing for a while.
    pub(crate) async fn quiet(&self) {
        self.shared.fuse.quiet(Duration::from_millis(40)).await;
    }

    /// Launchers there are.
    pub(crate) fn launcher_pods(&self) -> Vec<Value> {
        self.pods().into_iter().filter(|p| p["metadata"]["labels"].get("dual-pods.llm-d.ai/launcher-config-name").is_some()).collect()
    }

    /// Direct providers there are.
    pub(crate) fn direct_pods(&self) -> Vec<Value> {
        self.pods().into_iter().filter(|p| p["metadata"]["annotations"].get("dual-pods.llm-d.ai/nominal").is_some()).collect()
    }

    /// The first launcher's stub.
    pub(crate) fn launcher(&self) -> Arc<launcher::Launcher> {
        self.shared.launchers.lock().unwrap().values().next().cloned().expect("a launcher")
    }
}
