//! The subject of a client certificate: common name and organizations.
//!
//! The TLS library has verified the certificate by now and does not give its subject away. Anything unexpected is `None`, and the
//! client then counts as one without a certificate.

use x509_parser::parse_x509_certificate;
use x509_parser::x509::AttributeTypeAndValue;

/// Who a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN, the user's name.
    pub common_name: Option<String>,
    /// O, the user's groups, in order.
    pub organizations: Vec<String>,
}

/// Reads the subject of an X.509 certificate in DER.
#[must_use]
pub fn subject(der: &[u8]) -> Option<Subject> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let name = certificate.subject();
    let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
    // Of several common names the last one counts, as for Go, and so for Kubernetes.
    let common_name = name.iter_common_name().filter_map(text).last();
    Some(Subject { common_name, organizations: name.iter_organization().filter_map(text).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        for bytes in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x02", b"hello"] {
            assert_eq!(subject(bytes), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = subject(&bytes);
        }
    }
}
