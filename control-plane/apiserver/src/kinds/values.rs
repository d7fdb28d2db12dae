//! Small tools for defaults and validation of JSON objects, and tables of rules ([`Rules`]).

use dormouse_machinery::field::{BadValue, FieldError};
use dormouse_machinery::{go, names};
use serde_json::{Map, Value};

use crate::registry::Object;
pub(super) use crate::validate::At;

/// Sets a member when it is absent or null.
pub(super) fn default(object: &mut Object, key: &str, value: impl Into<Value>) {
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), value.into());
    }
}

/// A member as a map, when it is one.
pub(super) fn map<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

/// A member as a map that can be changed, when it is one.
pub(super) fn map_mut<'a>(object: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

/// A member as a map, made when it is absent or something else.
pub(super) fn map_entry<'a>(object: &'a mut Object, key: &str) -> &'a mut Object {
    if !object.get(key).is_some_and(Value::is_object) {
        object.insert(key.to_owned(), Value::Object(Map::new()));
    }
    match object.get_mut(key) {
        Some(Value::Object(map)) => map,
        // Made just above.
        _ => unreachable!(),
    }
}

/// A member as a list that can be changed, made when it is absent or something else.
pub(super) fn list_entry<'a>(object: &'a mut Object, key: &str) -> &'a mut Vec<Value> {
    if !object.get(key).is_some_and(Value::is_array) {
        object.insert(key.to_owned(), Value::Array(Vec::new()));
    }
    match object.get_mut(key) {
        Some(Value::Array(list)) => list,
        // Made just above.
        _ => unreachable!(),
    }
}

/// The maps in a list; empty when there is no list.
pub(super) fn maps<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
    list(object, key).iter().filter_map(Value::as_object)
}

/// The maps in a list, to be changed.
pub(super) fn maps_mut<'a>(object: &'a mut Object, key: &str) -> impl Iterator<Item = &'a mut Object> + use<'a> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// A member as a list; empty when it is none.
pub(super) fn list<'a>(object: &'a Object, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member as text; empty when it is none.
pub(super) fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A member as an integer.
pub(super) fn int(object: &Object, key: &str) -> Option<i64> {
    object.get(key).and_then(Value::as_i64)
}

/// Reports a negative number.
pub(super) fn not_negative(object: &Object, key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if let Some(n) = int(object, key).filter(|n| *n < 0) {
        problems.push(FieldError::invalid(path.child(key), n, "must be greater than or equal to 0"));
    }
}

/// Reports a change of a member that may not change.
pub(super) fn immutable(new: &Object, old: &Object, key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if new.get(key) != old.get(key) {
        problems.push(FieldError::invalid(path.child(key), new.get(key).cloned().unwrap_or(Value::Null), "field is immutable"));
    }
}

/// The rules of one structure that need nothing but its members, as data.
pub(super) struct Rules {
    /// Where Kubernetes says so.
    #[expect(dead_code, reason = "for who checks a rule against what is documented")]
    pub(super) page: &'static str,
    /// A member, and what it must be.
    pub(super) rows: &'static [(&'static str, Must)],
}

/// What a member must be.
#[derive(Clone, Copy)]
pub(super) enum Must {
    /// There: a text or list that is not empty. Otherwise the client reads this.
    BeSet(&'static str),
    /// Not there. Otherwise the client reads this.
    BeAbsent(&'static str),
    /// Nothing, or a text that this has nothing against.
    Pass(fn(&str) -> Vec<String>),
    /// A text that is there and that this has nothing against.
    BeSetAndPass(fn(&str) -> Vec<String>),
    /// Nothing, or one of these texts.
    BeOneOf(&'static [&'static str]),
    /// Nothing, or a number from the first to the second. Otherwise the client reads the text.
    BeWithin(i64, i64, &'static str),
    /// Nothing, or a number that is not negative.
    NotBeNegative,
    /// Nothing, or a number above zero.
    BePositive,
}

impl Must {
    /// A port's number.
    pub(super) const BE_A_PORT: Self = Self::BeWithin(1, 65535, "must be between 1 and 65535, inclusive");
    /// Number of a user or group.
    pub(super) const BE_AN_ID: Self = Self::BeWithin(0, 0x7fff_ffff, "must be between 0 and 2147483647, inclusive");
}

impl Rules {
    /// Reports what of an object breaks the rules.
    pub(super) fn check(&self, object: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
        for (field, must) in self.rows {
            must.check(object, field, &path.child(field), problems);
        }
    }
}

impl Must {
    /// Reports a member that is not what it must be; `path` is the member's.
    pub(super) fn check(self, object: &Object, field: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
        let value = text(object, field);
        let is_set = object.get(field).is_some_and(|v| !v.is_null());
        match self {
            Self::BeSet(why) if value.is_empty() && list(object, field).is_empty() => problems.push(FieldError::required(path, why)),
            Self::BeAbsent(why) if is_set => problems.push(FieldError::forbidden(path, why)),
            Self::BeSetAndPass(_) if value.is_empty() => problems.push(FieldError::required(path, "")),
            Self::Pass(check) | Self::BeSetAndPass(check) if !value.is_empty() => invalid(value, check, path, problems),
            Self::BeOneOf(allowed) if is_set && !allowed.contains(&value) => {
                problems.push(FieldError::not_supported(path, value, allowed));
            }
            Self::BeWithin(least, most, why) => {
                if let Some(n) = int(object, field).filter(|n| !(least..=most).contains(n)) {
                    problems.push(FieldError::invalid(path, n, why));
                }
            }
            Self::NotBeNegative => {
                if let Some(n) = int(object, field).filter(|n| *n < 0) {
                    problems.push(FieldError::invalid(path, n, "must be greater than or equal to 0"));
                }
            }
            Self::BePositive => {
                if let Some(n) = int(object, field).filter(|n| *n <= 0) {
                    problems.push(FieldError::invalid(path, n, "must be greater than 0"));
                }
            }
            _ => {}
        }
    }
}

/// Reports everything that a check has against a text.
pub(super) fn invalid(value: &str, check: fn(&str) -> Vec<String>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    problems.extend(check(value).into_iter().map(|why| FieldError::invalid(path, value, why)));
}

/// Reports the value of a label that is none, all that is wrong with it in one message.
pub(super) fn label_value(value: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let wrong = names::label_value(value);
    if !wrong.is_empty() {
        problems.push(FieldError::invalid(path, value, wrong.join(";")));
    }
}

/// The texts in a list.
pub(super) fn texts<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    list(object, key).iter().map(|v| v.as_str().unwrap_or(""))
}

/// Whether a member is there and true.
pub(super) fn is_true(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool) == Some(true)
}

