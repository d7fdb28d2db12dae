//! What a TLS server shows and whom it trusts, as one value that can be replaced while it serves.
//!
//! Each connection takes the settings of the moment when its handshake begins: one that is open keeps what it began with, the
//! next one sees the new certificate, and none is refused in between. Sessions cannot be resumed across a replacement, so
//! that a client whose authority is gone has to prove itself again.
//!
//! `examples/tls.rs` is a server that changes its certificate every few seconds.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::{Leaf, PkiError};
use crate::serve::{Certificate, Transport};

/// The certificate of a server and the authorities of its clients. Clones are one value: what is replaced in one is
/// replaced in all.
#[derive(Debug, Clone)]
pub struct Keys(Arc<RwLock<Arc<ServerConfig>>>);

impl Keys {
    /// A server that shows `leaf` and speaks HTTP/2 and HTTP/1.1. With `client_ca`, certificates in PEM, clients are asked for
    /// a certificate of one of these authorities: they need not have one, but one that they show must be good. What it is
    /// good for is for the handler to say (`serve::Peer`).
    ///
    /// # Errors
    /// When the texts are no certificates and no key, or the key is not that of the certificate.
    pub fn new(leaf: &Leaf, client_ca: Option<&str>) -> Result<Self, PkiError> {
        Ok(Self(Arc::new(RwLock::new(config(leaf, client_ca)?))))
    }

