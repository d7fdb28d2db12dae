//! HTTP clients that cannot hang, and calls whose answers are bounded and whose failures are told apart.
//!
//! [`open`] sends a request and returns what answered well; [`Response::whole`] reads it to its end, [`Response::chunk`]
//! piece by piece. [`call`] does both. A [`Failure`] says what it proves: that nothing has happened, or that nobody knows.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Bytes;
use futures::{Stream, TryStreamExt};
pub use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For the whole call, body included; `None` for streams, which then need a time-out of their own.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    /// 5 s to connect, 30 s in all: what the peers' clients use.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Some(Duration::from_secs(30)) }
    }
}

/// A client without proxies and redirects, for calls between our components. It trusts no certificate: reading those of the
/// system takes milliseconds at each start, and none of them vouches for a Pod.
///
/// # Errors
/// When the TLS back-end cannot be initialised.
pub fn client(timeouts: Timeouts) -> reqwest::Result<Client> {
    crate::tls::install_provider();
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .connect_timeout(timeouts.connect)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(30));
    if let Some(total) = timeouts.total {
        builder = builder.timeout(total);
    }
    builder.build()
}

/// Most of an answer that is read whole: lists of instances and metrics are some hundred kilobytes.
const ANSWER_MAX: usize = 8 << 20;
/// Most of a refusal that is read.
const REFUSAL_MAX: usize = 512;

/// Why a call brought no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {url}: {cause}")]
pub struct Failure {
    /// How it was asked.
    pub method: Method,
    /// What was asked.
    pub url: String,
    /// What went wrong.
    pub cause: Cause,
}

/// What went wrong with a call; it decides what may be concluded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The request never arrived: nothing has happened.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The request may have arrived, the answer did not: whether it took effect is unknown.
    #[error("no answer, so whether it took effect is unknown: {0}")]
    Unanswered(String),
    /// It said no.
    #[error("status {status}: {}{}", text.trim(), if *whole { "" } else { "…" })]
    Refused {
        /// HTTP status, not of the 2xx.
        status: u16,
        /// The answer, or its beginning.
        text: String,
        /// Whether `text` is all of it; it is not when there is more than is read, or when the connection broke.
        whole: bool,
    },
    /// It answered more than is read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// It answered something that is not understood.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
}

impl Failure {
    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the call may nevertheless have taken effect.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.cause, Cause::Unanswered(_))
    }

    fn of(method: Method, url: String, error: &reqwest::Error) -> Self {
        // Nobody listens: it was not done. Anything later may have been.
        let cause =
            if error.is_connect() || error.is_builder() { Cause::Unreachable(causes(error)) } else { Cause::Unanswered(causes(error)) };
        Self { method, url, cause }
    }
}

/// An error with its causes: reqwest says the interesting part in the last one.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let _ = write!(text, ": {e}");
        cause = e.source();
    }
    text
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Method; a GET asks for JSON.
    pub method: Method,
    /// Where to.
    pub url: &'a str,
    /// A body of JSON.
    pub body: Option<&'a Value>,
    /// Its time; without one the client's own time-out or the caller bounds it.
    pub limit: Option<Duration>,
    /// A further header.
    pub header: Option<(&'static str, &'static str)>,
}

impl<'a> Request<'a> {
    /// One without body, time and further header.
    #[must_use]
    pub fn new(method: Method, url: &'a str) -> Self {
        Self { method, url, body: None, limit: None, header: None }
    }
}

/// Sends one request.
///
/// # Errors
/// When nothing of the 2xx came back.
pub async fn open(client: &Client, request: Request<'_>) -> Result<Response, Failure> {
    let Request { method, url, body, limit, header } = request;
    let mut request = client.request(method.clone(), url);
    if let Some(limit) = limit {
        request = request.timeout(limit);
    }
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    if method == Method::GET {
        request = request.header("accept", "application/json");
    }
    let inner = request.send().await.map_err(|e| Failure::of(method.clone(), url.to_owned(), &e))?;
    let mut response = Response { method, url: url.to_owned(), inner };
    let status = response.inner.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = Vec::new();
    // The status says that it refused, whatever becomes of the reason.
    let whole = response.read(REFUSAL_MAX, &mut text).await.unwrap_or(false);
    let text = String::from_utf8_lossy(&text).into_owned();
    Err(response.failure(Cause::Refused { status: status.as_u16(), text, whole }))
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// As [`open`] and [`Response::whole`].
pub async fn call(client: &Client, request: Request<'_>) -> Result<Answer, Failure> {
    open(client, request).await?.whole().await
}

/// The lines of a body that goes on, each of at most `max` bytes.
pub fn lines(response: reqwest::Response, max: usize) -> impl Stream<Item = Result<String, LinesCodecError>> + Unpin + Send {
    let body = StreamReader::new(Box::pin(response.bytes_stream().map_err(std::io::Error::other)));
    FramedRead::new(body, LinesCodec::new_with_max_length(max))
}

/// A good answer whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    method: Method,
    url: String,
    inner: reqwest::Response,
}

