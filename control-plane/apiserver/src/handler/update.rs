//! PUT, and the transaction behind every change of an object that is there.
//!
//! [`transact`] reads the object, lets the caller compute the next state from it, and commits under the
//! condition that nothing happened in between; otherwise it starts again. An unchanged object is not
//! written, and an object whose last hold is gone while it is being deleted is removed.

use bytes::Bytes;
use dormouse_machinery::field::FieldError;
use dormouse_store::{Change, CommitError, Stored, key};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::object::{encode, finalizers, is_deleting, meta, meta_str, set_meta};
use crate::registry::{Cx, Generation, Object};
use crate::{ApiError, Body, validate};

use super::{Call, codec, create, respond, shown_object};

/// Which part of an object a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Main,
    /// The status.
    Status,
    /// Whatever the caller has decided; nothing is restored.
    Whole,
}

/// What a change wants.
pub(crate) enum Next {
    /// The object shall be this.
    Write(Object),
    /// The object shall go; this is what it looked like in the end.
    Remove(Object),
    /// Nothing.
    Leave,
}

/// What became of a change.
pub(crate) struct Settled {
    /// The object as the client sees it.
    pub(crate) bytes: Bytes,
    /// Whether it is gone now.
    pub(crate) removed: bool,
}

/// Replaces a part of the named object by what stands in the body.
pub(crate) fn put(call: &mut Call, part: Part) -> Result<Response<Body>, ApiError> {
    let (dry_run, validation) = call.params.write_options("UpdateOptions")?;
    let mut object = codec::body(call, validation)?;
    match meta_str(&object, "name") {
        name if name == call.info.name => {}
        "" => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                call.info.name
            )));
        }
        name => return Err(create::name_mismatch(name, &call.info.name)),
    }
    create::settle_namespace(call, &mut object)?;
    if call.kind.create_on_update && part == Part::Main && call.table.get(&call.key()).is_none() {
        set_meta(&mut object, "resourceVersion", None);
        let size = call.body.len();
        let bytes = create::insert(call, object, dry_run, size)?;
        return respond::object(call, StatusCode::CREATED, bytes);
    }
    let settled = transact(call, dry_run, part, |call, _, stored| {
        check_uid(call, &object, stored)?;
        check_version(call, &object, stored)?;
        Ok(Next::Write(object.clone()))
    })?;
    respond::object(call, StatusCode::OK, settled.bytes)
}

/// The UID in a body is a precondition.
pub(crate) fn check_uid(call: &Call, object: &Object, stored: &Stored) -> Result<(), ApiError> {
    let (asked, have) = (meta_str(object, "uid"), &*stored.meta().uid);
    if asked.is_empty() || asked == have {
        return Ok(());
    }
    // Clients have seen the words of the store below; they stay the same with ours.
    let kind = &call.kind;
    let prefix = if kind.custom { format!("apiextensions.kubernetes.io/{}/{}", kind.group, kind.plural) } else { kind.plural.clone() };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{prefix}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {have}",
        call.key()
    );
    Err(ApiError::conflict(&call.kind.group, &call.kind.plural, &call.info.name, why))
}

/// The version in a body must be the stored one, unless the kind lets it be left out.
pub(crate) fn check_version(call: &Call, object: &Object, stored: &Stored) -> Result<(), ApiError> {
    let kind = &call.kind;
    match meta_str(object, "resourceVersion") {
        "" | "0" if kind.unconditional_update => Ok(()),
        "" | "0" => {
            let problem = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
            Err(ApiError::invalid_fields(&kind.group, &kind.plural, &call.info.name, &[problem]))
        }
        version => match version.parse::<u64>() {
            Ok(version) if version == stored.revision() => Ok(()),
            Ok(_) => Err(ApiError::stale(&kind.group, &kind.plural, &call.info.name)),
            Err(_) => {
                let quoted = dormouse_machinery::go::quote(version);
                let why = format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax");
                Err(ApiError::bad_request(why))
            }
        },
    }
}

/// Changes the named object. `change` gets the present object in the row's version and computes the next;
/// it runs again when another writer was faster.
pub(crate) fn transact(
    call: &mut Call,
    dry_run: bool,
    part: Part,
    mut change: impl FnMut(&mut Call, &Object, &Stored) -> Result<Next, ApiError>,
) -> Result<Settled, ApiError> {
    loop {
        let stored = call.stored()?;
        let old = shown_object(&call.kind, stored.bytes())?;
        let settled = match change(call, &old, &stored)? {
            Next::Write(new) => write(call, dry_run, part, new, &old, &stored)?,
            Next::Remove(last) => take(call, dry_run, &last, &stored, stored.bytes().clone())?,
            Next::Leave => Some(Settled { bytes: call.shown(stored.bytes().clone())?, removed: false }),
        };
        if let Some(settled) = settled {
            return Ok(settled);
        }
    }
}

/// Removes an object; `None` when somebody was faster. `bytes` is what the client sees.
fn take(call: &Call, dry_run: bool, last: &Object, stored: &Stored, bytes: Bytes) -> Result<Option<Settled>, ApiError> {
    if !dry_run {
        match call.table.commit(&key(&stored.meta().namespace, &stored.meta().name), Change::Delete(stored.revision())) {
            Ok(_) => call.kind.strategy.after_commit(&call.cx(dry_run), last, true),
            Err(error) => return retry(call, error),
        }
    }
    Ok(Some(Settled { bytes: call.shown(bytes)?, removed: true }))
}

