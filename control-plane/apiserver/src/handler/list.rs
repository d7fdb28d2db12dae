//! GET of a collection.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use dormouse_store::{Expired, Listing, Query};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::status::{Cause, Details};
use crate::{ApiError, Body};

use super::negotiate::Form;
use super::params::ListParams;
use super::respond;
use super::select::Selection;
use super::{Call, shown, shown_object};

/// Where the next page begins. Clients see it as an opaque word.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    start: String,
}

pub(crate) fn list(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let params = ListParams::parse(&call.params, &call.info)?;
    let selection = Selection::parse(&call.kind, &params)?;
    let listing = collect(call, &params, &selection)?;
    respond(call, &params, &listing)
}

/// The objects that the request wants.
pub(crate) fn collect(call: &Call, params: &ListParams, selection: &Selection) -> Result<Listing, ApiError> {
    let token = (!params.continue_token.is_empty()).then(|| decode(&params.continue_token)).transpose()?;
    let now = call.table.revision();
    let at = match (&token, params.resource_version) {
        (Some(_), Some(version)) if version > 0 => {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        (Some(token), _) => Some(token.rv),
        (None, Some(version)) if version > now => return Err(too_large(version, now)),
        (None, Some(version)) if params.version_match == "Exact" => Some(version),
        // A limit with a version means that version, unless it says "not older than".
        (None, Some(version)) if version > 0 && params.limit.is_some() && params.version_match.is_empty() => Some(version),
        _ => None,
    };
    let filter = |meta: &dormouse_store::Meta| selection.matches(meta);
    let everything = selection.is_everything();
    let query = Query {
        namespace: (!call.namespace.is_empty()).then_some(call.namespace.as_str()),
        after: token.as_ref().map(|t| t.start.as_str()),
        limit: params.limit,
        at,
        filter: (!everything).then_some(&filter),
    };
    call.table.list(&query).map_err(|e| expired(&e, token.is_some()))
}

/// 410 for a version that is forgotten.
pub(crate) fn expired(error: &Expired, paging: bool) -> ApiError {
    if paging {
        return ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        );
    }
    ApiError::expired(format!("too old resource version: {} ({})", error.asked, error.floor))
}

/// 504 for a version that has not happened.
fn too_large(asked: u64, now: u64) -> ApiError {
    let cause =
        Cause { reason: "ResourceVersionTooLarge".to_owned(), message: "Too large resource version".to_owned(), field: String::new() };
    ApiError::timeout(format!("Too large resource version: {asked}, current: {now}"), 1).with_details(Details {
        causes: vec![cause],
        retry_after_seconds: 1,
        ..Details::default()
    })
}

fn decode(token: &str) -> Result<Continue, ApiError> {
    let bad = |why: String| ApiError::bad_request(format!("invalid continue token: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|e| bad(format!("continue key is not valid: {e}")))?;
    let token: Continue = serde_json::from_slice(&bytes).map_err(|e| bad(format!("continue key is not valid: {e}")))?;
    if token.v != "dormouse/v1" || token.rv == 0 {
        return Err(bad("server does not recognize this encoded version".to_owned()));
    }
    Ok(token)
}

fn encode(listing: &Listing) -> Option<String> {
    let start = listing.more.clone()?;
    let token = Continue { v: "dormouse/v1".to_owned(), rv: listing.revision, start };
    serde_json::to_vec(&token).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// The list in the form that the client accepts.
pub(crate) fn respond(call: &Call, params: &ListParams, listing: &Listing) -> Result<Response<Body>, ApiError> {
    let next = encode(listing);
    let mut metadata = json!({"resourceVersion": listing.revision.to_string()});
    if let Some(next) = &next {
        metadata["continue"] = json!(next);
        if params.label_selector.is_empty() && params.field_selector.is_empty() {
            metadata["remainingItemCount"] = json!(listing.remaining);
        }
    } else if call.kind.custom && call.accept.form == Form::Object {
        metadata["continue"] = json!("");
    }
    match call.accept.form {
        Form::Object => Ok(respond::encoded(call.accept, StatusCode::OK, objects(call, listing, &metadata)?)),
        Form::Metadata(version) => {
            let items = listing.items.iter().map(|o| respond::partial(o.bytes(), version)).collect::<Result<Vec<_>, _>>()?;
            let body = format!(
                "{{\"apiVersion\":\"meta.k8s.io/{version}\",\"items\":[{}],\"kind\":\"PartialObjectMetadataList\",\"metadata\":{metadata}}}",
                items.join(",")
            );
            Ok(respond::encoded(call.accept, StatusCode::OK, body.into()))
        }
        Form::Table(version) => {
            let objects =
                listing.items.iter().map(|o| shown_object(&call.kind, o.bytes()).map(Value::Object)).collect::<Result<Vec<_>, _>>()?;
            let table = crate::table::render(&call.kind, version, &objects, metadata, call.accept.include, true, call.now);
            Ok(respond::value(call.accept, StatusCode::OK, &table))
        }
    }
}

/// The list's JSON: stored bytes between a head and a tail.
fn objects(call: &Call, listing: &Listing, metadata: &Value) -> Result<Bytes, ApiError> {
    let kind = &call.kind;
    let size: usize = listing.items.iter().map(|o| o.bytes().len() + 1).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(format!("{{\"apiVersion\":\"{}\",\"items\":[", kind.api_version()).as_bytes());
    // Items of built-in kinds come without the members that the list itself has.
    let prefix = format!("{{\"apiVersion\":\"{}\",", kind.api_version());
    let named = format!("\"kind\":\"{}\",", kind.kind);
    for (i, object) in listing.items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let bytes = shown(kind, object.bytes().clone())?;
        if kind.custom {
            out.extend_from_slice(&bytes);
            continue;
        }
        out.push(b'{');
        out.extend_from_slice(untyped(&bytes, prefix.as_bytes(), named.as_bytes()));
    }
    out.extend_from_slice(format!("],\"kind\":\"{}\",\"metadata\":{metadata}}}", kind.list_kind).as_bytes());
    Ok(out.into())
}

/// The object's members after its brace, without `apiVersion` and `kind` when they stand in front.
fn untyped<'a>(bytes: &'a [u8], prefix: &[u8], kind: &[u8]) -> &'a [u8] {
    let whole = &bytes[1..];
    let Some(rest) = bytes.strip_prefix(prefix) else { return whole };
    rest.strip_prefix(kind).unwrap_or(whole)
}
