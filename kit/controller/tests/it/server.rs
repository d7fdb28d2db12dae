//! An API server that notes who asks for what, and can be deaf to someone's renewals; in process or on a loopback socket.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use dormouse_apiserver::{ApiServer, Body, Options, User};
use http::{Request, Response, StatusCode};
use kube::Client;
use kube::config::Config;

/// Who calls, in the header that tests give their clients.
const WHO: &str = "user-agent";

#[derive(Clone)]
pub(crate) struct Server {
    api: ApiServer,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    deaf_to: Arc<Mutex<Option<String>>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { api: ApiServer::new(Options::default()), seen: Arc::default(), deaf_to: Arc::default() }
    }

    /// A client of whom nothing is noted.
    pub(crate) fn admin(&self) -> Client {
        self.api.client()
    }

    /// A client in process, called `who`.
    pub(crate) fn client(&self, who: &'static str) -> Client {
        dormouse_runtime::tls::install_provider();
        let server = self.clone();
        let call = move |mut request: Request<kube::client::Body>| {
            request.headers_mut().insert(WHO, http::HeaderValue::from_static(who));
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request.map(Body::new)).await) }
        };
        Client::new(tower::service_fn(call), "default")
    }

    /// Listens on the loopback address.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        let app = Router::new().fallback(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        tokio::spawn(dormouse_runtime::serve::serve(listener, app, Default::default(), Default::default()));
        address
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let who = request.headers().get(WHO).map_or("", |v| v.to_str().unwrap()).to_owned();
        let call = format!("{} {}", request.method(), request.uri());
        let deaf = self.deaf_to.lock().unwrap().as_ref() == Some(&who) && call.contains("/leases");
        self.seen.lock().unwrap().push((who, call));
        if deaf {
            return Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty()).unwrap();
        }
        self.api.handle(request, User::admin()).await
    }

    /// From now on the renewals of `who` fail.
    pub(crate) fn turn_deaf_to(&self, who: &str) {
        *self.deaf_to.lock().unwrap() = Some(who.to_owned());
    }

    /// What `who` has asked for so far.
    pub(crate) fn calls(&self, who: &str) -> Vec<String> {
        self.seen.lock().unwrap().iter().filter(|(w, _)| w == who).map(|(_, call)| call.clone()).collect()
    }

    /// Of these what changes something, leases apart.
    pub(crate) fn writes(&self, who: &str) -> Vec<String> {
        self.calls(who).into_iter().filter(|call| !call.starts_with("GET") && !call.contains("/leases")).collect()
    }
}

/// A client over a socket, called `who`.
pub(crate) fn over(address: &str, who: &'static str) -> Client {
    dormouse_runtime::tls::install_provider();
    let mut config = Config::new(format!("http://{address}").parse().unwrap());
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(who)));
    config.try_into().unwrap()
}

/// Waits until it holds; only the test looks now and then.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}
