//! Pods that Kubernetes refuses, with everything that it says about each.
#![allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]

use dormouse_apiserver::ApiServer;
use serde_json::{Value, json};

use crate::harness::{ask, server};

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods?dryRun=All";

pub(crate) const INVALID: &str = "FieldValueInvalid";
pub(crate) const REQUIRED: &str = "FieldValueRequired";
pub(crate) const FORBIDDEN: &str = "FieldValueForbidden";
pub(crate) const DUPLICATE: &str = "FieldValueDuplicate";
pub(crate) const UNSUPPORTED: &str = "FieldValueNotSupported";
pub(crate) const NOT_FOUND: &str = "FieldValueNotFound";

const NO_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NO_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(crate) const NO_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const NO_VARIABLE: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";

/// A message about a text that breaks a rule.
pub(crate) fn wrong(value: &str, why: &str) -> String {
    format!("Invalid value: \"{value}\": {why}")
}

/// Sends each object and compares the causes. A row is its name, the object, and the causes, each a field, reason and message;
/// without causes it is accepted.
pub(crate) async fn judge(server: &ApiServer, method: &str, path: &str, rows: &Value) {
    for (what, row) in rows.as_object().unwrap() {
        let wanted = row[1].as_array().unwrap();
        let answer = ask(server, method, path, row[0].clone()).await;
        let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
        let causes: Vec<Value> = causes.map(|c| json!([c["field"], c["reason"], c["message"]])).collect();
        assert_eq!(&causes, wanted, "{what}: {}", answer.message());
        let accepted = if method == "POST" { 201 } else { 200 };
        assert_eq!(answer.status, if wanted.is_empty() { accepted } else { 422 }, "{what}: {}", answer.body);
        // One problem stands by itself, several in brackets.
        let mut said: Vec<String> = wanted.iter().map(|c| format!("{}: {}", c[0].as_str().unwrap(), c[2].as_str().unwrap())).collect();
        said.dedup();
        let all = if let [one] = said.as_slice() { one.clone() } else { format!("[{}]", said.join(", ")) };
        assert!(said.is_empty() || answer.message().ends_with(&format!("is invalid: {all}")), "{what}: {}", answer.message());
    }
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})
}

/// A Pod of one container that has these members too, beside these of the spec.
fn with(container: Value, spec: Value) -> Value {
    let mut only = json!({"name": "c", "image": "i"});
    only.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let mut whole = json!({"containers": [only]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod(whole)
}

fn volume(source: Value) -> Value {
    let mut volume = json!({"name": "v"});
    volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    json!({"volumes": [volume]})
}

fn items(item: Value) -> Value {
    volume(json!({"configMap": {"name": "m", "items": [item]}}))
}

fn variable(from: Value) -> Value {
    json!({"env": [{"name": "L", "valueFrom": from}]})
}

fn mount(more: Value) -> Value {
    let mut mount = json!({"name": "v", "mountPath": "/d"});
    mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"volumeMounts": [mount]})
}

