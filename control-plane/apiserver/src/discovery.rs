//! What the server says about itself: groups, versions and resources, its own version, its health.
//!
//! Everything is computed from the present state of the registry when somebody asks, which is seldom: clients keep what
//! they got and come back with its `ETag`.

mod accept;
mod aggregated;
mod resources;

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method, Response, StatusCode, request::Parts};
use serde_json::{Value, json};

use crate::registry::Snapshot;
use crate::{ApiServer, Body};

/// The version of Kubernetes whose API this is.
pub const VERSION: &str = "v1.37.0";

const HEALTH: [&str; 3] = ["/healthz", "/livez", "/readyz"];
const ISSUER_CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEY_SET: &str = "/openid/v1/jwks";

/// Answers discovery, `/version` and health paths, and 404 with the list of paths for a path that belongs to nobody;
/// `None` for paths of resources, of groups that are not there, and of OpenAPI.
#[must_use]
pub fn respond(server: &ApiServer, request: &Parts) -> Option<Response<Body>> {
    let path = request.uri.path();
    let snapshot = server.registry().snapshot();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let document = match segments.as_slice() {
        ["openapi", ..] => return None,
        ["api"] | ["apis"] => {
            let core = segments == ["api"];
            return Some(root(&snapshot, core, request));
        }
        ["api", version] => resources::list(&snapshot, "", version)?,
        ["apis", group] => resources::group(&snapshot, group)?,
        ["apis", group, version] => resources::list(&snapshot, group, version)?,
        ["api" | "apis", ..] => return None,
        ["version"] => version(),
        [".well-known", "openid-configuration"] => issuer(request),
        ["openid", "v1", "jwks"] => server.auth().token_key()?.jwks(),
        [first, ..] if HEALTH.iter().any(|h| h.trim_start_matches('/') == *first) => return Some(health(path, request)),
        [] => json!({"paths": paths(&snapshot)}),
        _ => return Some(json_response(StatusCode::NOT_FOUND, &json!({"paths": paths(&snapshot)}))),
    };
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Some(text_response(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n".to_owned()));
    }
    Some(json_response(StatusCode::OK, &document))
}

/// `/api` and `/apis`, in the form that the client likes best.
fn root(snapshot: &Snapshot, core: bool, request: &Parts) -> Response<Body> {
    let form = accept::negotiate(&request.headers);
    let document = match form {
        accept::Form::Aggregated(version) => aggregated::list(snapshot, core, version),
        accept::Form::Plain if core => {
            resources::core_versions(request.headers.get("host").and_then(|h| h.to_str().ok()).unwrap_or_default())
        }
        accept::Form::Plain => resources::groups(snapshot),
    };
    let body = document.to_string();
    let etag = format!("\"{}\"", dormouse_machinery::hash::sha256_hex(body.as_bytes()));
    let known = request.headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let (status, body) = if known { (StatusCode::NOT_MODIFIED, String::new()) } else { (StatusCode::OK, body) };
    let mut response = text_response(status, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(VARY, HeaderValue::from_name(ACCEPT));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    response
}

fn version() -> Value {
    let (major, minor) = ("1", "37");
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": "36",
        "gitVersion": VERSION, "gitCommit": concat!("dormouse-", env!("CARGO_PKG_VERSION")), "gitTreeState": "clean",
        "buildDate": "2026-11-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other }),
    })
}

/// The server is healthy when it answers: its state is in memory, and it listens only when everything is in place.
fn health(path: &str, request: &Parts) -> Response<Body> {
    const CHECKS: [&str; 2] = ["ping", "log"];
    let (root, check) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let check = check.trim_end_matches('/');
    if !check.is_empty() && !CHECKS.contains(&check) {
        return text_response(StatusCode::NOT_FOUND, "404 page not found\n".to_owned());
    }
    let verbose = request.uri.query().unwrap_or_default().split('&').any(|p| p == "verbose" || p.starts_with("verbose="));
    if !verbose || !check.is_empty() {
        return text_response(StatusCode::OK, "ok".to_owned());
    }
    let lines: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    text_response(StatusCode::OK, format!("{lines}{root} check passed\n"))
}

/// What outsiders need to check tokens.
fn issuer(request: &Parts) -> Value {
    let host = request.uri.authority().map(ToString::to_string).or_else(|| {
        let header: &HeaderMap = &request.headers;
        Some(header.get("host")?.to_str().ok()?.to_owned())
    });
    json!({
        "issuer": crate::auth::token::ISSUER,
        "jwks_uri": format!("https://{}{KEY_SET}", host.unwrap_or_else(|| "kubernetes.default.svc".to_owned())),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// Every path that has an answer, in order.
fn paths(snapshot: &Snapshot) -> Vec<String> {
    let mut paths: Vec<String> =
        [ISSUER_CONFIGURATION, "/api", "/apis", "/apis/", "/openapi/v2", "/openapi/v3", "/openapi/v3/", KEY_SET, "/version"]
            .iter()
            .chain(&HEALTH)
            .map(ToString::to_string)
            .collect();
    for group in snapshot.groups() {
        let root = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{version}")));
        paths.push(root);
    }
    paths.sort();
    paths.dedup();
    paths
}

fn json_response(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = text_response(status, document.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache, private"));
    response
}
