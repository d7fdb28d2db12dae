//! Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dormouse_machinery::field::{FieldError, Path};
use serde_json::Value;

use super::values::{At, DATA_LIMIT, base64_length, data_keys, default, frozen, immutable, map, map_entry, standard_finalizers, text};
use super::{fields, typed};
use crate::registry::{Column, Cx, Kind, Object, READ, Right, Role, Strategy};
use crate::table::read;

const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// What a type of Secret must hold: <https://kubernetes.io/docs/concepts/configuration/secret/#secret-types>
struct Needed {
    kind: &'static str,
    keys: &'static [&'static str],
    rule: Rule,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Every key is there.
    All,
    /// One of the keys is there.
    Any,
    /// Every key is there and not empty.
    Filled,
    /// The key is there and holds a JSON object.
    Json,
}

const NEEDED: &[Needed] = &[
    Needed { kind: "kubernetes.io/dockercfg", keys: &[".dockercfg"], rule: Rule::Json },
    Needed { kind: "kubernetes.io/dockerconfigjson", keys: &[".dockerconfigjson"], rule: Rule::Json },
    Needed { kind: "kubernetes.io/basic-auth", keys: &["username", "password"], rule: Rule::Any },
    Needed { kind: "kubernetes.io/ssh-auth", keys: &["ssh-privatekey"], rule: Rule::Filled },
    Needed { kind: "kubernetes.io/tls", keys: &["tls.crt", "tls.key"], rule: Rule::All },
];

/// Why base64 holds no JSON object, in words close to Go's: those of its parser are its own.
fn not_an_object(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let kind = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return None,
        Ok(Value::Array(_)) => "array",
        Ok(Value::String(_)) => "string",
        Ok(Value::Number(_)) => "number",
        Ok(Value::Bool(_)) => "bool",
        Err(error) if error.is_eof() => return Some("unexpected end of JSON input".to_owned()),
        Err(error) => {
            let at = error.column().saturating_sub(1);
            let found = String::from_utf8_lossy(&bytes).lines().nth(error.line().saturating_sub(1)).and_then(|l| l.chars().nth(at));
            return Some(format!("invalid character '{}' looking for beginning of value", found.unwrap_or(' ')));
        }
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

pub(super) fn row() -> Kind {
    Kind {
        fields: fields(&["type"]),
        columns: vec![
            Column::name(),
            Column::string("Type", "Used to facilitate programmatic handling of secret data.", |o, _| read::text(o, &["type"]).into()),
            Column::string("Data", "The number of entries.", |o, _| read::count(o, &["data"]).into()),
            Column::age(),
        ],
        // Who may only look must not see them.
        rights: const { &[Right::new(Role::Edit, READ, &[""]), Right::edit(&[""]), Right::node(READ, &[""])] },
        ..typed("", "v1", "Secret", "secrets", Secrets)
    }
}

struct Secrets;

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
        standard_finalizers(object, problems);
        if data_keys(object, "data", base64_length, problems) > DATA_LIMIT {
            problems.push(FieldError::too_long("data", DATA_LIMIT));
        }
        let value = |key: &str| map(object, "data").and_then(|d| d.get(key)).and_then(Value::as_str);
        if text(object, "type") == TOKEN_TYPE {
            let account = crate::object::meta(object, "annotations").and_then(|a| a.get(ACCOUNT));
            if account.and_then(Value::as_str).unwrap_or("").is_empty() {
                problems.push(FieldError::required(Path::new("metadata.annotations").key(ACCOUNT), ""));
            }
        }
        for Needed { keys, rule, .. } in NEEDED.iter().filter(|needed| needed.kind == text(object, "type")) {
            let is_there = |key: &&str| value(key).is_some_and(|v| !v.is_empty() || *rule != Rule::Filled);
            if *rule == Rule::Any && keys.iter().any(is_there) {
                continue;
            }
            for key in keys.iter().filter(|key| !is_there(key)) {
                problems.push(FieldError::required(Path::new("data").key(key), ""));
            }
            for key in keys.iter().filter(|_| *rule == Rule::Json) {
                if let Some(why) = value(key).and_then(not_an_object) {
                    problems.push(FieldError::invalid(Path::new("data").key(key), "<secret contents redacted>", why));
                }
            }
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        immutable(object, old, "type", &At::Path(""), problems);
        frozen(object, old, &["data"], problems);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shows;
    use super::*;

    #[test]
    fn cells() {
        let secret = json!({"metadata": {"name": "s"}, "type": "Opaque"});
        shows(&row(), &secret, &[("Name", json!("s")), ("Type", json!("Opaque")), ("Data", json!(0)), ("Age", json!("<unknown>"))]);
    }

    #[test]
    fn registries_are_named_in_objects() {
        let of = |text: &str| not_an_object(&STANDARD.encode(text));
        assert_eq!(of("{}"), None);
        assert_eq!(of("").as_deref(), Some("unexpected end of JSON input"));
        assert_eq!(of("x").as_deref(), Some("invalid character 'x' looking for beginning of value"));
        assert_eq!(of("[]").as_deref(), Some("json: cannot unmarshal array into Go value of type map[string]interface {}"));
    }
}
