//! One request, bounded in time and size, with its failures told apart.

use std::time::Duration;

use dormouse_runtime::net;
use reqwest::{Method, Response, StatusCode, Url};

use crate::error::AdminError;

/// How long each kind of call may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `health`.
    pub health: Duration,
    /// `is_sleeping`.
    pub is_sleeping: Duration,
    /// `sleep`, the confirmation included.
    pub sleep: Duration,
    /// `wake`, the confirmation included.
    pub wake: Duration,
    /// Everything else.
    pub query: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            health: Duration::from_secs(2),
            is_sleeping: Duration::from_secs(5),
            sleep: Duration::from_secs(60),
            wake: Duration::from_secs(60),
            query: Duration::from_secs(10),
        }
    }
}

/// Most of a body that is read: metrics of a large engine are some hundred kilobytes.
const MAX_BODY: usize = 4 << 20;
/// Most of a body that an error repeats.
const MAX_SHOWN: usize = 512;

/// `http://host:port`, with brackets where IPv6 needs them.
pub fn base_url(host: &str, port: u16) -> String {
    format!("http://{}", net::authority(host, port))
}

/// An engine's address and how to call it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    base: Url,
    client: reqwest::Client,
}

impl Caller {
    pub(crate) fn new(base: &str, client: reqwest::Client) -> Result<Self, AdminError> {
        let address = |why: String| AdminError::Address { base: base.to_owned(), why };
        let mut url = Url::parse(base).map_err(|e| address(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(address("it must begin with http:// or https:// and name a host".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(address("it must end with the host, the port or a path".to_owned()));
        }
        // Joining replaces what follows the last slash.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { base: url, client })
    }

    fn url(&self, path: &str) -> Result<Url, AdminError> {
        let base = self.base.to_string();
        self.base.join(path).map_err(|e| AdminError::Address { base, why: e.to_string() })
    }

    /// Calls `path` (without a leading slash); any answer counts.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        limit: Duration,
    ) -> Result<Answer, AdminError> {
        let url = self.url(path)?;
        let shown = url.to_string();
        let mut request = self.client.request(method, url).timeout(limit);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) => return Err(failure(shown, &e)),
        };
        let status = response.status();
        let (body, whole) = read(response).await.map_err(|e| failure(shown.clone(), &e))?;
        Ok(Answer { url: shown, status, body, whole })
    }
}

/// Tells apart what never arrived from what may have.
fn failure(url: String, error: &reqwest::Error) -> AdminError {
    let why = chain(error);
    if error.is_connect() || error.is_builder() { AdminError::Unreachable { url, why } } else { AdminError::Unknown { url, why } }
}

/// An error with its causes: reqwest's own text names only the address.
fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { String::new() };
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&e.to_string());
        cause = e.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

/// The body, as far as the bound goes, and whether that was all.
async fn read(mut response: Response) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_BODY - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

/// An answer, good or bad.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    body: Vec<u8>,
    whole: bool,
}

impl Answer {
    /// Only 2xx is success.
    pub(crate) fn success(self) -> Result<Self, AdminError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let mut body: String = text.trim().chars().take(MAX_SHOWN).collect();
        if body.len() < text.trim().len() {
            body.push('…');
        }
        Err(AdminError::Refused { url: self.url, status: self.status.as_u16(), body })
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, AdminError> {
        let answer = self.success()?;
        serde_json::from_slice(&answer.body).map_err(|e| AdminError::Malformed { url: answer.url, why: e.to_string() })
    }

    pub(crate) fn text(self) -> Result<String, AdminError> {
        let answer = self.success()?;
        if !answer.whole {
            let why = format!("more than {MAX_BODY} bytes");
            return Err(AdminError::Malformed { url: answer.url, why });
        }
        String::from_utf8(answer.body).map_err(|e| AdminError::Malformed { url: answer.url, why: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str, path: &str) -> String {
        Caller::new(base, reqwest::Client::new()).unwrap().url(path).unwrap().to_string()
    }

    #[test]
    fn addresses_of_both_kinds_and_paths_behind_them() {
        dormouse_runtime::tls::install_provider();
        assert_eq!(base_url("::1", 8000), "http://[::1]:8000");
        assert_eq!(url(&base_url("fd00::7", 8000), "is_sleeping"), "http://[fd00::7]:8000/is_sleeping");
        assert_eq!(url("http://10.0.0.1:8000/", "v1/models"), "http://10.0.0.1:8000/v1/models");
        assert_eq!(url("http://h:1/engine", "health"), "http://h:1/engine/health");
        for bad in ["", "h:1", "ftp://h", "http://", "http://h?x=1", "http://h:99999"] {
            let refused = Caller::new(bad, reqwest::Client::new());
            assert!(matches!(refused, Err(AdminError::Address { .. })), "{bad}");
        }
    }
}
