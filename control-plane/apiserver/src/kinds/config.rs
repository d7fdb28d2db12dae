//! ConfigMaps, Secrets and ServiceAccounts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::names;
use dormouse_store::{Change, key};
use serde_json::{Map, Value, json};

use super::values::{At, default, immutable, map, map_entry, text};
use super::{fields, row, texts};
use crate::object::{encode, meta_str, new_uid, time};
use crate::registry::{Cx, Kind, Object, Strategy, Subresource, Verb};

/// Bytes of data that a ConfigMap or Secret may hold.
const LIMIT: usize = 1 << 20;
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

pub(super) fn rows() -> Vec<Kind> {
    vec![
        Kind { short_names: texts(&["cm"]), ..row("", "v1", "ConfigMap", "configmaps", ConfigMaps) },
        Kind { fields: fields(&["type"]), ..row("", "v1", "Secret", "secrets", Secrets) },
        Kind {
            short_names: texts(&["sa"]),
            subresources: vec![Subresource::foreign("token", "authentication.k8s.io", "v1", "TokenRequest", &[Verb::Create])],
            returns_deleted: true,
            ..row("", "v1", "ServiceAccount", "serviceaccounts", ServiceAccounts)
        },
    ]
}

struct ConfigMaps;
struct Secrets;
struct ServiceAccounts;

impl Strategy for ServiceAccounts {}

fn keys(object: &Object, member: &str, problems: &mut Vec<FieldError>) -> usize {
    let path = Path::new(member);
    let mut size = 0;
    for (key, value) in map(object, member).into_iter().flatten() {
        for problem in names::config_map_key(key) {
            problems.push(FieldError::invalid(path.key(key), key.as_str(), problem));
        }
        size += value.as_str().map_or(0, str::len);
    }
    size
}

/// What may not change once `immutable` is set.
fn frozen(object: &Object, old: &Object, members: &[&str], problems: &mut Vec<FieldError>) {
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return;
    }
    if object.get("immutable").and_then(Value::as_bool) != Some(true) {
        problems.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for member in members {
        if object.get(*member) != old.get(*member) {
            problems.push(FieldError::forbidden(*member, "field is immutable when `immutable` is set"));
        }
    }
}

impl Strategy for ConfigMaps {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let size = keys(object, "data", problems) + keys(object, "binaryData", problems) / 4 * 3;
        for key in map(object, "data").into_iter().flat_map(Map::keys) {
            if map(object, "binaryData").is_some_and(|b| b.contains_key(key)) {
                let why = format!("duplicate of key present in data and binaryData: {key}");
                problems.push(FieldError::invalid(Path::new("data").key(key), key.as_str(), why));
            }
        }
        if size > LIMIT {
            problems.push(FieldError::too_long("", LIMIT));
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        frozen(object, old, &["data", "binaryData"], problems);
    }
}

impl Strategy for Secrets {
    fn default(&self, object: &mut Object) {
        // `stringData` is written only: it overrides `data` and is never shown.
        if let Some(Value::Object(clear)) = object.remove("stringData") {
            let data = map_entry(object, "data");
            for (key, value) in clear {
                data.insert(key, STANDARD.encode(value.as_str().unwrap_or("")).into());
            }
        }
        default(object, "type", "Opaque");
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let size = keys(object, "data", problems) / 4 * 3;
        if size > LIMIT {
            problems.push(FieldError::too_long("data", LIMIT));
        }
        let needed: &[&str] = match text(object, "type") {
            TOKEN_TYPE => {
                let account = crate::object::meta(object, "annotations").and_then(|a| a.get("kubernetes.io/service-account.name"));
                if account.and_then(Value::as_str).unwrap_or("").is_empty() {
                    let path = Path::new("metadata.annotations").key("kubernetes.io/service-account.name");
                    problems.push(FieldError::required(path, ""));
                }
                &[]
            }
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            _ => &[],
        };
        for key in needed {
            if !map(object, "data").is_some_and(|d| d.contains_key(*key)) {
                problems.push(FieldError::required(Path::new("data").key(key), ""));
            }
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        immutable(object, old, "type", &At::Path(""), problems);
        frozen(object, old, &["data"], problems);
    }
}

/// Gives a namespace the account that its Pods run under when they name none.
pub(super) fn ensure_service_account(cx: &Cx<'_>, namespace: &str) {
    let table = cx.server.store().table("serviceaccounts");
    let key = key(namespace, "default");
    if namespace.is_empty() || table.get(&key).is_some() {
        return;
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace, "uid": new_uid(), "creationTimestamp": time(cx.now)},
    });
    let snapshot = cx.server.registry().snapshot();
    let (Some(kind), Value::Object(account)) = (snapshot.get("", "v1", "serviceaccounts"), account) else { return };
    debug_assert_eq!(meta_str(&account, "name"), "default");
    match encode(kind, &account, 0) {
        // It may have come in between, which is as good.
        Ok(draft) => drop(table.commit(&key, Change::Create(draft))),
        Err(error) => tracing::error!(%error, namespace, "no default service account"),
    }
}
