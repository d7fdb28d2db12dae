//! An API server in this process and one node on it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use dormouse_apiserver::ApiServer;
use dormouse_kubelet::logs::LogQuery;
use dormouse_kubelet::{Handle, Kubelet, Options};
use dormouse_names::{Program, Programs};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use super::SHIM;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const NODE: &str = "dormouse-1";

/// Some programs of ours; what they would do does not matter here.
fn programs() -> Programs {
    let requester = Program { waits_for_release: true, ..Program::new("requester") };
    let engine = Program { engine: true, ..Program::new("vllm") };
    let helper = Program { scripts: &["helper.py", "helper_too.py"], ..Program::new("helper") };
    Programs::new([requester, Program { tool: true, ..Program::new("nvidia-smi") }, engine, helper], false)
}

pub(crate) struct Plane {
    pub(crate) client: kube::Client,
    pub(crate) handle: Handle,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) number: u8,
    pub(crate) _claim: UnixListener,
}

/// Claims a network of loopback addresses as `up` does, so that tests beside this one use another.
pub(crate) fn claim() -> (u8, UnixListener) {
    for number in 100..=250_u8 {
        let name = SocketAddr::from_abstract_name(format!("dormouse-net-{number}")).unwrap();
        if let Ok(socket) = UnixListener::bind_addr(&name) {
            return (number, socket);
        }
    }
    panic!("all loopback networks are taken");
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::at(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn at(dir: tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let server = ApiServer::new(dormouse_apiserver::Options::default());
        let client = server.client();
        let (number, socket) = claim();
        let mut options = Options::new(client.clone(), NODE, dir.path(), SHIM);
        options.plane = number;
        options.programs = programs();
        options.env = vec![("DORMOUSE_ENGINE".into(), "sim".into())];
        change(&mut options);
        let handle = Kubelet::start(options).await.unwrap();
        Self { client, handle, dir, number, _claim: socket }
    }

    /// Name of the node's device socket.
    pub(crate) fn socket(&self) -> String {
        format!("@dormouse-devices-{}-1", self.number)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates a Pod that is bound already.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = json!(NODE);
        if spec.get("terminationGracePeriodSeconds").is_none() {
            spec["terminationGracePeriodSeconds"] = json!(5);
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    /// Waits until the Pod is as wished.
    pub(crate) async fn until(&self, name: &str, what: &str, wish: impl Fn(&Value) -> bool + Send) -> Value {
        let test = |pod: Option<&Pod>| pod.is_some_and(|p| wish(&serde_json::to_value(p).unwrap()));
        match tokio::time::timeout(PATIENCE, await_condition(self.pods(), name, test)).await {
            Ok(found) => serde_json::to_value(found.unwrap().unwrap()).unwrap(),
            Err(_) => {
                let pod = self.pods().get_opt(name).await.unwrap();
                panic!(
                    "{name} did not become {what}: {}\nevents: {:?}",
                    serde_json::to_string_pretty(&pod).unwrap(),
                    self.events(name).await
                )
            }
        }
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |p| p["status"]["phase"] == phase).await
    }

    pub(crate) async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "ready", |p| condition(p, "Ready") == "True").await
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        let gone = await_condition(self.pods(), name, |p: Option<&Pod>| p.is_none());
        tokio::time::timeout(PATIENCE, gone).await.expect("the Pod did not go").unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn log(&self, pod: &Value, container: &str, change: impl FnOnce(&mut LogQuery)) -> Result<String, String> {
        let mut query = LogQuery {
            uid: pod["metadata"]["uid"].as_str().unwrap().to_owned(),
            pod: pod["metadata"]["name"].as_str().unwrap().to_owned(),
            container: container.to_owned(),
            ..LogQuery::default()
        };
        change(&mut query);
        let reader = self.handle.logs(query).await.map_err(|e| e.to_string())?;
        let read = reader.into_stream().try_collect::<Vec<_>>();
        let chunks = tokio::time::timeout(PATIENCE, read).await.expect("the log does not end").unwrap();
        Ok(String::from_utf8(chunks.concat()).unwrap())
    }

    /// Reasons and messages of the Pod's events.
    pub(crate) async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let all = api.list(&ListParams::default()).await.unwrap();
        let of = all.items.into_iter().filter(|e| e.involved_object.name.as_deref() == Some(name));
        of.map(|e| (e.reason.unwrap_or_default(), e.message.unwrap_or_default())).collect()
    }

    /// Waits until an event with this reason is there.
    pub(crate) async fn until_event(&self, name: &str, reason: &str) -> String {
        self.until_event_with(name, reason, "").await
    }

    /// Waits until an event with this reason and text is there.
    pub(crate) async fn until_event_with(&self, name: &str, reason: &str, text: &str) -> String {
        let mut pause = Duration::from_millis(2);
        for _ in 0..40 {
            if let Some((_, message)) = self.events(name).await.into_iter().find(|(r, m)| r == reason && m.contains(text)) {
                return message;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        panic!("no event {reason} {text:?} of {name}: {:?}", self.events(name).await);
    }
}

pub(crate) fn condition(pod: &Value, name: &str) -> String {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().find(|c| c["type"] == name).map(|c| c["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// A container that runs a shell script.
pub(crate) fn sh(script: &str) -> Value {
    json!({"name": "c", "image": "busybox", "command": ["sh", "-c", script]})
}

/// The same with further fields.
pub(crate) fn sh_with(script: &str, extra: Value) -> Value {
    let mut container = sh(script);
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    container
}
