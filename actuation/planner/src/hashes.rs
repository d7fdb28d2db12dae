//! Hashes by which things are recognised again: instances, direct providers, launcher templates.
//!
//! All of them are SHA-256 over a canonical JSON text (keys sorted at every level, no blanks) that begins with a tag and a
//! version. They are equality tests and nothing else: nothing is decoded from them, and nobody may expect equality across
//! versions of the tag. Where a wrong "different" would cost a running engine, content is compared instead
//! ([`crate::instance::same_content`]).
//!
//! The hashes on launchers carry a visible prefix, so that one that another controller computed is known to be foreign and is
//! not taken for a stale one of ours.

use dormouse_machinery::hash::{sha256_base64, sha256_base64_url};
use serde_json::{Value, json};

use crate::ids::{GpuUuid, InstanceId};

/// Tag and version of the instance ID.
const INSTANCE_TAG: &str = "dormouse.dev/instance/1";
/// Tag and version of the nominal hash.
const NOMINAL_TAG: &str = "dormouse.dev/nominal/1";
/// Tag and version of the launcher template hash.
const TEMPLATE_TAG: &str = "dormouse.dev/launcher-template/1";
/// Version of what the controller puts into launchers (probes, sidecar, environment): a change makes all of them stale (gap `a26`).
pub const INJECTION_VERSION: u32 = 1;
/// What our launcher hashes begin with.
const LAUNCHER_HASH_PREFIX: &str = "dm1:";

/// The hashed text.
fn tagged(tag: &str, content: &Value) -> Vec<u8> {
    format!("{tag}\n{content}").into_bytes()
}

/// ID of an instance: 45 characters, a valid label value, legal in a path.
#[must_use]
pub fn instance_id(content: &Value) -> InstanceId {
    InstanceId(format!("I{}i", sha256_base64_url(&tagged(INSTANCE_TAG, content))))
}

/// Hash of a direct provider: the canonical Pod, its GPUs by index and order, its node.
#[must_use]
pub fn nominal(pod: &Value, indices: &[u32], gpus: &[GpuUuid], node: &str) -> String {
    sha256_base64(&tagged(NOMINAL_TAG, &json!({"pod": pod, "indices": indices, "gpus": gpus, "node": node})))
}

/// Hash of a launcher template for all nodes.
#[must_use]
pub fn template(pod: &Value) -> String {
    let content = json!({"injected": INJECTION_VERSION, "pod": pod});
    format!("{LAUNCHER_HASH_PREFIX}{}", sha256_base64(&tagged(TEMPLATE_TAG, &content)))
}

/// Hash of a launcher template for one node.
#[must_use]
pub fn template_on_node(template_hash: &str, node: &str) -> String {
    let content = json!({"template": template_hash, "node": node});
    format!("{LAUNCHER_HASH_PREFIX}{}", sha256_base64(&tagged(TEMPLATE_TAG, &content)))
}

/// Whether a launcher hash was computed by us, in whatever version.
#[must_use]
pub fn ours(hash: &str) -> bool {
    hash.starts_with("dm") && hash.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_are_label_values() {
        for n in 0..200 {
            let id = instance_id(&json!({ "n": n }));
            assert_eq!(id.as_str().len(), 45);
            assert!(dormouse_machinery::names::label_value(id.as_str()).is_empty(), "{id}");
        }
    }

    #[test]
    fn launcher_hashes_depend_on_node_and_are_recognised() {
        let hash = template(&json!({"a": 1}));
        assert!(ours(&hash));
        assert!(!ours("6c3oSHL1HAa8B1Hg9/O1mAxw+YTxVI8rKDrh69AQi9g"));
        assert_ne!(template_on_node(&hash, "a"), template_on_node(&hash, "b"));
        assert_ne!(template_on_node(&hash, "a"), hash);
    }

    #[test]
    fn nominal_hash_depends_on_everything() {
        let gpus = [GpuUuid::from("GPU-0"), GpuUuid::from("GPU-1")];
        let other = [GpuUuid::from("GPU-1"), GpuUuid::from("GPU-0")];
        let base = nominal(&json!({"a": 1}), &[0, 1], &gpus, "n");
        assert_eq!(base.len(), 43);
        assert_ne!(base, nominal(&json!({"a": 2}), &[0, 1], &gpus, "n"));
        assert_ne!(base, nominal(&json!({"a": 1}), &[1, 0], &other, "n"));
        assert_ne!(base, nominal(&json!({"a": 1}), &[0, 1], &gpus, "m"));
    }
}
