//! Certificates of one run: an authority made in memory, what it signs, and the TLS settings of the server.
//!
//! The authority lives and dies with the process (a durable run hands its own key material in later); its
//! private key is never written. Keys are ECDSA P-256, which are made and used in well under a millisecond,
//! because the server has 25 ms from exec to the first object.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Why a certificate or TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The certificate library refused (a host name that is no name, for instance).
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates could not be built.
    #[error("client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate with its private key.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: String,
    cert_der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

/// The certificate authority of a run.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
    valid: (Timestamp, Timestamp),
}

impl Authority {
    /// Makes an authority that is valid from a day before `now` (clocks differ) for ten years.
    ///
    /// # Errors
    /// When the certificate library fails.
    pub fn generate(now: Timestamp) -> Result<Self, PkiError> {
        let valid = (shift(now, -24), shift(now, 10 * 365 * 24));
        let mut params = params("dormouse-ca", &[], valid);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key), valid })
    }

    /// The authority's certificate, PEM: what clients trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A serving certificate for the names every client of the API server may use, and for `extra` addresses.
    ///
    /// # Errors
    /// When the certificate library fails.
    pub fn serving(&self, extra: &[IpAddr]) -> Result<Leaf, PkiError> {
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let mut params = params("kube-apiserver", &[], self.valid);
        for name in names.into_iter().chain(["kubernetes.default.svc.cluster.local"]) {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        for address in loopback.iter().chain(extra.iter().filter(|a| !loopback.contains(a))) {
            params.subject_alt_names.push(SanType::IpAddress(*address));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client certificate: `user` becomes the common name, `groups` the organizations.
    ///
    /// # Errors
    /// When the certificate library fails.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Leaf, PkiError> {
        let mut params = params(user, groups, self.valid);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// TLS settings of the server: this leaf, HTTP/2 and HTTP/1.1, client certificates of this authority welcome
    /// but not demanded.
    ///
    /// # Errors
    /// When the TLS library refuses the leaf.
    pub fn server_config(&self, leaf: &Leaf) -> Result<Arc<ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).allow_unauthenticated().build()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key_der.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![leaf.cert_der.clone()], key)?;
        // Without these kubectl would stay on HTTP/1.1 and open a connection for every watch.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Leaf, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            cert_der: certificate.der().clone(),
            key_der: key.serialize_der(),
        })
    }
}

impl Leaf {
    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.cert_der
    }
}

/// Parameters with this subject and validity. The library's names hold one value per type, so that further
/// organizations go in under the attribute's number; at most one more is expressible, and none of ours needs it.
fn params(common_name: &str, organizations: &[&str], valid: (Timestamp, Timestamp)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (index, organization) in organizations.iter().take(2).enumerate() {
        let kind = if index == 0 { DnType::OrganizationName } else { DnType::CustomDnType(vec![2, 5, 4, 10]) };
        params.distinguished_name.push(kind, *organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    let ((y, m, d), (to_y, to_m, to_d)) = (day(valid.0), day(valid.1));
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(to_y, to_m, to_d);
    params
}

fn shift(at: Timestamp, hours: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_hours(hours)).unwrap_or(at)
}

/// Year, month and day, as the certificate library wants them.
fn day(at: Timestamp) -> (i32, u8, u8) {
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_certificates_carry_user_and_groups() {
        let authority = Authority::generate("2026-11-21T10:00:00Z".parse().unwrap()).unwrap();
        let leaf = authority.client("admin", &["system:masters", "dev"]).unwrap();
        let subject = crate::auth::certificate::subject(leaf.der()).unwrap();
        assert_eq!(subject.common_name.as_deref(), Some("admin"));
        assert_eq!(subject.organizations, ["system:masters", "dev"]);
    }

    #[test]
    fn the_server_configuration_speaks_both_protocols() {
        let authority = Authority::generate("2026-11-21T10:00:00Z".parse().unwrap()).unwrap();
        let leaf = authority.serving(&["127.7.1.1".parse().unwrap()]).unwrap();
        let config = authority.server_config(&leaf).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(leaf.cert_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(leaf.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
