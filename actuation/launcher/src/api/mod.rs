//! The HTTP API, to the byte where the peer's clients look.
//!
//! Everything goes through one handler that routes by hand ([`route`]). Every reply carries `dormouse-epoch`, by which
//! clients know a launcher of ours and notice its restart.

mod log;
mod openapi;
mod pyjson;
mod range;
mod replies;
mod route;
mod validate;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query as AxumQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dormouse_runtime::CancellationToken;
use dormouse_runtime::body::{self, BodyError};
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::instance::{State as Instance, Status};
use crate::manager::{CreateError, DeleteError, Manager};
use crate::memory::Memory;
use crate::metrics::{self, Metrics};
use replies::{detail, detail_because, json, problems, refusal};
use route::{Route, Routed};
use validate::Query;

/// Header of every reply: the random name of the launcher process.
pub(crate) const EPOCH: HeaderName = HeaderName::from_static(dormouse_names::header::EPOCH);

/// Time to send a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A place among the streams that may be open at once.
type Stream = watch::Open;

/// What the handler holds.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) manager: Arc<Manager>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Arc<Registry>,
    pub(crate) max_body: usize,
    pub(crate) streams: Arc<Semaphore>,
    /// Cancelled when streams have to end.
    pub(crate) end: CancellationToken,
}

/// The API as a router.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(handle).with_state(api)
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let method = request.method().clone();
    let routed = route::route(method.as_str(), request.uri().path());
    let name = if let Routed::To(route) = &routed { route.name() } else { "none" };
    let mut response = match routed {
        Routed::To(route) => api.answer(route, request).await,
        Routed::NotFound => detail(StatusCode::NOT_FOUND, "Not Found"),
        Routed::NotAllowed(allowed) => {
            let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            response
        }
        Routed::Redirect(path) => redirect(&request, &path),
    };
    if let Ok(epoch) = HeaderValue::from_str(api.manager.epoch()) {
        response.headers_mut().insert(EPOCH, epoch);
    }
    let labels = metrics::Request { method: known(method.as_str()), route: name, code: response.status().as_u16() };
    api.metrics.requests.get_or_create(&labels).inc();
    response
}

/// Methods are the client's to invent; counters are not.
fn known(method: &str) -> String {
    let known = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"].contains(&method);
    if known { method.to_owned() } else { "other".to_owned() }
}

