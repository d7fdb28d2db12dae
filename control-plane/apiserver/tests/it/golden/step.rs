//! A recorded step as it is read: request, answer, and what can be said of them without a server.

use dormouse_apiserver::RequestInfo;
use http::Method;
use serde_json::Value;

/// One step of a recording.
#[derive(Clone, Copy)]
pub(super) struct Step<'a>(pub(super) &'a Value);

impl<'a> Step<'a> {
    pub(super) fn request(self, field: &str) -> &'a Value {
        &self.0["request"][field]
    }

    fn text(self, field: &str) -> &'a str {
        self.request(field).as_str().unwrap_or("")
    }

    pub(super) fn method(self) -> &'a str {
        self.text("method")
    }

    pub(super) fn path(self) -> &'a str {
        self.text("path")
    }

    pub(super) fn content_type(self) -> &'a str {
        self.text("content_type")
    }

    /// What the path is about. Placeholders may stand in the query only.
    pub(super) fn info(self) -> RequestInfo {
        let (path, query) = self.path().split_once('?').unwrap_or((self.path(), ""));
        RequestInfo::parse(&Method::from_bytes(self.method().as_bytes()).unwrap(), path, query)
    }

    pub(super) fn status(self) -> u64 {
        self.0["status"].as_u64().unwrap()
    }

    pub(super) fn is_watch(self) -> bool {
        self.path().contains("watch=true")
    }

    pub(super) fn is_dry_run(self) -> bool {
        self.path().contains("dryRun=All")
    }

    /// It only makes what others need: its answer is not compared, its status is.
    pub(super) fn is_setup(self) -> bool {
        self.0["setup"] == true
    }

    pub(super) fn response(self) -> &'a Value {
        &self.0["response"]
    }

    pub(super) fn message(self) -> &'a str {
        if self.response()["kind"] == "Status" { self.response()["message"].as_str().unwrap_or("") } else { "" }
    }

    pub(super) fn causes(self) -> &'a [Value] {
        self.response()["details"]["causes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The texts of its `Warning` headers, without code and quotes.
    pub(super) fn warnings(self) -> Vec<&'a str> {
        let header = self.0["headers"].get("warning").unwrap_or(&Value::Null);
        let texts = header.as_array().map_or_else(|| vec![header], |many| many.iter().collect());
        texts.into_iter().filter_map(Value::as_str).map(|w| w.trim_start_matches("299 - ").trim_matches('"')).collect()
    }

    pub(super) fn header(self, name: &str) -> Option<&'a str> {
        self.0["headers"].get(name)?.as_str()
    }

    /// The objects that the answer shows: itself, members of a list, of a watch.
    pub(super) fn objects(self) -> Vec<&'a Value> {
        let mut out = vec![self.response()];
        out.extend(self.response()["items"].as_array().into_iter().flatten());
        out.extend(self.0["events"].as_array().into_iter().flatten().map(|event| &event["object"]));
        out.retain(|object| object["metadata"]["name"].is_string());
        out
    }

    /// Lists that may come in any order in this step, by the name that recordings give them.
    pub(super) fn any_order(self) -> impl Iterator<Item = &'a str> {
        self.0["any_order"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }
}
