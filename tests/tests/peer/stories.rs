//! What is played with each mix: a model is asked for, released, and asked for again.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::programs::{Peer, Program};
use crate::support::{Kubectl, On, Up, condition, name_of, repository, run, until};

const DUAL: &str = "dual-pods.llm-d.ai/dual";
const LAUNCHERS: &str = "dual-pods.llm-d.ai/launcher-config-name";
const SLEEPING: &str = "dual-pods.llm-d.ai/sleeping";

/// How an engine is to be reached, and how long it may take.
struct Engine {
    port: u16,
    /// The model that it is asked for; `None` for a stand-in that answers nothing.
    model: Option<&'static str>,
    /// A start; what follows on it takes seconds.
    start: Duration,
}

/// The peer's controllers look again after seconds, some of its programs take ten to end.
const SOON: Duration = Duration::from_secs(60);
const REAL: Duration = Duration::from_secs(600);

/// Both controllers find launchers by a hash of their template, on which two builds need not agree (actuation 2.7): where one
/// of them is the peer's and the other ours, each works alone.
fn controllers(mix: &[Program]) -> &'static str {
    match (mix.contains(&Program::DualPodsController), mix.contains(&Program::LauncherPopulator)) {
        (true, false) => "dual-pods",
        (false, true) => "launcher-populator",
        _ => "all",
    }
}

pub(crate) fn launcher_flow(peer: &Peer, mix: &[Program]) {
    let Some(kubectl) = Kubectl::find() else { return };
    let controllers = controllers(mix);
    let up = plane(peer, mix, &["--controllers", controllers]);
    let k = kubectl.on(&up);
    let mut manifest = example("launcher.yaml").replace("launcherCount: 2", "launcherCount: 1");
    let mut engine = Engine { port: 8005, model: Some("sim-alpha"), start: SOON };
    if peer.engine_is_real(mix) {
        let folder = peer.stage().join("tiny");
        make_model(&up, &folder);
        let options = format!("--model {} --served-model-name tiny --max-model-len 512 --enforce-eager", folder.display());
        manifest = manifest.replace("--model sim-alpha --enable-sleep-mode", &options);
        let env = "VLLM_SERVER_DEV_MODE: \"1\"";
        manifest = manifest.replace(env, &format!("{env}\n      VLLM_CPU_KVCACHE_SPACE: \"1\"\n      HF_HUB_OFFLINE: \"1\""));
        // It knows GPUs from the ConfigMap, whatever hardware there is.
        manifest = manifest.replace("--log-level=info]", "--log-level=info, --mock-gpus]");
        engine = Engine { port: 8005, model: Some("tiny"), start: REAL };
    }
    k.feed("apply -f -", &manifest.replace("replicas: 1", "replicas: 0"));
    if controllers != "dual-pods" {
        // The launcher first: else the other controller makes one too, and one of the two is taken away again.
        populated(&k, 1);
    }
    if controllers == "launcher-populator" {
        k.feed("apply -f -", &manifest.replace("launcherCount: 1", "launcherCount: 2"));
        populated(&k, 2);
        k.ok("delete launcherpopulationpolicies --all");
        populated(&k, 0);
    } else {
        k.ok("scale rs/alpha --replicas=1");
        cycle(&k, "alpha", &engine);
    }
    up.end();
}

pub(crate) fn direct_flow(peer: &Peer, mix: &[Program]) {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = plane(peer, mix, &[]);
    let k = kubectl.on(&up);
    k.feed("apply -f -", &example("direct.yaml"));
    cycle(&k, "direct", &Engine { port: 8000, model: Some("sim-model"), start: SOON });
    up.end();
}

/// As the peer's test clusters have it: no device plugin, and the requesters share the GPUs out.
pub(crate) fn direct_flow_of_tests(peer: &Peer, mix: &[Program]) {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = plane(peer, mix, &["--gpus-per-node", "0", "--gpu-map", "none"]);
    let k = kubectl.on(&up);
    // One GPU: of several a test requester takes any.
    k.ok("create configmap gpu-map --from-literal=dormouse-1={\"GPU-0\":0}");
    k.feed("apply -f -", &example("testing-rights.yaml"));
    k.feed("apply -f -", TEST_SET);
    cycle(&k, "tested", &Engine { port: 8000, model: None, start: SOON });
    up.end();
}

