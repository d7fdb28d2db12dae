//! A connection's bytes: plain, or under TLS. Neither ever blocks.
//!
//! TLS is a shell around the same socket: what the application writes is encrypted at once, and a read goes on until the socket
//! has nothing more, because readiness is told once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use dormouse_perf_net as net;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How servers under TLS are trusted.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// Why there is no trust to begin with.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No root certificate was found.
    #[error("no root certificates were found ({0}): name a file of them in SSL_CERT_FILE, or a folder in SSL_CERT_DIR")]
    NoRoots(String),
    /// The library cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl Trust {
    /// In the roots of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// When there is none.
    pub fn system() -> Result<Self, TrustError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TrustError::NoRoots(if why.is_empty() { "there are none".to_owned() } else { why.join("; ") }));
        }
        let config = builder()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::of(config))
    }

    /// In any server whatever: for tests of servers whose certificates are not checked.
    ///
    /// # Errors
    /// When the library cannot be set up.
    pub fn blind() -> Result<Self, TrustError> {
        let schemes = provider().signature_verification_algorithms.supported_schemes();
        let config = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(Blind(schemes))).with_no_client_auth();
        Ok(Self::of(config))
    }

    fn of(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

#[derive(Debug)]
struct Blind(Vec<SignatureScheme>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes, and there may be more.
    Bytes(usize),
    /// So many bytes, and nothing more now.
    Last(usize),
    /// Nothing now.
    Nothing,
    /// The end.
    End,
}

/// A connection.
#[derive(Debug)]
pub enum Transport {
    /// As it is.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<Tls>),
}

/// A connection under TLS.
#[derive(Debug)]
pub struct Tls {
    socket: TcpStream,
    session: ClientConnection,
}

impl Transport {
    /// Over a socket that may not be connected yet: under TLS where trust and a name are given.
    ///
    /// # Errors
    /// A name that is none.
    pub fn new(socket: TcpStream, tls: Option<(&Trust, &str)>) -> io::Result<Self> {
        let Some((trust, host)) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&trust.0), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// The server's own certificate, as DER, where TLS has agreed on one.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.session.peer_certificates().and_then(<[_]>::first).map(AsRef::as_ref),
        }
    }

    /// Whether it can carry a request: TLS has agreed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => !tls.session.is_handshaking(),
        }
    }

    /// Goes on with the agreement as far as the socket lets it; `true` when it stands.
    ///
    /// # Errors
    /// The certificate is refused, or the connection broke.
    pub fn agree(&mut self) -> io::Result<bool> {
        let Self::Tls(tls) = self else { return Ok(true) };
        while tls.session.is_handshaking() {
            let wrote = tls.flush()?;
            match tls.take_in()? {
                Some(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection during the TLS handshake"));
                }
                Some(_) => {}
                None if wrote || !tls.session.wants_write() => return Ok(false),
                None => return Ok(false),
            }
        }
        tls.flush()?;
        Ok(true)
    }

    /// Writes what there is room for: `None` when there is none.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(socket) => net::write(socket, bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether everything that was written has left.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        match self {
            Self::Plain(socket) => Ok(match net::read(socket, buffer)? {
                None => Got::Nothing,
                Some(0) => Got::End,
                Some(n) if n < buffer.len() => Got::Last(n),
                Some(n) => Got::Bytes(n),
            }),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let taken = self.session.writer().write(bytes)?;
        self.flush()?;
        Ok(Some(taken).filter(|n| *n > 0))
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes what the socket has; `Some(0)` is its end, `None` that it has nothing.
    fn take_in(&mut self) -> io::Result<Option<usize>> {
        loop {
            match self.session.read_tls(&mut self.socket) {
                Ok(n) => {
                    if let Err(error) = self.session.process_new_packets() {
                        // The server is told why.
                        let _ = self.flush();
                        return Err(io::Error::new(ErrorKind::InvalidData, error));
                    }
                    return Ok(Some(n));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => return Ok(Got::Bytes(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Many servers close without saying so: whether the answer was complete HTTP knows.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Got::End),
                Err(error) => return Err(error),
            }
            match self.take_in()? {
                None => return Ok(Got::Nothing),
                Some(0) if !self.session.wants_read() => return Ok(Got::End),
                Some(_) => {}
            }
        }
    }
}
