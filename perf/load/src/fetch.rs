//! Looks before and beside the load: whether a server is there, and small answers of it. Blocking, each within a time.
//!
//! Before the load nothing is ever posted: servers charge and count (perf contract 0.2 item 20).

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_perf_net::now;

use crate::decode::Decoder;
use crate::exchange::{Answered, Ask, Break, Exchange, Limits, Progress};
use crate::http::{self, Part};
use crate::target::{Headers, Target, TargetError};
use crate::transport::{Got, Transport, Trust};

/// Most that is taken of an answer.
const MOST: usize = 64 << 20;

/// Why a server could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address is none.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No connection: to which address, and why.
    #[error("cannot connect to {origin} ({address}): {source}")]
    Connect {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// Where it was tried last.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Its certificate is refused, or TLS failed otherwise.
    #[error("the TLS certificate or handshake of {origin} is refused: {source}")]
    Tls {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// Why.
        source: io::Error,
    },
    /// It is under TLS, and there is no trust.
    #[error("{0} is under TLS, and no root certificates are there")]
    NoTrust(Arc<str>),
    /// The connection broke, or it took too long.
    #[error("no answer of {origin}: {source}")]
    Io {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// Why.
        source: io::Error,
    },
    /// What came is no answer.
    #[error("the answer of {origin} cannot be read: {source}")]
    Http {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// Why.
        source: http::Error,
    },
    /// It is too large, or in a coding that cannot be read.
    #[error("the answer of {origin} {why}")]
    Body {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// What is wrong with it.
        why: String,
    },
}

/// A connection that stands.
#[derive(Debug)]
pub struct Connected {
    transport: Transport,
    origin: Arc<str>,
    until: Instant,
}

/// A small answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// Its body, decoded.
    pub body: Vec<u8>,
}

/// A request and its answer, read as the load path reads it.
#[derive(Debug)]
pub struct Exchanged {
    /// The answer, with its stamps and all that came.
    pub answered: Answered,
    /// The media type that the server gave it.
    pub media_type: Option<String>,
    /// When the request began to leave, on the clock of the stamps.
    pub start: u64,
}

