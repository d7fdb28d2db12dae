//! Strategic merge patch: a merge patch that knows which lists are keyed.
//!
//! Original and patch are walked together. What both have as maps is merged member by member, what both have
//! as lists is merged when the type's tags say so, and everything else is replaced by the patch. Directives in
//! the patch say what plain JSON cannot: `$patch` (`delete`, `replace`), `$retainKeys`,
//! `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.
//!
//! The rules are those of the API server, its oddities included, because clients compute patches that rely on
//! them: new elements come first, `$patch: replace` inside one element empties the list of the others, a null
//! survives inside a new element. Where the peer's answer depends on the order of a hash map, ours takes
//! members by name, `$…` first.

use serde_json::{Map, Value};

use crate::go;
use crate::schema::{PatchRule, Shape, Type, TypeRef};

mod list;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be applied. The texts are those of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Original or patch is no JSON object.
    #[error("invalid JSON document")]
    NotAnObject,
    /// An element lacks the merge key of its list.
    #[error("map: {element} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The element, as Go prints it.
        element: String,
        /// The key.
        key: &'static str,
    },
    /// `$patch` says something unknown.
    #[error("unknown patch type: {directive} in map: {map}")]
    Directive {
        /// What it says.
        directive: String,
        /// The map that holds it, as Go prints it.
        map: String,
    },
    /// `$patch: merge` in a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirective,
    /// `$deleteFromPrimitiveList` without a list's name.
    #[error("invalid patch format of primitive list")]
    DeleteList,
    /// `$retainKeys` is no list, or does not name a member that the patch sets.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` without a list's name.
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    /// The patch's elements are not in the order that `$setElementOrder` gives.
    #[error("The order in patch list:\n{patch}\n doesn't match {ELEMENT_ORDER} list:\n{order}\n")]
    OrderMismatch {
        /// The patch's list, as Go prints it.
        patch: String,
        /// The order, as Go prints it.
        order: String,
    },
    /// A map is to be merged into a member that the type does not have.
    #[error("unable to find api field in struct {ty} for the json field {}", go::quote(field))]
    UnknownField {
        /// The Go name of the struct.
        ty: &'static str,
        /// The member.
        field: String,
    },
    /// A map is to be merged into a value that is no object in the type.
    #[error("merging an object in json but data type is not struct, instead is: {0}")]
    NotAStruct(&'static str),
    /// A list is to be merged into a member that is no list in the type.
    #[error("expected slice or array type, but got: {0}")]
    NotAList(&'static str),
    /// A list that is merged holds elements of different types.
    #[error("list element types are not identical: {0}")]
    MixedElements(String),
    /// A list that is merged holds lists.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// A merged list of objects has no merge key in the type.
    #[error("cannot merge lists without merge key for {0}")]
    KeylessList(&'static str),
    /// A value has not the JSON type that a directive needs.
    #[error("expected a {expected}, but received a {actual}")]
    WrongType {
        /// The type needed, as Go names it.
        expected: &'static str,
        /// The type found.
        actual: &'static str,
    },
    /// `$setElementOrder` for lists that are empty.
    #[error("no elements in any of the given slices")]
    NoElements,
    /// An element of a list that is searched by key is no object.
    #[error("value for key {0} is not a map")]
    NotAMap(usize),
}

/// Applies `patch` to `original`, an object of type `ty`.
///
/// A null patch changes nothing. The result is not checked against the type: see [`crate::strict`].
///
/// # Errors
/// When either is no object, or the patch breaks one of the rules above; nothing is applied then.
pub fn apply(ty: TypeRef, original: Value, patch: Value) -> Result<Value, Error> {
    let (original, patch) = match (original, patch) {
        (original @ Value::Object(_), Value::Null) => return Ok(original),
        (Value::Object(original), Value::Object(patch)) => (original, patch),
        (Value::Null, Value::Object(patch)) => (Map::new(), patch),
        _ => return Err(Error::NotAnObject),
    };
    merge_map(original, patch, Shape::One(Type::Struct(ty))).map(Value::Object)
}

/// Merges two maps whose type is `shape`.
fn merge_map(mut original: Map<String, Value>, mut patch: Map<String, Value>, shape: Shape) -> Result<Map<String, Value>, Error> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    list::order_elements(&mut original, &mut patch, shape)?;
    for (member, value) in sorted(patch) {
        merge_member(&mut original, &member, value, shape)?;
    }
    Ok(original)
}

/// Members by name, so that the result does not depend on how the map keeps them.
fn sorted(map: Map<String, Value>) -> Vec<(String, Value)> {
    let mut members: Vec<_> = map.into_iter().collect();
    members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    members
}

fn merge_member(original: &mut Map<String, Value>, member: &str, value: Value, shape: Shape) -> Result<(), Error> {
    let deletion = member.starts_with(DELETE_FROM);
    let member = if deletion { after_slash(member, DELETE_FROM).ok_or(Error::DeleteList)? } else { member };
    if value.is_null() {
        original.remove(member);
        return Ok(());
    }
    let Some(current) = original.get_mut(member) else {
        if !deletion {
            insert(original, member, value);
        }
        return Ok(());
    };
    match (current, value) {
        (Value::Object(current), Value::Object(value)) => {
            let (inner, rule) = member_shape(shape, member)?;
            *current = if rule.replace { value } else { merge_map(std::mem::take(current), value, inner)? };
        }
        (Value::Array(current), Value::Array(value)) => {
            let (element, rule) = list_shape(shape, member)?;
            *current =
                if rule.merge || deletion { list::merge(std::mem::take(current), value, element, rule.key, deletion)?.list } else { value };
        }
        _ if deletion => {}
        (_, value) => {
            original.remove(member);
            insert(original, member, value);
        }
    }
    Ok(())
}

/// Sets a member that the original lacks, or has as another JSON type.
fn insert(original: &mut Map<String, Value>, member: &str, mut value: Value) {
    discard_nulls(&mut value);
    if let Some(value) = without_directives(value) {
        original.insert(member.to_owned(), value);
    }
}

/// Takes null members out at every depth; null elements stay.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Takes every map out that holds `$patch`, at every depth.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => return None,
        Value::Object(map) => {
            Value::Object(map.into_iter().filter_map(|(key, value)| without_directives(value).map(|value| (key, value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().filter_map(without_directives).collect()),
        scalar => scalar,
    })
}

/// `$retainKeys`: members of the original that it does not name go; the patch may set only named ones.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(named) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(named) = named else { return Err(Error::RetainKeys) };
    let named = |member: &str| named.iter().any(|name| name.as_str() == Some(member));
    let may_set = |member: &str, value: &Value| {
        value.is_null() || member.starts_with(DELETE_FROM) || member.starts_with(ELEMENT_ORDER) || named(member)
    };
    if !patch.iter().all(|(member, value)| may_set(member, value)) {
        return Err(Error::RetainKeys);
    }
    original.retain(|member, _| named(member));
    Ok(())
}

/// The list's name in `<directive>/<list>`.
fn after_slash<'a>(member: &'a str, directive: &str) -> Option<&'a str> {
    member.strip_prefix(directive)?.strip_prefix('/')
}