fn redirect(request: &Request, path: &str) -> Response {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).or_else(|| request.uri().host());
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let location = match host {
        Some(host) => format!("http://{host}{path}{query}"),
        None => format!("{path}{query}"),
    };
    match HeaderValue::from_str(&location) {
        Ok(location) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Err(_) => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// The reply to a deletion of everything.
#[derive(Serialize)]
struct AllStopped {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    status: &'static str,
    stopped_instances: Vec<Instance>,
    total_stopped: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<serde_json::Value>,
}

/// The detailed list.
#[derive(Serialize)]
struct Detailed {
    revision: u64,
    total_instances: usize,
    running_instances: usize,
    instances: Vec<Instance>,
}

/// The short list.
#[derive(Serialize)]
struct Short {
    revision: u64,
    instance_ids: Vec<String>,
    count: usize,
}

impl Api {
    async fn answer(&self, route: Route, request: Request) -> Response {
        let query = AxumQuery::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|q| q.0).unwrap_or_default();
        let query = Query::new(query);
        match route {
            Route::Index => json(StatusCode::OK, &openapi::index()),
            Route::Health => json(StatusCode::OK, &json!({"status": "OK"})),
            Route::OpenApi => json(StatusCode::OK, &openapi::document()),
            Route::Docs => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], openapi::page()).into_response(),
            Route::GpuDebug => match self.memory.gpus().await {
                Ok(gpus) => json(StatusCode::OK, &gpus),
                Err(why) => detail(StatusCode::INTERNAL_SERVER_ERROR, &why),
            },
            Route::Metrics => dormouse_runtime::metrics::answer(&self.registry, request.headers()),
            Route::Create => self.create(None, request, &query).await,
            Route::CreateNamed(id) => self.create(Some(id), request, &query).await,
            Route::Get(id) => match self.manager.get(&id) {
                Some(state) => json(StatusCode::OK, &state),
                None => not_found(&id),
            },
            Route::List => self.list(&query),
            Route::Delete(id) => match self.manager.delete(&id).await {
                Ok(state) => json(StatusCode::OK, &state),
                Err(error @ DeleteError::NotFound(_)) => detail(StatusCode::NOT_FOUND, &error.to_string()),
                Err(error @ DeleteError::Failed { .. }) => detail_because(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), "stuck"),
            },
            Route::DeleteAll => self.delete_all().await,
            Route::Log(id) => self.log(&id, request.headers(), &query).await,
            Route::Watch => watch::watch(&self.manager, &query, &self.end, self.stream()),
        }
    }

    fn stream(&self) -> Option<Stream> {
        let permit = Arc::clone(&self.streams).try_acquire_owned().ok()?;
        self.metrics.watchers.inc();
        Some(Stream { gauge: self.metrics.watchers.clone(), _permit: permit })
    }

    async fn create(&self, id: Option<String>, request: Request, query: &Query) -> Response {
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let bytes = match self.body(request).await {
            Ok(bytes) => bytes,
            Err(response) => return *response,
        };
        let config = match (id.as_deref().map(validate::id), validate::body(content_type.as_deref(), &bytes)) {
            (None | Some(Ok(())), Ok(config)) => config,
            (Some(Err(problem)), Err(validate::Refusal::Problems(mut list))) => {
                list.insert(0, problem);
                return problems(list);
            }
            (Some(Err(problem)), Ok(_)) => return problems(vec![problem]),
            (_, Err(refused)) => return refusal(refused),
        };
        let named = id.is_some();
        let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        if query.get("ifExists") == Some("same")
            && let Some(state) = self.manager.same(&id, &config)
        {
            return json(StatusCode::OK, &state);
        }
        match self.manager.create(id, config).await {
            Ok(state) => json(StatusCode::CREATED, &state),
            Err(error) => create_error(&error, named),
        }
    }

    async fn body(&self, request: Request) -> Result<Bytes, Box<Response>> {
        body::read(request.into_body(), self.max_body, BODY_TIME).await.map_err(|error| {
            Box::new(match error {
                BodyError::TooLarge => detail(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large"),
                BodyError::TooSlow => detail(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
                BodyError::Broken => detail(StatusCode::BAD_REQUEST, "There was an error parsing the body"),
            })
        })
    }

    fn list(&self, query: &Query) -> Response {
        let detailed = match query.bool("detail", true) {
            Ok(detailed) => detailed,
            Err(problem) => return problems(vec![problem]),
        };
        let listing = self.manager.list();
        if !detailed {
            let instance_ids: Vec<String> = listing.states.into_iter().map(|s| s.instance_id).collect();
            return json(StatusCode::OK, &Short { revision: listing.revision, count: instance_ids.len(), instance_ids });
        }
        let running_instances = listing.states.iter().filter(|s| s.status == Status::Running).count();
        let total_instances = listing.states.len();
        json(StatusCode::OK, &Detailed { revision: listing.revision, total_instances, running_instances, instances: listing.states })
    }

    async fn delete_all(&self) -> Response {
        let (mut stopped, mut failed) = (Vec::new(), Vec::new());
        for (id, done) in self.manager.delete_all().await {
            match done {
                Ok(state) => stopped.push(state),
                // Somebody else deleted it meanwhile: it is gone, which is what was asked for.
                Err(DeleteError::NotFound(_)) => {}
                Err(error) => failed.push(json!({"instance_id": id, "detail": error.to_string()})),
            }
        }
        let all = failed.is_empty();
        let body = AllStopped {
            detail: (!all).then(|| format!("{} instances could not be stopped", failed.len())),
            status: if all { "all_stopped" } else { "partially_stopped" },
            total_stopped: stopped.len(),
            stopped_instances: stopped,
            failed,
        };
        json(if all { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }, &body)
    }

    async fn log(&self, id: &str, headers: &HeaderMap, query: &Query) -> Response {
        let range = match log::requested(headers) {
            Ok(range) => range,
            Err(response) => return *response,
        };
        let follow = match query.bool("follow", false) {
            Ok(follow) => follow,
            Err(problem) => return problems(vec![problem]),
        };
        let Some((file, gone)) = self.manager.log(id) else { return not_found(id) };
        if follow { log::follow(file, range, gone, self.end.clone(), self.stream()) } else { log::poll(file, range).await }
    }
}

fn not_found(id: &str) -> Response {
    detail(StatusCode::NOT_FOUND, &format!("Instance {id} not found"))
}

fn create_error(error: &CreateError, named: bool) -> Response {
    let text = error.to_string();
    match error {
        CreateError::Exists(_) => detail(StatusCode::CONFLICT, &text),
        CreateError::Gpu(_) => {
            // The peer's two codes for one thing; the reason is ours.
            let status = if named { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR };
            detail_because(status, &text, "unknown_gpu")
        }
        CreateError::Full(_) => detail_because(StatusCode::CONFLICT, &text, "max_instances"),
        CreateError::PortTaken(_) => detail_because(StatusCode::CONFLICT, &text, "port_taken"),
        CreateError::Closing => detail(StatusCode::SERVICE_UNAVAILABLE, &text),
        CreateError::Failed(_) => detail(StatusCode::INTERNAL_SERVER_ERROR, &text),
    }
}
