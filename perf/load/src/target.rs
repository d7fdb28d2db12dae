//! Where requests go: addresses, and the head that is the same for all of them.

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use url::Url;

use crate::http::{self, NotSendable};

/// Why an address is none.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be read.
    #[error("{url:?} is no address of a server: {why}")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        why: String,
    },
    /// Its name leads nowhere.
    #[error("{host} cannot be found: {why}")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        why: String,
    },
    /// A header field or path that cannot be sent.
    #[error("a request cannot be sent: {0}")]
    Request(#[from] NotSendable),
}

/// Reads the address of a server; `http://` is added where nothing is said.
///
/// # Errors
/// What is no such address.
pub fn base(text: &str) -> Result<Url, TargetError> {
    let wrong = |why: &str| TargetError::Url { url: text.to_owned(), why: why.to_owned() };
    if text.trim().is_empty() {
        return Err(wrong("it is empty"));
    }
    let whole = if text.contains("://") { text.trim().to_owned() } else { format!("http://{}", text.trim()) };
    let url = Url::parse(&whole).map_err(|why| wrong(&why.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    Ok(url)
}

/// A path below a base (perf contract 4.3): what the base has of it already is not said twice.
#[must_use]
pub fn join(base: &Url, sub: &str) -> Url {
    let sub = sub.trim_start_matches('/');
    let path = base.path().trim_end_matches('/');
    let mut url = base.clone();
    if sub.is_empty() || path.ends_with(&format!("/{sub}")) {
        url.set_path(path);
        return url;
    }
    let sub = if path.ends_with("/v1") { sub.strip_prefix("v1/").unwrap_or(sub) } else { sub };
    url.set_path(&format!("{path}/{sub}"));
    url
}

/// What requests to it say beside what is each one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Name and value, in their order.
    pub fields: Vec<(String, String)>,
    /// The field that has the session's name.
    pub session: String,
    /// Further fields that have it.
    pub affinity: Vec<String>,
}

/// A server's resource.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address.
    pub url: Url,
    /// Where connections may go, best first.
    pub addresses: Vec<SocketAddr>,
    /// Connections to the same of these can be shared.
    pub origin: Arc<str>,
    head: Vec<u8>,
    session: Vec<String>,
}

impl Target {
    /// Looks the name up and writes the head.
    ///
    /// # Errors
    /// A name that leads nowhere, a field that cannot be sent.
    pub fn new(url: Url, headers: &Headers, method: &str) -> Result<Self, TargetError> {
        let (addresses, origin) = (addresses(&url)?, origin(&url));
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut head = Vec::new();
        let host = [("Host", authority(&url))];
        let given = headers.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let names_host = headers.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host.iter().filter(|_| !names_host).map(|(name, value)| (*name, value.as_str()));
        http::write_head(&mut head, method, &target, host.chain(given), None)?;
        // What is each request's own comes behind it.
        head.truncate(head.len() - 2);
        let session: Vec<String> =
            std::iter::once(&headers.session).chain(&headers.affinity).filter(|name| !name.is_empty()).cloned().collect();
        // Their names are checked once.
        http::write_head(&mut Vec::new(), method, &target, session.iter().map(|name| (name.as_str(), "")), None)?;
        Ok(Self { url, addresses, origin, head, session })
    }

    /// The same request elsewhere.
    ///
    /// # Errors
    /// As [`Target::new`].
    pub fn moved(&self, to: &str) -> Result<Self, TargetError> {
        let wrong = |why: String| TargetError::Url { url: to.to_owned(), why };
        let url = self.url.join(to).map_err(|why| wrong(why.to_string()))?;
        let url = base(url.as_str())?;
        let line = self.head.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut head = Vec::new();
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        http::write_head(&mut head, "POST", &target, [("Host", authority(&url).as_str())], None)?;
        head.truncate(head.len() - 2);
        for field in self.head[line..].split_inclusive(|b| *b == b'\n') {
            let name = field.split(|b| *b == b':').next().unwrap_or_default();
            // A secret is for the server that it was given for.
            let secret = name.eq_ignore_ascii_case(b"authorization") || name.eq_ignore_ascii_case(b"x-api-key");
            let kept_back = secret && origin(&url) != self.origin;
            if !kept_back && !name.eq_ignore_ascii_case(b"host") {
                head.extend_from_slice(field);
            }
        }
        Ok(Self { addresses: addresses(&url)?, origin: origin(&url), url, head, session: self.session.clone() })
    }

