//! Printed answers: `as=Table`, which `kubectl get` asks for.
//!
//! A kind's row of the registry lists its columns. Built-in kinds take theirs from [`columns`], whose cells are functions of
//! the object and the time; custom resources from [`custom_columns`], whose cells are paths. [`render`] knows neither.

mod age;
mod builtin;
mod custom;
mod pod;
mod read;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::registry::{Cell, Column, Kind};

/// What each row carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A PartialObjectMetadata.
    Metadata,
    /// The object.
    Object,
}

impl IncludeObject {
    /// The value of the query parameter `includeObject`; absent means metadata. `None` for another word.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

/// The published description of `metadata.name`.
const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// The published description of `metadata.creationTimestamp`.
const CREATED_AT: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of a built-in kind; without a printer of its own, name and time of creation.
#[must_use]
pub fn columns(group: &str, kind: &str) -> Vec<Column> {
    builtin::columns(group, kind).unwrap_or_else(builtin::plain)
}

/// The columns of a custom resource, name included, from the `additionalPrinterColumns` of its version; without any,
/// name and age.
#[must_use]
pub fn custom_columns(additional: &Value) -> Vec<Column> {
    let Some(additional) = additional.as_array().filter(|list| !list.is_empty()) else { return builtin::name_and_age() };
    let mut columns = vec![builtin::name()];
    for column in additional {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        let description = match text("description") {
            empty if empty.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given,
        };
        columns.push(Column {
            name: text("name"),
            column_type: text("type"),
            format: text("format"),
            description,
            priority: column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            cell: Cell::Path(path),
        });
    }
    columns
}

/// A `meta.k8s.io/<version>` Table of `objects`; `metadata` is the list's (or the single object's
/// resourceVersion). Watch events after the first leave the column definitions out.
#[must_use]
pub fn render(
    kind: &Kind,
    version: &str,
    objects: &[Value],
    metadata: Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let api_version = format!("meta.k8s.io/{version}");
    let fallback;
    let columns = match kind.columns.as_slice() {
        [] => {
            fallback = builtin::name_and_age();
            &fallback
        }
        given => given,
    };
    let cells: Vec<Printer<'_>> = columns.iter().map(Printer::new).collect();
    let rows = objects.iter().map(|object| row(&cells, object, &api_version, include, now)).collect();
    // A row's cells are matched to headings by position, so that later events of a watch need no headings.
    let definitions = if with_columns { columns.iter().map(definition).collect() } else { Value::Null };
    let mut table = Map::new();
    table.insert("kind".to_owned(), json!("Table"));
    table.insert("apiVersion".to_owned(), json!(api_version));
    table.insert("metadata".to_owned(), metadata);
    table.insert("columnDefinitions".to_owned(), definitions);
    table.insert("rows".to_owned(), Value::Array(rows));
    Value::Object(table)
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.column_type, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

fn row(cells: &[Printer<'_>], object: &Value, api_version: &str, include: IncludeObject, now: Timestamp) -> Value {
    let mut row = Map::new();
    row.insert("cells".to_owned(), cells.iter().map(|cell| cell.print(object, now)).collect());
    if let Some(conditions) = conditions(object) {
        row.insert("conditions".to_owned(), conditions);
    }
    let shown = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": object["metadata"]}),
        IncludeObject::Object => object.clone(),
    };
    row.insert("object".to_owned(), shown);
    Value::Object(row)
}

/// Pods that have ended say so, and `kubectl` can leave them out.
fn conditions(object: &Value) -> Option<Value> {
    if object["kind"] != "Pod" || object["apiVersion"] != "v1" {
        return None;
    }
    let (reason, message) = match read::text(object, &["status", "phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// A column, ready to print: paths are parsed once per table.
enum Printer<'a> {
    Compute(fn(&Value, Timestamp) -> Value),
    Path(custom::Path<'a>),
}

impl<'a> Printer<'a> {
    fn new(column: &'a Column) -> Self {
        match &column.cell {
            Cell::Compute(compute) => Self::Compute(*compute),
            Cell::Path(path) => Self::Path(custom::Path::new(path, &column.column_type)),
        }
    }

    fn print(&self, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::Compute(compute) => compute(object, now),
            Self::Path(path) => path.print(object, now),
        }
    }
}
