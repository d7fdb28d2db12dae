//! A served engine and a client for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use dormouse_engine::{EngineKind, Environment, ModelOptions, make_model, parse, serve};
use dormouse_runtime::CancellationToken;
use dormouse_runtime::http::{Timeouts, client};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// An engine on a free port; it ends when this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    client: reqwest::Client,
    stop: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Development mode, and nothing else from outside.
pub(crate) fn dev() -> Environment {
    Environment { dev_mode: true, ..Environment::default() }
}

/// A simulator that loses no time.
pub(crate) const QUICK: &str = "--sim-init 0 --sim-load 0 --sim-ttft 1ms --sim-itl 1ms --sim-link-bytes-per-second 80000GB";

pub(crate) async fn start(kind: EngineKind, line: &str, env: Environment) -> anyhow::Result<Served> {
    let line = format!("{line} --host 127.0.0.1 --port 0");
    let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let (args, _) = parse(&argv)?;
    let (tell, ready) = oneshot::channel();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(kind, args, env, Some(tell), stop.clone()));
    match ready.await {
        Ok(address) => {
            let client = client(Timeouts { connect: Duration::from_secs(5), total: Some(Duration::from_secs(60)) })?;
            Ok(Served { address, client, stop, task: Some(task) })
        }
        Err(_) => Err(task.await?.expect_err("an engine that is not ready has failed")),
    }
}

pub(crate) async fn sim(line: &str) -> Served {
    start(EngineKind::Sim, &format!("{line} {QUICK}"), dev()).await.unwrap()
}

impl Served {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    /// A POST without a body that must succeed.
    pub(crate) async fn done(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::POST, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The events of a stream, up to and without `[DONE]`.
    pub(crate) async fn events(&self, path: &str, body: &Value) -> Vec<Value> {
        let response = self.request(Method::POST, path).json(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let text = response.text().await.unwrap();
        let mut events: Vec<&str> = text.split_terminator("\n\n").map(|e| e.strip_prefix("data: ").unwrap()).collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        events.into_iter().map(|e| serde_json::from_str(e).unwrap()).collect()
    }

    /// The text of a greedy completion.
    pub(crate) async fn completion(&self, prompt: &str) -> String {
        let body = serde_json::json!({"prompt": prompt, "max_tokens": 64, "temperature": 0});
        let (status, body) = self.post("/v1/completions", &body).await;
        assert_eq!(status, 200, "{body}");
        body["choices"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Ends the engine and returns how it ended.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap()
    }

    /// How the engine ended by itself.
    pub(crate) async fn ended(mut self) -> anyhow::Result<()> {
        self.task.take().unwrap().await.unwrap()
    }
}

/// A model of about 3 MB called `hazel` in a folder of its own, and its answer. Made once and copied: it is the same each time.
pub(crate) fn tiny() -> (tempfile::TempDir, PathBuf, String) {
    static MADE: LazyLock<(tempfile::TempDir, PathBuf, String)> = LazyLock::new(|| sized("hazel", 3_000_000));
    let (_, original, answer) = &*MADE;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hazel");
    std::fs::create_dir(&folder).unwrap();
    for file in std::fs::read_dir(original).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    (dir, folder, answer.clone())
}

pub(crate) fn sized(name: &str, size: u64) -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(name);
    let made = make_model(&folder, name, &ModelOptions { size, ..ModelOptions::default() }).unwrap();
    (dir, folder, made.answer)
}

/// A weight file: its bytes, where the tensors begin, and its index.
fn weights(folder: &Path) -> (Vec<u8>, usize, serde_json::Map<String, Value>) {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut index: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    index.remove("__metadata__");
    (bytes, 8 + header, index)
}

/// Names of a folder's tensors.
pub(crate) fn tensors(folder: &Path) -> Vec<String> {
    weights(folder).2.into_iter().map(|(name, _)| name).collect()
}

/// Sets a tensor of a folder to zero, in a new file under the old name.
pub(crate) fn zero(folder: &Path, tensor: &str) {
    let (mut bytes, base, index) = weights(folder);
    let place = |k: usize| usize::try_from(index[tensor]["data_offsets"][k].as_u64().unwrap()).unwrap();
    bytes[base + place(0)..base + place(1)].fill(0);
    std::fs::write(folder.join("changed"), bytes).unwrap();
    std::fs::rename(folder.join("changed"), folder.join("model.safetensors")).unwrap();
}
