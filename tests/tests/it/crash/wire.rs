//! Everything between a controller and the world: a mirror of the API server, and of all Pods.
//!
//! The controller reaches the API server through this, over plain HTTP with its own token. In what it reads, addresses
//! of the plane's network are exchanged for those of another one, where each Pod's ports are served again; so its calls
//! to launchers, engines and stubs come through here too. Nothing of the plane knows of this, and nothing in it is
//! made for tests. Each request passes the [`Fuse`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dormouse_plane::NetClaim;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use super::fuse::{Fate, Fuse};

/// Ports that Pods of the stories listen on: engines, launcher, stub.
const PORTS: [u16; 5] = [8000, 8001, 8005, 8006, 8081];
/// More than any body here.
const BODY: usize = 16 << 20;
/// Headers of a request and of an answer that mean something to the other side.
const HEADERS: [&str; 5] = ["accept", "authorization", "content-type", "user-agent", "dormouse-relays-unready"];

/// See the module.
pub(crate) struct Wire {
    shared: Arc<Shared>,
    address: String,
    runtime: Option<Runtime>,
    _network: NetClaim,
}

struct Shared {
    fuse: Arc<Fuse>,
    http: reqwest::Client,
    /// How addresses begin: the plane's, the mirror's.
    real: String,
    mirror: String,
    served: Mutex<BTreeMap<Ipv4Addr, Vec<AbortHandle>>>,
}

/// Where requests to one listener go.
#[derive(Clone)]
struct Target {
    shared: Arc<Shared>,
    base: String,
}

impl Wire {
    /// A mirror of the API server that `kubeconfig` names, and of the Pods in its plane's network `127.<number>.0.0/16`.
    pub(crate) fn new(kubeconfig: &Path, number: u8, fuse: Arc<Fuse>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let network = NetClaim::take().unwrap();
        let file = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
        let config = runtime.block_on(kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())).unwrap();
        let mut http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5));
        for authority in config.root_cert.unwrap_or_default() {
            http = http.add_root_certificate(reqwest::Certificate::from_der(&authority).unwrap());
        }
        let shared = Arc::new(Shared {
            fuse,
            http: http.build().unwrap(),
            real: format!("127.{number}."),
            mirror: format!("127.{}.", network.number()),
            served: Mutex::default(),
        });
        let base = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(listener, Target { shared: Arc::clone(&shared), base }));
        Self { shared, address, runtime: Some(runtime), _network: network }
    }

    /// URL of the API server's mirror.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Forgets Pods that are gone; these are there.
    pub(crate) fn keep_only(&self, addresses: &BTreeSet<Ipv4Addr>) {
        let mut served = self.shared.served.lock().unwrap();
        for (_, listeners) in served.extract_if(.., |address, _| !addresses.contains(address)) {
            listeners.iter().for_each(AbortHandle::abort);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Boxed: what is served may serve more.
fn serve(listener: TcpListener, target: Target) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let app = Router::new().fallback(pass).with_state(target);
    Box::pin(async move { axum::serve(listener, app).await.expect("the mirror serves") })
}

/// Passes one request on, as the fuse lets it.
async fn pass(State(target): State<Target>, request: Request) -> Response {
    // A server goes on when its client leaves, and so does this.
    tokio::spawn(async move { answer(&target, request).await }).await.expect("the mirror does not panic")
}

async fn answer(target: &Target, request: Request) -> Response {
    let (shared, (parts, body)) = (&target.shared, request.into_parts());
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let effect = parts.method != Method::GET;
    let short = target.base.rsplit_once("//").map_or("", |(_, host)| host);
    let what = format!("{} {short}{path}", parts.method);
    // Whoever was killed while it sent has not sent it.
    let Ok(body) = to_bytes(body, BODY).await else { return StatusCode::BAD_REQUEST.into_response() };
    let body = exchange(&body, &shared.mirror, &shared.real);
    let fate = shared.fuse.enter(effect, &what);
    if fate == Fate::Lost {
        return std::future::pending().await;
    }
    let sent = shared.http.request(parts.method, format!("{}{path}", target.base)).headers(known(&parts.headers)).body(body);
    let response = match sent.send().await {
        Ok(response) => response,
        Err(error) => {
            let heard = !effect || shared.fuse.leave(fate, &what, "unanswered");
            // As a connection that is refused: it was not done.
            return if heard { (StatusCode::BAD_GATEWAY, format!("{error:?}")).into_response() } else { std::future::pending().await };
        }
    };
    let (status, headers) = (response.status(), known(response.headers()));
    let body = if effect {
        let whole = response.bytes().await.unwrap_or_default();
        if !shared.fuse.leave(fate, &what, status.as_str()) {
            return std::future::pending().await;
        }
        Body::from(shared.show(&whole).await)
    } else {
        stream(Arc::clone(shared), response)
    };
    (status, headers, body).into_response()
}

/// An answer as it comes, in whole lines: events of a watch are lines, and no address is broken over two of them.
fn stream(shared: Arc<Shared>, mut response: reqwest::Response) -> Body {
    let (lines, shown) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(64);
    tokio::spawn(async move {
        let mut rest = Vec::new();
        loop {
            let chunk = tokio::select! {
                chunk = response.chunk() => chunk.ok().flatten(),
                () = lines.closed() => None,
            };
            let end = chunk.is_none();
            rest.extend_from_slice(&chunk.unwrap_or_default());
            let whole = if end { rest.len() } else { rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
            let ready: Vec<u8> = rest.drain(..whole).collect();
            if !ready.is_empty() && lines.send(Ok(shared.show(&ready).await.into())).await.is_err() || end {
                return;
            }
        }
    });
    Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(shown))
}

fn known(headers: &HeaderMap) -> HeaderMap {
    HEADERS.iter().filter_map(|name| Some((name.parse().ok()?, headers.get(*name)?.clone()))).collect()
}

/// `text` with `to` for each `from`.
fn exchange(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    // All that comes through here is UTF-8.
    String::from_utf8_lossy(text).replace(from, to).into_bytes()
}

impl Shared {
    /// What the controller gets to see of an answer; Pods in it are served before it knows of them.
    async fn show(self: &Arc<Self>, text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text);
        for (at, _) in text.match_indices(&self.real) {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            if let Ok(address) = rest[..end].parse::<Ipv4Addr>() {
                self.mirror(address).await;
            }
        }
        text.replace(&self.real, &self.mirror).into_bytes()
    }

    /// Serves the ports of a Pod again.
    async fn mirror(self: &Arc<Self>, address: Ipv4Addr) {
        if self.served.lock().unwrap().contains_key(&address) {
            return;
        }
        let shown: Ipv4Addr = address.to_string().replace(&self.real, &self.mirror).parse().unwrap();
        let mut bound = Vec::new();
        for port in PORTS {
            // Another answer may be at the same Pod at this moment, and have it.
            if let Ok(listener) = TcpListener::bind((shown, port)).await {
                let target = Target { shared: Arc::clone(self), base: format!("http://{address}:{port}") };
                bound.push(tokio::spawn(serve(listener, target)).abort_handle());
            }
        }
        self.served.lock().unwrap().entry(address).or_default().extend(bound);
    }
}
