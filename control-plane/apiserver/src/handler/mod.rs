//! The one generic handler: what each verb does, for every row of the registry alike.
//!
//! [`handle`] reads the request line, asks the authoriser, finds the row and hands a [`Call`] to the verb, or to the
//! subresource's [`Handler`]. Everything but reading the body, following a watch and what a
//! subresource waits for is synchronous and short: the store is in memory. A verb answers with a response or an [`ApiError`]; warnings gather in the call.

pub(crate) mod codec;
mod create;
mod delete;
mod list;
mod negotiate;
mod params;
mod patch;
pub(crate) mod respond;
mod select;
mod update;
mod watch;

pub(crate) use create::{generate as generate_name, name_mismatch};
pub(crate) use delete::{DeleteOptions, remove};
pub(crate) use patch::{Patch, patch};
pub(crate) use update::{Next, Part, check_uid, check_version, put, transact};

use std::sync::Arc;

use bytes::Bytes;
use dormouse_store::{Stored, Table, key};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::parse_bytes as object_from;
use crate::registry::{Cx, Handler, Kind, Object, Verb};
use crate::status::ApiError;
use crate::{ApiServer, Body, Profile, RequestInfo, User};
use negotiate::Accept;
use params::Params;

/// One request for a resource, understood.
pub struct Call {
    /// The server.
    pub server: ApiServer,
    /// The row of the resource.
    pub kind: Arc<Kind>,
    /// What is asked.
    pub info: RequestInfo,
    /// Who asks, and may.
    pub user: User,
    /// The time of the request.
    pub now: Timestamp,
    /// Namespace of the objects; empty for cluster-scoped kinds and across namespaces.
    pub namespace: String,
    /// Method, query, headers, and in the extensions what the transport has left.
    pub parts: Parts,
    /// The whole body.
    pub body: Bytes,
    /// What the client is told beside the answer.
    pub warnings: Vec<String>,
    pub(crate) table: Arc<Table>,
    pub(crate) params: Params,
    pub(crate) accept: Accept,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Call {
    /// The named object in the version of the row.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub fn object(&self) -> Result<Object, ApiError> {
        shown_object(&self.kind, self.stored()?.bytes())
    }

    /// A JSON value in the encoding that the client accepts.
    #[must_use]
    pub fn answer(&self, status: StatusCode, value: &Value) -> Response<Body> {
        respond::value(self.accept, status, value)
    }

    /// The answer when something was done and there is nothing to show.
    pub(crate) fn created(&self) -> Response<Body> {
        self.answer(StatusCode::CREATED, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }

    /// The header that says what the body is.
    pub(crate) fn content_type(&self) -> &str {
        header(&self.parts, &CONTENT_TYPE).unwrap_or("")
    }

    /// What strategies may know of the request.
    pub(crate) fn cx(&self, dry_run: bool) -> Cx<'_> {
        Cx { server: &self.server, user: &self.user, kind: &self.kind, namespace: &self.namespace, now: self.now, dry_run }
    }

    /// The key of the named object.
    pub(crate) fn key(&self) -> String {
        key(&self.namespace, &self.info.name)
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind.group, &self.kind.plural, &self.info.name)
    }

    /// The named object as it is stored.
    pub(crate) fn stored(&self) -> Result<Arc<Stored>, ApiError> {
        self.table.get(&self.key()).ok_or_else(|| self.not_found())
    }

    /// Stored bytes in the version of the row.
    pub(crate) fn shown(&self, bytes: Bytes) -> Result<Bytes, ApiError> {
        shown(&self.kind, bytes)
    }
}

/// Stored bytes in the version of the row.
pub(crate) fn shown(kind: &Kind, bytes: Bytes) -> Result<Bytes, ApiError> {
    if !kind.strategy.converts() {
        return Ok(bytes);
    }
    let object = shown_object(kind, &bytes)?;
    serde_json::to_vec(&object).map(Bytes::from).map_err(ApiError::internal)
}

/// A stored object in the version of the row.
pub(crate) fn shown_object(kind: &Kind, bytes: &[u8]) -> Result<Object, ApiError> {
    let mut object = object_from(bytes)?;
    if kind.strategy.converts() {
        kind.strategy.to_row(&mut object);
    }
    Ok(object)
}

pub(crate) async fn handle(server: &ApiServer, request: Request<Body>, user: User) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or(""));
    tracing::trace!(verb = %info.verb, path = %info.path, user = %user.name, "request");
    let head = parts.method == Method::HEAD;
    let mut response = match answer(server, parts, body, user, info).await {
        Ok(response) => response,
        Err(error) => respond::error(&error),
    };
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

