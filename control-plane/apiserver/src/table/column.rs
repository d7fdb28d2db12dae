//! Columns: a heading, and where its cells come from.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{at, text};

/// A cell as a function of the object and the time now (for ages).
pub type Compute = fn(&Value, Timestamp) -> Value;

/// How a cell of a table is found.
#[derive(Debug, Clone)]
pub enum Cell {
    /// By a function.
    Compute(Compute),
    /// By a JSONPath without braces, for instance `.spec.replicas`, as printer columns of a CRD have it.
    Path(String),
}

/// One column of the printed table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean` or `date`.
    pub column_type: String,
    /// OpenAPI format, often empty; `name` marks the column that names the object.
    pub format: String,
    /// Help text.
    pub description: String,
    /// 0 for what is always shown, more for `-o wide`.
    pub priority: i32,
    /// Where the cell comes from.
    pub cell: Cell,
}

/// The published description of `metadata.name`.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// The published description of `metadata.creationTimestamp`.
const CREATED_AT: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

impl Column {
    fn new(name: &str, column_type: &str, description: &str, cell: Cell) -> Self {
        Self {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            format: String::new(),
            description: description.to_owned(),
            priority: 0,
            cell,
        }
    }

    /// The name of the object.
    #[must_use]
    pub fn name() -> Self {
        let cell: Compute = |o, _| text(o, &["metadata", "name"]).into();
        Self { format: "name".to_owned(), ..Self::string("Name", NAME, cell) }
    }

    /// How long ago the object was created.
    #[must_use]
    pub fn age() -> Self {
        Self::string("Age", CREATED_AT, |o, now| age::since(at(o, &["metadata", "creationTimestamp"]), now).into())
    }

    /// Text that is always shown.
    #[must_use]
    pub fn string(name: &str, description: &str, cell: Compute) -> Self {
        Self::new(name, "string", description, Cell::Compute(cell))
    }

    /// Text that `-o wide` shows.
    #[must_use]
    pub fn wide(name: &str, description: &str, cell: Compute) -> Self {
        Self { priority: 1, ..Self::string(name, description, cell) }
    }

    /// A number that is always shown.
    #[must_use]
    pub fn integer(name: &str, description: &str, cell: Compute) -> Self {
        Self::new(name, "integer", description, Cell::Compute(cell))
    }

    /// What stands at a JSONPath.
    #[must_use]
    pub fn path(name: &str, column_type: &str, description: &str, path: &str) -> Self {
        Self::new(name, column_type, description, Cell::Path(path.to_owned()))
    }

    /// What a built-in kind without columns of its own shows: name and time of creation.
    pub(crate) fn plain() -> Vec<Self> {
        let created: Compute = |o, _| text(o, &["metadata", "creationTimestamp"]).into();
        vec![Self::name(), Self::new("Created At", "date", CREATED_AT, Cell::Compute(created))]
    }

    /// Name and age: custom resources without printer columns.
    pub(super) fn name_and_age() -> Vec<Self> {
        vec![Self::name(), Self { column_type: "date".to_owned(), ..Self::age() }]
    }
}