/// An object as a real server prints what it holds inside: names of Go, in Go's order, nothing left out. A field is its name in
/// Go, in JSON, and what stands for an absent one.
pub(super) fn go_struct(object: &Object, fields: &[(&str, &str, &str)]) -> BadValue {
    let members = fields.iter().map(|(name, key, zero)| {
        let value = object.get(*key).filter(|v| !v.is_null()).map_or_else(|| (*zero).to_owned(), go::json);
        format!("\"{name}\":{value}")
    });
    BadValue::Text(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

/// Finalizers of the built-in kinds' own that stand without a domain.
const FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Reports a finalizer without a domain that nobody knows.
pub(super) fn standard_finalizer(name: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if !name.contains('/') && !FINALIZERS.contains(&name) {
        problems.push(FieldError::invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified"));
    }
}

/// Reports finalizers in `metadata` without a domain that nobody knows. Most built-in kinds have this rule, custom ones do not.
pub(super) fn standard_finalizers(object: &Object, problems: &mut Vec<FieldError>) {
    for (i, name) in crate::object::finalizers(object).into_iter().enumerate() {
        standard_finalizer(name, &At::Path("metadata").element("finalizers", i), problems);
    }
}

/// Reports what is wrong with a label selector.
pub(super) fn label_selector(selector: Option<&Object>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(selector) = selector else { return };
    crate::validate::labels(selector.get("matchLabels"), &path.child("matchLabels"), problems);
    for (i, expression) in maps(selector, "matchExpressions").enumerate() {
        let path = path.element("matchExpressions", i);
        operator(expression, &["In", "NotIn", "Exists", "DoesNotExist"], &path, problems);
        invalid(text(expression, "key"), names::qualified_name, &path.child("key"), problems);
        for (i, value) in texts(expression, "values").enumerate() {
            invalid(value, names::label_value, &path.element("values", i), problems);
        }
    }
}

/// Reports an operator of a selector that is unknown or has the wrong number of values.
pub(super) fn operator(expression: &Object, allowed: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (operator, values) = (text(expression, "operator"), list(expression, "values").len());
    let wrong = match operator {
        _ if !allowed.contains(&operator) => FieldError::invalid(path.child("operator"), operator, "not a valid selector operator"),
        "In" | "NotIn" if values == 0 => FieldError::required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"),
        "Exists" | "DoesNotExist" if values > 0 => {
            FieldError::forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        }
        "Gt" | "Lt" if values != 1 => {
            FieldError::required(path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'")
        }
        _ => return,
    };
    problems.push(wrong);
}

/// Reports a member that is none of the allowed texts. An absent one is left to others.
pub(super) fn one_of(object: &Object, key: &str, allowed: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let value = text(object, key);
    if !value.is_empty() && !allowed.contains(&value) {
        problems.push(FieldError::not_supported(path.child(key), value, allowed));
    }
}

/// Bytes of data that a ConfigMap or Secret may hold.
pub(super) const DATA_LIMIT: usize = 1 << 20;

/// Checks the keys of a map of data; answers the size of its values, which `length` knows.
pub(super) fn data_keys(object: &Object, member: &str, length: fn(&str) -> usize, problems: &mut Vec<FieldError>) -> usize {
    let path = At::Path(member);
    let mut size = 0;
    for (key, value) in map(object, member).into_iter().flatten() {
        invalid(key, names::config_map_key, &path.key(key), problems);
        size += value.as_str().map_or(0, length);
    }
    size
}

/// How many bytes a base64 text stands for.
pub(super) fn base64_length(text: &str) -> usize {
    (text.len() / 4 * 3).saturating_sub(text.bytes().rev().take_while(|b| *b == b'=').count())
}

/// Reports what may not change once `immutable` is set.
pub(super) fn frozen(object: &Object, old: &Object, members: &[&str], problems: &mut Vec<FieldError>) {
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return;
    }
    if object.get("immutable").and_then(Value::as_bool) != Some(true) {
        problems.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for member in members {
        // An empty map and none are the same.
        let of = |o: &Object| map(o, member).filter(|m| !m.is_empty()).cloned();
        if of(object) != of(old) {
            problems.push(FieldError::forbidden(*member, "field is immutable when `immutable` is set"));
        }
    }
}
