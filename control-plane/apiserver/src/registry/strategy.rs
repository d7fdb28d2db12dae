//! The rules of a kind that cannot be said as data.

use dormouse_machinery::field::FieldError;
use jiff::Timestamp;
use serde_json::Value;

use super::{Kind, Object};
use crate::request::User;
use crate::{ApiError, ApiServer};

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
    /// Answers the create of an object that is kept nowhere (reviews).
    ///
    /// # Errors
    /// Whatever is wrong with the question.
    fn answer(&self, cx: &Cx<'_>, object: Object) -> Result<Object, ApiError> {
        let _ = (cx, object);
        Err(ApiError::no_such_resource())
    }
    /// What a row of the printed table says beside its cells: a list of conditions.
    fn row_conditions(&self, object: &Value) -> Option<Value> {
        let _ = object;
        None
    }
}

/// The strategy without rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;
impl Strategy for Plain {}
