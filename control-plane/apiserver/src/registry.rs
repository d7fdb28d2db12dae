//! The registry of kinds: what the one generic handler knows about each resource it serves.
//!
//! A kind is one [`Kind`] row: names, scope, verbs, subresources, table columns, field labels, a schema and
//! a [`Strategy`] for what cannot be said as data. Built-in rows stand in `kinds/`, rows of custom resources
//! come and go with their definitions. Readers take a snapshot of the whole table ([`Registry::snapshot`]),
//! so that one request never sees two states of it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use dormouse_machinery::field::FieldError;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::ApiServer;
use crate::request::User;
use crate::status::ApiError;

/// An object or a part of one.
pub type Object = Map<String, Value>;

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

/// A subresource, as discovery shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// Last part of the path, for instance `status`.
    pub name: String,
    /// Group and version of what is exchanged; `None` when they are the parent's.
    pub group_version: Option<(String, String)>,
    /// Kind of what is exchanged.
    pub kind: String,
    /// Verbs, in discovery's order.
    pub verbs: Vec<Verb>,
}

impl Subresource {
    /// A subresource that exchanges objects of the parent's group and version.
    #[must_use]
    pub fn own(name: &str, kind: &str, verbs: &[Verb]) -> Self {
        Self { name: name.to_owned(), group_version: None, kind: kind.to_owned(), verbs: verbs.to_vec() }
    }

    /// A subresource that exchanges objects of another group.
    #[must_use]
    pub fn foreign(name: &str, group: &str, version: &str, kind: &str, verbs: &[Verb]) -> Self {
        Self { group_version: Some((group.to_owned(), version.to_owned())), ..Self::own(name, kind, verbs) }
    }

    /// The `status` subresource of `kind`.
    #[must_use]
    pub fn status(kind: &str) -> Self {
        Self::own("status", kind, &[Verb::Get, Verb::Patch, Verb::Update])
    }

    /// The `scale` subresource.
    #[must_use]
    pub fn scale() -> Self {
        Self::foreign("scale", "autoscaling", "v1", "Scale", &[Verb::Get, Verb::Patch, Verb::Update])
    }
}

/// How a cell of a table is found.
#[derive(Debug, Clone)]
pub enum Cell {
    /// A function of the object and the time now (for ages).
    Compute(fn(&Value, Timestamp) -> Value),
    /// A JSONPath without braces, for instance `.spec.replicas`, as printer columns of a CRD have it.
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

/// Where replica counts live, for the `scale` subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// Path of the wanted count, dotted, for instance `.spec.replicas`.
    pub spec_replicas: String,
    /// Path of the present count.
    pub status_replicas: String,
    /// Path of the selector: a string, or a LabelSelector for built-in kinds.
    pub selector: Option<String>,
}

/// What a strategy may know about the request.
pub struct Cx<'a> {
    /// The server.
    pub server: &'a ApiServer,
    /// Who asks.
    pub user: &'a User,
    /// The row.
    pub kind: &'a Kind,
    /// Namespace of the request; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The time of the request.
    pub now: Timestamp,
    /// Nothing will be kept.
    pub dry_run: bool,
}

