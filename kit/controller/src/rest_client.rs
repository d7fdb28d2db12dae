//! `rest_client_*`: what is asked of the API server, counted under client-go's names by a layer of the client, so that watches
//! are in it as well.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower::{Layer, Service};

/// Seconds, as client-go's adapter has them.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

type Total = Family<[(&'static str, String); 3], Counter>;
type Duration = Family<[(&'static str, String); 2], Histogram, fn() -> Histogram>;

/// The counters of a process.
#[derive(Clone)]
pub struct RestClient {
    total: Total,
    duration: Duration,
}

impl Default for RestClient {
    fn default() -> Self {
        Self { total: Total::default(), duration: Duration::new_with_constructor(|| Histogram::new(BUCKETS)) }
    }
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestClient")
    }
}

impl RestClient {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        let total = "Number of HTTP requests, partitioned by status code, method, and host";
        registry.register("rest_client_requests", total, self.total.clone());
        let duration = "Request latency in seconds, broken down by verb and host";
        registry.register("rest_client_request_duration_seconds", duration, self.duration.clone());
    }

    /// Counts what passes, for this server.
    #[must_use]
    pub fn of(&self, host: impl Into<String>) -> Counted {
        Counted { counters: self.clone(), host: host.into() }
    }

    fn done(&self, host: &str, method: &str, code: String, begun: Option<Instant>) {
        let (host, method) = (host.to_owned(), method.to_owned());
        self.total.get_or_create(&[("code", code), ("host", host.clone()), ("method", method.clone())]).inc();
        if let Some(begun) = begun {
            self.duration.get_or_create(&[("host", host), ("verb", method)]).observe(begun.elapsed().as_secs_f64());
        }
    }
}

/// The layer, see [`RestClient::of`].
#[derive(Debug, Clone)]
pub struct Counted {
    counters: RestClient,
    host: String,
}

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, counted: self.clone() }
    }
}

/// A client that counts.
#[derive(Debug, Clone)]
pub struct Counting<S> {
    inner: S,
    counted: Counted,
}

impl<S, A, B> Service<Request<A>> for Counting<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let method = request.method().to_string();
        // How long a watch takes says nothing.
        let watch = request.uri().query().is_some_and(|query| query.split('&').any(|p| matches!(p, "watch=true" | "watch=1")));
        let begun = (!watch).then(Instant::now);
        let (answer, Counted { counters, host }) = (self.inner.call(request), self.counted.clone());
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or_else(|_| "<error>".to_owned(), |response| response.status().as_str().to_owned());
            counters.done(&host, &method, code, begun);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use prometheus_client::encoding::text::encode;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_by_code_and_watches_without_time() {
        let counters = RestClient::default();
        let answer = |request: Request<()>| async move {
            let status = if request.uri().path() == "/none" { 404 } else { 200 };
            Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
        };
        let client = counters.of("h:1").layer(tower::service_fn(answer));
        for uri in ["/a", "/none", "/a?limit=1&watch=true"] {
            client.clone().oneshot(Request::get(uri).body(()).unwrap()).await.unwrap();
        }
        let mut registry = Registry::default();
        counters.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "rest_client_requests_total{code=\"200\",host=\"h:1\",method=\"GET\"} 2\n",
            "rest_client_requests_total{code=\"404\",host=\"h:1\",method=\"GET\"} 1\n",
            "rest_client_request_duration_seconds_count{host=\"h:1\",verb=\"GET\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
