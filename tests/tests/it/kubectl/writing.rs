//! Commands that change things.

use serde_json::{Value, json};

use super::{BARE, SOON, pod, set};
use crate::support::{Kubectl, On, Up, condition, names_of, stays, table, until};

#[test]
fn kubectl_writes() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&BARE);
    let k = kubectl.on(&up);
    applied(&k);
    created(&k);
    patched(&k);
    marked(&k);
    scaled(&k);
    cordoned(&k);
    waited_for(&k);
    up.end();
}

#[test]
fn kubectl_deletes() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&BARE);
    let k = kubectl.on(&up);
    ended(&k);
    cascades(&k);
    up.end();
}

fn json_of(k: &On, what: &str) -> Value {
    serde_json::from_str(&k.ok(&format!("get {what} -o json"))).unwrap()
}

fn applied(k: &On) {
    let manifest = set("Deployment", "front", 1);
    assert_eq!(k.feed("apply -f -", &manifest), "deployment.apps/front created\n");
    assert_eq!(k.feed("apply -f -", &manifest), "deployment.apps/front unchanged\n");
    let changed = manifest.replace("replicas: 1", "replicas: 2");
    assert_eq!(k.feed("apply --dry-run=server -f -", &changed), "deployment.apps/front configured (server dry run)\n");
    assert_eq!(json_of(k, "deployment/front")["spec"]["replicas"], 1);
    assert_eq!(k.feed("apply -f -", &changed), "deployment.apps/front configured\n");
    assert_eq!(json_of(k, "deployment/front")["spec"]["replicas"], 2);

    // Validation is on unless it is switched off: a typo is refused, and nothing is changed.
    let typo = changed.replace("replicas: 2", "replicsa: 3");
    let said = k.args(&["apply", "-f", "-"], &typo);
    assert_eq!(said.code(), Some(1), "{}", said.all());
    assert!(said.err.contains("unknown field \"spec.replicsa\""), "{}", said.err);
    let wrong = changed.replace("replicas: 2", "replicas: many");
    let said = k.args(&["apply", "-f", "-"], &wrong);
    assert!(said.code() == Some(1) && said.err.contains("replicas"), "{}", said.all());
    let invalid = changed.replace("{app: front}", "{app: back}").replacen("{app: back}", "{app: front}", 1);
    let said = k.args(&["apply", "-f", "-"], &invalid);
    assert!(said.err.contains("`selector` does not match template `labels`"), "{}", said.all());
    let file = k.up.folder().join("missing.yaml");
    assert!(k.fails(&format!("apply -f {}", file.display())).contains("does not exist"));
    assert_eq!(json_of(k, "deployment/front")["spec"]["replicas"], 2);
    // Custom resources are validated by their schema.
    let kind = "apiVersion: fma.llm-d.ai/v1alpha1\nkind: InferenceServerConfig\nmetadata:\n  name: alpha\nspec:\n  launcherConfigName: x\n  \
                modelServerConfig:\n    port: 8005\n    options: --model m\n";
    k.feed("apply -f -", kind);
    let said = k.args(&["apply", "-f", "-"], &kind.replace("port: 8005", "port: often"));
    assert!(said.err.contains("spec.modelServerConfig.port"), "{}", said.all());
    let said = k.args(&["apply", "-f", "-"], &kind.replace("options:", "optoins:"));
    assert!(said.err.contains("unknown field \"spec.modelServerConfig.optoins\""), "{}", said.all());
}

fn created(k: &On) {
    assert_eq!(k.ok("create configmap settings --from-literal=colour=red"), "configmap/settings created\n");
    let again = k.fails("create configmap settings --from-literal=colour=blue");
    assert!(again.contains("configmaps \"settings\" already exists"), "{again}");
    assert_eq!(json_of(k, "configmap/settings")["data"], json!({"colour": "red"}));
    assert_eq!(k.ok("create secret generic hidden --from-literal=word=sesame"), "secret/hidden created\n");
    assert_eq!(json_of(k, "secret/hidden")["data"]["word"], "c2VzYW1l");
    assert_eq!(k.ok("create serviceaccount robot"), "serviceaccount/robot created\n");
    assert_eq!(k.ok("create namespace lab"), "namespace/lab created\n");
    assert_eq!(k.ok("create deployment bare --image=busybox --replicas=1 -n lab -- sleep 1000"), "deployment.apps/bare created\n");
    k.ok("wait -n lab --for=condition=Available deployment/bare --timeout=30s");
    let generated = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: many-}\n";
    let (one, two) = (k.feed("create -f - -o name", generated), k.feed("create -f - -o name", generated));
    assert!(one != two && one.starts_with("configmap/many-"), "{one} {two}");
}

