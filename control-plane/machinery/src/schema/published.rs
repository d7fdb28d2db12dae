//! What Kubernetes publishes about its types beside their structure: descriptions, and which members it requires.
//!
//! Only OpenAPI documents want it, and they are made seldom: it is read when one is made (some megabytes as values) and
//! dropped with it, unlike the table.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

const PUBLISHED: &[u8] = include_bytes!("../../data/published.json.gz");
/// More than the text has by far; a broken file must not eat the memory.
const MAX_TEXT: u64 = 16 << 20;

/// What is published, by the names that types have in OpenAPI documents.
#[derive(Debug)]
pub struct Published(Map<String, Value>);

impl Published {
    /// Reads it. A broken build gives nothing, and documents without words.
    #[must_use]
    pub fn read() -> Self {
        let mut text = Vec::new();
        let read = GzDecoder::new(PUBLISHED).take(MAX_TEXT).read_to_end(&mut text);
        Self(read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    /// The types with what is published of their schemas: `description`, `required`, and of each of the `properties` its
    /// `description`, and `type` and `format` where it is a scalar.
    pub fn types(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, schema)| (name.as_str(), schema))
    }

    /// The description of a type.
    #[must_use]
    pub fn description(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    /// The description of a member.
    #[must_use]
    pub fn member(&self, name: &str, member: &str) -> Option<&str> {
        self.0.get(name)?.get("properties")?.get(member)?.get("description")?.as_str()
    }

    /// The members that must be there; `None` for a type that is not known.
    #[must_use]
    pub fn required(&self, name: &str) -> Option<Vec<&str>> {
        let known = self.0.get(name)?;
        let list = known.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // The source's types always have metadata; the API does not ask for it.
        Some(list.iter().filter_map(Value::as_str).filter(|member| *member != "metadata").collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_and_required_members() {
        let published = Published::read();
        assert!(published.description("io.k8s.api.core.v1.Pod").unwrap().starts_with("Pod is a collection"));
        assert!(published.member("io.k8s.api.core.v1.Container", "image").unwrap().starts_with("Container image name"));
        assert_eq!(published.required("io.k8s.api.core.v1.Pod"), Some(vec![]));
        assert_eq!(published.required("io.k8s.api.core.v1.PodSpec"), Some(vec!["containers"]));
        assert_eq!(published.required("io.k8s.api.none.v1.None"), None);
    }
}
