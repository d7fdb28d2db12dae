//! Protobuf request bodies of built-in kinds, decoded to the JSON that they mean.
//!
//! Typed clients of Kubernetes send `application/vnd.kubernetes.protobuf`: four magic bytes, then an envelope that
//! names `apiVersion` and `kind` and holds the object's message. The numbers of all members are in
//! [`crate::schema`], so one decoder serves every kind. The outcome is what the API server would print for the
//! object, the same as [`crate::strict::decode`] gives for its JSON. Answers are never protobuf.
//!
//! Input is from outside: nesting is bounded, and so is the number of messages, because an empty message of two
//! bytes becomes an object of hundreds. Members that the table does not know are skipped, as in the peer; there
//! is nothing strict to report.

mod wire;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::schema::printed::complete;
use crate::schema::{self, Field, Numbered, Shape, Type, TypeRef};
use crate::strict::scalar;
use wire::{Reader, Wire};

/// The media type of the bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";
/// How deeply the JSON may be nested. JSON parsers stop at 128.
const MAX_DEPTH: usize = 100;
/// How many messages a body may hold.
const MAX_MESSAGES: usize = 100_000;
const SCHEMA: &str = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps";

/// Why a body cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin with the four magic bytes.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// It ends too early, or a number or length in it is malformed.
    #[error("proto: unexpected end of the message or malformed number")]
    Malformed,
    /// A member is encoded as something else than its type.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType {
        /// The wire type found.
        wire: u8,
        /// The member.
        field: &'static str,
    },
    /// The raw bytes have an encoding or a content type of their own.
    #[error("the body's content type or encoding {0:?} is not supported")]
    Content(String),
    /// The envelope names no built-in kind.
    #[error("no kind {kind:?} is registered for version {api_version:?} as protobuf")]
    Kind {
        /// What the envelope names.
        api_version: String,
        /// What the envelope names.
        kind: String,
    },
    /// A value has the form of no value of its type.
    #[error("{field}: {reason}")]
    Value {
        /// The member.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is nested too deeply, or has too many messages.
    #[error("the message is nested too deeply or has too many parts")]
    TooLarge,
}

/// The envelope around an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The object's `apiVersion`; some clients leave it empty where the request's path tells.
    pub api_version: String,
    /// The object's `kind`; see above.
    pub kind: String,
    /// The object's message.
    pub raw: &'a [u8],
}

/// Whether a body begins with the magic bytes.
pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Reads the envelope and leaves the object alone.
///
/// # Errors
/// When it is none, or holds something that is not protobuf.
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let mut reader = Reader::new(body.strip_prefix(MAGIC).ok_or(Error::Magic)?);
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(value.bytes("typeMeta")?);
                while let Some((number, value)) = meta.next()? {
                    match number {
                        1 => envelope.api_version = value.text("apiVersion")?,
                        2 => envelope.kind = value.text("kind")?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = value.bytes("raw")?,
            3 | 4 => match value.text("contentType")? {
                empty if empty.is_empty() => {}
                other => return Err(Error::Content(other)),
            },
            _ => {}
        }
    }
    Ok(envelope)
}

impl Envelope<'_> {
    /// Decodes the object; its `apiVersion` and `kind` are those of the envelope.
    ///
    /// # Errors
    /// When the kind is not built in, or its message is malformed.
    pub fn decode(self) -> Result<Value, Error> {
        let Some(ty) = schema::of(&self.api_version, &self.kind) else {
            return Err(Error::Kind { api_version: self.api_version, kind: self.kind });
        };
        let mut object = decode_message(ty, self.raw)?;
        object.insert("apiVersion".to_owned(), Value::String(self.api_version));
        object.insert("kind".to_owned(), Value::String(self.kind));
        Ok(Value::Object(object))
    }
}

/// Decodes a whole body.
///
/// # Errors
/// See [`envelope`] and [`Envelope::decode`].
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    envelope(body)?.decode()
}

