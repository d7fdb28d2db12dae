//! The pass over a document: a visitor that knows what the type expects at each place.
//!
//! It never stops at a wrong type. As in the peer, the first one is kept and the pass goes on, because a syntax
//! error further down outranks it; types that decode themselves (quantities, times) outrank both kinds of
//! mismatch before them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::place::Place;
use super::{Decoded, Error, StrictError, scalar};
use crate::schema::lookup::Lookup;
use crate::schema::printed::{fill, left_out, zero};
use crate::schema::{self, Shape, Type, TypeRef};

/// As many strict errors as the API server collects.
const MAX_STRICT: usize = 100;
const SCHEMA: &str = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps";

/// What is expected at a place.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Anything.
    Free,
    /// A value of a type, and the name of its Go type where that is not the shape's.
    Typed(Shape, Option<&'static str>),
}

impl Target {
    pub(super) fn one(item: Type) -> Self {
        Self::Typed(Shape::One(item), None)
    }

    /// What the elements of a list or map are, when its Go type is `list`.
    fn element(item: Type, list: Option<&'static str>) -> Self {
        let element = |list: &'static str| list.split_once(']').filter(|(open, _)| *open == "[" || open.starts_with("map["));
        Self::Typed(Shape::One(item), list.and_then(element).map(|(_, element)| element))
    }
}

/// What the pass has found.
#[derive(Default)]
pub(super) struct Context {
    strict: Vec<StrictError>,
    mismatch: Option<String>,
    fatal: Option<String>,
    /// Inside a value that decodes itself: the peer does not see unknown and duplicate members there.
    unseen: u32,
}

impl Context {
    pub(super) fn finish(self, value: Value) -> Result<Decoded, Error> {
        match self.fatal.or(self.mismatch) {
            Some(text) => Err(Error::Type(text)),
            None => Ok(Decoded { value, strict: self.strict }),
        }
    }

    /// Something is wrong with the member `name` of the object at `place`.
    fn complain(&mut self, make: fn(String) -> StrictError, place: &Place<'_>, name: &str) {
        if self.unseen == 0 && self.strict.len() < MAX_STRICT {
            let error = make(Place::Key(place, name).text());
            if !self.strict.contains(&error) {
                self.strict.push(error);
            }
        }
    }

    fn saved(&mut self, outcome: Result<Value, String>) -> Value {
        outcome.unwrap_or_else(|text| {
            self.mismatch.get_or_insert(text);
            Value::Null
        })
    }

    fn fatal(&mut self, outcome: Result<Value, String>) -> Value {
        outcome.unwrap_or_else(|text| {
            self.fatal.get_or_insert(text);
            Value::Null
        })
    }
}

/// One place of the document.
pub(super) struct At<'c> {
    context: &'c mut Context,
    place: &'c Place<'c>,
    target: Target,
}

impl<'c> At<'c> {
    pub(super) fn new(context: &'c mut Context, place: &'c Place<'c>, target: Target) -> Self {
        Self { context, place, target }
    }

    /// Go's text for a value of a wrong type.
    fn cannot(&self, value: &str, ty: &str) -> String {
        match self.place.in_go() {
            Some(member) => format!("json: cannot unmarshal {value} into Go struct field {member} of type {ty}"),
            None => format!("json: cannot unmarshal {value} into Go value of type {ty}"),
        }
    }

    fn mismatch(self, value: &str, shape: Shape, named: Option<&'static str>) -> Value {
        if self.context.mismatch.is_none() {
            self.context.mismatch = Some(self.cannot(value, &named.map_or_else(|| go_type(shape), str::to_owned)));
        }
        Value::Null
    }

    /// A value that decodes itself met `value` where it wants a `ty`.
    fn fatal_mismatch(self, value: &str, ty: &str) -> Value {
        let text = self.cannot(value, ty);
        self.context.fatal(Err(text))
    }

    /// A scalar; `given` names its JSON type as Go does.
    fn wrong(self, given: &str) -> Value {
        match self.target {
            Target::Free => Value::Null,
            Target::Typed(Shape::One(Type::Quantity), _) => self.context.fatal(scalar::quantity(given)),
            Target::Typed(Shape::One(Type::Time | Type::MicroTime), _) => self.fatal_mismatch(given, "string"),
            Target::Typed(Shape::One(Type::IntOrString), _) => self.fatal_mismatch(given, "int32"),
            Target::Typed(Shape::One(Type::SchemaOrBool), _) => self.context.fatal(Err("boolean or JSON schema expected".to_owned())),
            // They take what they do not know for nothing.
            Target::Typed(Shape::One(Type::SchemaOrArray | Type::SchemaOrStrings), _) => Value::Null,
            Target::Typed(shape, named) => self.mismatch(given, shape, named),
        }
    }