/// Commits `new` over `old`; `None` when somebody was faster.
fn write(call: &mut Call, dry_run: bool, part: Part, new: Object, old: &Object, stored: &Stored) -> Result<Option<Settled>, ApiError> {
    let mut warnings = Vec::new();
    let cx = call.cx(dry_run);
    let kind = cx.kind;
    let mut new = restore(kind, part, new, old);
    if part != Part::Whole {
        system_metadata(&mut new, old);
        kind.strategy.default(&mut new);
        kind.strategy.prepare_update(&cx, &mut new, old);
        raise_generation(kind, part, &mut new, old);
        let problems = problems(&cx, part, &new, old);
        if !problems.is_empty() {
            return Err(ApiError::invalid_fields(&kind.group, &kind.kind, meta_str(&new, "name"), &problems));
        }
    }
    if part == Part::Main {
        kind.strategy.warnings(&new, &mut warnings);
    }
    let released = is_deleting(old)
        && finalizers(&new).is_empty()
        && !kind.strategy.held(&new)
        && meta(old, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) == 0;
    let draft = if kind.strategy.converts() {
        let mut form = new.clone();
        kind.strategy.to_storage(&mut form);
        encode(kind, &form, stored.bytes().len())?
    } else {
        encode(kind, &new, stored.bytes().len())?
    };
    let settled = if released {
        return take(call, dry_run, &new, stored, draft.bytes_at(stored.revision()));
    } else if dry_run || draft.same_as(stored) {
        Settled { bytes: call.shown(draft.bytes_at(stored.revision()))?, removed: false }
    } else {
        match call.table.commit(&key(&stored.meta().namespace, &stored.meta().name), Change::Update(draft, stored.revision())) {
            Ok(done) => {
                kind.strategy.after_commit(&cx, &new, false);
                Settled { bytes: call.shown(done.object.bytes().clone())?, removed: false }
            }
            Err(error) => return retry(call, error),
        }
    };
    call.warnings.append(&mut warnings);
    Ok(Some(settled))
}

fn retry<T>(call: &Call, error: CommitError) -> Result<Option<T>, ApiError> {
    match error {
        CommitError::Stale => Ok(None),
        CommitError::Missing => Err(call.not_found()),
        other => Err(ApiError::internal(other)),
    }
}

/// Takes from `new` what the request may write, and the rest from `old`.
fn restore(kind: &crate::registry::Kind, part: Part, mut new: Object, old: &Object) -> Object {
    match part {
        Part::Whole => new,
        Part::Main => {
            if kind.has_status() {
                match old.get("status") {
                    Some(status) => drop(new.insert("status".to_owned(), status.clone())),
                    None => drop(new.remove("status")),
                }
            }
            new
        }
        Part::Status => {
            let mut out = old.clone();
            match new.remove("status") {
                Some(status) => drop(out.insert("status".to_owned(), status)),
                None => drop(out.remove("status")),
            }
            if !kind.custom {
                // Built-in kinds take labels and annotations along with a status.
                for field in ["labels", "annotations", "finalizers"] {
                    let value = meta(&new, field).cloned();
                    set_meta(&mut out, field, value);
                }
                // Another UID is refused as it is beside a spec. Custom kinds, as upstream, keep the old metadata whole and so
                // never see it.
                if !meta_str(&new, "uid").is_empty() {
                    set_meta(&mut out, "uid", meta(&new, "uid").cloned());
                }
            }
            out
        }
    }
}

/// Metadata that only the server writes.
fn system_metadata(new: &mut Object, old: &Object) {
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        let value = meta(old, field).cloned();
        set_meta(new, field, value);
    }
    if meta_str(new, "uid").is_empty() {
        set_meta(new, "uid", meta(old, "uid").cloned());
    }
    for field in ["managedFields", "selfLink"] {
        set_meta(new, field, None);
    }
    if meta(new, "namespace").is_some_and(|n| n == "") {
        set_meta(new, "namespace", None);
    }
}

fn raise_generation(kind: &crate::registry::Kind, part: Part, new: &mut Object, old: &Object) {
    let changed = match kind.generation {
        _ if part == Part::Status => false,
        Generation::None => false,
        Generation::Spec => new.get("spec") != old.get("spec"),
        Generation::Content => {
            let skip = |k: &str| k == "metadata" || (k == "status" && kind.has_status());
            !new.iter().filter(|(k, _)| !skip(k)).eq(old.iter().filter(|(k, _)| !skip(k)))
        }
    };
    if changed {
        let now = meta(old, "generation").and_then(Value::as_i64).unwrap_or(0);
        set_meta(new, "generation", Some((now + 1).into()));
    }
}

fn problems(cx: &Cx<'_>, part: Part, new: &Object, old: &Object) -> Vec<FieldError> {
    let mut problems = Vec::new();
    // A real server runs the rules of metadata once for the object and twice for the change: clients see
    // the causes as often.
    validate::object_meta(cx.kind, new, &mut problems);
    for _ in 0..2 {
        validate::object_meta_update(new, old, &mut problems);
        validate::object_meta_again(new, &mut problems);
    }
    match part {
        Part::Status => cx.kind.strategy.validate_status(cx, new, old, &mut problems),
        _ => {
            cx.kind.strategy.validate(cx, new, &mut problems);
            cx.kind.strategy.validate_update(cx, new, old, &mut problems);
        }
    }
    problems
}

/// Sets the deletion marks, in a change of [`Part::Whole`] (others have them restored).
pub(crate) fn mark(object: &mut Object, at: String, grace: i64) {
    set_meta(object, "deletionTimestamp", Some(at.into()));
    set_meta(object, "deletionGracePeriodSeconds", Some(grace.into()));
}
