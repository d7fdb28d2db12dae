//! Raw requests to a server in this process.

use dormouse_apiserver::{ApiServer, Body, Options, User};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;

/// A whole server.
pub(crate) fn server() -> ApiServer {
    ApiServer::new(Options::default())
}

/// One answer: status, and the body as JSON (or text).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// The message of a `Status`.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }
}

pub(crate) async fn send(server: &ApiServer, method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(body.into()).unwrap();
    server.handle(request, User::admin()).await
}

pub(crate) async fn read(response: Response<Body>) -> Answer {
    let status = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status, body, warnings }
}

pub(crate) async fn ask(server: &ApiServer, method: &str, path: &str, body: Value) -> Answer {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    read(send(server, method, path, content_type, body).await).await
}

pub(crate) async fn get(server: &ApiServer, path: &str) -> Answer {
    ask(server, "GET", path, Value::Null).await
}
