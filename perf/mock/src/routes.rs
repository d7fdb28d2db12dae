//! What is at which path, and the answers that need no engine.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::answer::error;
use crate::args::Endpoint;
use crate::head::{Framing, JSON, Top};
use crate::job::Knobs;
use crate::request::{Head, Method};
use crate::stats::Stats;

/// Where a redirect leads: the same paths, without further redirects.
pub(crate) const REDIRECTED: &str = "/redirected";

/// The endpoint of a path, whatever stands before it: URLs have bases.
pub(crate) fn endpoint(path: &str) -> Option<Endpoint> {
    // `/chat/completions` ends with `/completions` too, and comes first.
    Endpoint::ALL.into_iter().find(|endpoint| path.ends_with(endpoint.path()))
}

/// What is said at once.
#[derive(Debug)]
pub(crate) struct Plain {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    more: &'static str,
}

impl Plain {
    pub(crate) fn error(endpoint: Option<Endpoint>, status: u16, message: &str) -> Self {
        let mut body = Vec::new();
        error(endpoint.unwrap_or(Endpoint::Chat), status, message, &mut body);
        Self { status, content_type: JSON, body, more: if status == 405 { "allow: GET, HEAD, POST\r\n" } else { "" } }
    }

    fn json(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: JSON, body, more: "" }
    }

    fn text(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type, body: body.into(), more: "" }
    }

    /// Appends the answer's bytes; what answers HEAD has no body, but its length.
    pub(crate) fn push(&self, head_only: bool, close: bool, version10: bool, out: &mut Vec<u8>) {
        let framing = Framing::Length(self.body.len());
        Top { status: self.status, version10, content_type: Some(self.content_type), framing, close, more: self.more }.push(out);
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The answer to what is no request to an endpoint.
pub(crate) fn plain(head: &Head, knobs: &Knobs, stats: &Stats) -> Plain {
    let path = head.path.as_str();
    match head.method {
        Method::Get | Method::Head => match path {
            "/" | "/health" | "/ping" | "/v1/health/ready" => Plain::text("text/plain; charset=utf-8", "ok\n"),
            "/stats" => Plain::json(stats.json(rows(&head.query))),
            "/metrics" => Plain::text("text/plain; version=0.0.4; charset=utf-8", stats.prometheus()),
            _ if path.ends_with("/models") => Plain::json(models(knobs, stats)),
            _ if endpoint(path).is_some() => refused(stats, 405, "only POST is served here"),
            _ => refused(stats, 404, "nothing is here"),
        },
        Method::Post if path == "/stats/reset" => {
            stats.reset();
            Plain::json(b"{\"reset\":true}".to_vec())
        }
        Method::Post => refused(stats, 404, "nothing is here, or --endpoints leaves it out"),
        Method::Other => refused(stats, 405, "only GET, HEAD and POST are served"),
    }
}

fn refused(stats: &Stats, status: u16, message: &str) -> Plain {
    stats.refused.fetch_add(1, Ordering::Relaxed);
    Plain::error(None, status, message)
}

/// How many requests `/stats?requests=N` is to list.
fn rows(query: &str) -> usize {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("requests="));
    value.map_or(0, |value| if value == "all" { usize::MAX } else { value.parse().unwrap_or(0) })
}

fn models(knobs: &Knobs, stats: &Stats) -> Vec<u8> {
    let any = ["mock-model".to_owned()];
    let names = if knobs.models.is_empty() { &any[..] } else { &knobs.models };
    let created = stats.clock.wall(0) / 1_000_000_000;
    let list: Vec<_> =
        names.iter().map(|name| json!({"id": name, "object": "model", "created": created, "owned_by": "dormouse"})).collect();
    json!({"object": "list", "data": list}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_behind_any_base() {
        for (path, found) in [
            ("/v1/chat/completions", Some(Endpoint::Chat)),
            ("/v1/completions", Some(Endpoint::Completions)),
            ("/x/y/v1/embeddings", Some(Endpoint::Embeddings)),
            ("/redirected/v1/messages", Some(Endpoint::Messages)),
            ("/responses", Some(Endpoint::Responses)),
            ("/v1/completions/", None),
            ("/stats/reset", None),
        ] {
            assert_eq!(endpoint(path), found, "{path}");
        }
        assert_eq!((rows(""), rows("requests=5"), rows("a=b&requests=all"), rows("requests=x")), (0, 5, usize::MAX, 0));
    }
}
