//! Worlds to begin with, and shorthands for what is looked at.

use std::time::Duration;

use dormouse_planner::action::Target;
use serde_json::{Value, json};

use crate::model::world::NODE;
use crate::model::{Harness, World};

pub(crate) const PATCH: &str = r#"
metadata: {labels: {app: null, model: granite}}
spec:
  containers:
  - name: inference-server
    image: vllm
    readinessProbe: {httpGet: {path: /health, port: 8000}}
    env: [{name: NODE, value: "{{ .NodeName }}"}]
"#;

/// A node with GPUs, and nothing else.
pub(crate) fn node(gpus: usize) -> Harness {
    let mut world = World::new();
    world.set_gpus(gpus);
    Harness::new(world)
}

/// A node with a `LauncherConfig` `lc` and three `InferenceServerConfig`s, and no launchers in stock.
pub(crate) fn launchers(gpus: usize, max_instances: u32) -> Harness {
    let mut harness = node(gpus);
    let world = &mut harness.world;
    world.lc("lc", max_instances, "launcher:1");
    for (name, port) in [("smol", 8005), ("qwen", 8006), ("tiny", 8007)] {
        world.isc(name, port, &format!("--model {name}"), json!({"routed": name}), "lc");
    }
    harness
}

/// As [`launchers`], with `count` launchers in stock, started.
pub(crate) fn stocked(gpus: usize, max_instances: u32, count: u32) -> Harness {
    let mut harness = launchers(gpus, max_instances);
    harness.world.stock("lc", count);
    calm(&mut harness);
    harness
}

/// Lets everything come to rest, and insists that nothing forbidden happened.
pub(crate) fn calm(harness: &mut Harness) {
    harness.run(Duration::from_secs(300));
    assert!(harness.world.violations.is_empty(), "{:#?}", harness.world.violations);
}

/// Lets some time pass.
pub(crate) fn wait(harness: &mut Harness, ms: u64) {
    harness.run(Duration::from_millis(ms));
    assert!(harness.world.violations.is_empty(), "{:#?}", harness.world.violations);
}

fn requester(name: &str, gpus: &str, annotations: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "ns", "labels": {"app": "dp-example"}, "annotations": annotations},
        "spec": {"nodeName": NODE, "containers": [{"name": "inference-server", "image": "requester"}]},
    });
    object["metadata"]["annotations"]["test/gpus"] = json!(gpus);
    object
}

fn gated(mut requester: Value) -> Value {
    requester["spec"]["readinessGates"] = json!([{"conditionType": "dormouse.dev/serving"}]);
    requester
}

impl Harness {
    /// A direct requester appears.
    pub(crate) fn direct(&mut self, name: &str, gpus: &str) {
        self.direct_with(name, gpus, PATCH);
    }

    pub(crate) fn direct_with(&mut self, name: &str, gpus: &str, patch: &str) {
        self.world.create(requester(name, gpus, json!({"dual-pods.llm-d.ai/server-patch": patch})));
    }

    /// A launcher-based requester appears.
    pub(crate) fn wants(&mut self, name: &str, gpus: &str, isc: &str) {
        self.world.create(requester(name, gpus, json!({"dual-pods.llm-d.ai/inference-server-config": isc})));
    }

    /// As [`Self::wants`], with the readiness gate and without a probe.
    pub(crate) fn wants_gated(&mut self, name: &str, gpus: &str, isc: &str) {
        let annotations = json!({"dual-pods.llm-d.ai/inference-server-config": isc});
        self.world.create(gated(requester(name, gpus, annotations)));
    }

    /// As [`Self::direct`], with the readiness gate and without a probe.
    pub(crate) fn direct_gated(&mut self, name: &str, gpus: &str) {
        self.world.create(gated(requester(name, gpus, json!({"dual-pods.llm-d.ai/server-patch": PATCH}))));
    }

    /// Whether the readiness gate is open; none: it was never set.
    pub(crate) fn gate(&self, name: &str) -> Option<bool> {
        self.pod(name)["status"]["conditions"][2]["status"].as_str().map(|status| status == "True")
    }

