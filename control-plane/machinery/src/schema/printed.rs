//! What Go prints: which members an object of a built-in kind shows, and which it leaves out.
//!
//! An API server decodes what it is sent into Go structs and answers what these print. Empty lists, maps and
//! scalars disappear when their tag says so; a struct that is no pointer is always printed, even as `{}`. Whoever
//! decodes (strictly from JSON, from protobuf) ends each object with [`complete`], so that the same object
//! comes out whatever it was sent as.

use serde_json::{Map, Value};

use super::lookup::Lookup;
use super::{Field, Shape, Type, TypeRef};

/// What a value that was never set prints as.
pub fn zero(item: Type) -> Value {
    match item {
        Type::String => Value::from(""),
        Type::Bool | Type::SchemaOrBool => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Bytes | Type::Time | Type::MicroTime | Type::Any | Type::Strings | Type::SchemaOrArray | Type::SchemaOrStrings => Value::Null,
        Type::Struct(ty) => {
            let mut members = Map::new();
            complete(ty, &mut members);
            Value::Object(members)
        }
    }
}

/// Makes the members of an object of type `ty` those that Go prints: adds what is printed although it was not
/// set, takes out what is empty and not printed. Members that the type does not have are left alone.
pub fn complete(ty: TypeRef, members: &mut Map<String, Value>) {
    for field in ty.fields() {
        match members.get(field.name) {
            Some(value) if left_out(field, value) => {
                members.remove(field.name);
            }
            Some(_) => {}
            None => {
                if let Some(value) = when_absent(field) {
                    members.insert(field.name.to_owned(), value);
                }
            }
        }
    }
}

/// Adds to an object of type `ty` what is printed although it was not set; `present` tells by place in
/// [`TypeRef::fields`] which members are there.
pub(crate) fn fill(ty: TypeRef, present: impl Fn(usize) -> bool, members: &mut Map<String, Value>) {
    for at in Lookup::of(ty).printed().iter().filter(|at| !present(**at)) {
        if let Some(field) = ty.fields().get(*at)
            && let Some(value) = when_absent(field)
        {
            members.insert(field.name.to_owned(), value);
        }
    }
}

/// Whether Go can tell an absent value of this shape from an empty one without a pointer: it is nil.
fn can_be_nil(field: &Field) -> bool {
    field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::One(Type::Bytes | Type::Strings))
}

/// Whether the member is a struct in Go, which `omitempty` does not touch.
fn is_struct(field: &Field) -> bool {
    !matches!(field.shape, Shape::One(Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double)) && !can_be_nil(field)
}

/// Whether a member of this value is not printed.
pub(crate) fn left_out(field: &Field, value: &Value) -> bool {
    if field.pointer {
        return false;
    }
    if is_struct(field) {
        return field.omit_zero && value.is_null();
    }
    field.omit_empty
        && match value {
            Value::Null => true,
            Value::Bool(truth) => !truth,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
        }
}

/// Whether the member is printed although it is not set.
pub(super) fn printed_when_absent(field: &Field) -> bool {
    if is_struct(field) { !field.omit_zero } else { !field.omit_empty }
}

fn when_absent(field: &Field) -> Option<Value> {
    printed_when_absent(field).then(|| if can_be_nil(field) { Value::Null } else { zero(field.shape.item()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::named;
    use super::*;

    #[test]
    fn structs_are_printed_and_empty_scalars_are_not() {
        let pod = named("k8s.io/api/core/v1.Pod").unwrap();
        assert_eq!(zero(Type::Struct(pod)), json!({"metadata": {}, "spec": {"containers": null}, "status": {}}));
        let container = named("k8s.io/api/core/v1.Container").unwrap();
        let mut members = json!({"name": "c", "image": "", "env": [], "tty": false}).as_object().unwrap().clone();
        complete(container, &mut members);
        assert_eq!(Value::Object(members), json!({"name": "c", "resources": {}}));
    }

    #[test]
    fn pointers_keep_zero() {
        let spec = named("k8s.io/api/core/v1.PodSpec").unwrap();
        let mut members =
            json!({"containers": [], "priority": 0, "hostNetwork": false, "enableServiceLinks": false}).as_object().unwrap().clone();
        complete(spec, &mut members);
        assert_eq!(Value::Object(members), json!({"containers": [], "priority": 0, "enableServiceLinks": false}));
    }
}
