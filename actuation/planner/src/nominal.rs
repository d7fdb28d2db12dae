//! The Pod that a direct requester calls for (actuation 2).
//!
//! Requester, patch, node and GPUs in; the complete Pod to create and its nominal hash out. Nothing is cached here, so an edit
//! of the patch takes effect with the next plan (gap `a24`).

use dormouse_apis::names::{annotation, finalizer, label};
use dormouse_machinery::patch::strategic;
use dormouse_machinery::yaml;
use dormouse_names::condition::SERVING;
use dormouse_names::env::CUDA_VISIBLE_DEVICES;
use serde_json::{Map, Value, json};

use crate::ids::{GpuUuid, join_gpus};
use crate::json::{at, list_mut, map_mut, text};
use crate::podspec::{container_mut, de_individualise, engine_port, no_gpus, pin, set_env};
use crate::state::{NodeInfo, PodMeta};
use crate::{canonical, hashes};

/// A provider as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nominal {
    /// The Pod to create, born bound.
    pub(crate) pod: Value,
    /// What tells whether an existing provider is the same.
    pub(crate) hash: String,
}

/// What decides a nominal Pod, beside the requester.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The node.
    pub(crate) node: &'a NodeInfo,
    /// GPUs as the requester reported them.
    pub(crate) gpus: &'a [GpuUuid],
    /// Their indices, in the same order.
    pub(crate) indices: &'a [u32],
}

/// Builds the nominal Pod.
///
/// # Errors
/// With the text that follows `failed to construct the nominal server-providing Pod: ` in the status.
pub(crate) fn build(requester: &PodMeta, patch: &str, place: Place<'_>) -> Result<Nominal, String> {
    let patch = render(patch, &place.node.name)?;
    let merged = strategic::apply(canonical::pod_type()?, base(&requester.object), patch)
        .map_err(|why| format!("failed to apply server patch: {why}"))?;
    let canonical = check(&merged)?;
    let hash = hash(canonical, place);
    let mut pod = merged;
    pin(&mut pod, place.node);
    engine_port(&pod)?;
    let container = container_mut(&mut pod)?;
    let indices: Vec<String> = place.indices.iter().map(u32::to_string).collect();
    set_env(container, CUDA_VISIBLE_DEVICES, &indices.join(","));
    no_gpus(container, true);
    identify(&mut pod, requester, &hash, place.gpus);
    Ok(Nominal { pod, hash })
}

