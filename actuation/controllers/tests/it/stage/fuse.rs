//! The fuse: counts what controllers do to the world, and can end them at the n-th effect.
//!
//! An effect is a write to the API server, or a call other than GET to an engine, a launcher or a stub. When the
//! fuse blows *before* an effect, it does not happen; *after*, it happens and its answer is never seen; *during*,
//! it goes on while the controller is already dead. From then on nothing of that controller happens any more, until
//! the test has dropped it and calls [`Fuse::renew`].

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dormouse_apiserver::{ApiServer, User};
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::Instant;

/// On which side of the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    During,
    After,
}

#[derive(Default)]
struct State {
    effects: usize,
    armed: Option<(usize, When)>,
    blown: bool,
    log: Vec<String>,
}

/// See the module.
pub(crate) struct Fuse {
    begun: Instant,
    state: Mutex<State>,
    blown: watch::Sender<bool>,
    activity: watch::Sender<Instant>,
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            state: Mutex::default(),
            blown: watch::Sender::new(false),
            activity: watch::Sender::new(Instant::now()),
        }
    }
}

impl Fuse {
    /// Blow at the n-th effect from now, counted from 1.
    pub(crate) fn arm(&self, n: usize, when: When) {
        let mut s = self.state.lock().unwrap();
        s.effects = 0;
        s.armed = Some((n, when));
        drop(s);
        self.mark(&format!("armed: {when:?} effect {n}"));
    }

    /// The controller that blew it is gone; let the next one work. Disarms.
    pub(crate) fn renew(&self) {
        let mut s = self.state.lock().unwrap();
        (s.blown, s.armed) = (false, None);
        drop(s);
        self.mark("renewed");
        self.blown.send_replace(false);
    }

    /// Waits until it has blown.
    pub(crate) async fn blew(&self) {
        let _ = self.blown.subscribe().wait_for(|b| *b).await;
    }

    pub(crate) fn is_blown(&self) -> bool {
        self.state.lock().unwrap().blown
    }

    /// Empties the log.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().log.clear();
    }

    pub(crate) fn mark(&self, what: &str) {
        self.state.lock().unwrap().log.push(format!("{:8.3} -- {what}", self.begun.elapsed().as_secs_f64() * 1e3));
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// Effects since the last [`Fuse::arm`] (or ever).
    pub(crate) fn effects(&self) -> usize {
        self.state.lock().unwrap().effects
    }

    /// Waits until nothing was asked for so long.
    pub(crate) async fn quiet(&self, pause: Duration) {
        let mut activity = self.activity.subscribe();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            activity.borrow_and_update();
            if tokio::time::timeout(pause, activity.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until something was asked for, or a moment.
    pub(crate) async fn acted(&self) {
        let mut activity = self.activity.subscribe();
        let _ = tokio::time::timeout(Duration::from_millis(20), activity.changed()).await;
    }

    fn blow(&self) {
        self.state.lock().unwrap().blown = true;
        self.blown.send_replace(true);
    }

    /// Passes a request on as the fuse allows; `None`: it is never answered.
    async fn pass<T: Send + 'static>(&self, what: String, effect: bool, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.activity.send_replace(Instant::now());
        let when = {
            let mut s = self.state.lock().unwrap();
            if s.blown {
                return None;
            }
            if effect {
                s.effects += 1;
                let line = format!("{:8.3} {:3} {what}", self.begun.elapsed().as_secs_f64() * 1e3, s.effects);
                s.log.push(line);
            } else if !what.is_empty() {
                s.log.push(format!("{:8.3}     {what}", self.begun.elapsed().as_secs_f64() * 1e3));
            }
            s.armed.filter(|(n, _)| effect && *n == s.effects).map(|(_, when)| when)
        };
        match when {
            None => {
                let answer = work.await;
                self.activity.send_replace(Instant::now());
                // The dead hear nothing.
                (!self.is_blown()).then_some(answer)
            }
            Some(When::Before) => {
                self.blow();
                None
            }
            Some(When::During) => {
                tokio::spawn(work);
                self.blow();
                None
            }
            Some(When::After) => {
                work.await;
                self.blow();
                None
            }
        }
    }

    /// A call to a stub; the work goes on when the caller leaves, as in a real server.
    pub(crate) async fn call(
        self: &Arc<Self>,
        what: String,
        effect: bool,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let fuse = Arc::clone(self);
        let answer = tokio::spawn(async move { fuse.pass(what, effect, work).await }).await.ok().flatten();
        match answer {
            Some(answer) => answer,
            None => {
                // Whoever asked is being killed; this ends when it is gone.
                let _ = self.blown.subscribe().wait_for(|blown| !*blown).await;
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    }
}

/// The API server for those whose requests pass the fuse.
#[derive(Clone)]
pub(crate) struct Fused {
    server: ApiServer,
    fuse: Arc<Fuse>,
}

impl Fused {
    pub(crate) fn new(server: ApiServer, fuse: Arc<Fuse>) -> Self {
        Self { server, fuse }
    }
}

impl tower::Service<http::Request<Body>> for Fused {
    type Response = http::Response<dormouse_apiserver::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let effect = request.method() != http::Method::GET;
        let what = if effect { format!("{} {}", request.method(), request.uri().path()) } else { String::new() };
        let fuse = Arc::clone(&self.fuse);
        let server = self.server.clone();
        let work = async move { server.handle(request.map(dormouse_apiserver::Body::new), User::admin()).await };
        async move {
            match fuse.pass(what, effect, work).await {
                Some(answer) => Ok(answer),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}
