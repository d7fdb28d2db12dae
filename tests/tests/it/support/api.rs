//! The plane's API as JSON, for looking: the tests act through `kubectl`, and watch what comes of it without
//! starting a process for every look.

use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A client with a runtime of its own, so that tests are plain functions.
pub(crate) struct Api {
    runtime: Runtime,
    client: Client,
}

/// No request of ours takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

impl Api {
    /// The server that a kubeconfig names.
    pub(crate) fn from_file(kubeconfig: &std::path::Path) -> Self {
        dormouse_runtime::tls::install_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(kubeconfig).unwrap();
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
            Client::try_from(config).unwrap()
        });
        Self { runtime, client }
    }

    /// One request; the `Status` of a refusal is the error.
    pub(crate) fn request(&self, method: &str, path: &str, content_type: &str, body: &str) -> Result<Value, Box<kube::core::Status>> {
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.client.request::<Value>(request)).await });
        match answer.unwrap_or_else(|_| panic!("{method} {path} hangs")) {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// An object or list; `None` where there is none.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        match self.request("GET", path, "application/json", "") {
            Ok(value) => Some(value),
            Err(status) if status.code == 404 => None,
            Err(status) => panic!("GET {path}: {status:?}"),
        }
    }

    /// The items of a list.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).unwrap_or_else(|| panic!("{path} is not served"));
        list["items"].as_array().unwrap_or_else(|| panic!("{path} is no list: {list}")).clone()
    }

    /// Creates an object in a collection.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Value {
        self.request("POST", path, "application/json", &object.to_string()).unwrap_or_else(|s| panic!("POST {path}: {s:?}"))
    }

    /// Changes an object by a merge patch.
    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Value {
        let content_type = "application/merge-patch+json";
        self.request("PATCH", path, content_type, &patch.to_string()).unwrap_or_else(|s| panic!("PATCH {path}: {s:?}"))
    }

    /// Asks for the end of an object.
    pub(crate) fn delete(&self, path: &str) {
        match self.request("DELETE", path, "application/json", "") {
            Ok(_) => {}
            Err(status) if status.code == 404 => {}
            Err(status) => panic!("DELETE {path}: {status:?}"),
        }
    }

    /// Plain text, as logs are.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.client.request_text(request)).await }).ok()?.ok()
    }

    /// Pods of the namespace `default` with these labels (`""` for all), by name.
    pub(crate) fn pods(&self, labels: &str) -> Vec<Value> {
        let labels: String = labels.chars().map(|c| if c == ' ' { '+' } else { c }).collect();
        let mut pods = self.list(&format!("/api/v1/namespaces/default/pods?labelSelector={labels}"));
        pods.sort_by_key(name_of);
        pods
    }

    /// A Pod of the namespace `default`.
    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    /// Events of the namespace `default` about an object of this name.
    pub(crate) fn events(&self, about: &str) -> Vec<Value> {
        self.list(&format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{about}"))
    }

    /// `GET` over plain HTTP, from outside the plane.
    pub(crate) fn http(&self, url: &str) -> Option<(u16, String)> {
        let limit = Duration::from_secs(5);
        let client = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts { connect: limit, total: Some(limit) }).unwrap();
        self.runtime.block_on(async {
            let answer = client.get(url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    }
}

/// `metadata.name`.
pub(crate) fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// `metadata.name` of each.
pub(crate) fn names_of(objects: &[Value]) -> Vec<String> {
    objects.iter().map(name_of).collect()
}

/// Whether a condition of this type is `True`.
pub(crate) fn condition(object: &Value, type_: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|c| c.iter().any(|c| c["type"] == type_ && c["status"] == "True"))
}