    /// Whether it is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The name that a certificate has to be for.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Appends the head of a request.
    pub fn write_head(&self, out: &mut Vec<u8>, request: &str, session: &str, length: usize, close: bool) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"X-Request-ID: ");
        out.extend_from_slice(request.as_bytes());
        for name in &self.session {
            for part in ["\r\n", name, ": ", session] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if close {
            out.extend_from_slice(b"\r\nConnection: close");
        }
        let mut tail = String::with_capacity(32);
        // To a string nothing fails.
        let _ = write!(tail, "\r\nContent-Length: {length}\r\n\r\n");
        out.extend_from_slice(tail.as_bytes());
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn origin(url: &Url) -> Arc<str> {
    format!("{}://{}:{}", url.scheme(), url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80)).into()
}

fn addresses(url: &Url) -> Result<Vec<SocketAddr>, TargetError> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let unknown = |why: String| TargetError::Unknown { host: host.to_owned(), why };
    let mut found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|why| unknown(why.to_string()))?.collect();
    // The peer speaks IPv4 where there is a choice.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.dedup();
    if found.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of perf contract 4.3.
    #[test]
    fn paths_are_joined_as_the_contract_says() {
        for (given, sub, want) in [
            ("http://h:8000", "v1/chat/completions", "http://h:8000/v1/chat/completions"),
            ("http://h:8000/v1", "v1/chat/completions", "http://h:8000/v1/chat/completions"),
            ("http://h:8000/v1/chat/completions", "v1/chat/completions", "http://h:8000/v1/chat/completions"),
            ("http://h/x/?k=1", "v1/completions", "http://h/x/v1/completions?k=1"),
            ("h:8000", "/gen", "http://h:8000/gen"),
            ("http://h/a", "", "http://h/a"),
            ("http://[::1]:7/llm/v1/", "/v1/chat/completions", "http://[::1]:7/llm/v1/chat/completions"),
        ] {
            assert_eq!(join(&base(given).unwrap(), sub).as_str(), want, "{given} {sub}");
        }
    }

    #[test]
    fn what_is_no_address_is_said() {
        for bad in ["", "  ", "ftp://h", "http://", "http://h:99999", "unix:///x", "http://a b"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_has_its_own_names_and_a_secret_stays_at_home() {
        let fields = [("User-Agent", "d"), ("Authorization", "Bearer s")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let headers = Headers { fields: fields.to_vec(), session: "X-Correlation-ID".to_owned(), affinity: vec!["X-A".to_owned()] };
        let target = Target::new(base("http://[::1]:80/a?b=c").unwrap(), &headers, "POST").unwrap();
        let text = |target: &Target| {
            let mut out = Vec::new();
            target.write_head(&mut out, "r", "s", 3, false);
            String::from_utf8(out).unwrap()
        };
        let want = "POST /a?b=c HTTP/1.1\r\nHost: [::1]\r\nUser-Agent: d\r\nAuthorization: Bearer s\r\nX-Request-ID: r\r\n\
                    X-Correlation-ID: s\r\nX-A: s\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(text(&target), want);
        let near = text(&target.moved("/new?x=1").unwrap());
        assert!(near.starts_with("POST /new?x=1 HTTP/1.1\r\nHost: [::1]\r\nUser-Agent: d\r\nAuthorization"), "{near}");
        let far = target.moved("http://127.0.0.1:9/").unwrap();
        assert!(!text(&far).contains("Bearer") && text(&far).contains("Host: 127.0.0.1:9\r\n"));
        let bad = Headers { fields: vec![("a b".to_owned(), String::new())], ..Headers::default() };
        assert!(Target::new(base("http://127.0.0.1").unwrap(), &bad, "POST").is_err());
    }
}
