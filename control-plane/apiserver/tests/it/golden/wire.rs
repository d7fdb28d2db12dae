//! Asks the server in this process what a step asks, and reads its answer.

use dormouse_apiserver::{ApiServer, Body, User};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use super::bindings::Bindings;
use super::step::Step;

pub(super) struct Answer {
    pub(super) status: u16,
    /// By name in lower case; several of one name are a list.
    pub(super) headers: Value,
    pub(super) body: Value,
}

/// Sends the request of a step; with `keep_nothing` as a dry run.
pub(super) async fn ask(server: &ApiServer, step: Step<'_>, bindings: &Bindings, keep_nothing: bool) -> Response<Body> {
    let mut path = bindings.fill(step.path());
    if keep_nothing && !step.is_dry_run() && step.method() != "GET" {
        path.push_str(if path.contains('?') { "&dryRun=All" } else { "?dryRun=All" });
    }
    let mut builder = Request::builder().method(step.method()).uri(path);
    for (field, header) in [("content_type", "content-type"), ("accept", "accept")] {
        if let Some(value) = step.request(field).as_str() {
            builder = builder.header(header, value);
        }
    }
    for (name, value) in step.request("headers").as_object().into_iter().flatten() {
        builder = builder.header(name.as_str(), bindings.fill(value.as_str().unwrap()));
    }
    let body = match step.request("body") {
        Value::Null => Body::empty(),
        Value::String(raw) => Body::from(raw.clone()),
        body => Body::from(bindings.fill_value(body).to_string()),
    };
    // Who impersonates is settled before the handler.
    let user = step.request("user").as_str().map_or_else(User::admin, |name| User::new(name, [""; 0]));
    server.handle(builder.body(body).unwrap(), user).await
}

pub(super) async fn read(response: Response<Body>, is_watch: bool) -> Answer {
    let (parts, body) = response.into_parts();
    let mut headers = Map::new();
    for name in parts.headers.keys() {
        let values: Vec<&str> = parts.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
        headers.insert(name.as_str().to_owned(), if let [one] = values.as_slice() { json!(one) } else { json!(values) });
    }
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let body = if is_watch && parts.status == 200 {
        text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect()
    } else {
        serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
    };
    Answer { status: parts.status.as_u16(), headers: headers.into(), body }
}
