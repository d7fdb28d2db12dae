//! Hashes that other programs see: in names of Pods and ReplicaSets, in annotations and in discovery.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{go, names};

/// FNV-1a with 32 bits.
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// `text` in the safe alphabet of names, one character for each: no vowels, so no words.
pub fn safe_encode(text: &str) -> String {
    let letters = names::SAFE_ALPHABET;
    text.chars().map(|c| char::from(letters[u32::from(c) as usize % letters.len()])).collect()
}

/// The `pod-template-hash` of a template. Equal templates have equal hashes whatever the order of their
/// members; `collisions` (a Deployment's `status.collisionCount`) makes another one. The value is ours:
/// Kubernetes hashes a dump of Go's memory that nobody else can make, and compares it with nothing.
pub fn template(template: &Value, collisions: Option<u32>) -> String {
    let mut bytes = go::json(template).into_bytes();
    if let Some(collisions) = collisions {
        bytes.extend_from_slice(&collisions.to_le_bytes());
    }
    safe_encode(&fnv1a_32(&bytes).to_string())
}

/// SHA-256 in standard base64 without padding: 43 characters, `+` and `/` among them.
pub fn sha256_base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(bytes))
}

/// SHA-256 in the base64 alphabet of addresses, without padding: 43 characters.
pub fn sha256_base64_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The `storageVersionHash` that discovery shows for a kind.
pub fn storage_version(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a_32(b"foobar"), 0xbf9c_f968);
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256_base64(b"abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0");
        assert_eq!(sha256_base64_url(b"abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }

    #[test]
    fn the_recorded_storage_version() {
        assert_eq!(storage_version("golden.example.com", "v1", "Widget"), "FtbgEmiKtnw=");
    }

    #[test]
    fn names_are_safe() {
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        let one = template(&json!({"a": 1, "b": 2}), None);
        assert_eq!(one, template(&json!({"b": 2, "a": 1}), None));
        assert_ne!(one, template(&json!({"a": 1, "b": 2}), Some(1)));
        assert!(names::dns1123_label(&one).is_empty());
    }
}
