//! Certificates made in memory: an authority and what it signs.
//!
//! An authority lives and dies with its process unless its owner keeps it; its private key is never written here. Keys are
//! ECDSA P-256, which are made and used in well under a millisecond: the API server has 25 ms from exec to the first object.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

/// Most organizations of a name: the library's names hold one value per type, so that a second goes in under the attribute's
/// number, and a third has no place.
const MOST_ORGANIZATIONS: usize = 2;

/// Why a certificate could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The certificate library refused (a host name that is no name, for instance).
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A text is no PEM, or not of what it should be.
    #[error("PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The TLS library refused.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// More groups than a certificate of ours can name.
    #[error("a certificate names at most {MOST_ORGANIZATIONS} groups here, and these are {0}")]
    Groups(usize),
    /// The verifier of client certificates could not be built.
    #[error("client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate in PEM, followed by those between it and the authority if there are any.
    pub cert_pem: String,
    /// The private key in PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    valid: (Timestamp, Timestamp),
}

impl Authority {
    /// Makes an authority that is valid, with all it signs, from a day before `now` (clocks differ) for ten years.
    ///
    /// # Errors
    /// When the certificate library fails.
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let valid = (shift(now, -24), shift(now, 10 * 365 * 24));
        let mut params = params(name, &[], valid)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key), valid })
    }

    /// The authority's certificate, PEM: what clients trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A serving certificate for loopback, these names and these addresses.
    ///
    /// # Errors
    /// When a name is none or the certificate library fails.
    pub fn server(&self, common_name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<Leaf, PkiError> {
        let mut params = params(common_name, &[], self.valid)?;
        for name in ["localhost"].iter().chain(names) {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        for address in loopback.iter().chain(addresses.iter().filter(|a| !loopback.contains(a))) {
            params.subject_alt_names.push(SanType::IpAddress(*address));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client certificate: `user` becomes the common name, `groups`, two at most, the organizations.
    ///
    /// # Errors
    /// When there are more groups, or the certificate library fails.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Leaf, PkiError> {
        let mut params = params(user, groups, self.valid)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Leaf, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Leaf { cert_pem: params.signed_by(&key, &self.issuer)?.pem(), key_pem: key.serialize_pem() })
    }
}

/// Parameters with this subject and validity.
fn params(common_name: &str, organizations: &[&str], valid: (Timestamp, Timestamp)) -> Result<CertificateParams, PkiError> {
    if organizations.len() > MOST_ORGANIZATIONS {
        return Err(PkiError::Groups(organizations.len()));
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (index, organization) in organizations.iter().enumerate() {
        let kind = if index == 0 { DnType::OrganizationName } else { DnType::CustomDnType(vec![2, 5, 4, 10]) };
        params.distinguished_name.push(kind, *organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    let ((y, m, d), (to_y, to_m, to_d)) = (day(valid.0), day(valid.1));
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(to_y, to_m, to_d);
    Ok(params)
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
    fn groups_that_cannot_be_named_are_refused() {
        let authority = Authority::generate("ca", Timestamp::UNIX_EPOCH).unwrap();
        assert!(authority.client("u", &["a", "b"]).is_ok());
        assert!(matches!(authority.client("u", &["a", "b", "c"]), Err(PkiError::Groups(3))));
    }
}
