//! Decoding as the API server does it: JSON into an object of a built-in kind, and what is wrong with it.
//!
//! One pass over the document does it all, because the order of what is reported is the order in the
//! document. A syntax error or a wrong type ends in an [`Error`]. Unknown and duplicate members do not: they
//! are collected as [`StrictError`]s, and the caller decides by the request's `fieldValidation` whether they
//! refuse it, become warnings, or are nothing. The value that comes out is what the API server would print:
//! unknown members and nulls gone, quantities, times and bytes in canonical form, structs that are always printed in
//! place (see [`crate::schema::printed`]). Decoding it again gives the same value.
//!
//! Documents without a type (custom resources) go through [`parse_json`], which reports duplicates only.

use std::fmt;

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use crate::go;
use crate::schema::{Shape, Type, TypeRef};

mod place;
pub mod scalar;
mod visit;

use place::Place;
use visit::{At, Context, Target};

/// Why a document cannot be decoded at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no JSON, or nested too deeply.
    #[error("{0}")]
    Syntax(String),
    /// A value has a type that the kind does not allow; the text is Go's, such as
    /// `json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`.
    #[error("{0}")]
    Type(String),
}

/// What only strict validation minds. Prints as `unknown field "spec.frobozz"` or
/// `duplicate field "spec.x"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrictError {
    /// The member stands twice in its object; the last one counts.
    DuplicateField(String),
    /// The type has no such member; it is ignored.
    UnknownField(String),
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateField(path) => write!(f, "duplicate field {}", go::quote(path)),
            Self::UnknownField(path) => write!(f, "unknown field {}", go::quote(path)),
        }
    }
}

/// The message of a refusal: `strict decoding error: unknown field "a", duplicate field "b"`.
pub fn message(errors: &[StrictError]) -> String {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    format!("strict decoding error: {}", all.join(", "))
}

/// A decoded object.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What the API server would print for it.
    pub value: Value,
    /// Unknown and duplicate members, without repetitions, at most a hundred.
    pub strict: Vec<StrictError>,
}

/// Decodes a JSON document into an object of type `ty`. Strict errors are in the order of the document.
///
/// # Errors
/// When it is no JSON, or a value has a wrong type.
pub fn decode(ty: TypeRef, json: &[u8]) -> Result<Decoded, Error> {
    let mut context = Context::default();
    let value = read(json, At::new(&mut context, &Place::Root(""), Target::one(Type::Struct(ty))))?;
    context.finish(value)
}

/// Decodes a JSON value, such as the outcome of a patch, into an object of type `ty`. Strict errors are
/// sorted by path: only unknown members can occur.
///
/// # Errors
/// When a value has a wrong type.
pub fn decode_value(ty: TypeRef, value: &Value) -> Result<Decoded, Error> {
    decode_at(ty, "", value)
}

/// The unknown members of a JSON value of type `ty`, as [`decode_at`] finds them.
///
/// # Errors
/// When a value has a wrong type.
pub fn check(ty: TypeRef, at: &str, value: &Value) -> Result<Vec<StrictError>, Error> {
    decode_at(ty, at, value).map(|decoded| decoded.strict)
}

/// Like [`decode_value`] for a part of an object: `at` stands before every path of a strict error (`metadata` for the
/// metadata of a custom resource).
///
/// # Errors
/// When a value has a wrong type.
pub fn decode_at(ty: TypeRef, at: &str, value: &Value) -> Result<Decoded, Error> {
    let mut context = Context::default();
    let root = Place::Root(at);
    let seed = At::new(&mut context, &root, Target::one(Type::Struct(ty)));
    let value = seed.deserialize(value).map_err(|error| Error::Syntax(error.to_string()))?;
    let mut decoded = context.finish(value)?;
    decoded.strict.sort_unstable();
    Ok(decoded)
}

/// Parses a JSON document without a type. The strict errors are its duplicate members, in order.
///
/// # Errors
/// When it is no JSON.
pub fn parse_json(json: &[u8]) -> Result<(Value, Vec<StrictError>), Error> {
    let mut context = Context::default();
    let value = read(json, At::new(&mut context, &Place::Root(""), Target::Free))?;
    context.finish(value).map(|decoded| (decoded.value, decoded.strict))
}

/// Takes out the members that the type does not have, at every depth, and changes nothing else. Values of
/// wrong types stay.
pub fn prune(ty: TypeRef, value: &mut Value) {
    prune_shape(Shape::One(Type::Struct(ty)), value);
}

fn prune_shape(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::One(Type::Struct(ty)), Value::Object(members)) => {
            members.retain(|name, value| match ty.field(name) {
                Some(field) => {
                    prune_shape(field.shape, value);
                    true
                }
                None => false,
            });
        }
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| prune_shape(Shape::One(item), value)),
        (Shape::Map(item), Value::Object(members)) => members.values_mut().for_each(|value| prune_shape(Shape::One(item), value)),
        _ => {}
    }
}

fn read(json: &[u8], seed: At<'_>) -> Result<Value, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| Error::Syntax(error.to_string()))
}
