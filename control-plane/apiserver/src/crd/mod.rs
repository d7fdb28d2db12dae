//! Rows that come and go with CustomResourceDefinitions.
//!
//! A definition is an object like others; after each commit of one, [`sync`] reads it again and makes the
//! registry say what it says: names are accepted or not, rows appear, change or go, and the definition's
//! status is written. One lock orders this, and the definition is read under it, so that whoever comes last
//! sees the last state. A definition that is being deleted stays until its objects are gone ([`emptied`]).

mod resource;
mod status;

use std::sync::{Arc, PoisonError};

use dormouse_machinery::structural::Schema;
use dormouse_store::{Change, Query};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::ApiServer;
use crate::object::{at, encode, finalizers, is_deleting, meta, meta_str, parse, set_meta, time};
use crate::registry::{FieldLabel, Generation, Kind, Object, ScalePaths, Schema as Structure, Snapshot, Subresource};

/// Where definitions are kept.
pub(crate) const TABLE: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// What keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// One version of a definition, ready for use.
#[derive(Debug)]
pub struct CompiledVersion {
    schema: Schema,
    /// The schema of the version in which objects are kept.
    stored: Arc<Schema>,
    definition: String,
    /// `group/version` in which objects are kept.
    storage_version: String,
    /// `group/version` of the row.
    api_version: String,
    /// Objects may have been written under another version or schema.
    reread: bool,
    /// No new objects: the definition is being deleted.
    terminating: bool,
    /// Cancelled when the row goes for good: watches end.
    retired: CancellationToken,
}

impl CompiledVersion {
    /// Removes what the schema does not know; answers the paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        self.schema.prune(object)
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn retired(&self) -> &CancellationToken {
        &self.retired
    }
}

/// Makes the registry and the definition's status agree with the definition.
pub(crate) fn sync(server: &ApiServer, name: &str) {
    let _order = server.registry().definitions.lock().unwrap_or_else(PoisonError::into_inner);
    let table = server.store().table(TABLE);
    loop {
        let Some(stored) = table.get(name) else {
            retire(server, name);
            return;
        };
        let Ok(mut definition) = parse(&stored) else {
            tracing::error!(name, "a stored definition cannot be read");
            return;
        };
        if is_deleting(&definition) {
            serve(server, name, &definition);
            if !empty(server, name) {
                return;
            }
            retire(server, name);
            if release(server, name, &stored, definition) {
                return;
            }
            continue;
        }
        let before = definition.clone();
        let accepted = status::settle(&mut definition, &names_in_use(&server.registry().snapshot(), name), &time(server.now()));
        if accepted {
            serve(server, name, &definition);
        }
        if definition == before {
            return;
        }
        let snapshot = server.registry().snapshot();
        let Some(kind) = own_row(&snapshot) else { return };
        match encode(kind, &definition, stored.bytes().len()) {
            Ok(draft) => {
                if table.commit(name, Change::Update(draft, stored.revision())).is_ok() {
                    return;
                }
                // Somebody has written it in between: look again.
            }
            Err(error) => {
                tracing::error!(name, %error, "the status of a definition cannot be written");
                return;
            }
        }
    }
}

/// Called when an object of a custom kind is gone: a definition may have waited for it.
pub(crate) fn emptied(server: &ApiServer, definition: &str) {
    let waiting = server.store().table(TABLE).get(definition).is_some_and(|d| d.meta().deleting);
    if waiting {
        sync(server, definition);
    }
}

/// Marks a definition, and says in the status that the objects are being deleted.
pub(crate) fn terminating(definition: &mut Object, now: jiff::Timestamp) {
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    status::condition(definition, "Terminating", "True", "InstanceDeletionPending", message, &time(now));
    set_meta(definition, "deletionTimestamp", Some(time(now).into()));
}

