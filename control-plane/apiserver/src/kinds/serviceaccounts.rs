//! ServiceAccounts.

use dormouse_store::{Change, key};
use serde_json::{Value, json};

use super::{texts, typed};
use crate::object::{encode, meta_str, new_uid, time};
use crate::registry::{CREATE, Column, Cx, Kind, Plain, Right, Role, Subresource};
use crate::table::read::count;

pub(super) fn row() -> Kind {
    Kind {
        short_names: texts(&["sa"]),
        subresources: vec![Subresource::token()],
        returns_deleted: true,
        columns: vec![
            Column::name(),
            Column::string("Secrets", "The number of secrets.", |o, _| count(o, &["secrets"]).into()),
            Column::age(),
        ],
        rights: const {
            &[
                Right::view(&[""]),
                Right::edit(&[""]),
                Right::new(Role::Edit, &["impersonate"], &[""]),
                Right::new(Role::Edit, CREATE, &["token"]),
                Right::node(&["get"], &[""]),
                Right::node(CREATE, &["token"]),
            ]
        },
        ..typed("", "v1", "ServiceAccount", "serviceaccounts", Plain)
    }
}

/// Gives a namespace the account that its Pods run under when they name none.
pub(super) fn ensure(cx: &Cx<'_>, namespace: &str) {
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