/// Labels and namespace, and the spec without what is peculiar to one Pod.
fn base(requester: &Value) -> Value {
    let mut metadata = Map::new();
    for key in ["labels", "namespace"] {
        if let Some(value) = at(requester, &["metadata", key]) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    let mut spec = requester.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    de_individualise(&mut spec);
    ungate(&mut spec);
    json!({"metadata": metadata, "spec": spec})
}

/// Nobody would open a provider's gate that only speaks of requesters.
fn ungate(spec: &mut Map<String, Value>) {
    let Some(gates) = spec.get_mut("readinessGates").and_then(Value::as_array_mut) else { return };
    gates.retain(|gate| text(gate, &["conditionType"]) != Some(SERVING));
    if gates.is_empty() {
        spec.remove("readinessGates");
    }
}

/// Strictness: no unknown fields, no wrong types, and a Pod.
fn check(merged: &Value) -> Result<Value, String> {
    let failed = |why: String| format!("failed to unmarshal patched pod: {why}");
    let kind = (text(merged, &["apiVersion"]).unwrap_or("v1"), text(merged, &["kind"]).unwrap_or("Pod"));
    if kind != ("v1", "Pod") {
        return Err(failed(format!("it is of kind {:?} in {:?}, not a Pod", kind.1, kind.0)));
    }
    let canonical = canonical::pod(merged).map_err(failed)?;
    match canonical.unknown {
        Some(unknown) => Err(failed(unknown)),
        None => Ok(canonical.value),
    }
}

fn hash(mut pod: Value, place: Place<'_>) -> String {
    for key in ["apiVersion", "kind", "status"] {
        map_mut(&mut pod, &[]).remove(key);
    }
    hashes::nominal(&pod, place.indices, place.gpus, &place.node.name)
}

fn identify(pod: &mut Value, requester: &PodMeta, hash: &str, gpus: &[GpuUuid]) {
    let top = map_mut(pod, &[]);
    top.insert("apiVersion".to_owned(), Value::from("v1"));
    top.insert("kind".to_owned(), Value::from("Pod"));
    top.remove("status");
    let metadata = map_mut(pod, &["metadata"]);
    metadata.insert("generateName".to_owned(), Value::from(format!("{}-dual-", requester.name)));
    let finalizers = list_mut(pod, &["metadata"], "finalizers");
    if !finalizers.iter().any(|have| have.as_str() == Some(finalizer::PROVIDER)) {
        finalizers.push(Value::from(finalizer::PROVIDER));
    }
    let annotations = map_mut(pod, &["metadata", "annotations"]);
    annotations.insert(annotation::NOMINAL.to_owned(), Value::from(hash));
    annotations.insert(annotation::REQUESTER.to_owned(), Value::from(format!("{} {}", requester.uid, requester.name)));
    annotations.insert(annotation::ACCELERATORS.to_owned(), Value::from(join_gpus(gpus)));
    let labels = map_mut(pod, &["metadata", "labels"]);
    labels.insert(label::DUAL.to_owned(), Value::from(requester.name.as_str()));
    labels.insert(label::SLEEPING.to_owned(), Value::from("false"));
}

/// The longest patch text that a template may make.
const RENDERED_MAX: usize = 1 << 20;

/// Renders the template and reads the text as YAML.
fn render(patch: &str, node: &str) -> Result<Value, String> {
    let template = gotmpl::Template::new("serverPatch")
        .missing_key(gotmpl::MissingKey::Error)
        .max_range_iters(10_000)
        .parse(patch)
        .map_err(|why| format!("parse template: {why}"))?;
    // `LocalVolume` is declared by the peer and always empty.
    let data = gotmpl::tmap! { "NodeName" => node, "LocalVolume" => "" };
    let mut text = Bounded(String::new());
    template
        .execute_fmt(&mut text, &data)
        .map_err(|why| format!("failed to execute server patch template: template: serverPatch: {why}"))?;
    let value = yaml::from_str(&text.0).map_err(|why| format!("failed to convert server patch yaml to json: {why}"))?;
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(_) => Ok(value),
        _ => Err("failed to apply server patch: invalid JSON document".to_owned()),
    }
}