    fn integer(self, number: Number) -> Value {
        let Target::Typed(Shape::One(item), _) = self.target else { return self.number(number) };
        let in_range = match item {
            Type::Int32 | Type::IntOrString => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Type::Int64 => number.is_i64(),
            _ => return self.number(number),
        };
        if in_range { Value::Number(number) } else { self.wrong(&format!("number {number}")) }
    }

    fn number(self, number: Number) -> Value {
        match self.target {
            Target::Free | Target::Typed(Shape::One(Type::Any), _) => Value::Number(number),
            Target::Typed(Shape::One(Type::Double), _) => {
                number.as_f64().filter(|_| number.is_f64()).and_then(scalar::double).unwrap_or(Value::Number(number))
            }
            Target::Typed(Shape::One(Type::Quantity), _) => self.context.fatal(scalar::quantity(&number.to_string())),
            Target::Typed(Shape::One(Type::Int32 | Type::Int64 | Type::IntOrString), _) => self.wrong(&format!("number {number}")),
            Target::Typed(..) => self.wrong("number"),
        }
    }

    fn string(self, text: &str) -> Value {
        let Target::Typed(shape, _) = self.target else { return Value::from(text) };
        match shape {
            Shape::One(Type::String | Type::Any | Type::IntOrString) => Value::from(text),
            Shape::One(Type::Bytes) => self.context.saved(scalar::bytes(text)),
            Shape::One(Type::Quantity) => self.context.fatal(scalar::quantity(text)),
            Shape::One(Type::Time) => self.context.fatal(scalar::time(text)),
            Shape::One(Type::MicroTime) => self.context.fatal(scalar::micro_time(text)),
            _ => self.wrong("string"),
        }
    }

    /// What the elements of an array are here; `None` when no array may stand here.
    fn elements(&self) -> Option<Target> {
        Some(match self.target {
            Target::Free | Target::Typed(Shape::One(Type::Any), _) => Target::Free,
            Target::Typed(Shape::List(item), named) => Target::element(item, named),
            Target::Typed(Shape::One(Type::Strings | Type::SchemaOrStrings), _) => Target::one(Type::String),
            Target::Typed(Shape::One(Type::SchemaOrArray), _) => schema_target()?,
            Target::Typed(..) => return None,
        })
    }

    /// Whether a value here decodes itself, out of sight of strict checks.
    fn decodes_itself(&self) -> bool {
        matches!(self.target, Target::Typed(Shape::One(Type::Any | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings), _))
    }

    fn object_of<'de, A: MapAccess<'de>>(self, ty: TypeRef, mut access: A) -> Result<Value, A::Error> {
        let Self { context, place, .. } = self;
        let (fields, lookup) = (ty.fields(), Lookup::of(ty));
        let mut members = Map::new();
        let (mut seen, mut present) = (Marks::default(), Marks::default());
        while let Some(Key(name)) = access.next_key()? {
            let Some((at, field)) = lookup.find(fields, &name).and_then(|at| Some((at, fields.get(at)?))) else {
                context.complain(StrictError::UnknownField, place, &name);
                access.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.set(at, true) {
                context.complain(StrictError::DuplicateField, place, &name);
            }
            let here = Place::Member(place, ty, field);
            let value = access.next_value_seed(At::new(context, &here, Target::Typed(field.shape, field.go_type)))?;
            // Null is as good as absent.
            let printed = !value.is_null() && !left_out(field, &value);
            let before = present.set(at, printed);
            if printed {
                members.insert(field.name.to_owned(), value);
            } else if before {
                members.remove(field.name);
            }
        }
        fill(ty, |at| present.get(at), &mut members);
        Ok(Value::Object(members))
    }

    fn free_object<'de, A: MapAccess<'de>>(self, item: Target, mut access: A) -> Result<Value, A::Error> {
        let Self { context, place, .. } = self;
        let mut members = Map::new();
        while let Some(Key(name)) = access.next_key()? {
            if members.contains_key(&*name) {
                context.complain(StrictError::DuplicateField, place, &name);
            }
            let here = Place::Key(place, &name);
            let value = access.next_value_seed(At::new(context, &here, item))?;
            members.insert(name.into_owned(), or_zero(value, item));
        }
        Ok(Value::Object(members))
    }
}

/// Which members of an object the pass has met, one bit each.
#[derive(Default)]
struct Marks(u128);

impl Marks {
    /// Types have at most so many members; a unit test looks.
    #[cfg(test)]
    const MOST: usize = 128;

