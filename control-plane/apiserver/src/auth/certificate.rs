//! The subject of a client certificate: common name and organizations.
//!
//! The TLS library has verified the certificate by now and does not give its subject away, so this walks the few
//! DER elements that lead there. Nothing is copied but the names; anything unexpected is `None`, and the client then
//! counts as one without a certificate.

/// Who a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN, the user's name.
    pub common_name: Option<String>,
    /// O, the user's groups, in order.
    pub organizations: Vec<String>,
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;

/// Attributes 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// Reads the subject of an X.509 certificate in DER.
#[must_use]
pub fn subject(der: &[u8]) -> Option<Subject> {
    let mut outer = Der(der);
    let mut certificate = Der(outer.take(SEQUENCE)?);
    let mut fields = Der(certificate.take(SEQUENCE)?);
    if fields.peek() == Some(VERSION) {
        fields.take(VERSION)?;
    }
    fields.take(INTEGER)?; // serial number
    fields.take(SEQUENCE)?; // signature algorithm
    fields.take(SEQUENCE)?; // issuer
    fields.take(SEQUENCE)?; // validity
    let mut name = Der(fields.take(SEQUENCE)?);
    let mut subject = Subject::default();
    while name.peek().is_some() {
        let mut relative = Der(name.take(SET)?);
        while relative.peek().is_some() {
            let mut attribute = Der(relative.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_IDENTIFIER)?;
            let tag = attribute.peek()?;
            let value = attribute.take(tag)?;
            if !matches!(tag, UTF8 | PRINTABLE | IA5) {
                continue;
            }
            let value = std::str::from_utf8(value).ok()?.to_owned();
            match kind {
                COMMON_NAME => subject.common_name = Some(value),
                ORGANIZATION => subject.organizations.push(value),
                _ => {}
            }
        }
    }
    Some(subject)
}

/// What is left to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            rest = after;
            bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte))
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(content)
    }
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
