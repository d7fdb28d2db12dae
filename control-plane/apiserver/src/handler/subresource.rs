//! What hangs below an object: status, scale, finalize, binding, eviction, log, token.

mod log;
mod pod;
mod scale;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::object::meta_str;
use crate::registry::Verb;
use crate::{ApiError, Body};

use super::update::{Next, Part, transact};
use super::{Call, codec, create, get, not_allowed, patch, respond, update};

pub(crate) async fn dispatch(call: &mut Call, method: &Method, body: &Bytes) -> Result<Response<Body>, ApiError> {
    let name = call.info.subresource.clone();
    let Some(subresource) = call.kind.subresource(&name).cloned() else {
        // A custom resource blames the object, a built-in one the path.
        return Err(if call.kind.custom { call.not_found() } else { ApiError::no_such_resource() });
    };
    let verb = match *method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::POST => Verb::Create,
        _ => return Err(not_allowed()),
    };
    if !subresource.verbs.contains(&verb) {
        return Err(not_allowed());
    }
    if (name.as_str(), verb) == ("log", Verb::Get) {
        return log::log(call).await;
    }
    match (name.as_str(), verb) {
        ("status", Verb::Get) => get(call),
        ("status", Verb::Update) => update::put(call, body, Some("status")),
        ("status", Verb::Patch) => patch::patch(call, body, Some("status")),
        ("scale", Verb::Get) => scale::get(call),
        ("scale", Verb::Update) => scale::put(call, body),
        ("scale", Verb::Patch) => scale::patch(call, body),
        ("finalize", Verb::Update) => finalize(call, body),
        ("binding", Verb::Create) => pod::bind(call, body),
        ("eviction", Verb::Create) => pod::evict(call, body),
        ("token", Verb::Create) => token(call, body),
        _ => Err(not_allowed()),
    }
}

/// The namespace controller says that the content is gone.
fn finalize(call: &mut Call, body: &Bytes) -> Result<Response<Body>, ApiError> {
    let (dry_run, validation) = call.params.write_options("UpdateOptions")?;
    let content_type = call.content_type.clone();
    let wanted = codec::decode(&call.kind, &content_type, body, validation, &mut call.warnings)?;
    if meta_str(&wanted, "name") != call.info.name {
        return Err(create::name_mismatch(meta_str(&wanted, "name"), &call.info.name));
    }
    let outcome = transact(call, dry_run, Part::Whole, |call, old, stored| {
        update::check_version(call, &wanted, stored)?;
        let mut new = old.clone();
        match wanted.get("spec") {
            Some(spec) => drop(new.insert("spec".to_owned(), spec.clone())),
            None => drop(new.remove("spec")),
        }
        Ok(Next::Write(new))
    })?;
    respond::object(call, StatusCode::OK, outcome.bytes)
}

fn token(call: &mut Call, body: &Bytes) -> Result<Response<Body>, ApiError> {
    let request = codec::foreign(call, body, "authentication.k8s.io/v1", "TokenRequest")?;
    let answer = crate::auth::tokens::request(&call.server, &call.namespace, &call.info.name, Value::Object(request))?;
    Ok(respond::value(call.accept, StatusCode::CREATED, &answer))
}

/// The answer of a subresource that has nothing to show.
fn done(call: &Call) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    respond::value(call.accept, StatusCode::CREATED, &status)
}
