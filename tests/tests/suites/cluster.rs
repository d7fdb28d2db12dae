//! A cluster as the suites see it: objects by `kind/name`, and servers in Pods.

use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::Api;

/// Plural, the group's path, namespaced.
const KINDS: [(&str, &str, bool); 13] = [
    ("namespaces", "/api/v1", false),
    ("nodes", "/api/v1", false),
    ("pods", "/api/v1", true),
    ("configmaps", "/api/v1", true),
    ("serviceaccounts", "/api/v1", true),
    ("deployments", "/apis/apps/v1", true),
    ("replicasets", "/apis/apps/v1", true),
    ("roles", "/apis/rbac.authorization.k8s.io/v1", true),
    ("rolebindings", "/apis/rbac.authorization.k8s.io/v1", true),
    ("clusterroles", "/apis/rbac.authorization.k8s.io/v1", false),
    ("clusterrolebindings", "/apis/rbac.authorization.k8s.io/v1", false),
    ("customresourcedefinitions", "/apis/apiextensions.k8s.io/v1", false),
    ("inferenceserverconfigs", "/apis/fma.llm-d.ai/v1alpha1", true),
];
/// Those whose plural is not the lower-case kind and an `s`.
const ODD: [(&str, &str, bool); 2] =
    [("launcherconfigs", "/apis/fma.llm-d.ai/v1alpha1", true), ("launcherpopulationpolicies", "/apis/fma.llm-d.ai/v1alpha1", true)];

/// A cluster and the namespace in which a run happens.
pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) namespace: String,
    /// Whether Pods can be reached at their addresses; else through the API server.
    reachable: bool,
    runtime: Runtime,
}

/// What a server in a Pod answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Cluster {
    pub(crate) fn new(api: Api, namespace: String, reachable: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { api, namespace, reachable, runtime }
    }

    fn base(&self, plural: &str) -> Result<String, String> {
        let (_, group, namespaced) =
            KINDS.iter().chain(&ODD).find(|(p, ..)| *p == plural).ok_or_else(|| format!("the suites know no kind {plural}"))?;
        Ok(if *namespaced { format!("{group}/namespaces/{}/{plural}", self.namespace) } else { format!("{group}/{plural}") })
    }

    /// Path of `kind/name` or `kind/name/subresource`.
    pub(crate) fn path(&self, object: &str) -> Result<String, String> {
        let (plural, rest) = object.split_once('/').ok_or_else(|| format!("{object:?} is no kind/name"))?;
        Ok(format!("{}/{rest}", self.base(plural)?))
    }

    /// The object, if there is one.
    pub(crate) fn get(&self, object: &str) -> Result<Option<Value>, String> {
        Ok(self.api.get(&self.path(object)?))
    }

    /// Creates a manifest's object; the code and message of a refusal.
    pub(crate) fn create(&self, manifest: &Value) -> Result<Value, (u16, String)> {
        let kind = manifest["kind"].as_str().unwrap_or_default().to_lowercase();
        let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
        let path = self.base(&plural).map_err(|e| (0, e))?;
        let answer = self.api.request("POST", &path, "application/json", &manifest.to_string());
        answer.map_err(|status| (status.code, format!("{}: {}", manifest["metadata"]["name"], status.message)))
    }

    /// Creates it, or merges it into the one that is there.
    pub(crate) fn apply(&self, manifest: &Value) -> Result<(), String> {
        match self.create(manifest) {
            Ok(_) => Ok(()),
            Err((409, _)) => {
                let kind = manifest["kind"].as_str().unwrap_or_default().to_lowercase();
                let object = format!("{kind}s/{}", manifest["metadata"]["name"].as_str().unwrap_or_default());
                self.patch(&object, "application/merge-patch+json", manifest)
            }
            Err((code, message)) => Err(format!("{code} {message}")),
        }
    }

    /// Patches an object.
    pub(crate) fn patch(&self, object: &str, content_type: &str, patch: &Value) -> Result<(), String> {
        let answer = self.api.request("PATCH", &self.path(object)?, content_type, &patch.to_string());
        answer.map(drop).map_err(|s| format!("patch of {object}: {} {}", s.code, s.message))
    }

    /// Asks for an object's end; the code and message of a refusal.
    pub(crate) fn delete(&self, object: &str) -> Result<(), (u16, String)> {
        let path = self.path(object).map_err(|e| (0, e))?;
        // As kubectl asks.
        let options = r#"{"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}"#;
        let answer = self.api.request("DELETE", &path, "application/json", options);
        answer.map(drop).map_err(|s| (s.code, s.message))
    }

    /// Objects of a kind, by its plural, with these labels; `""` for all.
    pub(crate) fn list(&self, plural: &str, labels: &str) -> Result<Vec<Value>, String> {
        let labels = labels.replace('!', "%21").replace('=', "%3D");
        Ok(self.api.list(&format!("{}?labelSelector={labels}", self.base(plural)?)))
    }

    /// Names of the nodes a suite may use: those marked as having GPUs that are not cordoned, or all
    /// while none is.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let all = self.api.list("/api/v1/nodes");
        let marked = |n: &&Value| n["metadata"]["labels"]["nvidia.com/gpu.present"] == "true" && n["spec"]["unschedulable"] != true;
        let marked: Vec<&Value> = all.iter().filter(marked).collect();
        let chosen = if marked.is_empty() { all.iter().collect() } else { marked };
        let mut names: Vec<String> = chosen.into_iter().map(crate::support::name_of).collect();
        names.sort();
        names
    }

    /// Calls a server in a Pod; `None` when nobody answers.
    pub(crate) fn call(&self, method: &str, pod: &str, port: u16, path: &str) -> Result<Option<Answer>, String> {
        if self.reachable {
            let Some(object) = self.get(&format!("pods/{pod}"))? else { return Err(format!("there is no Pod {pod}")) };
            let Some(ip) = object["status"]["podIP"].as_str() else { return Ok(None) };
            return Ok(self.direct(method, &format!("http://{ip}:{port}{path}")));
        }
        let path = format!("{}/{pod}:{port}/proxy{path}", self.base("pods")?);
        if method == "GET" {
            return Ok(self.api.text(&path).map(|body| Answer { status: 200, body }));
        }
        Ok(match self.api.request(method, &path, "application/json", "") {
            Ok(body) => Some(Answer { status: 200, body: body.to_string() }),
            Err(status) => Some(Answer { status: status.code, body: status.message }),
        })
    }

    fn direct(&self, method: &str, url: &str) -> Option<Answer> {
        let timeouts = dormouse_runtime::http::Timeouts { connect: Duration::from_secs(2), total: Some(Duration::from_secs(30)) };
        self.runtime.block_on(async {
            let client = dormouse_runtime::http::client(timeouts).unwrap();
            let request = if method == "DELETE" { client.delete(url) } else { client.get(url) };
            let answer = request.send().await.ok()?;
            Some(Answer { status: answer.status().as_u16(), body: answer.text().await.ok()? })
        })
    }
}
