//! Who issued a certificate, and until when it holds: the two of its members that people ask for.
//!
//! Nothing is decided by it. Whether a certificate is trusted the TLS library says.

use x509_parser::parse_x509_certificate;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The name of who issued it.
    pub(super) issuer: String,
    /// The end of its validity: `2031-05-30`.
    pub(super) until: String,
}

/// Reads a certificate in DER; `None` when it is none.
pub(super) fn read(der: &[u8]) -> Option<Said> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let issuer = certificate.issuer();
    let name = issuer.iter_common_name().chain(issuer.iter_organization()).find_map(|name| name.as_str().ok());
    let until = certificate.validity().not_after.to_datetime().date();
    Some(Said { issuer: name.unwrap_or("nobody by name").to_owned(), until: until.to_string() })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)], year: i32) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.not_after = rcgen::date_time_ymd(year, 5, 30);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn issuer_and_end_are_read() {
        let said = |names: &[_], year| read(&certificate(names, year)).map(|said| (said.issuer, said.until)).unwrap();
        let both = [(DnType::OrganizationName, "Org"), (DnType::CommonName, "Some Root")];
        // Two digits of a year, and four.
        assert_eq!(said(&both, 2031), ("Some Root".to_owned(), "2031-05-30".to_owned()));
        assert_eq!(said(&both[..1], 2051), ("Org".to_owned(), "2051-05-30".to_owned()));
        assert_eq!(said(&[], 2051).0, "nobody by name");
    }

    #[test]
    fn what_is_none_is_none() {
        let whole = certificate(&[(DnType::CommonName, "x")], 2031);
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None);
        }
    }
}
