//! The built-in kinds, one file each: its row with columns, rights and subresources, and beside it the
//! [`Strategy`] with its defaults and validation. Kinds that are one idea in several forms
//! (a Role for a namespace or the cluster, an Event of two groups, the access reviews) share a file.
//!
//! To add one, write its file and name its row in [`builtin`]. Its structure and words stand in the table of the
//! machinery already, which has every kind of Kubernetes.

mod bindings;
mod configmaps;
mod crds;
mod deployments;
mod events;
mod leases;
mod namespaces;
mod nodes;
pub(crate) mod pod;
mod replicasets;
mod replicated;
mod reviews;
mod roles;
mod secrets;
mod serviceaccounts;
mod values;

use std::sync::Arc;

use crate::registry::{Column, FieldLabel, Kind, Schema, Strategy};

/// Every built-in row.
pub(crate) fn builtin() -> Vec<Kind> {
    vec![
        namespaces::row(),
        nodes::row(),
        pod::row(),
        configmaps::row(),
        secrets::row(),
        serviceaccounts::row(),
        events::row(),
        events::modern_row(),
        leases::row(),
        deployments::row(),
        replicasets::row(),
        bindings::cluster_row(),
        roles::cluster_row(),
        bindings::row(),
        roles::row(),
        reviews::identity::token_row(),
        reviews::identity::self_row(),
        reviews::access::local_row(),
        reviews::access::self_row(),
        reviews::rules::row(),
        reviews::access::row(),
        crds::row(),
    ]
}

/// A row whose structure and words stand in the table of built-in kinds; it shows name and time of creation.
fn typed(group: &str, version: &str, kind: &str, plural: &str, strategy: impl Strategy + 'static) -> Kind {
    Kind { schema: Schema::Builtin, strategy: Arc::new(strategy), columns: Column::plain(), ..Kind::new(group, version, kind, plural) }
}

/// Field labels whose path is the label.
fn fields(labels: &[&str]) -> Vec<FieldLabel> {
    labels.iter().map(|l| FieldLabel { label: (*l).to_owned(), path: (*l).to_owned() }).collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// Checks the cells of an object, wide ones included, by heading.
#[cfg(test)]
fn shows(kind: &Kind, object: &serde_json::Value, expected: &[(&str, serde_json::Value)]) {
    use crate::registry::Cell;
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let cell = |c: &Column| match &c.cell {
        Cell::Compute(compute) => compute(object, now),
        Cell::Path(path) => path.as_str().into(),
    };
    let cells: Vec<(&str, serde_json::Value)> = kind.columns.iter().map(|c| (c.name.as_str(), cell(c))).collect();
    assert_eq!(cells, expected);
}