/// A text with an end.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > RENDERED_MAX {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::{self, Observed};

    /// The requester of appendix A.
    fn requester() -> Value {
        json!({
            "metadata": {
                "name": "req", "namespace": "ns1", "uid": "U", "labels": {"app": "dp-example", "instance": "07-01-02-03"},
                "annotations": {"dual-pods.llm-d.ai/server-patch": "x"}, "finalizers": ["f"],
            },
            "spec": {
                "nodeName": "node-a",
                "containers": [{
                    "name": "inference-server", "image": "reg/requester:1", "command": ["/app/requester"],
                    "env": [{"name": "A", "value": "1"}],
                    "ports": [
                        {"name": "probes", "containerPort": 8080, "protocol": "TCP"},
                        {"name": "spi", "containerPort": 8081, "protocol": "TCP"},
                    ],
                    "readinessProbe": {
                        "httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 2, "periodSeconds": 5,
                        "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
                    },
                    "resources": {
                        "limits": {"cpu": "200m", "memory": "250Mi", "nvidia.com/gpu": "1"},
                        "requests": {"cpu": "200m", "memory": "250Mi", "nvidia.com/gpu": "1"},
                    },
                    "volumeMounts": [{"name": "kube-api-access-9ncxb", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                }],
                "volumes": [{"name": "kube-api-access-9ncxb"}],
                "tolerations": [{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            },
        })
    }

    const PATCH: &str = r#"
metadata:
  labels: {"model-reg": "ibm-granite", "model-repo": "granite-3.3-2b-instruct", "app": null}
spec:
  containers:
  - name: inference-server
    image: reg/test-server:1
    command: [/ko-app/test-server, --startup-delay=22]
    resources:
      limits: {cpu: "200m", memory: 9Gi}
    readinessProbe:
      httpGet: {path: /health, port: 8000}
      initialDelaySeconds: 10
      periodSeconds: 5
  volumes:
  - name: local
    persistentVolumeClaim: {claimName: "vcp-local-{{ .NodeName }}"}
"#;

    fn meta(requester: Value) -> PodMeta {
        match observe::pod(&Arc::new(requester)) {
            Some(Observed::Requester(_, requester)) => requester.pod,
            other => panic!("{other:?}"),
        }
    }

    fn build_on(requester: Value, patch: &str) -> Result<Nominal, String> {
        let node = NodeInfo { name: "node-a".to_owned(), ..NodeInfo::default() };
        let gpus = [GpuUuid::from("GPU-0"), GpuUuid::from("GPU-1")];
        let place = Place { node: &node, gpus: &gpus, indices: &[0, 1] };
        build(&meta(requester), patch, place)
    }

    fn built(patch: &str) -> Result<Nominal, String> {
        build_on(requester(), patch)
    }

    #[test]
    fn the_merge_is_the_golden_one() {
        let patch = render(PATCH, "node-a").unwrap();
        let merged = strategic::apply(canonical::pod_type().unwrap(), base(&requester()), patch).unwrap();
        let golden = r#"{"metadata":{"labels":{"instance":"07-01-02-03","model-reg":"ibm-granite","model-repo":"granite-3.3-2b-instruct"},"namespace":"ns1"},"spec":{"containers":[{"command":["/ko-app/test-server","--startup-delay=22"],"env":[{"name":"A","value":"1"}],"image":"reg/test-server:1","name":"inference-server","ports":[{"containerPort":8080,"name":"probes","protocol":"TCP"},{"containerPort":8081,"name":"spi","protocol":"TCP"}],"readinessProbe":{"failureThreshold":3,"httpGet":{"path":"/health","port":8000,"scheme":"HTTP"},"initialDelaySeconds":10,"periodSeconds":5,"successThreshold":1,"timeoutSeconds":1},"resources":{"limits":{"cpu":"200m","memory":"9Gi","nvidia.com/gpu":"1"},"requests":{"cpu":"200m","memory":"250Mi","nvidia.com/gpu":"1"}}}],"nodeName":"node-a","tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists"}],"volumes":[{"name":"local","persistentVolumeClaim":{"claimName":"vcp-local-node-a"}}]}}"#;
        assert_eq!(merged.to_string(), golden);
    }

    #[test]
    fn the_pod_is_complete() {
        let pod = built(PATCH).unwrap().pod;
        let meta = &pod["metadata"];
        assert_eq!(meta["generateName"], "req-dual-");
        assert_eq!(meta["finalizers"], json!(["dual-pods.llm-d.ai/provider"]));
        assert_eq!(meta["annotations"]["dual-pods.llm-d.ai/requester"], "U req");
        assert_eq!(meta["annotations"]["dual-pods.llm-d.ai/accelerators"], "GPU-0,GPU-1");
        assert_eq!(meta["labels"]["dual-pods.llm-d.ai/dual"], "req");
        assert_eq!(meta["labels"]["dual-pods.llm-d.ai/sleeping"], "false");
        assert_eq!(meta["labels"].get("app"), None);
        assert_eq!(pod["spec"]["nodeName"], "node-a");
        assert_eq!(pod["spec"]["nodeSelector"], json!({"kubernetes.io/hostname": "node-a"}));
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["env"][1], json!({"name": "CUDA_VISIBLE_DEVICES", "value": "0,1"}));
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "0");
        assert_eq!(container["resources"]["requests"]["nvidia.com/gpu"], "0");
        assert_eq!(container["resources"]["requests"]["memory"], "250Mi");
    }

    #[test]
    fn what_the_patch_adds_survives() {
        let patch = "metadata: {name: fixed, annotations: {a: b}, finalizers: [mine]}\nspec: {containers: [{name: inference-server, readinessProbe: {httpGet: {path: /, port: http}}, env: [{name: CUDA_VISIBLE_DEVICES, value: '9'}]}]}";
        let pod = built(patch).unwrap().pod;
        assert_eq!(pod["metadata"]["name"], "fixed");
        assert_eq!(pod["metadata"]["annotations"]["a"], "b");
        assert_eq!(pod["metadata"]["finalizers"], json!(["mine", "dual-pods.llm-d.ai/provider"]));
        let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
        assert!(env.contains(&json!({"name": "CUDA_VISIBLE_DEVICES", "value": "0,1"})), "{env:?}");
        assert_eq!(env.len(), 2);
    }

    #[test]
    fn hash_is_about_meaning() {
        let base = built(PATCH).unwrap().hash;
        assert_eq!(base.len(), 43);
        for (change, same) in [
            (("memory: 9Gi", "memory: 9216Mi"), true),
            (("cpu: \"200m\"", "cpu: 0.2"), true),
            (("periodSeconds: 5", "periodSeconds: 5\n    env: null"), false),
            (("memory: 9Gi", "memory: 8Gi"), false),
            (("reg/test-server:1", "reg/test-server:2"), false),
        ] {
            let patch = PATCH.replace(change.0, change.1);
            assert_ne!(patch, PATCH);
            assert_eq!(built(&patch).unwrap().hash == base, same, "{change:?}");
        }
    }

    #[test]
    fn hash_is_not_about_the_requester() {
        let mut other = requester();
        other["metadata"]["name"] = json!("other");
        other["metadata"]["uid"] = json!("V");
        assert_eq!(built(PATCH).unwrap().hash, build_on(other, PATCH).unwrap().hash);
        let mut labelled = requester();
        labelled["metadata"]["labels"]["pod-template-hash"] = json!("abc");
        assert_ne!(built(PATCH).unwrap().hash, build_on(labelled, PATCH).unwrap().hash);
    }

    #[test]
    fn every_error_has_its_phrase() {
        for (patch, phrase) in [
            ("{{ .NodeName", "parse template: template: serverPatch"),
            ("{{ .Foo }}", "failed to execute server patch template: template: serverPatch"),
            ("a: [", "failed to convert server patch yaml to json: yaml: line"),
            ("[1]", "failed to apply server patch: invalid JSON document"),
            (
                "spec: {containers: [{image: foo}]}",
                "failed to apply server patch: map: map[image:foo] does not contain declared merge key: name",
            ),
            ("spec: {frobozz: 1}", "failed to unmarshal patched pod: strict decoding error: unknown field \"spec.frobozz\""),
            (
                "spec: {containers: x}",
                "failed to unmarshal patched pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            ("kind: Service", "failed to unmarshal patched pod: "),
            ("spec: {containers: [{name: inference-server, $patch: delete}]}", "container \"inference-server\" not found"),
            (
                "spec: {containers: [{name: inference-server, readinessProbe: null}]}",
                "the inference server container has no readinessProbe",
            ),
            (
                "spec: {containers: [{name: inference-server, readinessProbe: {httpGet: null, tcpSocket: {port: 1}}}]}",
                "the readinessProbe is not an HTTPGet",
            ),
            (
                "spec: {containers: [{name: inference-server, readinessProbe: {httpGet: {port: spi}}}]}",
                "unsupported readinessProbe port \"spi\"",
            ),
        ] {
            let error = built(patch).unwrap_err();
            assert!(error.starts_with(phrase), "{patch:?}: {error:?}");
        }
    }

    #[test]
    fn templates_can_do_what_go_templates_do() {
        for (template, expected) in [
            ("a: {{ .NodeName }}", json!({"a": "node-a"})),
            ("a: x{{- .NodeName -}}  \n", json!({"a": "xnode-a"})),
            ("a: {{/* comment */}}{{ printf \"%s-%d\" .NodeName 3 }}", json!({"a": "node-a-3"})),
            ("a: {{ if eq .NodeName `node-a` }}yes it is{{ else }}no{{ end }}", json!({"a": "yes it is"})),
            ("a: {{ with .LocalVolume }}{{ . }}{{ else }}none{{ end }}", json!({"a": "none"})),
            ("a: {{ $x := len .NodeName }}{{ $x }}", json!({"a": 6})),
            ("a: \"{{ slice .NodeName 0 1 | printf `%q` | len }}\"", json!({"a": "3"})),
            ("", json!({})),
            ("a: 1\n---\nb: 2", json!({"a": 1})),
            ("a: 1\na: 2", json!({"a": 2})),
        ] {
            assert_eq!(render(template, "node-a").unwrap(), expected, "{template}");
        }
    }
}
