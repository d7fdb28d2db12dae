//! POST: a new object.

use bytes::Bytes;
use dormouse_machinery::names;
use dormouse_store::{Change, CommitError, key};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::object::{encode, meta_mut, meta_str, new_uid, set_meta, time};
use crate::registry::{Cx, Generation, Object};
use crate::status::{Cause, Details};
use crate::{ApiError, Body, Profile, validate};

use super::{Call, codec, respond};

/// How often a generated name may be taken before the client hears of it.
const NAME_ATTEMPTS: usize = 8;

pub(crate) fn create(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let (dry_run, validation) = call.params.write_options("CreateOptions")?;
    let mut object = codec::body(call, validation)?;
    if call.kind.is_virtual {
        let answer = call.kind.strategy.answer(&call.cx(dry_run), object)?;
        return Ok(call.answer(StatusCode::CREATED, &Value::Object(answer)));
    }
    if !call.info.name.is_empty() {
        // A POST to an item's path creates under that name.
        match meta_str(&object, "name") {
            "" => set_meta(&mut object, "name", Some(call.info.name.clone().into())),
            name if name == call.info.name => {}
            name => return Err(name_mismatch(name, &call.info.name)),
        }
    }
    let size = call.body.len();
    let bytes = insert(call, object, dry_run, size)?;
    respond::object(call, StatusCode::CREATED, bytes)
}

pub(crate) fn name_mismatch(name: &str, url: &str) -> ApiError {
    ApiError::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({url})"))
}

/// Puts the namespace of the request into the object.
pub(crate) fn settle_namespace(call: &Call, object: &mut Object) -> Result<(), ApiError> {
    let given = meta_str(object, "namespace");
    if given == call.namespace {
        return Ok(());
    }
    if !given.is_empty() {
        return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    set_meta(object, "namespace", Some(call.namespace.clone().into()));
    Ok(())
}

/// Makes a decoded object the first state of a new one; returns it as the client sees it.
pub(crate) fn insert(call: &mut Call, mut object: Object, dry_run: bool, size_hint: usize) -> Result<Bytes, ApiError> {
    settle_namespace(call, &mut object)?;
    if !matches!(meta_str(&object, "resourceVersion"), "" | "0") {
        return Err(ApiError::unclassified("resourceVersion should not be set on objects to be created"));
    }
    let generated = meta_str(&object, "name").is_empty() && !meta_str(&object, "generateName").is_empty();
    let metadata = meta_mut(&mut object);
    for field in ["managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"] {
        metadata.remove(field);
    }
    if metadata.get("namespace").is_some_and(|n| n == "") {
        metadata.remove("namespace");
    }
    metadata.insert("uid".to_owned(), new_uid().into());
    metadata.insert("creationTimestamp".to_owned(), time(call.now).into());
    if call.kind.generation != Generation::None {
        metadata.insert("generation".to_owned(), 1.into());
    }
    if generated {
        let name = generate(meta_str(&object, "generateName"));
        set_meta(&mut object, "name", Some(name.into()));
    }
    let cx = call.cx(dry_run);
    let kind = cx.kind;
    kind.strategy.refuse_create(&cx)?;
    namespace_is_open(&cx, &object)?;
    if kind.custom && kind.has_status() {
        object.remove("status");
    }
    kind.strategy.default(&mut object);
    kind.strategy.prepare_create(&cx, &mut object);
    if cx.server.profile() == Profile::Full {
        kind.strategy.admit_create(&cx, &mut object)?;
    }
    let mut problems = Vec::new();
    validate::object_meta(kind, &object, &mut problems);
    kind.strategy.validate(&cx, &object, &mut problems);
    if !problems.is_empty() {
        return Err(ApiError::invalid_fields(&kind.group, &kind.kind, meta_str(&object, "name"), &problems));
    }
    let mut warnings = Vec::new();
    validate::finalizer_warnings(&object, &mut warnings);
    kind.strategy.warnings(&object, &mut warnings);
    let bytes = commit(&cx, call, object, generated, size_hint)?;
    call.warnings.append(&mut warnings);
    Ok(bytes)
}

fn commit(cx: &Cx<'_>, call: &Call, mut object: Object, generated: bool, size_hint: usize) -> Result<Bytes, ApiError> {
    let kind = cx.kind;
    for attempt in 1.. {
        let name = meta_str(&object, "name").to_owned();
        let key = key(&call.namespace, &name);
        let committed = if cx.dry_run {
            if call.table.get(&key).is_none() {
                set_meta(&mut object, "resourceVersion", None);
                return serde_json::to_vec(&object).map(Bytes::from).map_err(ApiError::internal);
            }
            Err(CommitError::Exists)
        } else {
            let draft = if kind.strategy.converts() {
                let mut stored = object.clone();
                kind.strategy.to_storage(&mut stored);
                encode(kind, &stored, size_hint)?
            } else {
                encode(kind, &object, size_hint)?
            };
            call.table.commit(&key, Change::Create(draft))
        };
        match committed {
            Ok(done) => {
                kind.strategy.after_commit(cx, &object, false);
                return call.shown(done.object.bytes().clone());
            }
            Err(CommitError::Exists) if generated && attempt < NAME_ATTEMPTS => {
                let name = generate(meta_str(&object, "generateName"));
                set_meta(&mut object, "name", Some(name.into()));
            }
            Err(CommitError::Exists) => return Err(exists(kind, &name, generated)),
            Err(error) => return Err(ApiError::internal(error)),
        }
    }
    Err(ApiError::internal("no name could be generated"))
}

fn exists(kind: &crate::registry::Kind, name: &str, generated: bool) -> ApiError {
    let mut error = ApiError::already_exists(&kind.group, &kind.plural, name);
    if generated {
        error.message = format!("{}, the server was not able to generate a unique name for the object", error.message);
    }
    error
}

/// A name with five random characters after its prefix.
pub(crate) fn generate(prefix: &str) -> String {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    // Bytes 6 and 8 of a UUID hold its version and variant; the others are random.
    let mut random = bytes[10..].iter().chain(&bytes[..6]).map(|b| u32::from(*b));
    names::generate_name(prefix, &mut || {
        // Two bytes each: the alphabet does not divide 256.
        let (high, low) = (random.next().unwrap_or(0), random.next().unwrap_or(0));
        high << 8 | low
    })
}

/// Refuses new objects in namespaces that do not exist or are being emptied.
fn namespace_is_open(cx: &Cx<'_>, object: &Object) -> Result<(), ApiError> {
    if cx.server.profile() == Profile::Bare || !cx.kind.namespaced {
        return Ok(());
    }
    let Some(namespace) = cx.server.store().table("namespaces").get(cx.namespace) else {
        return Err(ApiError::not_found("", "namespaces", cx.namespace));
    };
    if namespace.meta().deleting {
        let why = format!("unable to create new content in namespace {} because it is being terminated", cx.namespace);
        let name = meta_str(object, "name");
        let cause = Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {} is being terminated", cx.namespace),
            field: "metadata.namespace".to_owned(),
        };
        let details = Details { causes: vec![cause], ..Details::of(&cx.kind.group, &cx.kind.plural, name) };
        return Err(ApiError::forbidden(&cx.kind.group, &cx.kind.plural, name, why).with_details(details));
    }
    Ok(())
}
