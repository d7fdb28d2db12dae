//! A plane with one GPU and without controllers, and one dual-pods controller beside it that can be killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fuse::{Fuse, When};
use super::state::{addresses, snapshot};
use super::wire::Wire;
use crate::support::{Up, condition, name_of, until};

/// More than any step takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// The controller has nothing more to do when it has done nothing for so long. Its pauses at trouble begin at
/// milliseconds; here there is none but its own death.
const QUIET: Duration = Duration::from_millis(300);

const PODS: &str = "/api/v1/namespaces/default/pods";

/// How requesters say what they want, and become Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// By a server patch; by a probe.
    Direct,
    /// By a configuration that launchers serve; by a probe.
    Launchers,
    /// As with launchers; by the readiness gate, with a second container beside the one that counts.
    Gated,
}

/// See the module.
pub(crate) struct Stage {
    // The order of these is the order of their ends.
    controller: Option<Controller>,
    wire: Wire,
    fuse: Arc<Fuse>,
    flow: Flow,
    requesters: u32,
    pub(crate) up: Up,
}

/// What is done to the world: requesters that come, by model, and requesters that go, by name.
#[derive(Debug, Default)]
pub(crate) struct Act {
    pub(crate) come: Option<&'static str>,
    pub(crate) go: Option<String>,
}

/// What came of it.
pub(crate) struct Ended {
    /// Name of the requester that came.
    pub(crate) came: Option<String>,
    /// The state that it led to.
    pub(crate) state: Value,
    /// Whether the fuse blew.
    pub(crate) blew: bool,
    /// What the controller did.
    pub(crate) log: String,
}

impl Stage {
    pub(crate) fn new(flow: Flow) -> Self {
        let up = Up::start(&["--gpus-per-node", "1", "--controllers", "none"]);
        let api = up.api();
        let mut values = dormouse_deploy::ChartValues::default();
        values.global.node_view_cluster_role = dormouse_deploy::NODE_VIEW_ROLE.into();
        (values.dual_pods_controller.enabled, values.launcher_populator.enabled) = (false, false);
        for object in dormouse_deploy::render(&values, "fma", "default") {
            api.create(&collection(&object), &object);
        }
        until("the gpu-map is filled", SOON, || api.get("/api/v1/namespaces/default/configmaps/gpu-map"));
        if flow != Flow::Direct {
            // Rights of launchers, a configuration for two engines, two models; the rest of the example is not for here.
            let text = std::fs::read_to_string(crate::support::repository().join("examples/launcher.yaml")).unwrap();
            for object in dormouse_machinery::yaml::documents(&text).unwrap() {
                let kind = object["kind"].as_str().unwrap_or_default();
                if !["ReplicaSet", "LauncherPopulationPolicy"].contains(&kind) {
                    api.create(&collection(&object), &quick(object));
                }
            }
        }
        let node = &api.list("/api/v1/nodes")[0];
        let address = node["status"]["addresses"][0]["address"].as_str().unwrap();
        let number = address.split('.').nth(1).unwrap().parse().unwrap();
        let fuse = Arc::new(Fuse::new());
        let wire = Wire::new(&up.kubeconfig(), number, Arc::clone(&fuse));
        let mut stage = Self { controller: None, wire, fuse, flow, requesters: 0, up };
        stage.write_kubeconfig();
        stage.start_controller();
        stage
    }

    fn kubeconfig(&self) -> PathBuf {
        self.up.folder().join("controller.kubeconfig")
    }

