//! Looking: every form of `get`, discovery, explanations.

use super::{Kubectl, table};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, tier: front}}
spec:
  containers: [{name: c, image: nginx}, {name: d, image: redis}]
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: kube-system, labels: {app: db}}
spec:
  nodeSelector: {disk: ssd}
  containers: [{name: c, image: postgres}]
";

#[tokio::test]
async fn get_in_every_form() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let said = kubectl.feed("create -f -", POD).await;
    assert!(said.ok, "{said:?}");

    let rows = table(&kubectl.ok("get pods").await);
    assert_eq!(rows[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(rows[1][..4], ["web", "0/2", "Pending", "0"]);
    let rows = table(&kubectl.ok("get pods -o wide").await);
    assert_eq!(rows[0][5..], ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    assert_eq!(rows[1][5..], ["<none>", "<none>", "<none>", "<none>"]);
    let rows = table(&kubectl.ok("get pods -A").await);
    assert_eq!(rows[0][..2], ["NAMESPACE", "NAME"]);
    assert_eq!(rows.len(), 3);
    let rows = table(&kubectl.ok("get po web --show-labels").await);
    assert_eq!(rows[1].last().unwrap(), "app=web,tier=front");
    assert_eq!(table(&kubectl.ok("get pods -L tier").await)[1].last().unwrap(), "front");

    assert!(kubectl.ok("get pod web -o yaml").await.contains("image: nginx"));
    let json: serde_json::Value = serde_json::from_str(&kubectl.ok("get pods -o json").await).unwrap();
    assert_eq!(json["items"][0]["spec"]["containers"][1]["image"], "redis");
    assert_eq!(kubectl.ok("get pod web -o jsonpath={.spec.containers[*].name}").await, "c d");
    assert_eq!(kubectl.ok("get pods -o name").await, "pod/web\n");
    let columns = kubectl.ok("get pods -A -o custom-columns=N:.metadata.name,I:.spec.containers[0].image").await;
    assert_eq!(table(&columns), [["N", "I"], ["web", "nginx"], ["db", "postgres"]]);
    assert_eq!(kubectl.ok("get pods -A -l app=db -o name").await, "pod/db\n");
    assert_eq!(kubectl.ok("get pods -A -l app!=db -o name").await, "pod/web\n");
    assert_eq!(kubectl.ok("get pods -A --field-selector metadata.name=db -o name").await, "pod/db\n");
    assert_eq!(kubectl.ok("get pods -A --field-selector status.phase=Running -o name").await, "");
    assert_eq!(kubectl.ok("get pods -A --sort-by=.metadata.name -o name").await, "pod/db\npod/web\n");
    assert_eq!(kubectl.fails("get pod nothing").await, "Error from server (NotFound): pods \"nothing\" not found\n");
    assert!(kubectl.fails("get nonsense").await.contains("the server doesn't have a resource type \"nonsense\""));
    // Pages: three requests for what is shown at once.
    assert_eq!(table(&kubectl.ok("get clusterroles --chunk-size=5").await).len(), table(&kubectl.ok("get clusterroles").await).len());
    let described = kubectl.ok("describe pod web").await;
    assert!(described.contains("Status:") && described.contains("nginx"), "{described}");
}

#[tokio::test]
async fn the_first_objects_print_as_in_a_cluster() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let names: Vec<String> = table(&kubectl.ok("get namespaces").await).into_iter().skip(1).map(|r| format!("{} {}", r[0], r[1])).collect();
    assert_eq!(names, ["default Active", "kube-node-lease Active", "kube-public Active", "kube-system Active"]);
    assert_eq!(table(&kubectl.ok("get sa,cm").await)[0], ["NAME", "SECRETS", "AGE"]);
    assert!(kubectl.ok("get cm kube-root-ca.crt -o yaml").await.contains("BEGIN CERTIFICATE"));
    assert_eq!(
        table(&kubectl.ok("get clusterrolebindings cluster-admin -o wide").await)[1][1..].join(" ").split(' ').next().unwrap(),
        "ClusterRole/cluster-admin"
    );
    assert_eq!(table(&kubectl.ok("get clusterroles view").await)[0], ["NAME", "CREATED AT"]);
    assert!(kubectl.ok("describe clusterrole view").await.contains("pods/log"));
}

#[tokio::test]
async fn discovery_and_explanations() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let resources = table(&kubectl.ok("api-resources").await);
    assert!(resources.contains(&["pods", "po", "v1", "true", "Pod"].map(str::to_owned).to_vec()), "{resources:?}");
    assert!(resources.contains(&["deployments", "deploy", "apps/v1", "true", "Deployment"].map(str::to_owned).to_vec()));
    let wide = kubectl.ok("api-resources --verbs=watch,list --namespaced=false -o wide").await;
    assert!(wide.contains("create,delete,deletecollection,get,list,patch,update,watch"), "{wide}");
    let versions = kubectl.ok("api-versions").await;
    assert!(versions.lines().any(|v| v == "apps/v1") && versions.lines().any(|v| v == "v1"));
    assert!(kubectl.ok("version").await.contains("Server Version: v1.37.0"));
    assert_eq!(kubectl.ok("get --raw /readyz").await, "ok");

    let probe = kubectl.ok("explain pod.spec.containers.livenessProbe.httpGet.port").await;
    assert!(probe.contains("FIELD: port <IntOrString>") && probe.contains("Name or number of the port"), "{probe}");
    assert!(kubectl.ok("explain deployment.spec").await.contains("selector\t<LabelSelector> -required-"));
    assert!(kubectl.ok("explain deployments --recursive").await.contains("maxSurge\t<IntOrString>"));
    assert!(kubectl.fails("explain pod.spec.nonsense").await.contains("field \"nonsense\" does not exist"));
    // The protobuf form of the old document, read by its own reader.
    let old = kubectl.ok("explain pod.spec.containers.image --output=plaintext-openapiv2").await;
    assert!(old.contains("FIELD:    image <string>") && old.contains("Container image name"), "{old}");
    let v2: serde_json::Value = serde_json::from_str(&kubectl.ok("get --raw /openapi/v2").await).unwrap();
    assert_eq!(v2["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]["x-kubernetes-patch-merge-key"], "name");
}

#[tokio::test]
async fn watching_prints_rows_as_they_change() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let watch = kubectl.run("get configmaps w -w --request-timeout=3s --output-watch-events");
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        kubectl.ok("patch configmap w --type=merge -p {\"data\":{\"a\":\"1\"}}").await;
    };
    kubectl.ok("create configmap w").await;
    let (watched, ()) = tokio::join!(watch, change);
    let rows = table(&watched.out);
    assert_eq!(rows[0][..3], ["EVENT", "NAME", "DATA"], "{watched:?}");
    assert_eq!(rows[1][..3], ["ADDED", "w", "0"]);
    assert_eq!(rows[2][..3], ["MODIFIED", "w", "1"]);
}
