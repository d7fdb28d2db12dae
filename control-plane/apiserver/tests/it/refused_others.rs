//! Objects of other kinds that Kubernetes refuses, Pod templates among them.
#![allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dormouse_apiserver::ApiServer;
use serde_json::{Value, json};

use crate::harness::{ask, server};
use crate::refused_pods::{DUPLICATE, FORBIDDEN, INVALID, NO_NAME, REQUIRED, UNSUPPORTED, judge, wrong};

const CORE: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const NO_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// An object of these members.
fn of(version: &str, kind: &str, members: Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
    object.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    object
}

async fn made(server: &ApiServer, collection: &str, object: Value) {
    let answer = ask(server, "POST", collection, object).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

async fn refused(server: &ApiServer, collection: &str, rows: &Value) {
    judge(server, "POST", &format!("{collection}?dryRun=All"), rows).await;
}

async fn unchanged(server: &ApiServer, item: &str, rows: &Value) {
    judge(server, "PATCH", &format!("{item}?dryRun=All"), rows).await;
}

fn deployment(spec: Value) -> Value {
    let mut whole = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    of("apps/v1", "Deployment", json!({"spec": whole}))
}

#[tokio::test]
async fn deployments() {
    let server = server();
    let template = |metadata: Value, spec: Value| {
        let mut pod = json!({"containers": [{"name": "c", "image": "i"}]});
        pod.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        deployment(json!({"template": {"metadata": metadata, "spec": pod}}))
    };
    let own = || json!({"labels": {"a": "b"}});
    let rows = json!({
        "fine": [deployment(json!({})), []],
        "numbers": [deployment(json!({"replicas": -1, "minReadySeconds": 7, "progressDeadlineSeconds": 7, "revisionHistoryLimit": -2})), [
            ["spec.replicas", INVALID, "Invalid value: -1: must be greater than or equal to 0"],
            ["spec.revisionHistoryLimit", INVALID, "Invalid value: -2: must be greater than or equal to 0"],
            ["spec.progressDeadlineSeconds", INVALID, "Invalid value: 7: must be greater than minReadySeconds"],
        ]],
        "no selector": [of("apps/v1", "Deployment", json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})), [
            ["spec.selector", REQUIRED, "Required value"],
            ["spec.template.metadata.labels", INVALID, "Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"],
        ]],
        "an empty selector": [deployment(json!({"selector": {}})), [["spec.selector", INVALID, "Invalid value: {}: empty selector is invalid for deployment"]]],
        "other labels": [template(json!({"labels": {"a": "c", "a b": "d"}}), json!({})), [
            ["spec.template.metadata.labels", INVALID, "Invalid value: {\"a\":\"c\",\"a b\":\"d\"}: `selector` does not match template `labels`"],
            ["spec.template.labels", INVALID, wrong("a b", NO_NAME)],
        ]],
        "Pods that end": [template(own(), json!({"restartPolicy": "Never", "activeDeadlineSeconds": 5, "volumes": [{"name": "v", "secret": {}}]})), [
            ["spec.template.spec.volumes[0].secret.secretName", REQUIRED, "Required value"],
            ["spec.template.spec.restartPolicy", UNSUPPORTED, "Unsupported value: \"Never\": supported values: \"Always\""],
            ["spec.template.spec.activeDeadlineSeconds", FORBIDDEN, "Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"],
        ]],
        "ports of the host come later": [template(own(), json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]})), []],
        "another strategy": [deployment(json!({"strategy": {"type": "Sudden"}})), [
            ["spec.strategy", UNSUPPORTED, "Unsupported value: {\"Type\":\"Sudden\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\""],
        ]],
        "nothing moves": [deployment(json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}})), [
            ["spec.strategy.rollingUpdate.maxUnavailable", INVALID, "Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"],
        ]],
        "more than all": [deployment(json!({"strategy": {"rollingUpdate": {"maxUnavailable": "101%", "maxSurge": "x"}}})), [
            ["spec.strategy.rollingUpdate.maxSurge", INVALID,
                wrong("x", "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")],
            ["spec.strategy.rollingUpdate.maxUnavailable", INVALID, wrong("101%", "must not be greater than 100%")],
        ]],
    });
    refused(&server, &format!("{APPS}/deployments"), &rows).await;
    made(&server, &format!("{APPS}/deployments"), deployment(json!({}))).await;
    let counts = json!({"counts": [{"status": {"replicas": 1, "updatedReplicas": 2, "readyReplicas": 0, "availableReplicas": 1}}, [
        ["status.updatedReplicas", INVALID, "Invalid value: 2: cannot be greater than status.replicas"],
        ["status.availableReplicas", INVALID, "Invalid value: 1: cannot be greater than readyReplicas"],
    ]]});
    unchanged(&server, &format!("{APPS}/deployments/x/status"), &counts).await;
}