    pub(crate) fn pod(&self, name: &str) -> &Value {
        self.world.pod(name).unwrap_or_else(|| panic!("no Pod {name}: {:?}", self.names()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.world.pod(name).is_some()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.world.pods.values().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Names of all Pods but requesters.
    pub(crate) fn providers(&self) -> Vec<String> {
        let provider = |pod: &&Value| {
            let meta = &pod["metadata"];
            !meta["annotations"]["dual-pods.llm-d.ai/nominal"].is_null()
                || !meta["labels"]["dual-pods.llm-d.ai/launcher-config-name"].is_null()
        };
        self.world.pods.values().filter(provider).map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The provider bound to this requester.
    pub(crate) fn provider(&self, requester: &str) -> String {
        let found = self.world.providers_of(requester);
        assert_eq!(found.len(), 1, "{requester} has {found:?}");
        found[0].clone()
    }

    /// Whether the requester's container is ready.
    pub(crate) fn ready(&self, name: &str) -> bool {
        self.world.pod(name).is_some_and(|pod| pod["status"]["conditions"][1]["status"] == "True")
    }

    pub(crate) fn annotation(&self, pod: &str, key: &str) -> Option<&str> {
        self.pod(pod)["metadata"]["annotations"][format!("dual-pods.llm-d.ai/{key}")].as_str()
    }

    pub(crate) fn label(&self, pod: &str, key: &str) -> Option<&str> {
        self.pod(pod)["metadata"]["labels"][key].as_str()
    }

    /// Errors in the status of a requester.
    pub(crate) fn errors(&self, requester: &str) -> Vec<String> {
        let Some(status) = self.annotation(requester, "status") else { return Vec::new() };
        let status: Value = serde_json::from_str(status).unwrap();
        status["Errors"].as_array().into_iter().flatten().map(|error| error.as_str().unwrap().to_owned()).collect()
    }

    /// Instances of a launcher: model and whether it sleeps, in order of creation.
    pub(crate) fn instances(&self, launcher: &str) -> Vec<(String, bool)> {
        let uid = self.world.uid_of(launcher).unwrap();
        let crate::model::world::Program::Launcher { instances, .. } = &self.world.sims[&uid].program else {
            panic!("{launcher} is no launcher")
        };
        let mut list: Vec<_> = instances.values().collect();
        list.sort_by_key(|instance| instance.order);
        list.into_iter()
            .map(|instance| {
                let options = instance.body["options"].as_str().unwrap();
                let model = options.split_whitespace().nth(1).unwrap().to_owned();
                (model, instance.engine.as_ref().is_none_or(|engine| engine.sleeping))
            })
            .collect()
    }

    /// A user deletes the Pod and everything comes to rest.
    pub(crate) fn delete(&mut self, name: &str) {
        self.world.delete_by_name(name);
        calm(self);
    }

    /// The binding a launcher was made for carries this instance.
    pub(crate) fn instance_id(&self, launcher: &str) -> String {
        self.annotation(launcher, "instance-id").unwrap().to_owned()
    }
}

impl Harness {
    /// What was done, for a failing test.
    pub(crate) fn story(&self) -> String {
        let line = |(at, action): &(jiff::Timestamp, dormouse_planner::Action)| {
            let target = match &action.key.target {
                Target::Pod(uid) | Target::Stub(uid) | Target::Launcher(uid) | Target::NewProvider(uid) => uid.to_string(),
                Target::Engine(engine) => {
                    let instance = engine.instance.as_ref().map_or(String::new(), |id| id.as_str()[..4].to_owned());
                    format!("{}/{instance}", engine.provider)
                }
                Target::NewLauncher(lc, n) => format!("{lc}#{n}"),
                Target::Config(kind, name) => format!("{kind}/{name}"),
            };
            let requester = action.subject.requester.as_ref().map_or("", |requester| &requester.name);
            format!("{} {:?} {target} {requester}", at.as_millisecond() - 1_767_225_600_000, action.key.verb)
        };
        self.trace.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
