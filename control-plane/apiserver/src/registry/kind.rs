//! The row of a kind.

use std::sync::Arc;

use super::{Plain, Right, Strategy, Subresource};
use crate::table::Column;

/// A verb that a resource has; discovery lists them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the verbs of the Kubernetes API by their own names")]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    /// What an ordinary resource can do.
    pub const ALL: &'static [Self] =
        &[Self::Create, Self::Delete, Self::DeleteCollection, Self::Get, Self::List, Self::Patch, Self::Update, Self::Watch];
    /// What a review can do.
    pub const CREATE: &'static [Self] = &[Self::Create];

    /// The verb as discovery and rules write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// Where the structure of a kind's objects is described.
#[derive(Debug, Clone)]
pub enum Schema {
    /// By the table of built-in kinds, found by group, version and kind.
    Builtin,
    /// By the structural schema of a custom resource.
    Structural(Arc<crate::crd::CompiledVersion>),
    /// Nowhere: every field is kept as it is.
    Open,
}

/// How `metadata.generation` moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// 1 at creation, one more when `spec` changes.
    Spec,
    /// 1 at creation, one more when anything but metadata (and a separate status) changes.
    Content,
}

/// A field that field selectors may name, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLabel {
    /// As selectors write it, for instance `spec.nodeName`.
    pub label: String,
    /// Dotted path of the value in the stored object.
    pub path: String,
}

/// One served kind in one version.
#[derive(Clone)]
pub struct Kind {
    /// API group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, for instance `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs.
    pub verbs: Vec<Verb>,
    /// Subresources.
    pub subresources: Vec<Subresource>,
    /// Where objects are kept: rows with the same storage show the same objects.
    pub storage: String,
    /// Structure.
    pub schema: Schema,
    /// Rules: defaults, validation and whatever else cannot be said as data.
    pub strategy: Arc<dyn Strategy>,
    /// Columns of the printed table; empty means name and age.
    pub columns: Vec<Column>,
    /// Fields for selectors, beside `metadata.name` and `metadata.namespace`.
    pub fields: Vec<FieldLabel>,
    /// How the generation moves.
    pub generation: Generation,
    /// What default roles may do with it.
    pub rights: &'static [Right],
    /// Kept nowhere: a create computes an answer (reviews).
    pub is_virtual: bool,
    /// Whether the row came from a CustomResourceDefinition.
    pub custom: bool,
    /// A PUT of an absent object creates it.
    pub create_on_update: bool,
    /// A PUT without resourceVersion overwrites; otherwise it is refused.
    pub unconditional_update: bool,
    /// A delete answers the object instead of a Status.
    pub returns_deleted: bool,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kind({}/{} {})", self.group, self.version, self.kind)
    }
}

impl Kind {
    /// A namespaced kind with every verb, no subresource, no schema and no rules.
    #[must_use]
    pub fn new(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        let storage = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            plural: plural.to_owned(),
            singular: kind.to_ascii_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: Verb::ALL.to_vec(),
            subresources: Vec::new(),
            storage,
            schema: Schema::Open,
            strategy: Arc::new(Plain),
            columns: Vec::new(),
            fields: Vec::new(),
            generation: Generation::None,
            rights: &[],
            is_virtual: false,
            custom: false,
            create_on_update: false,
            unconditional_update: true,
            returns_deleted: false,
        }
    }

    /// `group/version`, or the version alone for core.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether `text` is this row's `apiVersion`.
    #[must_use]
    pub fn is_api_version(&self, text: &str) -> bool {
        match text.split_once('/') {
            Some((group, version)) => group == self.group && version == self.version,
            None => self.group.is_empty() && text == self.version,
        }
    }

    /// The subresource of that name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether `status` is written apart.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether the row has the verb.
    #[must_use]
    pub fn can(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}