fn patched(k: &On) {
    // Strategic: the container is found by its name, its other fields stay.
    let strategic = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}}});
    k.args(&["patch", "deployment", "front", "-p", &strategic.to_string()], "");
    let container = json_of(k, "deployment/front")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["env"][0]["value"], "1");
    assert_eq!(container["command"], json!(["sleep", "1000"]));
    k.ok("rollout status deployment/front --timeout=30s");

    let out = k.args(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"colour":null,"shape":"round"}}"#], "");
    assert_eq!(out.out, "configmap/settings patched\n", "{}", out.all());
    assert_eq!(json_of(k, "configmap/settings")["data"], json!({"shape": "round"}));

    let patch = r#"[{"op":"test","path":"/data/shape","value":"round"},{"op":"replace","path":"/data/shape","value":"square"}]"#;
    k.args(&["patch", "configmap", "settings", "--type=json", "-p", patch], "");
    assert_eq!(json_of(k, "configmap/settings")["data"], json!({"shape": "square"}));
    let said = k.args(&["patch", "configmap", "settings", "--type=json", "-p", patch], "");
    assert!(
        said.code() == Some(1) && said.err.contains("the server rejected our request due to an error in our request"),
        "{}",
        said.all()
    );
    let said = k.args(&["patch", "configmap", "settings", "--type=merge", "-p", "{\"data\": "], "");
    assert!(said.code() == Some(1) && said.err.contains("patch"), "{}", said.all());
    let node = r#"{"status":{"capacity":{"example.com/dongle":"3"}}}"#;
    k.args(&["patch", "node", "dormouse-1", "--subresource=status", "--type=merge", "-p", node], "");
    assert_eq!(json_of(k, "node/dormouse-1")["status"]["capacity"]["example.com/dongle"], "3");
}

fn marked(k: &On) {
    assert_eq!(k.ok("label configmap settings team=blue"), "configmap/settings labeled\n");
    assert!(k.fails("label configmap settings team=red").contains("already has a value (blue), and --overwrite is false"));
    k.ok("label configmap settings team=red --overwrite");
    assert_eq!(k.ok("get configmaps -l team=red -o name"), "configmap/settings\n");
    assert_eq!(k.ok("label configmap settings team-"), "configmap/settings unlabeled\n");
    assert!(k.fails("label configmap settings -- -bad=x").contains("-bad"));
    assert_eq!(k.ok("annotate configmap settings note=first"), "configmap/settings annotated\n");
    assert_eq!(json_of(k, "configmap/settings")["metadata"]["annotations"], json!({"note": "first"}));
    k.ok("annotate configmap settings note-");
    assert_eq!(json_of(k, "configmap/settings")["metadata"]["annotations"], Value::Null);
}

fn scaled(k: &On) {
    k.feed("apply -f -", &set("ReplicaSet", "crew", 1));
    assert_eq!(k.ok("scale rs/crew --replicas=3"), "replicaset.apps/crew scaled\n");
    k.ok("wait --for=jsonpath={.status.readyReplicas}=3 rs/crew --timeout=30s");
    assert!(k.fails("scale rs/crew --current-replicas=1 --replicas=5").contains("Expected replicas to be 1, was 3"));
    k.ok("scale rs/crew --replicas=0");
    until("the crew has gone", SOON, || k.up.api().pods("app=crew").is_empty().then_some(()));
    assert_eq!(k.ok("scale deployment front --replicas=1"), "deployment.apps/front scaled\n");
    until("one front is left", SOON, || (k.up.api().pods("app=front").len() == 1).then_some(()));
}

fn cordoned(k: &On) {
    assert_eq!(k.ok("cordon dormouse-2"), "node/dormouse-2 cordoned\n");
    assert_eq!(table(&k.ok("get node dormouse-2"))[1][1], "Ready,SchedulingDisabled");
    let pinned = pod("pinned", "", "exec sleep 1000").replace("spec:\n", "spec:\n  nodeSelector: {kubernetes.io/hostname: dormouse-2}\n");
    k.feed("apply -f -", &pinned);
    let reason = until("the Pod says why it waits", SOON, || {
        let events = k.up.api().events("pinned");
        events.iter().find(|e| e["reason"] == "FailedScheduling").map(|e| e["message"].as_str().unwrap().to_owned())
    });
    assert!(reason.contains("0/2 nodes are available") && reason.contains("unschedulable"), "{reason}");
    assert_eq!(table(&k.ok("get pod pinned"))[1][2], "Pending");
    assert_eq!(k.ok("uncordon dormouse-2"), "node/dormouse-2 uncordoned\n");
    k.ok("wait --for=condition=Ready pod/pinned --timeout=30s");
    assert_eq!(k.ok("get pod pinned -o jsonpath={.spec.nodeName}"), "dormouse-2");
}