impl Response {
    /// A header, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks or the time is up.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.inner.chunk().await.map_err(|e| Failure::of(self.method.clone(), self.url.clone(), &e))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`], and when there is more than a caller of ours may be sent.
    pub async fn whole(mut self) -> Result<Answer, Failure> {
        let mut body = Vec::new();
        if !self.read(ANSWER_MAX, &mut body).await? {
            return Err(self.failure(Cause::TooLarge(ANSWER_MAX)));
        }
        Ok(Answer { method: self.method, url: self.url, status: self.inner.status().as_u16(), body })
    }

    /// Adds the body to `body` as far as the bound goes; whether that was all.
    async fn read(&mut self, max: usize, body: &mut Vec<u8>) -> Result<bool, Failure> {
        while let Some(chunk) = self.chunk().await? {
            let room = max - body.len();
            if chunk.len() > room {
                body.extend_from_slice(&chunk[..room]);
                return Ok(false);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(true)
    }

    /// A failure of this call, for what the reader finds in the body.
    #[must_use]
    pub fn failure(&self, cause: Cause) -> Failure {
        Failure { method: self.method.clone(), url: self.url.clone(), cause }
    }
}

/// A good answer.
#[derive(Debug, Clone)]
pub struct Answer {
    method: Method,
    url: String,
    /// HTTP status, of the 2xx.
    pub status: u16,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`Cause::Malformed`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|e| Failure {
            method: self.method.clone(),
            url: self.url.clone(),
            cause: Cause::Malformed(e.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn answers_are_bounded_and_failures_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = |headers: HeaderMap| async move { headers["accept"].to_str().unwrap().to_owned() };
        let app = Router::new()
            .route("/accept", get(accept).post(|body: String| async { body }))
            .route("/json", get(|| async { "[1, 2]" }))
            .route("/no", get(|| async { (StatusCode::CONFLICT, format!("  why {}", "x".repeat(600))) }))
            .route("/large", get(|| async { "x".repeat(ANSWER_MAX + 1) }))
            .route("/never", get(std::future::pending::<()>));
        let end = crate::CancellationToken::new();
        let server = tokio::spawn(crate::serve::serve(listener, app, crate::serve::Limits::default(), end.clone()));
        let client = client(Timeouts { total: None, ..Timeouts::default() }).unwrap();
        let url = |path: &str| format!("http://{address}{path}");
        let ask = |path: &str, limit| {
            let (client, url) = (client.clone(), url(path));
            async move { call(&client, Request { limit, ..Request::new(Method::GET, &url) }).await }
        };

        assert_eq!(ask("/accept", None).await.unwrap().body, b"application/json");
        let posted = call(&client, Request { body: Some(&serde_json::json!({"a": 1})), ..Request::new(Method::POST, &url("/accept")) })
            .await
            .unwrap();
        assert_eq!((posted.status, posted.body.as_slice()), (200, b"{\"a\":1}".as_slice()));
        let answer = ask("/json", None).await.unwrap();
        assert_eq!(answer.json::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(matches!(answer.json::<String>().unwrap_err().cause, Cause::Malformed(_)));

        let refused = ask("/no", None).await.unwrap_err();
        assert!(matches!(&refused.cause, Cause::Refused { text, whole: false, .. } if text.len() == REFUSAL_MAX), "{refused}");
        let shown = refused.to_string();
        assert!(shown.starts_with(&format!("GET {}: status 409: why x", url("/no"))) && shown.ends_with("x…"), "{shown}");
        assert_eq!(ask("/large", None).await.unwrap_err().cause, Cause::TooLarge(ANSWER_MAX));
        let late = ask("/never", Some(Duration::from_millis(30))).await.unwrap_err();
        assert!(late.is_unknown() && late.to_string().contains("timed out"), "{late}");

        end.cancel();
        server.await.unwrap().unwrap();
        let gone = ask("/json", None).await.unwrap_err();
        assert!(matches!(&gone.cause, Cause::Unreachable(why) if why.contains("refused")), "{gone}");
        let nowhere = call(&client, Request::new(Method::GET, "no address")).await.unwrap_err();
        assert!(matches!(nowhere.cause, Cause::Unreachable(_)), "{nowhere}");
    }

    /// A server that ends each connection in the middle of its answer.
    #[tokio::test]
    async fn a_refusal_is_one_though_its_reason_breaks_off() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for status in ["409 Conflict", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\nwhy");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client = client(Timeouts::default()).unwrap();
        let refused = call(&client, Request::new(Method::GET, &url)).await.unwrap_err();
        assert_eq!(refused.cause, Cause::Refused { status: 409, text: "why".to_owned(), whole: false });
        assert!(call(&client, Request::new(Method::GET, &url)).await.unwrap_err().is_unknown());
    }
}
