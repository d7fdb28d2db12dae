//! DELETE of an object or of a collection.
//!
//! An object with finalizers, or whose kind ends gracefully, is only marked; whoever holds it ends it with
//! an update or a second delete. How dependents are treated is written as a finalizer (`orphan`,
//! `foregroundDeletion`) for the garbage collector to act on.

use dormouse_machinery::field::FieldError;
use dormouse_store::Stored;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::object::{finalizers, is_deleting, meta, meta_str, set_meta, time};
use crate::registry::{Kind, Object};
use crate::{ApiError, Body, Profile, status};

use super::params::{ListParams, check_dry_run, refuse};
use super::select::Selection;
use super::update::{Next, Part, Settled, mark, transact};
use super::{Call, codec, list, respond};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What happens to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What a client wants of a delete.
#[derive(Debug, Default)]
pub(crate) struct DeleteOptions {
    grace: Option<i64>,
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// From the body when there is one, else from the query, as a real server does.
    fn read(call: &Call) -> Result<Self, ApiError> {
        let (params, body) = (&call.params, &call.body);
        let value = if body.is_empty() {
            let mut value = serde_json::json!({});
            if let Some(grace) = params.int("gracePeriodSeconds")? {
                value["gracePeriodSeconds"] = grace.into();
            }
            if params.has("propagationPolicy") {
                value["propagationPolicy"] = params.get("propagationPolicy").into();
            }
            if params.has("orphanDependents") {
                value["orphanDependents"] = params.flag("orphanDependents").into();
            }
            let dry: Vec<&str> = params.all("dryRun").collect();
            if !dry.is_empty() {
                value["dryRun"] = dry.into();
            }
            value
        } else {
            codec::delete_options(call.content_type(), body)?
        };
        Self::from_value(&value)
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, ApiError> {
        let wrong = |field: &str| ApiError::bad_request(format!("DeleteOptions: {field} has the wrong type"));
        let present = |field: &str| value.get(field).filter(|v| !v.is_null());
        let int = |field: &str| present(field).map(|v| v.as_i64().ok_or_else(|| wrong(field))).transpose();
        let mut problems = Vec::new();
        let policy = present("propagationPolicy").map(|v| v.as_str().ok_or_else(|| wrong("propagationPolicy"))).transpose()?;
        let orphan = present("orphanDependents").map(|v| v.as_bool().ok_or_else(|| wrong("orphanDependents"))).transpose()?;
        let mut propagation = orphan.map(|o| if o { Propagation::Orphan } else { Propagation::Background });
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            problems.push(FieldError::invalid("propagationPolicy", policy, why));
        }
        match policy {
            None => {}
            Some("Background") => propagation = Some(Propagation::Background),
            Some("Foreground") => propagation = Some(Propagation::Foreground),
            Some("Orphan") => propagation = Some(Propagation::Orphan),
            Some(other) => {
                problems.push(FieldError::not_supported("propagationPolicy", other, &["Foreground", "Background", "Orphan", "nil"]));
            }
        }
        let dry: Vec<&str> =
            present("dryRun").and_then(Value::as_array).map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
        check_dry_run(&dry, &mut problems);
        refuse("DeleteOptions", &problems)?;
        let precondition = |field: &str| {
            let value = present("preconditions")?.get(field)?;
            value.as_str().map(str::to_owned)
        };
        Ok(Self {
            grace: int("gracePeriodSeconds")?,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            propagation,
            dry_run: !dry.is_empty(),
        })
    }

    fn check(&self, kind: &Kind, stored: &Stored) -> Result<(), ApiError> {
        let meta = stored.meta();
        let conflict = |why: String| Err(ApiError::conflict(&kind.group, &kind.kind, &meta.name, why));
        if let Some(uid) = self.uid.as_deref().filter(|u| **u != *meta.uid) {
            return conflict(format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                meta.uid
            ));
        }
        let have = stored.revision().to_string();
        if let Some(version) = self.resource_version.as_ref().filter(|v| **v != have) {
            return conflict(format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({have}). The object might have been modified"
            ));
        }
        Ok(())
    }

    /// The finalizers that the object shall have, as far as the garbage collector is concerned.
    fn finalizers(&self, object: &Object) -> Vec<String> {
        let present = finalizers(object);
        let propagation = self.propagation.or_else(|| {
            // What an earlier request has asked for stays.
            present.iter().find_map(|f| match *f {
                ORPHAN => Some(Propagation::Orphan),
                FOREGROUND => Some(Propagation::Foreground),
                _ => None,
            })
        });
        let mut wanted: Vec<String> = present.iter().filter(|f| !matches!(**f, ORPHAN | FOREGROUND)).map(|f| (*f).to_owned()).collect();
        match propagation {
            Some(Propagation::Orphan) => wanted.push(ORPHAN.to_owned()),
            Some(Propagation::Foreground) => wanted.push(FOREGROUND.to_owned()),
            Some(Propagation::Background) | None => {}
        }
        let mut sorted: (Vec<&str>, Vec<&str>) = (present.clone(), wanted.iter().map(String::as_str).collect());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        if sorted.0 == sorted.1 { present.into_iter().map(str::to_owned).collect() } else { wanted }
    }
}