fn own_row(snapshot: &Snapshot) -> Option<&Arc<Kind>> {
    snapshot.get("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// Names of a group that another kind has.
fn names_in_use(snapshot: &Snapshot, definition: &str) -> impl Fn(&str, &str) -> bool {
    let taken: Vec<(String, Vec<String>)> = snapshot
        .all()
        .iter()
        .filter(|k| of_definition(k) != Some(definition))
        .map(|k| {
            let mut names = vec![k.plural.clone(), k.singular.clone(), k.kind.clone(), k.list_kind.clone()];
            names.extend(k.short_names.iter().cloned());
            (k.group.clone(), names)
        })
        .collect();
    move |group, name| taken.iter().any(|(g, names)| g == group && names.iter().any(|n| n == name))
}

/// The definition that a row comes from.
fn of_definition(kind: &Kind) -> Option<&str> {
    match &kind.schema {
        Structure::Structural(version) => Some(&version.definition),
        _ => None,
    }
}

fn retire(server: &ApiServer, name: &str) {
    let mut gone = Vec::new();
    for kind in server.registry().snapshot().all() {
        if let Structure::Structural(version) = &kind.schema
            && version.definition == name
        {
            gone.push(Arc::clone(version));
        }
    }
    if !gone.is_empty() {
        server.registry().replace(|k| of_definition(k) == Some(name), []);
        gone.iter().for_each(|v| v.retired.cancel());
    }
}

/// Puts the served versions into the registry.
fn serve(server: &ApiServer, name: &str, definition: &Object) {
    let snapshot = server.registry().snapshot();
    let retired = snapshot
        .all()
        .iter()
        .find_map(|k| match &k.schema {
            Structure::Structural(v) if v.definition == name => Some(v.retired.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let rows = rows(name, definition, &retired);
    server.registry().replace(|k| of_definition(k) == Some(name), rows);
}

fn text<'a>(object: &'a Object, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or("")
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The rows of a definition: one for each served version.
fn rows(name: &str, definition: &Object, retired: &CancellationToken) -> Vec<Kind> {
    let empty = Vec::new();
    let versions = at(definition, "spec.versions").and_then(Value::as_array).unwrap_or(&empty);
    let group = text(definition, "spec.group");
    let flag = |v: &Value, key: &str| v.get(key).and_then(Value::as_bool).unwrap_or(false);
    let version_name = |v: &Value| v.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
    let storage = versions.iter().find(|v| flag(v, "storage")).map(&version_name).unwrap_or_default();
    let reread = meta(definition, "generation").and_then(Value::as_i64).unwrap_or(1) > 1;
    let schema = |version: &Value| {
        let none = Value::Object(Map::new());
        let parsed = Schema::parse(version.pointer("/schema/openAPIV3Schema").unwrap_or(&none));
        parsed.inspect_err(|error| tracing::error!(name, %error, "a stored schema cannot be used")).ok()
    };
    let Some(stored) = versions.iter().find(|v| flag(v, "storage")).and_then(schema).map(Arc::new) else { return Vec::new() };
    let mut rows = Vec::new();
    for version in versions.iter().filter(|v| flag(v, "served")) {
        let Some(own) = schema(version) else { continue };
        let compiled = CompiledVersion {
            schema: own,
            stored: Arc::clone(&stored),
            definition: name.to_owned(),
            storage_version: format!("{group}/{storage}"),
            api_version: format!("{group}/{}", version_name(version)),
            reread: reread || version_name(version) != storage,
            terminating: is_deleting(definition),
            retired: retired.clone(),
        };
        rows.push(row(definition, version, compiled));
    }
    rows
}

fn row(definition: &Object, version: &Value, compiled: CompiledVersion) -> Kind {
    let compiled = Arc::new(compiled);
    let version_name = version.get("name").and_then(Value::as_str).unwrap_or("");
    let kind = text(definition, "spec.names.kind");
    let mut subresources = Vec::new();
    if let Some(declared) = version.get("subresources").filter(|s| s.is_object()) {
        if let Some(paths) = declared.get("scale").filter(|s| s.is_object()) {
            let path = |key: &str| paths.get(key).and_then(Value::as_str).unwrap_or("").trim_start_matches('.').to_owned();
            let selector = path("labelSelectorPath");
            subresources.push(Subresource::scale(ScalePaths {
                spec_replicas: path("specReplicasPath"),
                status_replicas: path("statusReplicasPath"),
                selector: (!selector.is_empty()).then_some(selector),
            }));
        }
        if declared.get("status").is_some_and(Value::is_object) {
            subresources.push(Subresource::status(kind));
        }
    }
    let selectable = version.get("selectableFields").and_then(Value::as_array);
    let fields = selectable.into_iter().flatten().filter_map(|f| {
        let path = f.get("jsonPath")?.as_str()?.trim_start_matches('.').to_owned();
        Some(FieldLabel { label: path.clone(), path })
    });
    Kind {
        list_kind: text(definition, "spec.names.listKind").to_owned(),
        singular: text(definition, "spec.names.singular").to_owned(),
        short_names: strings(at(definition, "spec.names.shortNames")),
        categories: strings(at(definition, "spec.names.categories")),
        namespaced: text(definition, "spec.scope") == "Namespaced",
        columns: crate::table::custom_columns(version.get("additionalPrinterColumns").unwrap_or(&Value::Null)),
        subresources,
        fields: fields.collect(),
        generation: Generation::Content,
        custom: true,
        unconditional_update: false,
        strategy: Arc::new(resource::CustomResource { version: Arc::clone(&compiled) }),
        schema: Structure::Structural(compiled),
        ..Kind::new(text(definition, "spec.group"), version_name, kind, text(definition, "spec.names.plural"))
    }
}

/// Removes or marks every object of a definition; true when none is left.
fn empty(server: &ApiServer, name: &str) -> bool {
    let snapshot = server.registry().snapshot();
    let Some(kind) = snapshot.all().iter().find(|k| of_definition(k) == Some(name)) else {
        return server.store().table(name).is_empty();
    };
    let table = server.store().table(&kind.storage);
    for stored in table.list(&Query::default()).map(|l| l.items).unwrap_or_default() {
        let key = dormouse_store::key(&stored.meta().namespace, &stored.meta().name);
        let Ok(mut object) = parse(&stored) else { continue };
        let change = if finalizers(&object).is_empty() {
            Change::Delete(stored.revision())
        } else if is_deleting(&object) {
            continue;
        } else {
            set_meta(&mut object, "deletionTimestamp", Some(time(server.now()).into()));
            set_meta(&mut object, "deletionGracePeriodSeconds", Some(0.into()));
            match encode(kind, &object, stored.bytes().len()) {
                Ok(draft) => Change::Update(draft, stored.revision()),
                Err(_) => continue,
            }
        };
        // Whoever was faster is looked at when the object goes.
        if let Err(error) = table.commit(&key, change) {
            tracing::debug!(%key, %error, "an object changed while its definition was deleted");
        }
    }
    table.is_empty()
}

/// Takes the server's own finalizer off a definition without objects; false when somebody wrote it meanwhile.
fn release(server: &ApiServer, name: &str, stored: &dormouse_store::Stored, mut definition: Object) -> bool {
    let rest: Vec<String> = finalizers(&definition).into_iter().filter(|f| *f != CLEANUP).map(str::to_owned).collect();
    let table = server.store().table(TABLE);
    if rest.is_empty() {
        return table.commit(name, Change::Delete(stored.revision())).is_ok();
    }
    set_meta(&mut definition, "finalizers", Some(rest.into()));
    let snapshot = server.registry().snapshot();
    let Some(kind) = own_row(&snapshot) else { return true };
    debug_assert_eq!(meta_str(&definition, "name"), name);
    match encode(kind, &definition, stored.bytes().len()) {
        Ok(draft) => table.commit(name, Change::Update(draft, stored.revision())).is_ok(),
        Err(_) => true,
    }
}
