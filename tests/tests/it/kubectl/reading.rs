//! Commands that only read.

use serde_json::Value;

use super::{BARE, pod, set};
use crate::support::{Kubectl, On, Up, name_of, table};

#[test]
fn kubectl_reads() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&BARE);
    let k = kubectl.on(&up);
    k.feed("apply -f -", &set("Deployment", "web", 2));
    k.feed("apply -f -", &pod("single", "tier: \"1\"", "exec sleep 1000"));
    k.ok("create namespace elsewhere");
    k.feed("apply -n elsewhere -f -", &pod("far", "tier: \"2\"", "exec sleep 1000"));
    k.ok("wait --for=condition=Available deployment/web --timeout=30s");
    k.ok("wait --for=condition=Ready pod/single --timeout=30s");
    k.ok("wait -n elsewhere --for=condition=Ready pod/far --timeout=30s");

    tables(&k);
    forms(&k);
    selections(&k);
    discovery(&k);
    descriptions(&k);
    rights(&k);
    up.end();
}

fn tables(k: &On) {
    let rows = table(&k.ok("get pods"));
    assert_eq!(rows[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(rows[1..].iter().all(|r| r[1] == "1/1" && r[2] == "Running" && r[3] == "0"), "{rows:?}");
    let wide = table(&k.ok("get pod single -o wide"));
    assert_eq!(wide[0][..7], ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]);
    assert!(wide[1][5].starts_with("127.") && wide[1][6].starts_with("dormouse-"), "{wide:?}");
    let nodes = table(&k.ok("get nodes"));
    assert_eq!(nodes[0], ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]);
    assert_eq!(nodes[1..].iter().map(|r| r[..2].join(" ")).collect::<Vec<_>>(), ["dormouse-1 Ready", "dormouse-2 Ready"]);
    let deployments = table(&k.ok("get deployments"));
    assert_eq!(deployments[0], ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(deployments[1][..4], ["web", "2/2", "2", "2"]);
    let several = k.ok("get deployments,replicasets,pods -o name");
    for kind in ["deployment.apps/web", "replicaset.apps/web-", "pod/single"] {
        assert!(several.contains(kind), "{several}");
    }
    assert!(k.ok("get pods --no-headers").starts_with("single "));
}

fn forms(k: &On) {
    let yaml = k.ok("get pod single -o yaml");
    for line in ["apiVersion: v1", "kind: Pod", "  name: single", "    tier: \"1\"", "    - exec sleep 1000", "  phase: Running"] {
        assert!(yaml.lines().any(|l| l == line), "{line:?} is not in\n{yaml}");
    }
    let json: Value = serde_json::from_str(&k.ok("get pods -o json")).unwrap();
    assert_eq!(json["kind"], "List");
    assert_eq!(json["items"].as_array().unwrap().len(), 3);
    let ip = k.ok("get pod single -o jsonpath={.status.podIP}");
    let names = k.args(&["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}"], "").out;
    assert_eq!(names.lines().count(), 3, "{names}");
    let columns = table(&k.ok("get pod single -o custom-columns=WHO:.metadata.name,WHERE:.status.podIP,WHY:.spec.nothing"));
    assert_eq!(columns, [["WHO", "WHERE", "WHY"], ["single", &ip, "<none>"]]);
    assert_eq!(k.args(&["get", "pod", "single", "-o", "go-template={{.spec.restartPolicy}}"], "").out, "Never");
    let sorted = k.ok("get nodes --sort-by=.metadata.name -o name");
    assert_eq!(sorted, "node/dormouse-1\nnode/dormouse-2\n");
}

fn selections(k: &On) {
    let all = table(&k.ok("get pods -A"));
    assert_eq!(all[0][..2], ["NAMESPACE", "NAME"]);
    assert!(all.iter().any(|r| r[..2] == ["elsewhere", "far"]) && all.iter().any(|r| r[..2] == ["default", "single"]), "{all:?}");
    assert_eq!(k.ok("get pods -A -l tier -o name").lines().count(), 2);
    assert_eq!(k.ok("get pods -A -l tier!=1,tier -o name"), "pod/far\n");
    let args = ["get", "pods", "-l", "app in (web,none)", "-o", "name"];
    assert_eq!(k.args(&args, "").out.lines().count(), 2);
    assert_eq!(k.ok("get pods --field-selector metadata.name=single -o name"), "pod/single\n");
    assert_eq!(k.ok("get pods -A --field-selector status.phase=Running -o name").lines().count(), 4);
    let node = k.ok("get pod single -o jsonpath={.spec.nodeName}");
    assert!(k.ok(&format!("get pods --field-selector spec.nodeName={node} -o name")).contains("pod/single"));
    assert!(k.fails("get pods --field-selector spec.flavour=x").contains("spec.flavour"));
    assert_eq!(k.fails("get pod nobody"), "Error from server (NotFound): pods \"nobody\" not found\n");
    assert!(k.run("get pods -l app=nobody").err.contains("No resources found in default namespace."));
    assert!(k.fails("get penguins").contains("the server doesn't have a resource type \"penguins\""));
    assert_eq!(k.ok("get --raw /readyz"), "ok");
}

fn discovery(k: &On) {
    let resources = table(&k.ok("api-resources"));
    let row = |name: &str| resources.iter().find(|r| r[0] == name).unwrap_or_else(|| panic!("{name} is not in {resources:?}"));
    assert_eq!(row("pods")[1..], ["po", "v1", "true", "Pod"]);
    assert_eq!(row("deployments")[1..], ["deploy", "apps/v1", "true", "Deployment"]);
    assert_eq!(row("nodes")[1..], ["no", "v1", "false", "Node"]);
    assert!(row("inferenceserverconfigs").iter().any(|c| c == "fma.llm-d.ai/v1alpha1"));
    let verbs = k.ok("api-resources --api-group=fma.llm-d.ai -o name");
    assert_eq!(verbs.lines().count(), 3, "{verbs}");
    assert!(!k.ok("api-resources -o name").contains("statefulsets"), "what is not served is not listed");
    let versions = k.ok("api-versions");
    assert!(versions.lines().any(|l| l == "v1") && versions.lines().any(|l| l == "apps/v1"), "{versions}");
    let version: Value = serde_json::from_str(&k.ok("version -o json")).unwrap();
    assert_eq!(version["serverVersion"]["major"], "1");
}

fn descriptions(k: &On) {
    // Columns are as wide as what is in them.
    let described = |what: &str| k.ok(&format!("describe {what}")).split_whitespace().collect::<Vec<_>>().join(" ");
    let pod = described("pod single");
    for part in ["Name: single", "Labels: tier=1", "Status: Running", "Ready True ContainersReady True", "Image: busybox", "Events:"] {
        assert!(pod.contains(part), "{part:?} is not in\n{pod}");
    }
    for reason in ["Scheduled", "Started"] {
        let events = pod.split_once("Events:").unwrap().1;
        assert!(events.contains(reason), "{reason} is not in\n{events}");
    }
    let node = described("node dormouse-1");
    for part in
        ["nvidia.com/gpu: 4", "InternalIP:", "Non-terminated Pods:", "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3", "Unschedulable: false"]
    {
        assert!(node.contains(part), "{part:?} is not in\n{node}");
    }
    let deployment = described("deployment web");
    assert!(deployment.contains("2 desired | 2 updated | 2 total | 2 available | 0 unavailable"), "{deployment}");
    assert!(deployment.contains("ScalingReplicaSet"), "{deployment}");
    let set = described("replicaset web");
    assert!(set.contains("Controlled By: Deployment/web"), "{set}");
    assert_eq!(set.matches("Created pod: web-").count(), 2, "an event for each Pod: {set}");
}

fn rights(k: &On) {
    assert_eq!(k.ok("auth can-i create pods"), "yes\n");
    assert_eq!(k.ok("auth can-i delete nodes --all-namespaces"), "yes\n");
    let account = "--as=system:serviceaccount:default:default";
    let said = k.run(&format!("auth can-i create pods {account}"));
    assert_eq!((said.out.as_str(), said.code()), ("no\n", Some(1)));
    let error = k.fails(&format!("get pods {account}"));
    let expected = "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert!(error.contains(expected), "{error}");

    let token = k.ok("create token default");
    assert_eq!(token.trim().split('.').count(), 3, "{token:?} is no signed token");
    // The token alone, without the administrator's certificate.
    let config: Value = serde_json::from_str(&k.ok("config view --raw -o json")).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let bearer = format!("--kubeconfig=/dev/null --server={server} --insecure-skip-tls-verify --token={}", token.trim());
    assert!(k.fails(&format!("get pods -n default {bearer}")).contains(expected));
    k.ok("create role reader --verb=get,list --resource=pods");
    k.ok("create rolebinding reader --role=reader --serviceaccount=default:default");
    let pods: Value = serde_json::from_str(&k.ok(&format!("get pods -n default -o json {bearer}"))).unwrap();
    assert!(pods["items"].as_array().unwrap().iter().any(|p| name_of(p) == "single"));
    let wrong = k.fails(&format!("get pods -n default {}x", bearer));
    assert!(wrong.contains("Unauthorized") || wrong.contains("must be logged in"), "{wrong}");
}
