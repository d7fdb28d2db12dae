//! OpenAPI documents: `/openapi/v3` per group and version, `/openapi/v2` in one piece.
//!
//! A document is made when somebody asks for it and kept compressed until the registry changes, one per path and encoding:
//! a server that nobody asks holds nothing. The address of a v3 document carries a hash of what it is made from, so that
//! clients may keep it for ever.

mod custom;
mod definitions;
mod document;
mod paths;
mod protobuf;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dormouse_machinery::hash::sha256_hex;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Response, StatusCode, request::Parts};
use serde_json::{Map, Value, json};

use crate::registry::{Kind, Snapshot};
use crate::{ApiServer, Body};
use definitions::Form;

const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Documents that were asked for since the registry last changed.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    generation: u64,
    /// By path and encoding; gzip.
    documents: HashMap<String, Document>,
}

#[derive(Debug, Clone)]
struct Document {
    gzip: Bytes,
    etag: Arc<str>,
}

impl Cache {
    /// The document of this name, made by `make` when it is not held for this generation.
    fn get(&self, generation: u64, name: &str, make: impl FnOnce() -> Vec<u8>) -> std::io::Result<Document> {
        {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if held.generation != generation {
                *held = Held { generation, documents: HashMap::new() };
            }
            if let Some(document) = held.documents.get(name) {
                return Ok(document.clone());
            }
        }
        // Made outside the lock: two at once make it twice, and nobody waits for another document.
        let bytes = make();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes)?;
        let document = Document { gzip: encoder.finish()?.into(), etag: format!("\"{}\"", sha256_hex(&bytes)).into() };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.generation == generation {
            held.documents.insert(name.to_owned(), document.clone());
        }
        Ok(document)
    }
}

/// Answers `/openapi/…`; `None` for other paths and for versions that are not there.
#[must_use]
pub fn respond(server: &ApiServer, request: &Parts) -> Option<Response<Body>> {
    let path = request.uri.path().trim_end_matches('/').strip_prefix("/openapi/")?;
    let snapshot = server.registry().snapshot();
    match path.split_once('/') {
        None if path == "v2" => Some(version2(server, &snapshot, request)),
        None if path == "v3" => {
            let document = index(server, &snapshot);
            Some(answer(Ok(document), "application/json", request))
        }
        Some(("v3", of)) => version3(server, &snapshot, of, request),
        _ => None,
    }
}

/// The list of v3 documents.
fn index(server: &ApiServer, snapshot: &Snapshot) -> Document {
    let make = || {
        let mut paths = Map::new();
        for group in snapshot.groups() {
            for version in &group.versions {
                let path = if group.name.is_empty() { format!("api/{version}") } else { format!("apis/{}/{version}", group.name) };
                let hash = fingerprint(server, &rows(snapshot, &group.name, version));
                paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
            }
        }
        json!({"paths": paths}).to_string().into_bytes()
    };
    server.openapi().get(snapshot.generation, "v3", make).unwrap_or_else(|_| Document { gzip: Bytes::new(), etag: "".into() })
}

/// Changes whenever the document of these rows would.
fn fingerprint(server: &ApiServer, rows: &[&Kind]) -> String {
    let mut text = format!("{} {}", env!("CARGO_PKG_VERSION"), crate::discovery::VERSION);
    for row in rows {
        text.push_str(&format!("\n{row:?} {} {} {} {:?} {:?}", row.plural, row.list_kind, row.namespaced, row.verbs, row.subresources));
        if row.custom {
            text.push_str(&schema_of(server, row).unwrap_or_default().to_string());
        }
    }
    sha256_hex(text.as_bytes())
}

/// The structural schema of a custom resource, from its definition.
fn schema_of(server: &ApiServer, row: &Kind) -> Option<Value> {
    let name = format!("{}.{}", row.plural, row.group);
    let mut definition = crate::auth::object(server, "customresourcedefinitions.apiextensions.k8s.io", "", &name)?;
    let versions = definition.pointer_mut("/spec/versions")?.as_array_mut()?;
    let version = versions.iter_mut().find(|v| v["name"] == *row.version)?;
    Some(version.pointer_mut("/schema/openAPIV3Schema")?.take())
}

fn rows<'a>(snapshot: &'a Snapshot, group: &'a str, version: &'a str) -> Vec<&'a Kind> {
    snapshot.rows(group, version).map(|k| &**k).collect()
}

fn version3(server: &ApiServer, snapshot: &Snapshot, of: &str, request: &Parts) -> Option<Response<Body>> {
    let (group, version) = match of.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => ("", (*version).to_owned()),
        ["apis", group, version] => (*group, (*version).to_owned()),
        _ => return None,
    };
    let rows = rows(snapshot, group, &version);
    if rows.is_empty() {
        return None;
    }
    let make = || document::build(Form::V3, &rows, |row| schema_of(server, row)).into_bytes();
    let document = server.openapi().get(snapshot.generation, &format!("v3/{of}"), make);
    let mut response = answer(document, "application/json", request);
    // The address names the content: it never changes.
    if request.uri.query().is_some_and(|q| q.split('&').any(|p| p.starts_with("hash="))) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    }
    Some(response)
}

fn version2(server: &ApiServer, snapshot: &Snapshot, request: &Parts) -> Response<Body> {
    let rows: Vec<&Kind> = snapshot.all().iter().map(|k| &**k).collect();
    let make = || document::build(Form::V2, &rows, |row| schema_of(server, row));
    let (name, content_type) = match wants_protobuf(request) {
        Some(true) => ("v2.pb", PROTOBUF_V2),
        Some(false) => ("v2", "application/json"),
        None => {
            let error = crate::ApiError::not_acceptable(&["application/json", PROTOBUF_V2]);
            return plain(StatusCode::NOT_ACCEPTABLE, error.to_value().to_string().into(), "application/json");
        }
    };
    let document = server.openapi().get(snapshot.generation, name, || {
        let text = make();
        if name == "v2" {
            return text.into_bytes();
        }
        protobuf::document(&serde_json::from_str(&text).unwrap_or_default())
    });
    answer(document, content_type, request)
}

/// Whether the client prefers the protobuf form; `None` when it takes neither.
fn wants_protobuf(request: &Parts) -> Option<bool> {
    let Some(accept) = request.headers.get(ACCEPT).and_then(|a| a.to_str().ok()) else { return Some(false) };
    accept.split(',').find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
        "application/json" | "*/*" | "application/*" => Some(false),
        // The name was once written with an at sign, which is no legal character there.
        PROTOBUF_V2 | "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" => Some(true),
        _ => None,
    })
}

fn answer(document: std::io::Result<Document>, content_type: &'static str, request: &Parts) -> Response<Body> {
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            let error = crate::ApiError::internal(error);
            return plain(error.code, error.to_value().to_string().into(), "application/json");
        }
    };
    let headers = &request.headers;
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == document.etag.as_bytes());
    let gzip = headers.get(ACCEPT_ENCODING).and_then(|e| e.to_str().ok()).is_some_and(|e| e.contains("gzip"));
    let mut response = if known {
        plain(StatusCode::NOT_MODIFIED, Bytes::new(), content_type)
    } else if gzip {
        let mut response = plain(StatusCode::OK, document.gzip.clone(), content_type);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let mut bytes = Vec::new();
        match GzDecoder::new(&document.gzip[..]).read_to_end(&mut bytes) {
            Ok(_) => plain(StatusCode::OK, bytes.into(), content_type),
            Err(error) => return answer(Err(error), content_type, request),
        }
    };
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

fn plain(status: StatusCode, body: Bytes, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