/// The rules of a kind that cannot be said as data. Every method has a default that adds nothing.
///
/// Order at a create: `default`, `prepare_create`, `admit_create`, `validate`. At an update: `default`,
/// `prepare_update` (the handler has restored `status`, or everything else when `status` is written),
/// `validate` and `validate_update`, or for the status subresource `validate_status`.
pub trait Strategy: Send + Sync {
    /// Sets defaults; must not overwrite what is there.
    fn default(&self, object: &mut Object) {
        let _ = object;
    }
    /// Puts a new object into its initial state.
    fn prepare_create(&self, cx: &Cx<'_>, object: &mut Object) {
        let _ = (cx, object);
    }
    /// Looks at other objects: admission. Left out under the bare profile.
    ///
    /// # Errors
    /// Whatever refuses the object.
    fn admit_create(&self, cx: &Cx<'_>, object: &mut Object) -> Result<(), ApiError> {
        let _ = (cx, object);
        Ok(())
    }
    /// Restores what an update may not touch silently.
    fn prepare_update(&self, cx: &Cx<'_>, object: &mut Object, old: &Object) {
        let _ = (cx, object, old);
    }
    /// Refuses every new object, whatever it is.
    ///
    /// # Errors
    /// The refusal.
    fn refuse_create(&self, cx: &Cx<'_>) -> Result<(), ApiError> {
        let _ = cx;
        Ok(())
    }
    /// Reports wrong fields.
    fn validate(&self, cx: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let _ = (cx, object, problems);
    }
    /// Reports forbidden changes.
    fn validate_update(&self, cx: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let _ = (cx, object, old, problems);
    }
    /// Reports forbidden changes of the status.
    fn validate_status(&self, cx: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let _ = (cx, object, old, problems);
    }
    /// Decides names that the general rule (DNS subdomain) does not fit: returns what is wrong.
    fn validate_name(&self, name: &str, generate_prefix: bool) -> Vec<String> {
        crate::validate::dns_subdomain(name, generate_prefix)
    }
    /// Seconds between a delete and the end, when the kind ends gracefully. `asked` is what the client wants.
    fn grace(&self, object: &Object, asked: Option<i64>) -> Option<i64> {
        let _ = (object, asked);
        None
    }
    /// Refuses to delete an object. Left out under the bare profile.
    ///
    /// # Errors
    /// The refusal.
    fn refuse_delete(&self, cx: &Cx<'_>, object: &Object) -> Result<(), ApiError> {
        let _ = (cx, object);
        Ok(())
    }
    /// Changes an object that is about to be marked or removed (a Namespace becomes `Terminating`).
    fn on_delete(&self, cx: &Cx<'_>, object: &mut Object) {
        let _ = (cx, object);
    }
    /// Keeps an object alive although metadata has no finalizer left (Namespaces have theirs in `spec`).
    fn held(&self, object: &Object) -> bool {
        let _ = object;
        false
    }
    /// Warnings for the client, beside those about unknown fields.
    fn warnings(&self, object: &Object, warnings: &mut Vec<String>) {
        let _ = (object, warnings);
    }
    /// What the server must do after an object of this kind was written or removed (custom resources).
    fn after_commit(&self, cx: &Cx<'_>, object: &Object, removed: bool) {
        let _ = (cx, object, removed);
    }
    /// Translates between the stored form and the row's version, when rows share a storage.
    fn to_row(&self, object: &mut Object) {
        let _ = object;
    }
    /// The way back of [`Strategy::to_row`].
    fn to_storage(&self, object: &mut Object) {
        let _ = object;
    }
    /// Whether the stored bytes must be rewritten to be shown in this row's version.
    fn converts(&self) -> bool {
        false
    }
}

/// The strategy without rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;
impl Strategy for Plain {}

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
    /// Rules.
    pub strategy: Arc<dyn Strategy>,
    /// Columns of the printed table; empty means name and age.
    pub columns: Vec<Column>,
    /// Fields for selectors, beside `metadata.name` and `metadata.namespace`.
    pub fields: Vec<FieldLabel>,
    /// How the generation moves.
    pub generation: Generation,
    /// Where the scale subresource reads and writes.
    pub scale: Option<ScalePaths>,
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
            scale: None,
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

/// A group with its versions, in the order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name; empty for core.
    pub name: String,
    /// Versions, preferred first.
    pub versions: Vec<String>,
}

/// One state of the table of rows.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    by_path: HashMap<String, Arc<Kind>>,
    rows: Vec<Arc<Kind>>,
    groups: Vec<Group>,
    /// Moves with every change; discovery caches by it.
    pub generation: u64,
}

fn path_key(group: &str, version: &str, plural: &str) -> String {
    let mut key = String::with_capacity(group.len() + version.len() + plural.len() + 2);
    key.push_str(group);
    key.push('/');
    key.push_str(version);
    key.push('/');
    key.push_str(plural);
    key
}