    /// The controller's own rights, at the mirror.
    fn write_kubeconfig(&self) {
        let wish = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 36_000}});
        let token = self.up.api().create("/api/v1/namespaces/default/serviceaccounts/fma-fma-controllers/token", &wish);
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "mirror",
            "clusters": [{"name": "mirror", "cluster": {"server": self.wire.address()}}],
            "users": [{"name": "controller", "user": {"token": token["status"]["token"]}}],
            "contexts": [{"name": "mirror", "context": {"cluster": "mirror", "user": "controller", "namespace": "default"}}],
        });
        std::fs::write(self.kubeconfig(), file.to_string()).unwrap();
    }

    fn start_controller(&mut self) {
        let log = self.up.folder().join("controller.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Up::command(self.up.folder());
        command.args(["dual-pods-controller", "--namespace", "default", "--metrics-port=0", "--debug-port=0", "-v=5", "--kubeconfig"]);
        command.arg(self.kubeconfig()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap();
        self.fuse.renew(child.id());
        self.controller = Some(Controller { child, log });
    }

    fn pods(&self) -> Vec<Value> {
        self.up.api().pods("")
    }

    /// Plays an act with the fuse at `at`; to the state `expected`, or to whatever state it comes to rest in.
    pub(crate) fn play(&mut self, act: &Act, at: Option<(usize, When)>, expected: Option<&Value>) -> Ended {
        self.wire.keep_only(&addresses(&self.pods()).collect::<BTreeSet<_>>());
        self.fuse.arm(at);
        let came = act.come.map(|model| self.requester(model));
        if let Some(name) = &act.go {
            self.up.api().delete(&format!("{PODS}/{name}"));
        }
        let mut blew = false;
        let describe = format!("{act:?} with the fuse at {at:?} comes to its end");
        until(&describe, SOON, || {
            if !blew && self.fuse.is_blown() {
                blew = true;
                drop(self.controller.take());
                self.start_controller();
            }
            let ended = self.served(came.as_deref()) && self.gone(act.go.as_deref()) && self.fuse.is_quiet(QUIET);
            (ended && self.fuse.disarm()).then_some(())
        });
        let mut state = snapshot(&self.up);
        if expected.is_none() {
            // What is compared with must itself tell something: every engine answered, and none was refused its memory.
            let text = state.to_string();
            assert!(text.contains("\"asleep\":") && !text.contains("\"asleep\":null"), "{state:#}");
            assert!(text.contains("\"refused\":0") && text.matches("\"refused\":").count() == 1, "{state:#}");
        }
        if let Some(expected) = expected {
            let begun = std::time::Instant::now();
            while state != *expected {
                assert!(
                    begun.elapsed() < SOON,
                    "{act:?} with the fuse at {at:?} ends in\n{state:#}\nnot, as undisturbed, in\n{expected:#}\n{}",
                    self.fuse.log()
                );
                std::thread::sleep(Duration::from_millis(50));
                state = snapshot(&self.up);
            }
        }
        Ended { came, state, blew, log: self.fuse.log() }
    }

    fn served(&self, requester: Option<&str>) -> bool {
        requester.is_none_or(|name| self.up.api().pod(name).is_some_and(|pod| condition(&pod, "Ready")))
    }

    fn gone(&self, requester: Option<&str>) -> bool {
        requester.is_none_or(|name| self.up.api().pod(name).is_none())
    }

    /// A server-requesting Pod for a model; its name.
    fn requester(&mut self, model: &str) -> String {
        self.requesters += 1;
        let name = format!("{model}-{}", self.requesters);
        let wish = match self.flow {
            Flow::Direct => json!({"dual-pods.llm-d.ai/server-patch": patch(model)}),
            Flow::Launchers | Flow::Gated => json!({"dual-pods.llm-d.ai/inference-server-config": model}),
        };
        let mut spec = json!({"containers": [{
            "name": "inference-server", "image": "registry.example/fma/requester:1",
            "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "100m", "memory": "250Mi"}},
        }]});
        if self.flow == Flow::Gated {
            spec["readinessGates"] = json!([{"conditionType": "dormouse.dev/serving"}]);
            let beside = json!({"name": "beside", "image": "busybox", "command": ["sleep", "100000"]});
            spec["containers"].as_array_mut().unwrap().push(beside);
        } else {
            spec["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1});
        }
        let metadata = json!({"name": name, "labels": {"wants": model}, "annotations": wish});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        self.up.api().create(PODS, &pod);
        name
    }

    /// Takes all Pods away.
    pub(crate) fn clear(&self) {
        // Requesters first, so that nobody makes their providers anew.
        let requester = |pod: &Value| pod["metadata"]["labels"].get("wants").is_some();
        for of in [true, false] {
            let these = || self.pods().into_iter().filter(|p| requester(p) == of).collect::<Vec<_>>();
            for pod in these() {
                self.up.api().delete(&format!("{PODS}/{}?gracePeriodSeconds=1", name_of(&pod)));
            }
            until("the Pods go", SOON, || these().is_empty().then_some(()));
        }
        until("the controller has nothing to do", SOON, || self.fuse.is_quiet(QUIET).then_some(()));
    }

    /// Ends everything, and looks that nothing of it is left.
    pub(crate) fn end(self) {
        let Self { controller, wire, up, .. } = self;
        drop(controller);
        drop(wire);
        up.end();
    }
}

/// The controller's process, killed when dropped; its log stands where the plane's does.
struct Controller {
    child: Child,
    log: PathBuf,
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- the end of the controllers' log\n{}", lines[lines.len().saturating_sub(150)..].join("\n"));
        }
    }
}

/// The patch of direct requesters: a simulator that is up in a tenth of a second.
fn patch(model: &str) -> String {
    let container = json!({
        "name": "inference-server", "image": "registry.example/vllm:1",
        "command": ["vllm", "serve", model, "--port=8000", "--enable-sleep-mode", "--sim-init=50ms", "--sim-load=50ms", "--sim-model-bytes=1GB"],
        "env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    });
    json!({"metadata": {"labels": {"wants": null, "model": model}}, "spec": {"containers": [container]}}).to_string()
}

/// The example's models, up as quickly.
fn quick(mut object: Value) -> Value {
    if object["kind"] == "InferenceServerConfig" {
        let options = &mut object["spec"]["modelServerConfig"]["options"];
        *options = format!("{} --sim-init 50ms --sim-load 50ms --sim-model-bytes 1GB", options.as_str().unwrap()).into();
    }
    object
}

/// Where an object is created.
fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    let plural = format!("{}s", kind.to_lowercase());
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let namespace = if kind.starts_with("Cluster") { "" } else { "/namespaces/default" };
    format!("{root}/{version}{namespace}/{plural}")
}
