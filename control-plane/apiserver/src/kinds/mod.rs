//! The built-in rows, one file per group. A row says what data can say; what cannot be said as data is the
//! row's [`Strategy`](crate::registry::Strategy).

mod apps;
mod config;
mod crds;
mod events;
mod leases;
mod namespaces;
mod nodes;
pub(crate) mod pod;
mod rbac;
mod reviews;
mod values;

use std::sync::Arc;

use crate::registry::{FieldLabel, Kind, Schema, Strategy};

/// Every built-in row.
pub(crate) fn builtin() -> Vec<Kind> {
    let mut rows = Vec::new();
    rows.extend(namespaces::rows());
    rows.extend(nodes::rows());
    rows.extend(pod::rows());
    rows.extend(config::rows());
    rows.extend(events::rows());
    rows.extend(leases::rows());
    rows.extend(apps::rows());
    rows.extend(rbac::rows());
    rows.extend(reviews::rows());
    rows.extend(crds::rows());
    rows
}

/// A row whose structure stands in the table of built-in kinds and whose columns are known to the printer.
fn row(group: &str, version: &str, kind: &str, plural: &str, strategy: impl Strategy + 'static) -> Kind {
    Kind {
        schema: Schema::Builtin,
        strategy: Arc::new(strategy),
        columns: crate::table::columns(group, kind),
        ..Kind::new(group, version, kind, plural)
    }
}

/// Field labels whose path is the label.
fn fields(labels: &[&str]) -> Vec<FieldLabel> {
    labels.iter().map(|l| FieldLabel { label: (*l).to_owned(), path: (*l).to_owned() }).collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}
