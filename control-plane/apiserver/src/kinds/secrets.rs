//! Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dormouse_machinery::field::{FieldError, Path};
use serde_json::Value;

use super::values::{At, DATA_LIMIT, data_keys, default, frozen, immutable, map, map_entry, text};
use super::{fields, typed};
use crate::registry::{Column, Cx, Kind, Object, READ, Right, Role, Strategy};
use crate::table::read;

const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

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
        let size = data_keys(object, "data", problems) / 4 * 3;
        if size > DATA_LIMIT {
            problems.push(FieldError::too_long("data", DATA_LIMIT));
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
}