/// Connects, and agrees on TLS where that is spoken.
///
/// # Errors
/// Which address was tried, and why it was not possible.
pub fn connect(target: &Target, trust: Option<&Trust>, within: Duration) -> Result<Connected, Error> {
    let until = Instant::now() + within;
    let origin = Arc::clone(&target.origin);
    let mut last = None;
    for address in &target.addresses {
        match TcpStream::connect_timeout(address, left(until)) {
            Ok(socket) => {
                let _ = socket.set_nodelay(true);
                return agree(socket, target, trust, until);
            }
            Err(source) => last = Some(Error::Connect { origin: Arc::clone(&origin), address: *address, source }),
        }
    }
    Err(last.unwrap_or_else(|| {
        let source = io::Error::new(ErrorKind::AddrNotAvailable, "it has no address");
        Error::Io { origin, source }
    }))
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn agree(socket: TcpStream, target: &Target, trust: Option<&Trust>, until: Instant) -> Result<Connected, Error> {
    let origin = Arc::clone(&target.origin);
    let failed = |source| Error::Tls { origin: Arc::clone(&target.origin), source };
    let tls = match (target.is_tls(), trust) {
        (true, Some(trust)) => Some((trust, target.host())),
        (true, None) => return Err(Error::NoTrust(origin)),
        (false, _) => None,
    };
    socket.set_read_timeout(Some(left(until))).and_then(|()| socket.set_write_timeout(Some(left(until)))).map_err(failed)?;
    let mut transport = Transport::new(socket, tls).map_err(failed)?;
    if !transport.agree().map_err(failed)? {
        return Err(failed(io::Error::new(ErrorKind::TimedOut, "the TLS handshake took too long")));
    }
    Ok(Connected { transport, origin, until })
}

/// Asks for a resource, with GET or HEAD.
///
/// # Errors
/// What kept it from being answered.
pub fn fetch(method: &str, url: &url::Url, headers: &Headers, trust: Option<&Trust>, within: Duration) -> Result<Fetched, Error> {
    send(method, url, headers, None, trust, within)
}

/// Posts a body: where a user asked for that.
///
/// # Errors
/// What kept it from being answered.
pub fn post(url: &url::Url, headers: &Headers, body: &[u8], trust: Option<&Trust>, within: Duration) -> Result<Fetched, Error> {
    send("POST", url, headers, Some(body), trust, within)
}

/// Posts a body, and reads its answer as the load path does. With `until_content` the rest of an answer that has begun well is not
/// waited for: its connection is closed, and its outcome is that it has none.
///
/// # Errors
/// What kept it from being sent. What becomes of it then is in the answer.
pub fn exchange(
    target: &Target,
    body: &[u8],
    ask: Ask,
    trust: Option<&Trust>,
    within: Duration,
    until_content: bool,
) -> Result<Exchanged, Error> {
    let mut connected = connect(target, trust, within)?;
    let mut bytes = Vec::new();
    let name = uuid::Uuid::new_v4().to_string();
    target.write_head(&mut bytes, &name, &name, body.len(), true);
    bytes.extend_from_slice(body);
    let mut exchange = Exchange::new(ask, Limits::default());
    exchange.record();
    let start = now();
    // A server may answer before it has read all, and close: its answer is read all the same.
    let written = connected.write(&bytes);
    connected.listen(&mut exchange, until_content);
    if let Err(error) = written
        && !exchange.has_begun()
    {
        return Err(error);
    }
    let media_type = exchange.head().get("content-type").map(str::to_owned);
    Ok(Exchanged { answered: exchange.take(), media_type, start })
}

fn send(
    method: &str,
    url: &url::Url,
    headers: &Headers,
    body: Option<&[u8]>,
    trust: Option<&Trust>,
    within: Duration,
) -> Result<Fetched, Error> {
    let target = Target::new(url.clone(), headers, method)?;
    let mut connected = connect(&target, trust, within)?;
    let mut bytes = Vec::new();
    let name = uuid::Uuid::new_v4().to_string();
    target.write_head(&mut bytes, &name, &name, body.map_or(0, <[u8]>::len), true);
    bytes.extend_from_slice(body.unwrap_or_default());
    connected.write(&bytes)?;
    connected.read(method == "HEAD")
}

impl Connected {
    /// The server's own certificate, as DER, where it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.transport.certificate()
    }

    /// Hands what comes to an exchange until it is complete, hopeless, or late.
    fn listen(&mut self, exchange: &mut Exchange, until_content: bool) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            // A read waits at most for what is left of the time.
            let _ = self.transport.socket().set_read_timeout(Some(left(self.until)));
            let read = self.transport.read(&mut buffer);
            let at = now();
            match read {
                Ok(Got::Bytes(n) | Got::Last(n)) => {
                    if exchange.read(at, &buffer[..n]) != Progress::More || (until_content && exchange.has_content()) {
                        return;
                    }
                }
                Ok(Got::End) => return exchange.end(at),
                Ok(Got::Nothing) => return exchange.broken(at, Break::TimedOut("the answer took too long".to_owned())),
                Err(error) => return exchange.broken(at, Break::Connection(error.to_string())),
            }
            if Instant::now() >= self.until {
                return exchange.broken(at, Break::TimedOut("the answer took too long".to_owned()));
            }
        }
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { origin: Arc::clone(&self.origin), source }
    }

    fn late(&self) -> Error {
        self.io(io::Error::new(ErrorKind::TimedOut, "it took too long"))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut written = 0;
        while written < bytes.len() {
            match self.transport.write(&bytes[written..]) {
                Ok(Some(n)) => written += n,
                Ok(None) => return Err(self.late()),
                Err(source) => return Err(self.io(source)),
            }
        }
        match self.transport.flush() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.late()),
            Err(source) => Err(self.io(source)),
        }
    }

    fn read(&mut self, head_only: bool) -> Result<Fetched, Error> {
        let mut reader = http::Reader::new(http::Limits::default(), head_only);
        let mut decoder = None;
        let mut body = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            // A read waits at most for what is left of the time.
            let _ = self.transport.socket().set_read_timeout(Some(left(self.until)));
            let n = match self.transport.read(&mut buffer) {
                Ok(Got::Bytes(n) | Got::Last(n)) => n,
                Ok(Got::End) => {
                    reader.end().map_err(|source| Error::Http { origin: Arc::clone(&self.origin), source })?;
                    return Ok(Fetched { status: reader.head().status(), body });
                }
                Ok(Got::Nothing) => return Err(self.late()),
                Err(source) => return Err(self.io(source)),
            };
            if Instant::now() >= self.until {
                return Err(self.late());
            }
            let mut left = &buffer[..n];
            loop {
                match reader.next(&mut left).map_err(|source| Error::Http { origin: Arc::clone(&self.origin), source })? {
                    None => break,
                    Some(Part::Head) => decoder = Decoder::of(reader.head()).map_err(|why| self.body(why.to_string()))?,
                    Some(Part::Body(piece)) => {
                        self.take(decoder.as_mut(), piece, &mut body)?;
                        if body.len() > MOST {
                            return Err(self.body(format!("is larger than {MOST} bytes")));
                        }
                    }
                    Some(Part::End) => return Ok(Fetched { status: reader.head().status(), body }),
                }
            }
        }
    }

    fn body(&self, why: String) -> Error {
        Error::Body { origin: Arc::clone(&self.origin), why }
    }

    fn take(&self, decoder: Option<&mut Decoder>, mut piece: &[u8], body: &mut Vec<u8>) -> Result<(), Error> {
        let Some(decoder) = decoder else {
            body.extend_from_slice(piece);
            return Ok(());
        };
        while let Some(decoded) = decoder.next(&mut piece).map_err(|why| self.body(why.to_string()))? {
            body.extend_from_slice(decoded);
        }
        Ok(())
    }
}
