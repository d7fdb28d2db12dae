//! Printed answers: `as=Table`, which `kubectl get` asks for.
//!
//! A kind's row lists its columns. Cells of built-in kinds are functions of the object and the time, made with the readers of
//! [`read`]; those of custom resources ([`custom_columns`]) are paths. [`render`] knows no kind.

pub(crate) mod age;
mod column;
mod custom;
pub(crate) mod read;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::registry::Kind;
pub use column::{Cell, Column, Compute};

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

/// The columns of a custom resource, name included, from the `additionalPrinterColumns` of its version; without any,
/// name and age.
#[must_use]
pub fn custom_columns(additional: &Value) -> Vec<Column> {
    let Some(additional) = additional.as_array().filter(|list| !list.is_empty()) else { return Column::name_and_age() };
    let mut columns = vec![Column::name()];
    for column in additional {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        let path = text("jsonPath");
        let described = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given.to_owned(),
        };
        columns.push(Column {
            format: text("format").to_owned(),
            priority: column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            ..Column::path(text("name"), text("type"), &described, path)
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
            fallback = Column::name_and_age();
            &fallback
        }
        given => given,
    };
    let cells: Vec<Printer<'_>> = columns.iter().map(Printer::new).collect();
    let rows = objects.iter().map(|object| row(kind, &cells, object, &api_version, include, now)).collect();
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

fn row(kind: &Kind, cells: &[Printer<'_>], object: &Value, api_version: &str, include: IncludeObject, now: Timestamp) -> Value {
    let mut row = Map::new();
    row.insert("cells".to_owned(), cells.iter().map(|cell| cell.print(object, now)).collect());
    if let Some(conditions) = kind.strategy.row_conditions(object) {
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

/// A column, ready to print: paths are parsed once per table.
enum Printer<'a> {
    Compute(Compute),
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
