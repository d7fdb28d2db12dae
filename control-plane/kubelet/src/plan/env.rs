//! The environment of a container: `env`, `envFrom`, `$(VAR)`, in the order the kubelet builds it.
//!
//! Pure: ConfigMaps and Secrets come in as [`Sources`], which [`references`] says how to fill.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::fields::{self, FieldFacts};

/// Names of the ConfigMaps and Secrets a container's environment or a Pod's volumes need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMap names.
    pub config_maps: BTreeSet<String>,
    /// Secret names.
    pub secrets: BTreeSet<String>,
}

/// What was found for [`References`]; a name that is absent here does not exist in the API.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
}

impl Sources {
    /// The objects that say of themselves that they never change.
    #[must_use]
    pub fn immutable(&self) -> Self {
        let maps = self.config_maps.iter().filter(|(_, m)| m.immutable == Some(true));
        let secrets = self.secrets.iter().filter(|(_, s)| s.immutable == Some(true));
        Self {
            config_maps: maps.map(|(n, m)| (n.clone(), m.clone())).collect(),
            secrets: secrets.map(|(n, s)| (n.clone(), s.clone())).collect(),
        }
    }

    /// Everything of `other` too, which counts where both have a name.
    pub fn add(&mut self, other: Self) {
        self.config_maps.extend(other.config_maps);
        self.secrets.extend(other.secrets);
    }
}

