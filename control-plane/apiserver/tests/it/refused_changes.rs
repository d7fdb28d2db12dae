//! Changes of Pods that Kubernetes refuses, and what it writes into new ones.
#![allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]

use dormouse_apiserver::ApiServer;
use serde_json::{Value, json};

use crate::harness::{ask, server};
use crate::refused_pods::{FORBIDDEN, INVALID, PODS, REQUIRED, judge, wrong};

const POD: &str = "/api/v1/namespaces/default/pods/p";
const FIELDS: &str = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\nchanged: ";

/// A server with one Pod, `p`.
async fn with_pod(spec: Value) -> ApiServer {
    let server = server();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"hash": "1", "team": "x"}}, "spec": spec});
    let made = ask(&server, "POST", PODS.trim_end_matches("?dryRun=All"), pod).await;
    assert_eq!(made.status, 201, "{}", made.body);
    server
}

fn changed(field: &str) -> String {
    format!("{FIELDS}{field}")
}

#[tokio::test]
async fn only_some_members_of_a_pod_change() {
    let containers = json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]);
    let server = with_pod(
        json!({"containers": containers, "activeDeadlineSeconds": 10, "tolerations": [{"key": "k", "operator": "Exists"}], "nodeSelector": {"a": "b"}}),
    )
    .await;
    let parts = json!({
        "a sooner end": [{"spec": {"activeDeadlineSeconds": 5}}, []],
        "a later end": [{"spec": {"activeDeadlineSeconds": 50}}, [
            ["spec.activeDeadlineSeconds", INVALID, "Invalid value: 50: must be less than or equal to previous value"],
        ]],
        "no end": [{"spec": {"activeDeadlineSeconds": null}}, [
            ["spec.activeDeadlineSeconds", INVALID, "Invalid value: null: must not update from a positive integer to nil value"],
        ]],
        "fewer tolerations": [{"spec": {"tolerations": []}}, [
            ["spec.tolerations", FORBIDDEN, "Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ]],
        "another host": [{"spec": {"hostNetwork": true, "hostname": "h"}}, [["spec", FORBIDDEN, changed("hostNetwork, hostname")]]],
        "other nodes": [{"spec": {"nodeSelector": {"c": "d"}}}, [["spec", FORBIDDEN, changed("nodeSelector")]]],
        "a gate": [{"spec": {"schedulingGates": [{"name": "g"}]}}, [
            ["spec.schedulingGates[0].name", FORBIDDEN, "Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
        ]],
        "more containers": [{"spec": {"initContainers": [{"name": "d", "image": "i"}]}}, [
            ["spec.initContainers", FORBIDDEN, "Forbidden: pod updates may not add or remove containers"],
        ]],
        "a mirror": [{"metadata": {"annotations": {"kubernetes.io/config.mirror": "m"}}}, [
            ["metadata.annotations[kubernetes.io/config.mirror]", INVALID, wrong("m", "must set spec.nodeName if mirror pod annotation is set")],
            ["metadata.annotations[kubernetes.io/config.mirror]", FORBIDDEN, "Forbidden: may not add mirror pod annotation"],
        ]],
    });
    judge(&server, "PATCH", &format!("{POD}?dryRun=All"), &parts).await;
    let read = crate::harness::get(&server, POD).await.body;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = read.clone();
        change(&mut pod["spec"]["containers"][0]);
        pod
    };
    let whole = json!({
        "another image": [with(&|c| c["image"] = json!("j")), []],
        "no image": [with(&|c| c["image"] = json!("")), [
            ["spec.containers[0].image", REQUIRED, "Required value"], ["spec.containers[0].image", REQUIRED, "Required value"],
        ]],
        "other variables": [with(&|c| c["env"][0]["value"] = json!("2")), [["spec", FORBIDDEN, changed("containers")]]],
    });
    judge(&server, "PUT", &format!("{POD}?dryRun=All"), &whole).await;
}

#[tokio::test]
async fn a_gated_pod_may_be_aimed_more_narrowly() {
    let term = |more: Value| json!({"matchExpressions": [{"key": "a", "operator": "Exists"}, more]});
    let affinity = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let old = json!([{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]);
    let server = with_pod(
        json!({"containers": [{"name": "c", "image": "i"}], "schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}, "affinity": affinity(old)}),
    )
    .await;
    let more = json!({"key": "b", "operator": "Exists"});
    let other = json!([{"matchExpressions": [{"key": "b", "operator": "Exists"}]}]);
    let place = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let rows = json!({
        "more labels": [{"spec": {"nodeSelector": {"c": "d"}, "affinity": affinity(json!([term(more)]))}}, []],
        "another label": [{"spec": {"nodeSelector": {"a": "c"}}}, [
            ["spec.nodeSelector", INVALID, "Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"],
        ]],
        "other conditions": [{"spec": {"affinity": affinity(other.clone())}}, [
            [format!("{place}[0]"), INVALID, "Invalid value: {\"matchExpressions\":[{\"key\":\"b\",\"operator\":\"Exists\"}]}: only additions are allowed (no mutations or deletions)"],
        ]],
        "fewer terms": [{"spec": {"affinity": affinity(json!([]))}}, [
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", REQUIRED, "Required value: must have at least one node selector term"],
            [place, INVALID, "Invalid value: []: no additions/deletions to non-empty NodeSelectorTerms list are allowed"],
        ]],
        "other neighbours": [{"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}}}}, [
            ["spec", FORBIDDEN, changed("affinity")],
        ]],
        "no gate": [{"spec": {"schedulingGates": null}}, []],
    });
    judge(&server, "PATCH", &format!("{POD}?dryRun=All"), &rows).await;
}

#[tokio::test]
async fn what_has_ended_does_not_come_back() {
    let server = with_pod(json!({"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i", "restartPolicy": "Always"}], "restartPolicy": "OnFailure"})).await;
    let states = |state: &Value| json!([{"name": "c", "state": state}, {"name": "d", "state": state}]);
    let status = |code: i64| json!({"status": {"containerStatuses": states(&json!({"terminated": {"exitCode": code}}))}});
    let running = json!({"status": {"containerStatuses": states(&json!({"running": {}}))}});
    let path = format!("{POD}/status");
    judge(&server, "PATCH", &path, &json!({"ended well": [status(0), []]})).await;
    let refused = json!({"again": [running, [
        ["status.containerStatuses[0].state", FORBIDDEN, "Forbidden: may not be transitioned to non-terminated state"],
    ]]});
    judge(&server, "PATCH", &path, &refused).await;
    judge(&server, "PATCH", &path, &json!({"ended badly": [status(1), []]})).await;
    judge(&server, "PATCH", &path, &json!({"again": [running, []]})).await;
    let other = json!({"another class": [{"status": {"qosClass": "Guaranteed"}}, [["status.qosClass", INVALID, wrong("Guaranteed", "field is immutable")]]],
        "a class left out": [{"status": {"qosClass": null}}, []]});
    judge(&server, "PATCH", &path, &other).await;
}

#[tokio::test]
async fn a_new_pod_says_that_it_waits_and_knows_its_own_labels() {
    let selector = json!({"matchLabels": {"app": "a"}});
    let term = json!({"topologyKey": "z", "labelSelector": selector, "matchLabelKeys": ["hash"], "mismatchLabelKeys": ["team"]});
    let server = with_pod(json!({"containers": [{"name": "c", "image": "i"}], "schedulingGates": [{"name": "g"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}))
    .await;
    let pod = crate::harness::get(&server, POD).await.body;
    let condition = &pod["status"]["conditions"][0];
    let said = ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap());
    assert_eq!(said, ["PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates"]);
    let term = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let own = json!([{"key": "hash", "operator": "In", "values": ["1"]}, {"key": "team", "operator": "NotIn", "values": ["x"]}]);
    assert_eq!(term["labelSelector"]["matchExpressions"], own);
    // The same key twice would be the server's and the author's.
    let twice = json!({"topologyKey": "z", "labelSelector": {"matchLabels": {"hash": "2"}}, "matchLabelKeys": ["hash"]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q", "labels": {"hash": "1"}}, "spec": {"containers": [{"name": "c", "image": "i"}],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [twice]}}}});
    let rows = json!({"twice": [pod, [
        ["spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0][0]", INVALID, wrong("hash", "exists in both matchLabelKeys and labelSelector")],
    ]]});
    judge(&server, "POST", PODS, &rows).await;
}

#[tokio::test]
async fn ports_in_the_network_of_the_node_are_the_nodes_once_it_is_a_pod() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]});
    let server = with_pod(spec.clone()).await;
    assert_eq!(crate::harness::get(&server, POD).await.body["spec"]["containers"][0]["ports"][0]["hostPort"], 80);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}});
    let made = ask(&server, "POST", "/apis/apps/v1/namespaces/default/deployments", deployment).await;
    assert_eq!(made.body["spec"]["template"]["spec"]["containers"][0]["ports"][0], json!({"containerPort": 80, "protocol": "TCP"}));
}