/// Decodes a message of a type, without an envelope.
///
/// # Errors
/// When it is malformed.
pub fn decode_message(ty: TypeRef, message: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut object = Map::new();
    Decoder { messages: 0 }.message(ty, message, 1, &mut object)?;
    Ok(object)
}

struct Decoder {
    /// How many messages there were.
    messages: usize,
}

impl Decoder {
    /// Adds the members of a message to `object` and completes it. `depth` is that of the object.
    fn message(&mut self, ty: TypeRef, message: &[u8], depth: usize, object: &mut Map<String, Value>) -> Result<(), Error> {
        self.members(ty, message, depth, object)?;
        complete(ty, object);
        Ok(())
    }

    fn members(&mut self, ty: TypeRef, message: &[u8], depth: usize, object: &mut Map<String, Value>) -> Result<(), Error> {
        self.messages += 1;
        if depth > MAX_DEPTH || self.messages > MAX_MESSAGES {
            return Err(Error::TooLarge);
        }
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.next()? {
            match u16::try_from(number).ok().and_then(|number| ty.numbered(number)) {
                Some(Numbered::Field(field)) => self.field(field, value, depth, object)?,
                // Embedded in Go: a message of its own here, members of this object in JSON.
                Some(Numbered::Embedded(embedded)) => self.members(embedded, value.bytes(embedded.short_name())?, depth, object)?,
                None => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, value: Wire<'_>, depth: usize, object: &mut Map<String, Value>) -> Result<(), Error> {
        let name = field.name;
        match field.shape {
            Shape::One(Type::Struct(ty)) => {
                // A message that comes in parts is merged.
                let mut inner = match object.remove(name) {
                    Some(Value::Object(inner)) => inner,
                    _ => Map::new(),
                };
                self.message(ty, value.bytes(name)?, depth + 1, &mut inner)?;
                object.insert(name.to_owned(), Value::Object(inner));
            }
            Shape::One(item) => match self.value(item, value, name, depth + 1)? {
                Value::Null => {}
                value => {
                    object.insert(name.to_owned(), value);
                }
            },
            Shape::List(item) => {
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Ok(()) };
                match (value, is_number(item)) {
                    (Wire::Bytes(packed), true) => {
                        let mut packed = Reader::new(packed);
                        while let Some(value) = packed.next_packed(item == Type::Double)? {
                            list.push(self.value(item, value, name, depth + 2)?);
                        }
                    }
                    (value, _) => list.push(self.value(item, value, name, depth + 2)?),
                }
            }
            Shape::Map(item) => {
                let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(map) = map else { return Ok(()) };
                let (mut key, mut inner) = (String::new(), None);
                let mut entry = Reader::new(value.bytes(name)?);
                while let Some((number, value)) = entry.next()? {
                    match number {
                        1 => key = value.text(name)?,
                        2 => inner = Some(self.value(item, value, name, depth + 2)?),
                        _ => {}
                    }
                }
                map.insert(key, inner.unwrap_or_else(|| schema::printed::zero(item)));
            }
        }
        Ok(())
    }

    fn value(&mut self, item: Type, value: Wire<'_>, name: &'static str, depth: usize) -> Result<Value, Error> {
        let refuse = |reason: String| Error::Value { field: name, reason };
        Ok(match item {
            Type::String => Value::String(value.text(name)?),
            Type::Bool => Value::Bool(value.varint(name)? != 0),
            Type::Int32 => Value::from(truncated(value.varint(name)?)),
            Type::Int64 => Value::from(value.varint(name)?.cast_signed()),
            Type::Double => scalar::double(value.double(name)?).ok_or_else(|| refuse("not a finite number".to_owned()))?,
            Type::Bytes => scalar::bytes_value(value.bytes(name)?),
            Type::Struct(ty) => {
                let mut object = Map::new();
                self.message(ty, value.bytes(name)?, depth, &mut object)?;
                Value::Object(object)
            }
            Type::Quantity => {
                let mut text = String::new();
                each(value.bytes(name)?, |number, value| {
                    if number == 1 {
                        text = value.text(name)?;
                    }
                    Ok(())
                })?;
                scalar::quantity(if text.is_empty() { "0" } else { &text }).map_err(refuse)?
            }
            Type::Time | Type::MicroTime => time(item, value.bytes(name)?, name)?,
            Type::IntOrString => {
                let (mut is_text, mut int, mut text) = (false, 0, String::new());
                each(value.bytes(name)?, |number, value| {
                    match number {
                        1 => is_text = value.varint(name)? == 1,
                        2 => int = truncated(value.varint(name)?),
                        3 => text = value.text(name)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                if is_text { Value::String(text) } else { Value::from(int) }
            }
            Type::Any => {
                let mut raw: &[u8] = &[];
                each(value.bytes(name)?, |number, value| {
                    if number == 1 {
                        raw = value.bytes(name)?;
                    }
                    Ok(())
                })?;
                let any =
                    if raw.is_empty() { Value::Null } else { serde_json::from_slice(raw).map_err(|error| refuse(error.to_string()))? };
                if depth + nesting(&any) > MAX_DEPTH {
                    return Err(Error::TooLarge);
                }
                any
            }
            Type::Strings => Value::Array(strings(value.bytes(name)?, 1, name)?),
            Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => self.schema_or(item, value.bytes(name)?, name, depth)?,
        })
    }

    /// The alternatives of a JSON schema: a schema, or a list of schemas, a boolean, a list of texts.
    fn schema_or(&mut self, item: Type, message: &[u8], name: &'static str, depth: usize) -> Result<Value, Error> {
        let ty = schema::named(SCHEMA).map(Type::Struct).ok_or(Error::Malformed)?;
        let schema_number = if item == Type::SchemaOrBool { 2 } else { 1 };
        let (mut one, mut many, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.next()? {
            match (item, number) {
                (_, number) if number == schema_number => one = Some(self.value(ty, value, name, depth)?),
                (Type::SchemaOrArray, 2) => many.push(self.value(ty, value, name, depth + 1)?),
                (Type::SchemaOrBool, 1) => allows = value.varint(name)? != 0,
                (Type::SchemaOrStrings, 2) => many.push(Value::String(value.text(name)?)),
                _ => {}
            }
        }
        Ok(match one {
            _ if !many.is_empty() => Value::Array(many),
            Some(one) => one,
            None if item == Type::SchemaOrBool => Value::Bool(allows),
            None => Value::Null,
        })
    }
}

fn is_number(item: Type) -> bool {
    matches!(item, Type::Bool | Type::Int32 | Type::Int64 | Type::Double)
}

/// As the peer reads a number of 32 bits: the low ones count.
#[allow(clippy::cast_possible_truncation)] // that is the meaning
fn truncated(number: u64) -> i32 {
    number as i32
}

fn each<'a>(message: &'a [u8], mut take: impl FnMut(u64, Wire<'a>) -> Result<(), Error>) -> Result<(), Error> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.next()? {
        take(number, value)?;
    }
    Ok(())
}

fn strings(message: &[u8], wanted: u64, name: &'static str) -> Result<Vec<Value>, Error> {
    let mut texts = Vec::new();
    each(message, |number, value| {
        if number == wanted {
            texts.push(Value::String(value.text(name)?));
        }
        Ok(())
    })?;
    Ok(texts)
}

/// A time; an empty message is the zero time, which prints as null.
fn time(item: Type, message: &[u8], name: &'static str) -> Result<Value, Error> {
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    each(message, |number, value| {
        match number {
            1 => seconds = value.varint(name)?.cast_signed(),
            2 => nanos = truncated(value.varint(name)?),
            _ => {}
        }
        Ok(())
    })?;
    let nanos = if item == Type::Time { 0 } else { nanos };
    let time = Timestamp::new(seconds, nanos).map_err(|error| Error::Value { field: name, reason: error.to_string() })?;
    Ok(if item == Type::Time { scalar::time_value(time) } else { scalar::micro_time_value(time) })
}

/// How deeply a value is nested: 0 for a scalar.
fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}