#[tokio::test]
async fn maps_and_secrets() {
    let server = server();
    let big = "x".repeat((1 << 20) + 1);
    let map = |members: Value| of("v1", "ConfigMap", members);
    let rows = json!({
        "keys": [map(json!({"data": {"a b": "", "c": "d"}, "binaryData": {"c": "ZA=="}})), [
            ["data[a b]", INVALID, wrong("a b", NO_KEY)],
            ["data[c]", INVALID, wrong("c", "duplicate of key present in binaryData")],
        ]],
        "too much": [map(json!({"data": {"a": big}})), [["[]", "FieldValueTooLong", "Too long: may not be more than 1048576 bytes"]]],
        "just enough": [map(json!({"binaryData": {"a": STANDARD.encode(&big[1..])}})), []],
    });
    refused(&server, &format!("{CORE}/configmaps"), &rows).await;
    made(&server, &format!("{CORE}/configmaps"), map(json!({"data": {"a": "b"}, "immutable": true}))).await;
    let frozen = json!({
        "other data": [{"data": {"a": "c"}}, [["data", FORBIDDEN, "Forbidden: field is immutable when `immutable` is set"]]],
        "thawed": [{"immutable": false}, [["immutable", FORBIDDEN, "Forbidden: field is immutable when `immutable` is set"]]],
    });
    unchanged(&server, &format!("{CORE}/configmaps/x"), &frozen).await;

    let secret = |kind: &str, data: Value| of("v1", "Secret", json!({"type": format!("kubernetes.io/{kind}"), "stringData": data}));
    let rows = json!({
        "keys of TLS": [secret("tls", json!({"tls.crt": ""})), [["data[tls.key]", REQUIRED, "Required value"]]],
        "no name and no password": [secret("basic-auth", json!({})), [["data[username]", REQUIRED, "Required value"], ["data[password]", REQUIRED, "Required value"]]],
        "a name is enough": [secret("basic-auth", json!({"username": "u"})), []],
        "an empty key": [secret("ssh-auth", json!({"ssh-privatekey": ""})), [["data[ssh-privatekey]", REQUIRED, "Required value"]]],
        "no registries": [secret("dockerconfigjson", json!({})), [["data[.dockerconfigjson]", REQUIRED, "Required value"]]],
        "registries that cannot be read": [secret("dockerconfigjson", json!({".dockerconfigjson": "<none>"})), [
            ["data[.dockerconfigjson]", INVALID, wrong("<secret contents redacted>", "invalid character '<' looking for beginning of value")],
        ]],
        "a token of nobody": [secret("service-account-token", json!({})), [["metadata.annotations[kubernetes.io/service-account.name]", REQUIRED, "Required value"]]],
    });
    refused(&server, &format!("{CORE}/secrets"), &rows).await;
    made(&server, &format!("{CORE}/secrets"), of("v1", "Secret", json!({}))).await;
    let other = json!({"another type": [{"type": "x.y/z"}, [["type", INVALID, wrong("x.y/z", "field is immutable")]]]});
    unchanged(&server, &format!("{CORE}/secrets/x"), &other).await;
}