/// Why a container's environment cannot be made. The texts are the kubelet's: people search for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A ConfigMap or Secret that is not optional does not exist.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The key is not there.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    MissingKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace of the Pod.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A value that is no text cannot be in an environment.
    #[error("the value of {key} in Secret {name} is not valid UTF-8 and cannot be an environment variable")]
    NotText {
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// A downward-API reference that cannot be answered.
    #[error(transparent)]
    Field(#[from] fields::FieldError),
    /// A source this kubelet does not know.
    #[error("environment variable {0} has a source that is not supported here")]
    Unsupported(String),
}

/// An ordered environment in which a later value of a name replaces the earlier one in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Sets `name`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets `name` unless it has a value.
    pub fn set_default(&mut self, name: &str, value: impl Into<String>) {
        if self.get(name).is_none() {
            self.0.push((name.to_owned(), value.into()));
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// `NAME=value` for each entry; entries that no process could be given (a NUL inside) are left out.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().filter(|(n, v)| !n.contains('\0') && !v.contains('\0')).map(|(n, v)| format!("{n}={v}")).collect()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(iter: T) -> Self {
        let mut env = Self::default();
        for (name, value) in iter {
            env.set(name, value);
        }
        env
    }
}

/// Replaces `$(NAME)` by its value; `$$` is a dollar sign, and a name without value stays as written.
#[must_use]
pub fn expand(input: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|t| t.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// What the environment of `container` reads from the API.
#[must_use]
pub fn references(container: &Container) -> References {
    let mut refs = References::default();
    for from in container.env_from.iter().flatten() {
        refs.config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        refs.secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        refs.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
        refs.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    refs
}

/// A name the kernel and every shell can hold: printable ASCII without `=`.
fn usable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

/// The declared environment of `container`: `envFrom` first, then `env` with expansion over what stands before it and
/// over `services`.
///
/// # Errors
/// [`EnvError`]: the container waits with `CreateContainerConfigError`.
pub fn declared(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    facts: &FieldFacts,
    services: &Environment,
) -> Result<Environment, EnvError> {
    let mut env = Environment::default();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or("");
        if let Some(r) = &from.config_map_ref {
            match sources.config_maps.get(&r.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        let name = format!("{prefix}{key}");
                        if usable_name(&name) {
                            env.set(name, value.clone());
                        }
                    }
                }
                None if r.optional == Some(true) => {}
                None => return Err(EnvError::Missing { kind: "configmap", name: r.name.clone() }),
            }
        }
        if let Some(r) = &from.secret_ref {
            match sources.secrets.get(&r.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        let name = format!("{prefix}{key}");
                        if let (true, Ok(text)) = (usable_name(&name), std::str::from_utf8(&value.0)) {
                            env.set(name, text);
                        }
                    }
                }
                None if r.optional == Some(true) => {}
                None => return Err(EnvError::Missing { kind: "secret", name: r.name.clone() }),
            }
        }
    }
    for entry in container.env.iter().flatten() {
        let value = match (&entry.value, &entry.value_from) {
            (_, Some(source)) => match from_source(pod, container, source, sources, facts, &entry.name)? {
                Some(value) => value,
                None => continue,
            },
            (Some(text), None) => expand(text, &|name| env.get(name).or_else(|| services.get(name)).map(str::to_owned)),
            (None, None) => String::new(),
        };
        env.set(entry.name.clone(), value);
    }
    for (name, value) in &services.0 {
        env.set_default(name, value.clone());
    }
    Ok(env)
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    facts: &FieldFacts,
    variable: &str,
) -> Result<Option<String>, EnvError> {
    let namespace = || pod.metadata.namespace.clone().unwrap_or_default();
    if let Some(r) = &source.field_ref {
        return Ok(Some(fields::field(pod, &r.field_path, facts)?));
    }
    if let Some(r) = &source.resource_field_ref {
        return Ok(Some(fields::resource(pod, Some(&container.name), r, facts)?));
    }
    if let Some(r) = &source.config_map_key_ref {
        let optional = r.optional == Some(true);
        let Some(map) = sources.config_maps.get(&r.name) else {
            return if optional { Ok(None) } else { Err(EnvError::Missing { kind: "configmap", name: r.name.clone() }) };
        };
        return match map.data.as_ref().and_then(|d| d.get(&r.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(EnvError::MissingKey { kind: "ConfigMap", namespace: namespace(), name: r.name.clone(), key: r.key.clone() }),
        };
    }
    if let Some(r) = &source.secret_key_ref {
        let optional = r.optional == Some(true);
        let Some(secret) = sources.secrets.get(&r.name) else {
            return if optional { Ok(None) } else { Err(EnvError::Missing { kind: "secret", name: r.name.clone() }) };
        };
        return match secret.data.as_ref().and_then(|d| d.get(&r.key)) {
            Some(value) => match String::from_utf8(value.0.clone()) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(EnvError::NotText { name: r.name.clone(), key: r.key.clone() }),
            },
            None if optional => Ok(None),
            None => Err(EnvError::MissingKey { kind: "Secret", namespace: namespace(), name: r.name.clone(), key: r.key.clone() }),
        };
    }
    Err(EnvError::Unsupported(variable.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}},
            "spec": {"nodeName": "n1", "containers": [container]}
        }))
        .unwrap()
    }

    fn env_of(container: serde_json::Value, sources: &Sources) -> Result<Environment, EnvError> {
        let pod = pod(container);
        let services: Environment = [("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned())].into_iter().collect();
        let c = pod.spec.as_ref().unwrap().containers[0].clone();
        declared(&pod, &c, sources, &FieldFacts::default(), &services)
    }

    #[test]
    fn expansion_follows_kubernetes() {
        let vars = |name: &str| (name == "A").then(|| "1".to_owned());
        for (input, want) in [
            ("x", "x"),
            ("$(A)", "1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("$", "$"),
            ("a$b", "a$b"),
            ("$(A)$(A)", "11"),
            ("$()", "$()"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expand(input, &vars), want, "{input}");
        }
    }

    #[test]
    fn variables_see_what_stands_before_them_and_services() {
        let env = env_of(
            json!({"name": "c", "env": [
                {"name": "EARLY", "value": "$(LATE)"},
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(KUBERNETES_SERVICE_HOST)"},
                {"name": "A", "value": "2"},
                {"name": "LATE", "value": "x"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ]}),
            &Sources::default(),
        )
        .unwrap();
        assert_eq!(env.get("EARLY"), Some("$(LATE)"));
        assert_eq!((env.get("A"), env.get("B"), env.get("POD")), (Some("2"), Some("1-127.0.0.1"), Some("p")));
        assert_eq!(env.to_strings().iter().filter(|s| s.starts_with("A=")).count(), 1);
    }

    #[test]
    fn config_maps_and_secrets_are_read_and_missing_ones_say_so() {
        let mut sources = Sources::default();
        sources.config_maps.insert("cm".into(), serde_json::from_value(json!({"data": {"k": "v", "bad=name": "x"}})).unwrap());
        sources.secrets.insert("s".into(), serde_json::from_value(json!({"data": {"token": "c2VjcmV0", "bin": "/w=="}})).unwrap());
        let env = env_of(
            json!({"name": "c",
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}},
                            {"configMapRef": {"name": "gone", "optional": true}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                        {"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "zz", "optional": true}}}]}),
            &sources,
        )
        .unwrap();
        assert_eq!((env.get("P_k"), env.get("token"), env.get("X")), (Some("v"), Some("secret"), Some("secret")));
        assert!(env.get("P_bad=name").is_none() && env.get("Y").is_none() && env.get("bin").is_none());

        let missing = env_of(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "gone"}}]}), &sources).unwrap_err();
        assert_eq!(missing.to_string(), "configmap \"gone\" not found");
        let key = json!({"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "zz"}}}]});
        assert_eq!(env_of(key, &sources).unwrap_err().to_string(), "couldn't find key zz in Secret ns/s");
    }

    #[test]
    fn references_name_everything_the_environment_reads() {
        let c: Container = serde_json::from_value(json!({"name": "c",
            "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
            "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "d", "key": "k"}}}]}))
        .unwrap();
        let refs = references(&c);
        assert_eq!(refs.config_maps.into_iter().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(refs.secrets.into_iter().collect::<Vec<_>>(), ["b"]);
    }
}