/// The shape and rule of a member of a map of type `shape`.
fn member_shape(shape: Shape, member: &str) -> Result<(Shape, PatchRule), Error> {
    let Shape::One(item) = shape else { return Err(Error::NotAStruct(go_kind(shape))) };
    let unknown = |ty| Err(Error::UnknownField { ty, field: member.to_owned() });
    match item {
        Type::Struct(ty) => match ty.field(member) {
            Some(field) => Ok((field.shape, field.patch)),
            None => unknown(ty.short_name()),
        },
        // Structs in Go, but none whose members JSON knows.
        Type::Quantity => unknown("Quantity"),
        Type::Time => unknown("Time"),
        Type::MicroTime => unknown("MicroTime"),
        Type::IntOrString => unknown("IntOrString"),
        Type::Any => unknown("RawExtension"),
        Type::SchemaOrArray => unknown("JSONSchemaPropsOrArray"),
        Type::SchemaOrBool => unknown("JSONSchemaPropsOrBool"),
        Type::SchemaOrStrings => unknown("JSONSchemaPropsOrStringArray"),
        Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double | Type::Bytes | Type::Strings => {
            Err(Error::NotAStruct(go_kind(shape)))
        }
    }
}

/// The shape of the elements, and the rule, of a list in a map of type `shape`.
fn list_shape(shape: Shape, member: &str) -> Result<(Shape, PatchRule), Error> {
    match member_shape(shape, member)? {
        (Shape::List(item), rule) => Ok((Shape::One(item), rule)),
        (Shape::One(Type::Strings), rule) => Ok((Shape::One(Type::String), rule)),
        (Shape::One(Type::Bytes), rule) => Ok((Shape::One(Type::Bytes), rule)),
        _ => Err(Error::NotAList(go_kind(shape))),
    }
}

/// The kind of Go's reflection for a shape.
fn go_kind(shape: Shape) -> &'static str {
    match shape {
        Shape::List(_) | Shape::One(Type::Bytes | Type::Strings) => "slice",
        Shape::Map(_) => "map",
        Shape::One(Type::String) => "string",
        Shape::One(Type::Bool) => "bool",
        Shape::One(Type::Int32) => "int32",
        Shape::One(Type::Int64) => "int64",
        Shape::One(Type::Double) => "float64",
        Shape::One(_) => "struct",
    }
}

/// The Go type that holds a JSON value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> Error {
    Error::Directive { directive: printed(directive), map: printed_map(map) }
}

/// A value as Go's `%v` prints it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), go::float),
        Value::String(text) => text.clone(),
        Value::Array(items) => printed_list(items),
        Value::Object(map) => printed_map(map),
    }
}

fn printed_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" "))
}

fn printed_map(map: &Map<String, Value>) -> String {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|(key, _)| key.as_str());
    format!("map[{}]", members.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect::<Vec<_>>().join(" "))
}