async fn answer(server: &ApiServer, parts: Parts, body: Body, user: User, info: RequestInfo) -> Result<Response<Body>, ApiError> {
    let routed = route(server, parts, user, info);
    // Read even when the answer is known: HTTP/2 counts bodies that nobody reads, and ends the connection.
    let body = collect(server.options().max_body, body).await;
    let mut call = match routed? {
        Routed::Call(call) => call,
        Routed::Answer(response) => return Ok(response),
    };
    call.body = body?;
    let mut response = dispatch(&mut call).await?;
    respond::warn(&mut response, &call.warnings);
    Ok(response)
}

/// Where the request line leads.
enum Routed {
    /// To a resource.
    Call(Box<Call>),
    /// Nowhere else: this is the answer.
    Answer(Response<Body>),
}

fn route(server: &ApiServer, parts: Parts, user: User, info: RequestInfo) -> Result<Routed, ApiError> {
    let nowhere = || Ok(Routed::Answer(respond::page_not_found()));
    if server.profile() == Profile::Full {
        crate::auth::authorize(server, &user, &info)?;
    }
    if !info.is_resource {
        let found = crate::discovery::respond(server, &parts).or_else(|| crate::openapi::respond(server, &parts));
        return Ok(Routed::Answer(found.unwrap_or_else(respond::page_not_found)));
    }
    let snapshot = server.registry().snapshot();
    let Some(kind) = snapshot.get(&info.group, &info.version, &info.resource) else { return nowhere() };
    let about_itself = !kind.namespaced && info.resource == "namespaces";
    if !kind.namespaced && !info.namespace.is_empty() && !about_itself {
        return nowhere();
    }
    let namespace = if kind.namespaced { info.namespace.clone() } else { String::new() };
    let across = kind.namespaced && namespace.is_empty();
    if across && !kind.is_virtual {
        if !info.name.is_empty() && !matches!(info.verb.as_str(), "list" | "watch") {
            return nowhere();
        }
        if !matches!(info.verb.as_str(), "list" | "watch") {
            return Err(not_allowed());
        }
    }
    let params = Params::parse(parts.uri.query().unwrap_or(""));
    let single = info.verb != "list" && info.verb != "deletecollection";
    let accept = Accept::negotiate(header(&parts, &ACCEPT), &params, single)?;
    Ok(Routed::Call(Box::new(Call {
        table: server.store().table(&kind.storage),
        kind: Arc::clone(kind),
        parts,
        body: Bytes::new(),
        server: server.clone(),
        now: server.now(),
        warnings: Vec::new(),
        info,
        params,
        accept,
        user,
        namespace,
    })))
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|v| v.to_str().ok())
}

async fn dispatch(call: &mut Call) -> Result<Response<Body>, ApiError> {
    if !call.info.subresource.is_empty() {
        let (handler, verb) = subresource(call)?;
        return handler.handle(call, verb).await;
    }
    let Some(verb) = verb(&call.info.verb).filter(|v| call.kind.can(*v)) else { return Err(not_allowed()) };
    if call.info.name.is_empty() && matches!(verb, Verb::Update | Verb::Patch) {
        return Err(ApiError::bad_request("name must be provided"));
    }
    match verb {
        Verb::Get => get(call),
        Verb::List => list::list(call),
        Verb::Watch => watch::watch(call),
        Verb::Create => create::create(call),
        Verb::Update => put(call, Part::Main),
        Verb::Patch => patch(call, Part::Main),
        Verb::Delete => delete::delete(call),
        Verb::DeleteCollection => delete::delete_collection(call),
    }
}

/// Who answers for the subresource, and what it is asked.
fn subresource(call: &Call) -> Result<(Arc<dyn Handler>, Verb), ApiError> {
    let Some(subresource) = call.kind.subresource(&call.info.subresource) else {
        // A custom resource blames the object, a built-in one the path.
        return Err(if call.kind.custom { call.not_found() } else { ApiError::no_such_resource() });
    };
    let verb = match call.parts.method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::POST => Verb::Create,
        _ => return Err(not_allowed()),
    };
    if subresource.verbs.contains(&verb) { Ok((Arc::clone(&subresource.handler), verb)) } else { Err(not_allowed()) }
}

fn verb(name: &str) -> Option<Verb> {
    Verb::ALL.iter().copied().find(|v| v.as_str() == name)
}

/// 405 as the router of a real server words it.
pub(crate) fn not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        .with_details(crate::status::Details::default())
}

pub(crate) fn get(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let stored = call.stored()?;
    let bytes = call.shown(stored.bytes().clone())?;
    respond::object(call, StatusCode::OK, bytes)
}

/// The whole body, when it is not too large.
async fn collect(limit: usize, body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limit)),
        Err(error) => Err(ApiError::bad_request(format!("the body of the request could not be read: {error}"))),
    }
}