/// Requesters and engines of the peer's tests, as the direct suite has them.
const TEST_SET: &str = r#"
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: tested}
spec:
  replicas: 1
  selector: {matchLabels: {app: tested}}
  template:
    metadata:
      labels: {app: tested}
      annotations:
        dual-pods.llm-d.ai/admin-port: "8081"
        dual-pods.llm-d.ai/server-patch: |
          metadata: {labels: {app: null}}
          spec:
            containers:
            - name: inference-server
              image: ghcr.io/llm-d-incubation/llm-d-fast-model-actuation/test-server:latest
              command: [/ko-app/test-server, --startup-delay=1]
              resources: {limits: {cpu: "200m", memory: 1Gi}}
              readinessProbe: {httpGet: {path: /health, port: 8000}, periodSeconds: 1}
    spec:
      serviceAccountName: testreq
      containers:
      - name: inference-server
        image: ghcr.io/llm-d-incubation/llm-d-fast-model-actuation/test-requester:latest
        command: [/ko-app/test-requester, --node=$(NODE_NAME), --pod-uid=$(POD_UID), --namespace=$(NAMESPACE)]
        env:
        - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        ports: [{name: probes, containerPort: 8080}, {name: spi, containerPort: 8081}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
        resources: {limits: {cpu: 200m, memory: 250Mi}}
"#;

fn populated(k: &On<'_>, count: usize) {
    until(&format!("{count} launchers are ready"), SOON, || {
        let launchers = k.up.api().pods(LAUNCHERS);
        (launchers.len() == count && launchers.iter().all(|p| condition(p, "Ready"))).then_some(())
    });
}

fn plane(peer: &Peer, mix: &[Program], further: &[&str]) -> Up {
    let rules = peer.rules(mix);
    Up::start(&[&["--images", rules.to_str().unwrap(), "--restart-backoff", "1s"], further].concat())
}

fn example(name: &str) -> String {
    std::fs::read_to_string(repository().join("examples").join(name)).unwrap()
}

fn make_model(up: &Up, folder: &Path) {
    if !folder.exists() {
        let folder = folder.to_str().unwrap();
        let said = run(Up::command(up.folder()).args(["engine", "make-model", folder, "--name", "tiny"]), "", SOON);
        assert_eq!(said.code(), Some(0), "{}", said.all());
    }
}

/// Cold, asleep, hot, asleep: the requesters of one set, and the engine that stays.
fn cycle(k: &On<'_>, set: &str, engine: &Engine) {
    let cold = served(k, set, engine.start);
    let provider = provider_of(k, &cold);
    let answer = ask(k, &provider, engine);
    release(k, set, &name_of(&provider), engine);
    k.ok(&format!("scale rs/{set} --replicas=1"));
    let hot = served(k, set, SOON);
    let again = provider_of(k, &hot);
    assert_eq!(name_of(&again), name_of(&provider), "it is woken, not made anew");
    assert_eq!(again["metadata"]["labels"][SLEEPING], "false");
    assert_eq!(asleep(k, &again, engine), Some(false));
    assert_eq!(ask(k, &again, engine), answer, "the same answer after its sleep");
    release(k, set, &name_of(&provider), engine);
}

fn requesters(k: &On<'_>, set: &str) -> Vec<Value> {
    let mut pods = k.up.api().pods(&format!("app={set}"));
    pods.retain(|p| p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet");
    pods
}

fn served(k: &On<'_>, set: &str, limit: Duration) -> Value {
    let living = |p: &Value| p["metadata"]["deletionTimestamp"].is_null();
    until(&format!("{set} is served"), limit, || requesters(k, set).into_iter().find(|p| living(p) && condition(p, "Ready")))
}

fn provider_of(k: &On<'_>, requester: &Value) -> Value {
    let bound = k.up.api().pods(&format!("{DUAL}={}", name_of(requester)));
    let [provider] = &bound[..] else { panic!("one provider, not {bound:#?}") };
    provider.clone()
}

fn release(k: &On<'_>, set: &str, provider: &str, engine: &Engine) {
    k.ok(&format!("scale rs/{set} --replicas=0"));
    until("the requester goes", SOON, || requesters(k, set).is_empty().then_some(()));
    until("the provider sleeps", SOON, || {
        let pod = k.up.api().pod(provider).expect("the provider stays");
        let labels = &pod["metadata"]["labels"];
        (labels[SLEEPING] == "true" && labels[DUAL].is_null() && asleep(k, &pod, engine) == Some(true)).then_some(())
    });
}

fn base_url(pod: &Value, engine: &Engine) -> String {
    format!("http://{}:{}", pod["status"]["podIP"].as_str().expect("an address"), engine.port)
}

fn asleep(k: &On<'_>, pod: &Value, engine: &Engine) -> Option<bool> {
    let (status, body) = k.up.api().http(&format!("{}/is_sleeping", base_url(pod, engine)))?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    (status == 200).then(|| answer["is_sleeping"].as_bool())?
}

/// What the engine answers; nothing of one that answers nothing.
fn ask(k: &On<'_>, pod: &Value, engine: &Engine) -> Option<Value> {
    let body = serde_json::json!({"model": engine.model?, "prompt": "Hello", "max_tokens": 16, "temperature": 0}).to_string();
    let curl = format!("curl -sf {}/v1/completions -H 'content-type: application/json' -d '{body}'", base_url(pod, engine));
    let answer: Value = serde_json::from_str(&k.shell(&curl, &[])).unwrap();
    let text = answer["choices"][0]["text"].clone();
    assert!(text.as_str().is_some_and(|t| !t.is_empty()), "{answer}");
    Some(text)
}
