//! Objects: as they come in ([`Draft`]) and as they are kept ([`Stored`]).

use bytes::Bytes;

/// What can be asked of an object without parsing it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// UID.
    pub uid: Box<str>,
    /// Labels, sorted by key.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// UIDs of the owners.
    pub owners: Vec<Box<str>>,
    /// Whether a deletion timestamp is set.
    pub deleting: bool,
    /// Values of the fields that selectors may name, in the order in which the kind lists them.
    pub fields: Vec<Box<str>>,
}

impl Meta {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }
}

/// A new state of an object: its JSON with a gap where the revision goes.
///
/// The gap is inside the quotes of `metadata.resourceVersion`, so that a commit moves bytes aside and writes a
/// few digits instead of serialising again.
#[derive(Debug, Clone)]
pub struct Draft {
    bytes: Vec<u8>,
    gap: usize,
    meta: Meta,
}

impl Draft {
    /// `bytes` is the object's JSON in which `metadata.resourceVersion` is the empty string; `gap` is the
    /// index between its quotes. `None` when there is no such pair of quotes.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>, gap: usize, meta: Meta) -> Option<Self> {
        let quoted = gap > 0 && bytes.get(gap - 1) == Some(&b'"') && bytes.get(gap) == Some(&b'"');
        // The commit holds locks: what it writes must have its place already, and what is kept shall hold no more.
        bytes.reserve_exact(DIGITS);
        bytes.shrink_to(bytes.len() + DIGITS);
        quoted.then_some(Self { bytes, gap, meta })
    }

    /// The index of the new state.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The JSON as it would be at `revision`.
    #[must_use]
    pub fn bytes_at(&self, revision: u64) -> Bytes {
        fill(&self.bytes[..self.gap], revision, &self.bytes[self.gap..])
    }

    /// Whether the object is the one that is stored, byte for byte.
    #[must_use]
    pub fn same_as(&self, stored: &Stored) -> bool {
        let (head, tail) = stored.around();
        self.gap == head.len() && self.bytes[..self.gap] == *head && self.bytes[self.gap..] == *tail
    }

    pub(crate) fn seal(self, revision: u64) -> Stored {
        let Self { mut bytes, gap, meta } = self;
        let mut buffer = [0; DIGITS];
        let digits = decimal(revision, &mut buffer);
        bytes.extend_from_slice(digits);
        bytes[gap..].rotate_right(digits.len());
        Stored { revision, meta, bytes: bytes.into(), gap, digits: digits.len() }
    }
}

/// The most digits that a revision has.
const DIGITS: usize = 20;

fn fill(head: &[u8], revision: u64, tail: &[u8]) -> Bytes {
    let mut buffer = [0; DIGITS];
    let digits = decimal(revision, &mut buffer);
    let mut out = Vec::with_capacity(head.len() + digits.len() + tail.len());
    out.extend_from_slice(head);
    out.extend_from_slice(digits);
    out.extend_from_slice(tail);
    out.into()
}

fn decimal(mut n: u64, buffer: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
        if n == 0 {
            return &buffer[at..];
        }
    }
}

/// An object as it was from one revision on.
#[derive(Debug, Clone)]
pub struct Stored {
    revision: u64,
    meta: Meta,
    bytes: Bytes,
    gap: usize,
    digits: usize,
}

impl Stored {
    /// The revision that made it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Its index.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its JSON, `metadata.resourceVersion` included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same content with another revision in it, as watchers see an object that left their selection.
    #[must_use]
    pub fn bytes_at(&self, revision: u64) -> Bytes {
        if revision == self.revision {
            return self.bytes.clone();
        }
        let (head, tail) = self.around();
        fill(head, revision, tail)
    }

    pub(crate) fn tombstone(&self, revision: u64) -> Self {
        let bytes = self.bytes_at(revision);
        let digits = bytes.len() + self.digits - self.bytes.len();
        Self { revision, meta: self.meta.clone(), bytes, gap: self.gap, digits }
    }

    fn around(&self) -> (&[u8], &[u8]) {
        (&self.bytes[..self.gap], &self.bytes[self.gap + self.digits..])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn draft(namespace: &str, name: &str, content: &str) -> Draft {
        let head = format!("{{\"c\":\"{content}\",\"metadata\":{{\"name\":\"{name}\",\"resourceVersion\":\"");
        let gap = head.len();
        let meta = Meta { namespace: namespace.into(), name: name.into(), ..Meta::default() };
        Draft::new(format!("{head}\"}}}}").into_bytes(), gap, meta).unwrap()
    }

    #[test]
    fn the_revision_goes_into_the_gap() {
        let stored = draft("", "a", "x").seal(99);
        assert_eq!(&stored.bytes()[..], br#"{"c":"x","metadata":{"name":"a","resourceVersion":"99"}}"#);
        assert_eq!(&stored.bytes_at(100)[..], br#"{"c":"x","metadata":{"name":"a","resourceVersion":"100"}}"#);
        let gone = stored.tombstone(1000);
        assert_eq!(&gone.bytes_at(7)[..], br#"{"c":"x","metadata":{"name":"a","resourceVersion":"7"}}"#);
        assert!(draft("", "a", "x").same_as(&stored));
        assert!(draft("", "a", "x").same_as(&gone));
        assert!(!draft("", "a", "y").same_as(&stored));
    }

    #[test]
    fn a_gap_outside_quotes_is_refused() {
        assert!(Draft::new(b"{}".to_vec(), 1, Meta::default()).is_none());
        assert!(Draft::new(b"\"\"".to_vec(), 9, Meta::default()).is_none());
    }
}