pub(crate) fn delete(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let options = DeleteOptions::read(call)?;
    let settled = remove(call, &options)?;
    if settled.removed && !call.kind.returns_deleted {
        let object = super::object_from(&settled.bytes)?;
        let status = status::deleted(&call.kind.group, &call.kind.plural, meta_str(&object, "name"), meta_str(&object, "uid"));
        return Ok(call.answer(StatusCode::OK, &status));
    }
    respond::object(call, StatusCode::OK, settled.bytes)
}

/// What a look at an object leads to.
#[derive(Debug)]
enum Plan {
    /// Remove it now.
    Now,
    /// Write the marks that it carries now and wait for whoever holds it.
    Mark,
    /// Write the marks, then remove it: nobody holds it.
    MarkAndRemove,
    /// It is being deleted already and nothing more is to be done.
    Pending,
}

/// Deletes the named object, or marks it.
pub(crate) fn remove(call: &mut Call, options: &DeleteOptions) -> Result<Settled, ApiError> {
    let mut remove_next = false;
    let settled = transact(call, options.dry_run, Part::Whole, |call, old, stored| {
        options.check(&call.kind, stored)?;
        let cx = call.cx(options.dry_run);
        let mut object = old.clone();
        if call.server.profile() == Profile::Full {
            cx.kind.strategy.refuse_delete(&cx, old)?;
        }
        if !is_deleting(old) {
            cx.kind.strategy.on_delete(&cx, &mut object);
        }
        let plan = plan(call, options, &mut object);
        remove_next = matches!(plan, Plan::MarkAndRemove);
        Ok(match plan {
            Plan::Now => Next::Remove(object),
            Plan::Mark | Plan::MarkAndRemove => Next::Write(object),
            Plan::Pending => Next::Leave,
        })
    })?;
    if !remove_next || settled.removed {
        return Ok(settled);
    }
    if options.dry_run {
        return Ok(Settled { removed: true, ..settled });
    }
    // Two commits, so that watchers see the marks before the end, as they do with a real server.
    let removed = transact(call, false, Part::Whole, |_, old, _| {
        let released = is_deleting(old) && finalizers(old).is_empty();
        Ok(if released { Next::Remove(old.clone()) } else { Next::Leave })
    });
    match removed {
        Err(error) if error.code == StatusCode::NOT_FOUND => Ok(Settled { removed: true, ..settled }),
        other => other,
    }
}

/// Decides, and puts marks and finalizers into `object`.
fn plan(call: &Call, options: &DeleteOptions, object: &mut Object) -> Plan {
    let kind = &call.kind;
    let graceful = match kind.strategy.grace(object, options.grace) {
        None => None,
        Some(period) if is_deleting(object) => {
            // Only shorter from here on.
            let Some(present) = meta(object, "deletionGracePeriodSeconds").and_then(Value::as_i64) else { return Plan::Now };
            match options.grace {
                Some(_) if period < present => {
                    let end = shifted(meta_str(object, "deletionTimestamp"), period - present);
                    mark(object, end, period);
                    Some(period)
                }
                _ => return Plan::Pending,
            }
        }
        Some(period) => {
            let end = call.now.checked_add(SignedDuration::from_secs(period)).unwrap_or(call.now);
            mark(object, time(end), period);
            raise(object);
            Some(period)
        }
    };
    let wanted = options.finalizers(object);
    let held = !wanted.is_empty() || kind.strategy.held(object);
    set_meta(object, "finalizers", (!wanted.is_empty()).then(|| wanted.into()));
    match graceful {
        Some(0) if !held => Plan::MarkAndRemove,
        Some(_) => Plan::Mark,
        // A kind that marks its objects itself (definitions) says no grace and counts no change.
        None if held && is_deleting(object) && meta(object, "deletionGracePeriodSeconds").is_none() => Plan::Mark,
        None if held => {
            if meta(object, "deletionGracePeriodSeconds").is_none() {
                raise(object);
            }
            let end = match meta_str(object, "deletionTimestamp") {
                "" => time(call.now),
                earlier => earlier.to_owned(),
            };
            mark(object, end, 0);
            Plan::Mark
        }
        None => Plan::Now,
    }
}

fn raise(object: &mut Object) {
    if let Some(generation) = meta(object, "generation").and_then(Value::as_i64).filter(|g| *g > 0) {
        set_meta(object, "generation", Some((generation + 1).into()));
    }
}

fn shifted(at: &str, seconds: i64) -> String {
    match at.parse::<Timestamp>().ok().and_then(|t| t.checked_add(SignedDuration::from_secs(seconds)).ok()) {
        Some(t) => time(t),
        None => at.to_owned(),
    }
}

/// Deletes everything that the selectors select, and answers what was there.
pub(crate) fn delete_collection(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let options = DeleteOptions::read(call)?;
    let list = ListParams::parse(&call.params, &call.info)?;
    let selection = Selection::parse(&call.kind, &list)?;
    let listing = list::collect(call, &list, &selection)?;
    for stored in &listing.items {
        let meta = stored.meta();
        call.info.name = meta.name.to_string();
        let namespace = std::mem::replace(&mut call.namespace, meta.namespace.to_string());
        let result = remove(call, &options);
        call.namespace = namespace;
        match result {
            Err(error) if error.code != StatusCode::NOT_FOUND => return Err(error),
            _ => {}
        }
    }
    call.info.name.clear();
    list::respond(call, &list, &listing)
}
