//! An instance as data: what was asked for, and the one JSON shape in which its state is shown. PURE.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON object of strings that keeps its order; of equal names the last value counts, as everywhere in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl Pairs {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(k, _)| k == name) {
            Some(pair) => pair.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (k, v) in &self.0 {
            map.serialize_entry(k, v)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Pairs::default();
                while let Some((k, v)) = map.next_entry::<String, String>()? {
                    pairs.set(&k, v);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}

/// The body of a creation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Config {
    pub(crate) options: String,
    #[serde(default)]
    pub(crate) gpu_uuids: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) env_vars: Option<Pairs>,
    #[serde(default)]
    pub(crate) annotations: Option<Pairs>,
}

impl Config {
    /// Whether both ask for the same; the order of variables and annotations means nothing.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let sorted = |pairs: &Option<Pairs>| {
            pairs.clone().map(|mut p| {
                p.0.sort();
                p
            })
        };
        self.options == other.options
            && self.gpu_uuids == other.gpu_uuids
            && sorted(&self.env_vars) == sorted(&other.env_vars)
            && sorted(&self.annotations) == sorted(&other.annotations)
    }
}

/// Where an instance is in its life; the wire's `status` is coarser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Its process runs.
    Running,
    /// It is being deleted.
    Stopping,
    /// Its deletion failed: processes survive SIGKILL. Another deletion tries again.
    Stuck,
    /// Its process has ended by itself.
    Exited,
}

/// The peer's two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Running,
    Stopped,
}

/// The state object. The members down to `annotations` are the peer's, in its order (launcher 1.2); `exit_code` comes last in
/// STOPPED events; the rest is ours and never in events.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) instance_id: String,
    pub(crate) revision: u64,
    pub(crate) options: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_uuids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env_vars: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) extra: Option<Extra>,
}

/// Members of ours.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Extra {
    pub(crate) phase: Phase,
    pub(crate) engine: &'static str,
    pub(crate) pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    pub(crate) started_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_shape() {
        let text = r#"{"options":"--port 8005","gpu_uuids":[],"env_vars":{"Z":"1","A":"2","Z":"3"},"annotations":null,"more":1}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let state = State {
            status: Status::Running,
            instance_id: "a".into(),
            revision: 1,
            options: config.options,
            gpu_uuids: config.gpu_uuids,
            env_vars: config.env_vars,
            annotations: config.annotations,
            exit_code: None,
            extra: None,
        };
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"status":"running","instance_id":"a","revision":1,"options":"--port 8005","gpu_uuids":[],"env_vars":{"Z":"3","A":"2"}}"#
        );
        let stopped = State { status: Status::Stopped, exit_code: Some(-9), gpu_uuids: None, env_vars: None, ..state };
        assert_eq!(
            serde_json::to_string(&stopped).unwrap(),
            r#"{"status":"stopped","instance_id":"a","revision":1,"options":"--port 8005","exit_code":-9}"#
        );
    }
}