fn waited_for(k: &On) {
    k.feed("apply -f -", &pod("short", "", "exit 0"));
    assert_eq!(k.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/short --timeout=30s"), "pod/short condition met\n");
    let said = k.run("wait --for=condition=Ready pod/short --timeout=1s");
    assert!(said.code() == Some(1) && said.err.contains("timed out waiting for the condition"), "{}", said.all());
    k.ok("delete pod short --wait=false");
    assert!(k.run("wait --for=delete pod/short --timeout=30s").status.success());
}

fn ended(k: &On) {
    let gone = |name: &str| k.up.api().pod(name).is_none();
    k.feed("apply -f -", &pod("calm", "group: a", "exec sleep 1000"));
    k.ok("wait --for=condition=Ready pod/calm --timeout=30s");
    assert_eq!(k.ok("delete pod calm --wait"), "pod \"calm\" deleted\n", "kubectl prints what it did");
    assert!(gone("calm"), "--wait returns when it has gone");

    k.feed(
        "apply -f -",
        &pod("held", "group: a", "exec sleep 1000").replace("metadata:\n", "metadata:\n  finalizers: [example.com/hold]\n"),
    );
    k.ok("wait --for=condition=Ready pod/held --timeout=30s");
    k.ok("delete pod held --wait=false --grace-period=1");
    stays("the finalizer holds it", std::time::Duration::from_millis(1500), || !gone("held"));
    assert!(k.up.api().pod("held").unwrap()["metadata"]["deletionTimestamp"].is_string());
    k.args(&["patch", "pod", "held", "--type=json", "-p", r#"[{"op":"remove","path":"/metadata/finalizers"}]"#], "");
    k.ok("wait --for=delete pod/held --timeout=30s");

    // One that ignores SIGTERM gets its grace and no more; force does not wait for anything.
    k.feed("apply -f -", &pod("deaf", "group: b", "trap : TERM; while :; do sleep 0.1; done"));
    k.ok("wait --for=condition=Ready pod/deaf --timeout=30s");
    k.ok("delete pod deaf --grace-period=1");
    assert!(gone("deaf"));
    k.feed("apply -f -", &pod("deaf", "group: b", "trap : TERM; while :; do sleep 0.1; done"));
    k.ok("wait --for=condition=Ready pod/deaf --timeout=30s");
    assert!(k.ok("delete pod deaf --grace-period=0 --force").contains("force deleted"));
    assert!(gone("deaf"));

    k.feed("apply -f -", &pod("first", "group: c", "exec sleep 1000"));
    k.feed("apply -f -", &pod("second", "group: c", "exec sleep 1000"));
    k.ok("delete pods -l group=c");
    assert!(gone("first") && gone("second"));
    assert!(k.fails("delete pod nobody").contains("pods \"nobody\" not found"));
    k.ok("delete pod nobody --ignore-not-found");
}

fn cascades(k: &On) {
    let api = k.up.api();
    let ready = |name: &str, wanted: usize| {
        until("the set is complete", SOON, || {
            let pods = api.pods(&format!("app={name}"));
            (pods.len() == wanted && pods.iter().all(|p| condition(p, "Ready"))).then_some(pods)
        })
    };
    k.feed("apply -f -", &set("ReplicaSet", "back", 2));
    ready("back", 2);
    k.ok("delete rs back --cascade=background");
    until("its Pods have gone", SOON, || api.pods("app=back").is_empty().then_some(()));

    k.feed("apply -f -", &set("ReplicaSet", "lost", 2));
    let before = names_of(&ready("lost", 2));
    k.ok("delete rs lost --cascade=orphan");
    assert!(k.fails("get rs lost").contains("NotFound"));
    stays("orphans live", std::time::Duration::from_millis(800), || names_of(&api.pods("app=lost")) == before);
    assert!(api.pods("app=lost").iter().all(|p| p["metadata"]["ownerReferences"].is_null()), "they have no owner");
    // A new set with their labels adopts them.
    k.feed("apply -f -", &set("ReplicaSet", "lost", 2));
    until("they are adopted", SOON, || {
        let pods = api.pods("app=lost");
        pods.iter().all(|p| p["metadata"]["ownerReferences"][0]["name"] == "lost").then(|| assert_eq!(names_of(&pods), before))
    });

    // Foreground: the owner stays, marked, until its Pods have gone.
    k.ok("delete rs lost --cascade=foreground --wait=false");
    until("owner and Pods have gone, the Pods first", SOON, || {
        let owner = api.get("/apis/apps/v1/namespaces/default/replicasets/lost");
        let pods = api.pods("app=lost");
        match owner {
            Some(owner) => {
                assert_eq!(owner["metadata"]["finalizers"], json!(["foregroundDeletion"]));
                None
            }
            None => {
                assert!(pods.is_empty(), "the owner has gone before its Pods");
                Some(())
            }
        }
    });
    // Three levels.
    k.feed("apply -f -", &set("Deployment", "deep", 1));
    ready("deep", 1);
    k.ok("delete deployment deep --cascade=foreground");
    assert!(api.pods("app=deep").is_empty());
    assert!(api.list("/apis/apps/v1/namespaces/default/replicasets").is_empty());
    // A namespace takes all with it.
    k.ok("create namespace brief");
    k.feed("apply -n brief -f -", &set("Deployment", "deep", 1));
    k.ok("delete namespace brief");
    assert!(api.get("/api/v1/namespaces/brief").is_none());
    assert!(api.list("/api/v1/namespaces/brief/pods").is_empty());
}