    /// Shows another certificate, and trusts other authorities, from the next connection on. To change an authority without
    /// refusing anyone, trust the old one beside the new one for a while: `client_ca` may hold both.
    ///
    /// # Errors
    /// See [`Keys::new`]; what was there before stays then.
    pub fn replace(&self, leaf: &Leaf, client_ca: Option<&str>) -> Result<(), PkiError> {
        let config = config(leaf, client_ca)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transport for Keys {
    type Stream = TlsStream<TcpStream>;

    async fn open(&self, stream: TcpStream) -> io::Result<(Self::Stream, Option<Certificate>)> {
        let stream = TlsAcceptor::from(self.current()).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|certificate| Arc::from(certificate.as_ref()));
        Ok((stream, certificate))
    }
}

fn config(leaf: &Leaf, client_ca: Option<&str>) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem)? {
                roots.add(authority)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes())?;
    let mut config = builder.with_single_cert(certificates(&leaf.cert_pem)?, key)?;
    // Without these kubectl would stay on HTTP/1.1 and open a connection for every watch.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::routing::get;
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::pki::Authority;
    use crate::serve::{Limits, Peer, serve_over};

    fn authority(name: &str) -> Authority {
        Authority::generate(name, "2026-11-21T10:00:00Z".parse().unwrap()).unwrap()
    }

    fn serving(authority: &Authority) -> Leaf {
        authority.server("server", &[], &[]).unwrap()
    }

    /// A server that says how many bytes the client's certificate has.
    async fn start(keys: &Keys) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let size = |peer: axum::Extension<Peer>| async move { peer.certificate.as_ref().map_or(0, |c| c.len()).to_string() };
        let app = Router::new().route("/", get(size));
        tokio::spawn(serve_over(keys.clone(), listener, app, Limits::default(), shutdown.clone()));
        (address, shutdown)
    }

    /// A client that trusts both, and shows its certificate if it has one.
    fn client(trusts: &[&Authority], shows: Option<&Leaf>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for authority in trusts {
            roots.add(certificates(authority.ca_pem()).unwrap().remove(0)).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(certificates(&leaf.cert_pem).unwrap(), key).unwrap()
            }
        })
    }

    async fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::clone(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// The answer to one request, on a connection that stays open.
    async fn ask(stream: &mut client::TlsStream<TcpStream>) -> io::Result<String> {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut answer = Vec::new();
        loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((head, body)) = String::from_utf8_lossy(&answer).split_once("\r\n\r\n") {
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                return Ok(body.to_owned());
            }
        }
    }

    fn shown(stream: &client::TlsStream<TcpStream>) -> CertificateDer<'static> {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    fn der(leaf: &Leaf) -> CertificateDer<'static> {
        certificates(&leaf.cert_pem).unwrap().remove(0)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_connection_is_refused_while_certificates_rotate() {
        let (old, new) = (authority("old"), authority("new"));
        let both = format!("{}{}", old.ca_pem(), new.ca_pem());
        let keys = Keys::new(&serving(&old), Some(&both)).unwrap();
        let (address, _shutdown) = start(&keys).await;
        let ended = Arc::new(AtomicBool::new(false));
        let clients = [None, Some(old.client("a", &[]).unwrap()), Some(new.client("b", &[]).unwrap())].map(|leaf| {
            let (client, ended) = (client(&[&old, &new], leaf.as_ref()), Arc::clone(&ended));
            let size = leaf.map_or(0, |leaf| der(&leaf).len()).to_string();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let mut stream = connect(address, &client).await.expect("a connection");
                    assert_eq!(ask(&mut stream).await.expect("an answer"), size);
                    seen.push(shown(&stream));
                }
                seen
            })
        });
        let mut first = connect(address, &client(&[&old], None)).await.unwrap();
        for round in 0..40 {
            let leaf = serving(if round % 2 == 0 { &new } else { &old });
            keys.replace(&leaf, Some(&both)).unwrap();
            let stream = connect(address, &client(&[&old, &new], None)).await.unwrap();
            assert_eq!(shown(&stream), der(&leaf), "the next connection sees it");
        }
        ended.store(true, Ordering::Relaxed);
        for client in clients {
            let mut seen = client.await.unwrap();
            seen.dedup();
            assert!(seen.len() > 2, "{} certificates seen", seen.len());
        }
        assert_eq!(ask(&mut first).await.unwrap(), "0", "a connection outlives its certificate");
    }

    #[tokio::test]
    async fn clients_prove_themselves_to_the_authority_of_the_moment() {
        let (old, new) = (authority("old"), authority("new"));
        let leaf = serving(&old);
        let keys = Keys::new(&leaf, Some(old.ca_pem())).unwrap();
        let (address, _shutdown) = start(&keys).await;
        let good = |authority: &Authority| {
            let client = client(&[&old], Some(&authority.client("u", &[]).unwrap()));
            async move { ask(&mut connect(address, &client).await?).await }
        };
        assert!(good(&old).await.unwrap().parse::<usize>().unwrap() > 0);
        assert!(good(&new).await.is_err());
        keys.replace(&leaf, Some(new.ca_pem())).unwrap();
        assert!(good(&old).await.is_err());
        assert!(good(&new).await.unwrap().parse::<usize>().unwrap() > 0);
        keys.replace(&leaf, None).unwrap();
        assert_eq!(good(&new).await.unwrap(), "0", "not asked");
    }

    #[tokio::test]
    async fn both_versions_of_http_are_spoken() {
        let authority = authority("a");
        let (address, _shutdown) = start(&Keys::new(&serving(&authority), None).unwrap()).await;
        for version in ["h2", "http/1.1"] {
            let mut client = ClientConfig::clone(&client(&[&authority], None));
            client.alpn_protocols = vec![version.as_bytes().to_vec()];
            let stream = connect(address, &Arc::new(client)).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(version.as_bytes()));
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_replaces_nothing() {
        let authority = authority("a");
        let (leaf, other) = (serving(&authority), serving(&authority));
        let keys = Keys::new(&leaf, None).unwrap();
        let mixed = Leaf { cert_pem: leaf.cert_pem.clone(), key_pem: other.key_pem };
        let empty = Leaf { cert_pem: String::new(), key_pem: String::new() };
        for bad in [&mixed, &empty] {
            keys.replace(bad, None).unwrap_err();
        }
        keys.replace(&leaf, Some("no certificate")).unwrap_err();
        let (address, _shutdown) = start(&keys).await;
        assert_eq!(shown(&connect(address, &client(&[&authority], None)).await.unwrap()), der(&leaf));
    }
}