/// The lines of the script, by their names there.
#[tokio::test]
async fn what_was_accepted_before() {
    let server = server();
    let none = || json!({});
    let empty = || volume(json!({"emptyDir": {}}));
    let port = |name: &str| json!({"name": name, "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]});
    let rows = json!({
        "configMap item path absolute": [with(mount(none()), items(json!({"key": "k", "path": "/abs"}))), [
            ["spec.volumes[0].configMap.items[0].path", INVALID, "Invalid value: \"/abs\": must be a relative path"],
            ["spec.containers[0].volumeMounts[0].name", NOT_FOUND, "Not found: \"v\""],
        ]],
        "configMap item path with ..": [with(none(), items(json!({"key": "k", "path": "../up"}))), [
            ["spec.volumes[0].configMap.items[0].path", INVALID, "Invalid value: \"../up\": must not contain '..'"],
        ]],
        "configMap item without key": [with(none(), items(json!({"path": "p"}))), [
            ["spec.volumes[0].configMap.items[0].key", REQUIRED, "Required value"],
        ]],
        "defaultMode 0777 octal too big (4095)": [with(none(), volume(json!({"configMap": {"name": "m", "defaultMode": 4095}}))), [
            ["spec.volumes[0].configMap.defaultMode", INVALID, "Invalid value: 4095: must be a number between 0 and 0777 (octal), both inclusive"],
        ]],
        "subPath with ..": [with(mount(json!({"subPath": "../x"})), empty()), [
            ["spec.containers[0].volumeMounts.subPath", INVALID, "Invalid value: \"../x\": must not contain '..'"],
        ]],
        "subPath and subPathExpr": [with(mount(json!({"subPath": "a", "subPathExpr": "b"})), empty()), [
            ["spec.containers[0].volumeMounts[0].subPathExpr", INVALID, "Invalid value: \"b\": subPathExpr and subPath are mutually exclusive"],
        ]],
        "env fieldRef metadata.labels (whole map)": [with(variable(json!({"fieldRef": {"fieldPath": "metadata.labels"}})), none()), [
            ["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", UNSUPPORTED, "Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\""],
        ]],
        "env fieldRef unknown path": [with(variable(json!({"fieldRef": {"fieldPath": "spec.hostname"}})), none()), [
            ["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", INVALID,
                "Invalid value: \"spec.hostname\": error converting fieldPath: field label not supported: spec.hostname"],
        ]],
        "env resourceFieldRef limits.gpu": [with(variable(json!({"resourceFieldRef": {"resource": "limits.nvidia.com/gpu"}})), none()), [
            ["spec.containers[0].env[0].valueFrom.resourceFieldRef.resource", UNSUPPORTED,
                "Unsupported value: \"limits.nvidia.com/gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\""],
        ]],
        "env configMapKeyRef without key": [with(variable(json!({"configMapKeyRef": {"name": "m"}})), none()), [
            ["spec.containers[0].env[0].valueFrom.configMapKeyRef.key", REQUIRED, "Required value"],
        ]],
        "volume without source is emptyDir (accepted)": [with(none(), volume(none())), []],
        "hostPort without matching hostNetwork port": [with(json!({"ports": [{"containerPort": 80, "hostPort": 70000}]}), none()), [
            ["spec.containers[0].ports[0].hostPort", INVALID, "Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ]],
        "two containers same hostPort": [pod(json!({"containers": [port("a"), port("b")]})), [
            ["spec.containers[1].ports[0].hostPort", DUPLICATE, "Duplicate value: \"TCP//81\""],
        ]],
        "hostNetwork hostPort != containerPort": [pod(json!({"hostNetwork": true, "containers": [port("a")]})), [
            ["spec.containers[0].ports[0].hostPort", INVALID, "Invalid value: 81: must match `containerPort` when `hostNetwork` is true"],
        ]],
        "toleration with tolerationSeconds and effect NoSchedule": [
            with(none(), json!({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}]})), [
            ["spec.tolerations[0].effect", INVALID, "Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
        ]],
        "preStop sleep longer than grace": [
            with(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 99}}}}), json!({"terminationGracePeriodSeconds": 3})), [
            ["spec.containers[0].lifecycle.preStop.sleep", INVALID, "Invalid value: 99: must be non-negative and less than terminationGracePeriodSeconds (3)"],
        ]],
        "httpGet path without slash / scheme FTP": [with(json!({"livenessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}}), none()), [
            ["spec.containers[0].livenessProbe.httpGet.scheme", UNSUPPORTED, "Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\""],
        ]],
        "readinessProbe terminationGracePeriodSeconds": [
            with(json!({"readinessProbe": {"terminationGracePeriodSeconds": 5, "exec": {"command": ["a"]}}}), none()), [
            ["spec.containers[0].readinessProbe.terminationGracePeriodSeconds", INVALID, "Invalid value: 5: must not be set for readinessProbes"],
        ]],
        "terminationMessagePath relative ok; workingDir ok": [with(json!({"terminationMessagePath": "rel"}), none()), []],
        "GPU request fraction": [with(json!({"resources": {"limits": {"nvidia.com/gpu": "0.5"}}}), none()), [
            ["spec.containers[0].resources.limits[nvidia.com/gpu]", INVALID, "Invalid value: \"500m\": must be an integer"],
            ["spec.containers[0].resources.requests[nvidia.com/gpu]", INVALID, "Invalid value: \"500m\": must be an integer"],
        ]],
        "resource without domain": [with(json!({"resources": {"limits": {"gpu": "1"}}}), none()), [
            ["spec.containers[0].resources.limits[gpu]", INVALID, "Invalid value: \"gpu\": must be a standard resource type or fully qualified"],
            ["spec.containers[0].resources.limits[gpu]", INVALID, "Invalid value: \"gpu\": must be a standard resource for containers"],
            ["spec.containers[0].resources.requests[gpu]", INVALID, "Invalid value: \"gpu\": must be a standard resource type or fully qualified"],
            ["spec.containers[0].resources.requests[gpu]", INVALID, "Invalid value: \"gpu\": must be a standard resource for containers"],
        ]],
        "nodeAffinity In without values": [
            with(none(), json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In"}]}]}}}})), [
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values",
                REQUIRED, "Required value: must be specified when `operator` is 'In' or 'NotIn'"],
        ]],
        "podAntiAffinity without topologyKey": [
            with(none(), json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchLabels": {"a": "b"}}}]}}})), [
            ["spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", REQUIRED, "Required value: can not be empty"],
            ["spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", INVALID, "Invalid value: \"\": name part must be non-empty"],
            ["spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", INVALID,
                wrong("", NO_NAME)],
        ]],
    });
    judge(&server, "POST", PODS, &rows).await;
}