#[tokio::test]
async fn nodes_namespaces_and_leases() {
    let server = server();
    let node = |spec: Value, status: Value| of("v1", "Node", json!({"spec": spec, "status": status}));
    let rows = json!({
        "taints": [node(json!({"taints": [{"key": "k", "effect": "NoSchedule"}, {"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "a b", "effect": "Never"}, {"key": "l"}]}), json!({})), [
            ["metadata.taints[1]", DUPLICATE, "Duplicate value: {\"Key\":\"k\",\"Value\":\"v\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair"],
            ["metadata.taints[2].key", INVALID, wrong("a b", NO_NAME)],
            ["metadata.taints[2].effect", UNSUPPORTED, "Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""],
            ["metadata.taints[3].effect", REQUIRED, "Required value"],
        ]],
        "amounts and networks": [node(json!({"podCIDRs": ["10.0.0.0/8", "10.0.0.0/40"]}), json!({"capacity": {"nvidia.com/gpu": "1500m", "cpu": "-1"}})), [
            ["status.capacity.cpu", INVALID, wrong("-1", "must be greater than or equal to 0")],
            ["status.capacity.nvidia.com/gpu", INVALID, wrong("1500m", "must be an integer")],
            ["spec.podCIDRs[1]", INVALID, wrong("10.0.0.0/40", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")],
        ]],
    });
    refused(&server, "/api/v1/nodes", &rows).await;
    made(&server, "/api/v1/nodes", node(json!({"providerID": "a"}), json!({}))).await;
    let other = json!({"another provider": [{"spec": {"providerID": "b"}}, [
        ["spec.providerID", FORBIDDEN, "Forbidden: node updates may not change providerID except from \"\" to valid"],
    ]]});
    unchanged(&server, "/api/v1/nodes/x", &other).await;
    let address = json!({"type": "InternalIP", "address": "10.0.0.1"});
    let twice = json!({"the same address": [{"status": {"addresses": [address, address]}}, [
        ["status.addresses[1]", DUPLICATE, "Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"10.0.0.1\"}"],
    ]]});
    unchanged(&server, "/api/v1/nodes/x/status", &twice).await;

    let mine = "name is neither a standard finalizer name nor is it fully qualified";
    let rows = json!({"finalizers": [of("v1", "Namespace", json!({"spec": {"finalizers": ["mine"]}})), [["spec.finalizers", INVALID, wrong("mine", mine)]]]});
    refused(&server, "/api/v1/namespaces", &rows).await;
    let phase = json!({"ending": [{"status": {"phase": "Terminating"}}, [["status.Phase", INVALID, wrong("Terminating", "may only be 'Active' if `deletionTimestamp` is empty")]]]});
    unchanged(&server, "/api/v1/namespaces/default/status", &phase).await;

    let lease = |spec: Value| of("coordination.k8s.io/v1", "Lease", json!({"spec": spec}));
    let rows = json!({
        "numbers": [lease(json!({"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "h"})), [
            ["spec.leaseDurationSeconds", INVALID, "Invalid value: 0: must be greater than 0"],
            ["spec.leaseTransitions", INVALID, "Invalid value: -1: must be greater than or equal to 0"],
            ["spec.preferredHolder", FORBIDDEN, "Forbidden: may only be specified if `strategy` is defined"],
        ]],
        "a strategy": [lease(json!({"strategy": "Mine"})), [["spec.strategy.strategy", UNSUPPORTED, "Unsupported value: \"Mine\": supported values: \"OldestEmulationVersion\""]]],
    });
    refused(&server, "/apis/coordination.k8s.io/v1/namespaces/default/leases", &rows).await;
}

#[tokio::test]
async fn roles_and_bindings() {
    let server = server();
    let version = "rbac.authorization.k8s.io/v1";
    let rows = json!({"rules": [of(version, "Role", json!({"rules": [{"resources": ["pods"]}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]})), [
        ["rules[0].verbs", REQUIRED, "Required value: verbs must contain at least one value"],
        ["rules[0].apiGroups", REQUIRED, "Required value: resource rules must supply at least one api group"],
        ["rules[1].nonResourceURLs", INVALID, "Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"],
    ]]});
    refused(&server, &format!("{RBAC}/namespaces/default/roles"), &rows).await;
    let rows = json!({"nothing added": [of(version, "ClusterRole", json!({"aggregationRule": {}})), [
        ["aggregationRule.clusterRoleSelectors", REQUIRED, "Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"],
    ]]});
    refused(&server, &format!("{RBAC}/clusterroles"), &rows).await;
    let binding = |role: Value, subjects: Value| of(version, "RoleBinding", json!({"roleRef": role, "subjects": subjects}));
    let view = || json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let rows = json!({
        "whom": [binding(view(), json!([{"kind": "User", "name": ""}, {"kind": "Robot", "name": "r"}, {"kind": "ServiceAccount", "name": "A", "namespace": "n"}])), [
            ["subjects[0].name", REQUIRED, "Required value"],
            ["subjects[0].name", INVALID, wrong("", "user name cannot be empty")],
            ["subjects[1].kind", UNSUPPORTED, "Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\""],
            ["subjects[2].name", INVALID, wrong("A", "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")],
        ]],
        "what": [binding(json!({"apiGroup": "x", "kind": "Job", "name": "a/b"}), json!([])), [
            ["roleRef.apiGroup", UNSUPPORTED, "Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\""],
            ["roleRef.kind", UNSUPPORTED, "Unsupported value: \"Job\": supported values: \"Role\", \"ClusterRole\""],
            ["roleRef.name", INVALID, wrong("a/b", "may not contain '/'")],
        ]],
    });
    let collection = format!("{RBAC}/namespaces/default/rolebindings");
    refused(&server, &collection, &rows).await;
    made(&server, &collection, binding(view(), json!([]))).await;
    let other = json!({"another role": [{"roleRef": {"name": "edit"}}, [
        ["roleRef", INVALID, "Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}: cannot change roleRef"],
    ]]});
    unchanged(&server, &format!("{collection}/x"), &other).await;
}