    fn bit(at: usize) -> u128 {
        u32::try_from(at).ok().and_then(|at| 1_u128.checked_shl(at)).unwrap_or(0)
    }

    fn get(&self, at: usize) -> bool {
        self.0 & Self::bit(at) != 0
    }

    /// Sets or clears a mark, and says whether it was set before.
    fn set(&mut self, at: usize, mark: bool) -> bool {
        let before = self.get(at);
        if mark {
            self.0 |= Self::bit(at);
        } else {
            self.0 &= !Self::bit(at);
        }
        before
    }
}

/// A null inside a list or map of a type means the zero value.
fn or_zero(value: Value, target: Target) -> Value {
    match target {
        Target::Typed(shape, _) if value.is_null() => zero(shape.item()),
        _ => value,
    }
}

fn schema_target() -> Option<Target> {
    schema::named(SCHEMA).map(|ty| Target::one(Type::Struct(ty)))
}

/// A member's name, borrowed where the document allows it.
struct Key<'de>(std::borrow::Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(name.into()))
            }

            fn visit_str<E>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(name.to_owned().into()))
            }

            fn visit_string<E>(self, name: String) -> Result<Key<'de>, E> {
                Ok(Key(name.into()))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(match self.target {
            Target::Free | Target::Typed(Shape::One(Type::Bool | Type::Any | Type::SchemaOrBool), _) => Value::Bool(truth),
            Target::Typed(..) => self.wrong("bool"),
        })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(self.integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(self.integer(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("number out of range"))?;
        Ok(self.number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(self.string(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(element) = self.elements() else {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(self.wrong("array"));
        };
        let unseen = u32::from(self.decodes_itself());
        let Self { context, place, .. } = self;
        context.unseen += unseen;
        let mut items = Vec::new();
        loop {
            let here = Place::Index(place, items.len());
            match access.next_element_seed(At::new(context, &here, element))? {
                Some(item) => items.push(or_zero(item, element)),
                None => break,
            }
        }
        context.unseen -= unseen;
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let unseen = u32::from(self.decodes_itself());
        let Self { context, place, target } = self;
        context.unseen += unseen;
        let at = At::new(context, place, target);
        let value = match target {
            Target::Free | Target::Typed(Shape::One(Type::Any), _) => at.free_object(Target::Free, access),
            Target::Typed(Shape::Map(item), named) => at.free_object(Target::element(item, named), access),
            Target::Typed(Shape::One(Type::Struct(ty)), _) => at.object_of(ty, access),
            Target::Typed(Shape::One(Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings), _) => {
                let ty = schema::named(SCHEMA).ok_or_else(|| A::Error::custom("the table has no JSON schema"))?;
                at.object_of(ty, access)
            }
            Target::Typed(..) => {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(at.wrong("object"))
            }
        };
        context.unseen -= unseen;
        value
    }
}

/// The Go type of a shape that has no name of its own, as messages show it.
fn go_type(shape: Shape) -> String {
    let item = |item| match item {
        Type::String => "string",
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Double => "float64",
        Type::Bytes => "[]uint8",
        Type::Quantity => "resource.Quantity",
        Type::Time => "v1.Time",
        Type::MicroTime => "v1.MicroTime",
        Type::IntOrString => "intstr.IntOrString",
        Type::Any => "runtime.RawExtension",
        Type::Strings => "[]string",
        Type::SchemaOrArray => "v1.JSONSchemaPropsOrArray",
        Type::SchemaOrBool => "v1.JSONSchemaPropsOrBool",
        Type::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray",
        Type::Struct(ty) => ty.go_type(),
    };
    match shape {
        Shape::One(one) => item(one).to_owned(),
        Shape::List(element) => format!("[]{}", item(element)),
        Shape::Map(value) => format!("map[string]{}", item(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_has_more_members_than_marks() {
        let most = schema::builtin().types().map(|ty| ty.fields().len()).max().unwrap();
        assert!(most <= Marks::MOST, "{most}");
    }
}