#[tokio::test]
async fn volumes_and_their_files() {
    let server = server();
    let of = |source: Value| with(json!({}), volume(source));
    let projected = |sources: Value| of(json!({"projected": {"sources": sources}}));
    let rows = json!({
        "two sources": [of(json!({"emptyDir": {}, "secret": {"secretName": "s"}, "downwardAPI": {"items": []}})), [
            ["spec.volumes[0].secret", FORBIDDEN, "Forbidden: may not specify more than 1 volume type"],
            ["spec.volumes[0].downwarAPI", FORBIDDEN, "Forbidden: may not specify more than 1 volume type"],
        ]],
        "the same name": [with(json!({}), json!({"volumes": [{"name": "v"}, {"name": "v"}]})), [
            ["spec.volumes[1].name", DUPLICATE, "Duplicate value: \"v\""],
        ]],
        "no name": [with(json!({}), json!({"volumes": [{"emptyDir": {}}]})), [["spec.volumes[0].name", REQUIRED, "Required value"]]],
        "less than nothing": [of(json!({"emptyDir": {"sizeLimit": "-1Gi"}})), [
            ["spec.volumes[0].emptyDir.sizeLimit", FORBIDDEN, "Forbidden: SizeLimit field must be a valid resource quantity"],
        ]],
        "host path": [of(json!({"hostPath": {"path": "/a/../b", "type": "Link"}})), [
            ["spec.volumes[0].hostPath.path", INVALID, "Invalid value: \"/a/../b\": must not contain '..'"],
            ["spec.volumes[0].hostPath.type", UNSUPPORTED,
                "Unsupported value: \"Link\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\""],
        ]],
        "no host path": [of(json!({"hostPath": {"path": "", "type": "Link"}})), [["spec.volumes[0].hostPath.path", REQUIRED, "Required value"]]],
        "names of maps": [with(json!({}), json!({"volumes": [{"name": "a", "secret": {}}, {"name": "b", "configMap": {}}, {"name": "c", "persistentVolumeClaim": {}}]})), [
            ["spec.volumes[0].secret.secretName", REQUIRED, "Required value"],
            ["spec.volumes[1].configMap.name", REQUIRED, "Required value"],
            ["spec.volumes[2].persistentVolumeClaim.claimName", REQUIRED, "Required value"],
        ]],
        "an item without anything": [of(json!({"secret": {"secretName": "s", "items": [{"mode": 512}, {"key": "k", "path": "..data"}]}})), [
            ["spec.volumes[0].secret.items[0].key", REQUIRED, "Required value"],
            ["spec.volumes[0].secret.items[0].path", REQUIRED, "Required value"],
            ["spec.volumes[0].secret.items[0].mode", INVALID, "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"],
            ["spec.volumes[0].secret.items[1].path", INVALID, "Invalid value: \"..data\": must not start with '..'"],
        ]],
        "fields as files": [of(json!({"downwardAPI": {"items": [
            {"path": "a", "fieldRef": {"fieldPath": "metadata.labels['x.y/z']"}}, {"path": "b"},
            {"path": "c", "fieldRef": {"fieldPath": "status.podIP"}}, {"path": "d", "resourceFieldRef": {"resource": "limits.cpu"}},
            {"path": "e", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "3"}}]}})), [
            ["spec.volumes[0].downwardAPI", REQUIRED, "Required value: one of fieldRef and resourceFieldRef is required"],
            ["spec.volumes[0].downwardAPI.fieldRef.fieldPath", UNSUPPORTED,
                "Unsupported value: \"status.podIP\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\""],
            ["spec.volumes[0].downwardAPI.resourceFieldRef.containerName", REQUIRED, "Required value"],
            ["spec.volumes[0].downwardAPI.resourceFieldRef.divisor", INVALID,
                "Invalid value: \"limits.memory\": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"],
        ]],
        "several in one": [projected(json!([
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}, "secret": {"items": [{"key": "k", "path": "p"}]}},
            {"serviceAccountToken": {"expirationSeconds": 60, "path": "/t"}}])), [
            ["spec.volumes[0].projected.sources[0].secret.name", REQUIRED, "Required value"],
            ["spec.volumes[0].projected", INVALID, "Invalid value: \"m\": conflicting duplicate paths"],
            ["spec.volumes[0].projected.sources[0]", FORBIDDEN, "Forbidden: may not specify more than 1 volume type per source"],
            ["spec.volumes[0].projected.sources[1].serviceAccountToken.expirationSeconds", INVALID, "Invalid value: 60: may not specify a duration less than 10 minutes"],
            ["spec.volumes[0].projected.path", INVALID, "Invalid value: \"/t\": must be a relative path"],
        ]],
        "old kinds": [with(json!({}), json!({"volumes": [
            {"name": "a", "nfs": {"server": "s", "path": "p"}}, {"name": "b", "gcePersistentDisk": {"pdName": "", "partition": 300}}, {"name": "c", "csi": {"driver": ""}},
            {"name": "d", "image": {"reference": ""}}]})), [
            ["spec.volumes[0].nfs.path", INVALID, "Invalid value: \"p\": must be an absolute path"],
            ["spec.volumes[1].persistentDisk.pdName", REQUIRED, "Required value"],
            ["spec.volumes[1].persistentDisk.partition", INVALID, "Invalid value: 300: must be between 1 and 255, inclusive"],
            ["spec.volumes[2].csi.driver", REQUIRED, "Required value"],
            ["spec.volumes[3].image.reference", REQUIRED, "Required value"],
        ]],
        "a claim of its own": [of(json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {"accessModes": ["Any"]}}}})), [
            ["spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name", FORBIDDEN, "Forbidden: cannot be set"],
            ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes", UNSUPPORTED,
                "Unsupported value: \"Any\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\""],
            ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]", REQUIRED, "Required value"],
        ]],
        "mounts": [with(json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": ""},
            {"name": "v", "mountPath": "/b", "mountPropagation": "Bidirectional"}, {"name": "v", "mountPath": "/c", "subPath": "/x", "recursiveReadOnly": "Enabled"}]}),
            volume(json!({"emptyDir": {}}))), [
            ["spec.containers[0].volumeMounts[1].mountPath", INVALID, "Invalid value: \"/a\": must be unique"],
            ["spec.containers[0].volumeMounts[2].name", NOT_FOUND, "Not found: \"w\""],
            ["spec.containers[0].volumeMounts[2].mountPath", REQUIRED, "Required value"],
            ["spec.containers[0].volumeMounts.mountPropagation", FORBIDDEN, "Forbidden: Bidirectional mount propagation is available only to privileged containers"],
            ["spec.containers[0].volumeMounts.subPath", INVALID, "Invalid value: \"/x\": must be a relative path"],
            ["spec.containers[0].volumeMounts.recursiveReadOnly", FORBIDDEN, "Forbidden: may only be specified when readOnly is true"],
        ]],
        "devices": [with(json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/../x"}]}), volume(json!({"emptyDir": {}}))), [
            ["spec.containers[0].volumeDevices[0].name", INVALID,
                "Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"],
            ["spec.containers[0].volumeDevices[0].devicePath", INVALID, "Invalid value: \"/dev/../x\": can not contain backsteps ('..')"],
        ]],
    });
    judge(&server, "POST", PODS, &rows).await;
}