impl Snapshot {
    /// The row of a path.
    #[must_use]
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&path_key(group, version, plural))
    }

    /// The row that a manifest's `apiVersion` and `kind` name.
    #[must_use]
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.rows.iter().find(|k| k.group == group && k.version == version && k.kind == kind)
    }

    /// Every row of a group and version, by plural.
    pub fn rows<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Kind>> {
        self.rows.iter().filter(move |k| k.group == group && k.version == version)
    }

    /// Every row.
    #[must_use]
    pub fn all(&self) -> &[Arc<Kind>] {
        &self.rows
    }

    /// Groups in the order in which they were added, core first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn rebuild(&mut self) {
        self.by_path = self.rows.iter().map(|k| (path_key(&k.group, &k.version, &k.plural), Arc::clone(k))).collect();
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|g| g.name == row.group) {
                Some(group) if group.versions.contains(&row.version) => {}
                Some(group) => group.versions.push(row.version.clone()),
                None => groups.push(Group { name: row.group.clone(), versions: vec![row.version.clone()] }),
            }
        }
        for group in &mut groups {
            group.versions.sort_by(|a, b| version_priority(b).cmp(&version_priority(a)).then_with(|| a.cmp(b)));
        }
        groups.sort_by_key(|g| !g.name.is_empty());
        self.groups = groups;
        self.generation += 1;
    }
}

/// Sorts versions as Kubernetes does: general before beta before alpha, higher numbers first.
#[must_use]
pub fn version_priority(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let (level, minor) = match &rest[digits..] {
            "" => (3, 0),
            tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
                (Some(n), _) => (2, n.parse().ok()?),
                (_, Some(n)) => (1, n.parse().ok()?),
                _ => return None,
            },
        };
        Some((level, major, minor))
    };
    parse().unwrap_or((0, 0, 0))
}

/// The table of rows, shared by all requests.
#[derive(Debug, Default)]
pub struct Registry {
    current: RwLock<Arc<Snapshot>>,
    /// Orders the changes that custom resource definitions make.
    pub(crate) definitions: std::sync::Mutex<()>,
}

impl Registry {
    /// The present state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds rows; one with the same group, version and plural is replaced.
    pub fn add(&self, rows: impl IntoIterator<Item = Kind>) {
        self.replace(|_| false, rows);
    }

    /// Removes the rows that `remove` names and adds others, in one step.
    pub fn replace(&self, remove: impl Fn(&Kind) -> bool, rows: impl IntoIterator<Item = Kind>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&current);
        next.rows.retain(|k| !remove(k));
        for row in rows {
            next.rows.retain(|k| !(k.group == row.group && k.version == row.version && k.plural == row.plural));
            next.rows.push(Arc::new(row));
        }
        next.rebuild();
        *current = Arc::new(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_stability() {
        let mut versions = vec!["v1beta1", "v10", "foo", "v2", "v1alpha2", "v1beta2"];
        versions.sort_by_key(|v| std::cmp::Reverse(version_priority(v)));
        assert_eq!(versions, ["v10", "v2", "v1beta2", "v1beta1", "v1alpha2", "foo"]);
    }

    #[test]
    fn rows_come_and_go_in_one_step() {
        let registry = Registry::default();
        registry.add([Kind::new("g", "v1", "A", "as"), Kind::new("", "v1", "B", "bs")]);
        let before = registry.snapshot();
        registry.replace(|k| k.kind == "A", [Kind::new("g", "v2", "A", "as")]);
        assert!(before.get("g", "v1", "as").is_some());
        let after = registry.snapshot();
        assert!(after.get("g", "v1", "as").is_none());
        assert_eq!(after.by_kind("g/v2", "A").map(|k| k.plural.as_str()), Some("as"));
        assert_eq!(after.groups()[0].name, "");
        assert!(after.generation > before.generation);
    }
}
