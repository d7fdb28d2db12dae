//! ConfigMaps.

use dormouse_machinery::field::{FieldError, Path};
use serde_json::Map;

use super::values::{DATA_LIMIT, base64_length, data_keys, frozen, map, standard_finalizers};
use super::{texts, typed};
use crate::registry::{Column, Cx, Kind, Object, READ, Right, Strategy};
use crate::table::read::count;

pub(super) fn row() -> Kind {
    Kind {
        short_names: texts(&["cm"]),
        columns: vec![
            Column::name(),
            Column::string("Data", "The number of entries.", |o, _| (count(o, &["data"]) + count(o, &["binaryData"])).into()),
            Column::age(),
        ],
        rights: const { &[Right::view(&[""]), Right::edit(&[""]), Right::node(READ, &[""])] },
        ..typed("", "v1", "ConfigMap", "configmaps", ConfigMaps)
    }
}

struct ConfigMaps;

impl Strategy for ConfigMaps {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        standard_finalizers(object, problems);
        let size = data_keys(object, "data", str::len, problems) + data_keys(object, "binaryData", base64_length, problems);
        for key in map(object, "data").into_iter().flat_map(Map::keys) {
            if map(object, "binaryData").is_some_and(|b| b.contains_key(key)) {
                let why = "duplicate of key present in binaryData";
                problems.push(FieldError::invalid(Path::new("data").key(key), key.as_str(), why));
            }
        }
        if size > DATA_LIMIT {
            // So Kubernetes writes the place of the whole object here.
            problems.push(FieldError::too_long("[]", DATA_LIMIT));
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        frozen(object, old, &["data", "binaryData"], problems);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shows;
    use super::*;

    #[test]
    fn cells() {
        let map = json!({"metadata": {"name": "c"}, "data": {"a": "b"}, "binaryData": {"c": "ZA=="}});
        shows(&row(), &map, &[("Name", json!("c")), ("Data", json!(2)), ("Age", json!("<unknown>"))]);
    }
}