#[tokio::test]
async fn containers_and_what_is_done_to_them() {
    let server = server();
    let of = |container: Value| with(container, json!({}));
    let rows = json!({
        "none": [pod(json!({"containers": []})), [["spec.containers", REQUIRED, "Required value"]]],
        "nameless": [pod(json!({"containers": [{"image": " i "}, {"name": "B", "imagePullPolicy": "Maybe"}]})), [
            ["spec.containers[0].name", REQUIRED, "Required value"],
            ["spec.containers[1].name", INVALID, wrong("B", NO_LABEL)],
            ["spec.containers[1].image", REQUIRED, "Required value"],
            ["spec.containers[1].imagePullPolicy", UNSUPPORTED, "Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\""],
            ["spec.containers[0].image", INVALID, "Invalid value: \" i \": must not have leading or trailing whitespace"],
        ]],
        "the same name twice": [pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}], "initContainers": [{"name": "a", "image": "i"}]})), [
            ["spec.containers[1].name", DUPLICATE, "Duplicate value: \"a\""],
            ["spec.initContainers[0].name", DUPLICATE, "Duplicate value: \"a\""],
        ]],
        "policies": [with(json!({"terminationMessagePolicy": "Loud", "restartPolicy": "Often"}), json!({"restartPolicy": "Sometimes", "dnsPolicy": "None"})), [
            ["spec.containers[0].terminationMessagePolicy", UNSUPPORTED, "Unsupported value: \"Loud\": supported values: \"File\", \"FallbackToLogsOnError\""],
            ["spec.containers[0].restartPolicy", UNSUPPORTED, "Unsupported value: \"Often\": supported values: \"Always\", \"Never\", \"OnFailure\""],
            ["spec.restartPolicy", UNSUPPORTED, "Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""],
            ["spec.dnsConfig", REQUIRED, "Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ]],
        "ports": [of(json!({"ports": [{"name": "web", "containerPort": 80}, {"name": "web", "containerPort": 0, "protocol": "ICMP"}, {"name": "UP--", "containerPort": 70000}]})), [
            ["spec.containers[0].ports[1].name", DUPLICATE, "Duplicate value: \"web\""],
            ["spec.containers[0].ports[1].containerPort", REQUIRED, "Required value"],
            ["spec.containers[0].ports[1].protocol", UNSUPPORTED, "Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""],
            ["spec.containers[0].ports[2].name", INVALID, "Invalid value: \"UP--\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
            ["spec.containers[0].ports[2].name", INVALID, "Invalid value: \"UP--\": must contain at least one letter (a-z)"],
            ["spec.containers[0].ports[2].name", INVALID, "Invalid value: \"UP--\": must not contain consecutive hyphens"],
            ["spec.containers[0].ports[2].name", INVALID, "Invalid value: \"UP--\": must not begin or end with a hyphen"],
            ["spec.containers[0].ports[2].containerPort", INVALID, "Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ]],
        "variables": [of(json!({"env": [{"name": ""}, {"name": "a=b"}, {"name": "1 is fine"}, {"name": "V", "valueFrom": {}},
            {"name": "W", "value": "w", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName['a']"}, "secretKeyRef": {"name": "S", "key": "a b"}}}],
            "envFrom": [{"prefix": "=", "configMapRef": {"name": ""}}, {}]})), [
            ["spec.containers[0].env[0].name", REQUIRED, "Required value"],
            ["spec.containers[0].env[1].name", INVALID, wrong("a=b", NO_VARIABLE)],
            ["spec.containers[0].env[3].valueFrom", INVALID,
                "Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"],
            ["spec.containers[0].env[4].valueFrom", INVALID, "Invalid value: \"\": may not be specified when `value` is not empty"],
            ["spec.containers[0].env[5].valueFrom.fieldRef.fieldPath", INVALID,
                "Invalid value: \"spec.nodeName['a']\": error converting fieldPath: field label does not support subscript: spec.nodeName['a']"],
            ["spec.containers[0].env[5].valueFrom.secretKeyRef.name", INVALID,
                wrong("S", NO_SUBDOMAIN)],
            ["spec.containers[0].env[5].valueFrom.secretKeyRef.key", INVALID,
                "Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"],
            ["spec.containers[0].env[5].valueFrom", INVALID, "Invalid value: \"\": may not have more than one field specified at a time"],
            ["spec.containers[0].envFrom[0].prefix", INVALID, wrong("=", NO_VARIABLE)],
            ["spec.containers[0].envFrom[0].configMapRef.name", REQUIRED, "Required value"],
            ["spec.containers[0].envFrom", INVALID, "Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
        ]],
        "amounts": [of(json!({"resources": {"limits": {"cpu": "1", "memory": "-1", "nvidia.com/gpu": "2", "hugepages-2Mi": "3Mi"},
            "requests": {"cpu": "2", "nvidia.com/gpu": "1", "example.com/x": "1"}}})), [
            ["spec.containers[0].resources.limits[hugepages-2Mi]", INVALID, "Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi"],
            ["spec.containers[0].resources.limits[memory]", INVALID, "Invalid value: \"-1\": must be greater than or equal to 0"],
            ["spec.containers[0].resources.requests", INVALID, "Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
            ["spec.containers[0].resources.limits", REQUIRED, "Required value: Limit must be set for non overcommitable resources"],
            ["spec.containers[0].resources.requests[hugepages-2Mi]", INVALID, "Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi"],
            ["spec.containers[0].resources.requests[memory]", INVALID, "Invalid value: \"-1\": must be greater than or equal to 0"],
            ["spec.containers[0].resources.requests", INVALID, "Invalid value: \"1\": must be equal to nvidia.com/gpu limit of 2"],
        ]],
        "huge pages alone": [of(json!({"resources": {"limits": {"hugepages-2Mi": "2Mi"}}})), [
            ["spec.containers[0].resources", FORBIDDEN, "Forbidden: HugePages require cpu or memory"],
        ]],
        "a claim of nobody": [of(json!({"resources": {"claims": [{"name": "gpu"}]}})), [
            ["spec.containers[0].resources.claims[0]", NOT_FOUND, "Not found: \"gpu\": must be one of the names in pod.spec.resourceClaims which is empty"],
        ]],
        "of the Pod as a whole": [with(json!({"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}}),
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1", "ephemeral-storage": "1"}}})), [
            ["spec.resources.requests[ephemeral-storage]", UNSUPPORTED, "Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\""],
            ["spec.resources.requests[cpu]", INVALID, "Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2"],
            ["spec.resources.containers[0][cpu].limits", INVALID, "Invalid value: \"2\": must be less than or equal to pod limits of 1"],
        ]],
        "probes": [of(json!({"livenessProbe": {"successThreshold": 2, "periodSeconds": -1, "exec": {}}, "startupProbe": {},
            "readinessProbe": {"tcpSocket": {"port": "no port"}, "grpc": {"port": 0}, "successThreshold": 2}})), [
            ["spec.containers[0].livenessProbe.exec.command", REQUIRED, "Required value"],
            ["spec.containers[0].livenessProbe.periodSeconds", INVALID, "Invalid value: -1: must be greater than or equal to 0"],
            ["spec.containers[0].livenessProbe.successThreshold", INVALID, "Invalid value: 2: must be 1"],
            ["spec.containers[0].readinessProbe.tcpSocket.port", INVALID, "Invalid value: \"no port\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
            ["spec.containers[0].readinessProbe.grpc", FORBIDDEN, "Forbidden: may not specify more than 1 handler type"],
            ["spec.containers[0].startupProbe", REQUIRED, "Required value: must specify a handler type"],
        ]],
        "http": [of(json!({"livenessProbe": {"terminationGracePeriodSeconds": 0, "httpGet": {"port": 0, "httpHeaders": [{"name": "a b", "value": ""}]}}})), [
            ["spec.containers[0].livenessProbe.httpGet.port", INVALID, "Invalid value: 0: must be between 1 and 65535, inclusive"],
            ["spec.containers[0].livenessProbe.httpGet.httpHeaders", INVALID,
                "Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"],
            ["spec.containers[0].livenessProbe.terminationGracePeriodSeconds", INVALID, "Invalid value: 0: must be greater than 0"],
        ]],
        "a signal": [of(json!({"lifecycle": {"stopSignal": "SIGUSR1"}})), [
            ["spec.containers[0].lifecycle.stopSignal", FORBIDDEN, "Forbidden: may not be set for containers with empty `spec.os.name`"],
        ]],
        "first containers": [with(json!({}), json!({"initContainers": [
            {"name": "a", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}, "startupProbe": {"exec": {"command": ["x"]}}},
            {"name": "b", "image": "i", "restartPolicy": "Always", "livenessProbe": {}},
            {"name": "d", "image": "i", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}]})), [
            ["spec.initContainers[0].lifecycle", FORBIDDEN, "Forbidden: may not be set for init containers without restartPolicy=Always"],
            ["spec.initContainers[0].startupProbe", FORBIDDEN, "Forbidden: may not be set for init containers without restartPolicy=Always"],
            ["spec.initContainers[1].livenessProbe", REQUIRED, "Required value: must specify a handler type"],
            ["spec.initContainers[2].restartPolicy", REQUIRED, "Required value: must specify restartPolicy when restart rules are used"],
        ]],
        "as whom": [with(json!({"securityContext": {"runAsUser": -1, "procMount": "Unmasked", "seccompProfile": {"type": "Localhost"}}}),
            json!({"securityContext": {"fsGroup": 4_294_967_296_i64, "supplementalGroups": [0, -2], "sysctls": [{"name": "Net", "value": "1"}],
                "appArmorProfile": {"type": "Mine"}}})), [
            ["spec.containers[0].securityContext.runAsUser", INVALID, "Invalid value: -1: must be between 0 and 2147483647, inclusive"],
            ["spec.containers[0].securityContext.procMount", INVALID, "Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"],
            ["spec.containers[0].securityContext.seccompProfile.localhostProfile", REQUIRED, "Required value: must be set when seccomp type is Localhost"],
            ["spec.securityContext.fsGroup", INVALID, "Invalid value: 4294967296: must be between 0 and 2147483647, inclusive"],
            ["spec.securityContext.supplementalGroups[1]", INVALID, "Invalid value: -2: must be between 0 and 2147483647, inclusive"],
            ["spec.securityContext.sysctls[0].name", INVALID,
                "Invalid value: \"Net\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"],
            ["spec.securityContext.appArmorProfile.type", UNSUPPORTED, "Unsupported value: \"Mine\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\""],
        ]],
        "on Windows": [with(json!({"securityContext": {"privileged": true}}), json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"runAsUser": 1}})), [
            ["spec.securityContext.runAsUser", FORBIDDEN, "Forbidden: cannot be set for a windows pod"],
            ["spec.hostPID", FORBIDDEN, "Forbidden: cannot be set for a windows pod"],
            ["spec.containers[0].securityContext.privileged", FORBIDDEN, "Forbidden: cannot be set for a windows pod"],
        ]],
        "another system": [with(json!({}), json!({"os": {"name": "plan9"}})), [["spec.os", UNSUPPORTED, "Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""]]],
    });
    judge(&server, "POST", PODS, &rows).await;
}

#[tokio::test]
async fn where_pods_may_go() {
    let server = server();
    let of = |spec: Value| with(json!({}), spec);
    let nodes = |term: Value| {
        of(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}))
    };
    let rows = json!({
        "names": [of(json!({"nodeName": "a b", "hostname": "a.b", "activeDeadlineSeconds": 0, "terminationGracePeriodSeconds": -1, "preemptionPolicy": "Maybe"})), [
            ["spec.nodeName", INVALID,
                wrong("a b", NO_SUBDOMAIN)],
            ["spec.activeDeadlineSeconds", INVALID, "Invalid value: 0: must be between 1 and 2147483647, inclusive"],
            ["spec.hostname", INVALID, "Invalid value: \"a.b\": must not contain dots"],
            ["spec.preemptionPolicy", UNSUPPORTED, "Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \"Never\""],
            ["spec.terminationGracePeriodSeconds", INVALID, "Invalid value: -1: must be greater than or equal to 0"],
        ]],
        "labels of nodes": [of(json!({"nodeSelector": {"a b": "c"}})), [["spec.nodeSelector", INVALID, wrong("a b", NO_NAME)]]],
        "tolerations": [of(json!({"tolerations": [{"value": "v"}, {"key": "a b", "operator": "Exists", "value": "v"}, {"key": "k", "operator": "Near", "effect": "No"},
            {"key": "k", "operator": "Gt", "value": "1"}]})), [
            ["spec.tolerations[0].operator", INVALID, "Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""],
            ["spec.tolerations[1].key", INVALID, wrong("a b", NO_NAME)],
            ["spec.tolerations[1].operator", INVALID, "Invalid value: \"v\": value must be empty when `operator` is 'Exists'"],
            ["spec.tolerations[2].operator", UNSUPPORTED, "Unsupported value: \"Near\": supported values: \"Equal\", \"Exists\""],
            ["spec.tolerations[2].effect", UNSUPPORTED, "Unsupported value: \"No\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""],
            ["spec.tolerations[3].operator", UNSUPPORTED, "Unsupported value: \"Gt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\""],
        ]],
        "conditions on nodes": [nodes(json!({"matchExpressions": [{"key": "a b", "operator": "Exists", "values": ["v"]}, {"key": "k", "operator": "Gt"}, {"key": "k", "operator": "Like"}],
            "matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a", "b"]}]})), [
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values", FORBIDDEN,
                "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key", INVALID, wrong("a b", NO_NAME)],
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values", REQUIRED,
                "Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"],
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].operator", INVALID,
                "Invalid value: \"Like\": not a valid selector operator"],
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values", REQUIRED,
                "Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector"],
            ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key", INVALID,
                "Invalid value: \"metadata.uid\": not a valid field selector key"],
        ]],
        "wishes": [of(json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]},
            "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {"topologyKey": "k", "matchLabelKeys": ["a"]}}]}}})), [
            ["spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight", INVALID, "Invalid value: 0: must be in the range 1-100"],
            ["spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight", INVALID, "Invalid value: 101: must be in the range 1-100"],
            ["spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys", FORBIDDEN,
                "Forbidden: must not be specified when labelSelector is not set"],
        ]],
        "apart": [of(json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Later"},
            {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2, "nodeTaintsPolicy": "Ask"},
            {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}]})), [
            ["spec.topologySpreadConstraints[0].maxSkew", INVALID, "Invalid value: 0: must be greater than zero"],
            ["spec.topologySpreadConstraints[0].topologyKey", REQUIRED, "Required value: can not be empty"],
            ["spec.topologySpreadConstraints[0].whenUnsatisfiable", UNSUPPORTED, "Unsupported value: \"Later\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\""],
            ["spec.topologySpreadConstraints[1].nodeTaintsPolicy", UNSUPPORTED, "Unsupported value: \"Ask\": supported values: \"Honor\", \"Ignore\""],
            ["spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}", DUPLICATE, "Duplicate value: \"{z, ScheduleAnyway}\""],
            ["spec.topologySpreadConstraints[1].minDomains", INVALID, "Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"],
        ]],
        "gates": [of(json!({"nodeName": "n", "schedulingGates": [{"name": "a"}, {"name": "a"}], "readinessGates": [{"conditionType": "a b"}]})), [
            ["spec.readinessGates[0].conditionType", INVALID, wrong("a b", NO_NAME)],
            ["spec.schedulingGates[1]", DUPLICATE, "Duplicate value: \"a\""],
            ["spec.nodeName", FORBIDDEN, "Forbidden: cannot be set until all schedulingGates have been cleared"],
        ]],
        "names of others": [of(json!({"hostAliases": [{"ip": "1.2.3", "hostnames": ["ok"]}], "dnsConfig": {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "x"], "searches": ["_a.b", "-"]}})), [
            ["spec.dnsConfig.nameservers", INVALID, "Invalid value: [\"1.1.1.1\",\"2.2.2.2\",\"3.3.3.3\",\"x\"]: must not have more than 3 nameservers"],
            ["spec.dnsConfig.nameservers[3]", INVALID, "Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
            ["spec.dnsConfig.searches[1]", INVALID,
                "Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"],
            ["spec.hostAliases[0].ip", INVALID, "Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
        ]],
        "later containers": [of(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})), [["spec.ephemeralContainers", FORBIDDEN, "Forbidden: cannot be set on create"]]],
    });
    judge(&server, "POST", PODS, &rows).await;
}

#[tokio::test]
async fn metadata_of_pods() {
    let server = server();
    let mut object = with(json!({}), json!({}));
    object["metadata"]["finalizers"] = json!(["mine", "example.com/mine"]);
    object["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "+1", "kubernetes.io/config.mirror": "m"});
    let rows = json!({"metadata": [object, [
        ["metadata.finalizers[0]", INVALID, wrong("mine", "name is neither a standard finalizer name nor is it fully qualified")],
        ["metadata.annotations[kubernetes.io/config.mirror]", INVALID, wrong("m", "must set spec.nodeName if mirror pod annotation is set")],
        ["metadata.annotations[controller.kubernetes.io/pod-deletion-cost]", INVALID, wrong("+1", "must be a 32bit integer")],
    ]]});
    judge(&server, "POST", PODS, &rows).await;
}
