//! Whether a schema may be stored: is it structural, are its extensions used rightly, are its defaults valid.
//!
//! A schema is structural when types, defaults, nullability and extensions stand outside of the logical
//! operators, so that defaulting and pruning need no look at values. The texts are those of the API server,
//! which reports three groups one after the other: structure (sorted), defaults, and use of keywords.

use serde_json::{Map, Value, json};

use super::object::prune_part;
use super::{Additional, Pattern, Schema, parse};
use crate::field::{FieldError, Path};

type Object = Map<String, Value>;

/// The mistakes of an `openAPIV3Schema` that stands at `path`, such as
/// `spec.versions[0].schema.openAPIV3Schema` (`spec.validation.openAPIV3Schema` where a definition has one
/// version).
pub fn check(schema: &Value, path: &Path) -> Vec<FieldError> {
    // Keywords of the wrong JSON type: nothing else can be said then.
    let tree = match parse::schema(schema, path) {
        Ok(tree) => tree,
        Err(error) => return vec![error],
    };
    let Some(root) = schema.as_object() else { return Vec::new() };
    let mut errors = Vec::new();
    structure(root, Level::Root, path, &mut errors);
    completeness(root, Some(root), path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    if errors.is_empty() {
        defaults(root, &tree, true, path, &mut errors);
    }
    keywords(root, path, &Surroundings::default(), true, &mut errors);
    errors
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

fn get<'a>(schema: &'a Object, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|v| !v.is_null())
}

fn flag(schema: &Object, name: &str) -> bool {
    get(schema, name).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(schema: &'a Object, name: &str) -> &'a str {
    get(schema, name).and_then(Value::as_str).unwrap_or("")
}

fn object<'a>(schema: &'a Object, name: &str) -> Option<&'a Object> {
    get(schema, name).and_then(Value::as_object)
}

/// The named schemas under a keyword such as `properties`.
fn named<'a>(schema: &'a Object, name: &str) -> impl Iterator<Item = (&'a String, &'a Object)> {
    object(schema, name).into_iter().flatten().filter_map(|(k, v)| Some((k, v.as_object()?)))
}

/// The schemas in a list such as `anyOf`.
fn listed<'a>(schema: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> {
    get(schema, name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// Invariants of a node outside of logical operators, and of everything below it.
fn structure(schema: &Object, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let (int_or_string, preserve, embedded) = (
        flag(schema, "x-kubernetes-int-or-string"),
        flag(schema, "x-kubernetes-preserve-unknown-fields"),
        flag(schema, "x-kubernetes-embedded-resource"),
    );
    if kind == "array" && get(schema, "items").is_none() {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    if let Some(items) = object(schema, "items") {
        structure(items, Level::Item, &path.child("items"), errors);
    }
    for (name, member) in named(schema, "properties") {
        structure(member, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(additional) = get(schema, "additionalProperties") {
        let place = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&place, "must not be used at the root"));
        }
        if let Some(member) = additional.as_object() {
            structure(member, Level::Field, &place, errors);
        }
        if embedded {
            errors.push(FieldError::forbidden(&place, "must not be used if x-kubernetes-embedded-resource is set"));
        }
    }
    for (set, name) in [(preserve, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")] {
        if int_or_string && set {
            errors.push(FieldError::invalid(path.child(name), true, "must be false if x-kubernetes-int-or-string is true"));
        }
    }
    // The two ways to write int-or-string with operators are allowed to name types.
    let any_of_types = is_int_or_string(get(schema, "anyOf"));
    let all_of_types = listed(schema, "allOf").next().is_some_and(|first| is_int_or_string(get(first, "anyOf")));
    operators(schema, any_of_types, all_of_types, path, errors);

    let place = path.child("type");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(place, detail),
            kind => FieldError::invalid(place, kind, detail),
        });
    } else if kind.is_empty() && !int_or_string && !preserve {
        let what = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(FieldError::required(place, format!("must not be empty {what}")));
    } else if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(place, kind, "must be object at the root"));
    }
    if level == Level::Root || embedded {
        metadata(schema, level, path, errors);
    }
    if embedded && !preserve && object(schema, "properties").is_none_or(Map::is_empty) {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), detail));
    }
}

/// `kind`, `apiVersion` and `metadata` of a resource have types that are given, and metadata is no place for rules
/// but on names.
fn metadata(schema: &Object, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, member) in named(schema, "properties") {
        let wanted = match name.as_str() {
            "kind" | "apiVersion" => "string",
            "metadata" => "object",
            _ => continue,
        };
        let place = path.child("properties").key(name);
        if text(member, "type") != wanted {
            errors.push(FieldError::invalid(place.child("type"), text(member, "type"), format!("must be {wanted}")));
        }
        if name == "metadata" && level == Level::Root {
            let only_names = named(member, "properties").all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
            let only_words = member.keys().all(|word| matches!(word.as_str(), "type" | "properties" | "default" | "description"));
            // A description is harmless but counts, as it does for the server.
            if !only_names || !only_words || get(member, "description").is_some() {
                let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
                errors.push(FieldError::forbidden(place, detail));
            }
        }
    }
}

fn is_int_or_string(any_of: Option<&Value>) -> bool {
    any_of.is_some_and(|list| *list == json!([{"type": "integer"}, {"type": "string"}]))
}

/// What stands under logical operators holds values only, no structure.
fn operators(schema: &Object, skip_any_of: bool, skip_all_of_any_of: bool, path: &Path, errors: &mut Vec<FieldError>) {
    if !skip_any_of {
        for (i, nested) in listed(schema, "anyOf").enumerate() {
            values_only(nested, false, &path.child("anyOf").index(i), errors);
        }
    }
    for (i, nested) in listed(schema, "allOf").enumerate() {
        values_only(nested, skip_all_of_any_of && i == 0, &path.child("allOf").index(i), errors);
    }
    for (i, nested) in listed(schema, "oneOf").enumerate() {
        values_only(nested, false, &path.child("oneOf").index(i), errors);
    }
    if let Some(nested) = object(schema, "not") {
        values_only(nested, false, &path.child("not"), errors);
    }
    let pattern = text(schema, "pattern");
    if let Some(error) = Pattern::new(pattern).error() {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern, detail));
    }
}

fn values_only(schema: &Object, skip_any_of: bool, path: &Path, errors: &mut Vec<FieldError>) {
    operators(schema, skip_any_of, false, path, errors);
    if let Some(items) = object(schema, "items") {
        values_only(items, false, &path.child("items"), errors);
    }
    for (name, member) in named(schema, "properties") {
        let place = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(&place, "must not be specified in a nested context"));
        }
        values_only(member, false, &place, errors);
    }
    let mut forbid = |present: bool, name: &str, detail: &str| {
        if present {
            errors.push(FieldError::forbidden(path.child(name), format!("{detail} to be structural")));
        }
    };
    for name in ["type", "title", "description"] {
        forbid(!text(schema, name).is_empty(), name, "must be empty");
    }
    for name in ["additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type"] {
        forbid(get(schema, name).is_some(), name, "must be undefined");
    }
    for name in ["nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"] {
        forbid(flag(schema, name), name, "must be false");
    }
    for name in ["x-kubernetes-list-map-keys", "x-kubernetes-validations"] {
        forbid(get(schema, name).and_then(Value::as_array).is_some_and(|l| !l.is_empty()), name, "must be empty");
    }
}

/// Every member and list that an operator speaks of is declared outside of it too.
fn completeness(values: &Object, schema: Option<&Object>, path: &Path, values_path: &Path, errors: &mut Vec<FieldError>) {
    for name in ["allOf", "anyOf", "oneOf"] {
        for (i, nested) in listed(values, name).enumerate() {
            nested_completeness(nested, schema, path, &values_path.child(name).index(i), errors);
        }
    }
    if let Some(nested) = object(values, "not") {
        nested_completeness(nested, schema, path, &values_path.child("not"), errors);
    }
}

fn nested_completeness(values: &Object, schema: Option<&Object>, path: &Path, values_path: &Path, errors: &mut Vec<FieldError>) {
    let Some(schema) = schema else {
        errors.push(FieldError::required(path, format!("because it is defined in {values_path}")));
        return;
    };
    completeness(values, Some(schema), path, values_path, errors);
    if let Some(items) = object(values, "items") {
        nested_completeness(items, object(schema, "items"), &path.child("items"), &values_path.child("items"), errors);
    }
    for (name, member) in named(values, "properties") {
        let (place, values_place) = (path.child("properties").key(name), values_path.child("properties").key(name));
        let declared = object(schema, "properties").and_then(|p| p.get(name)).and_then(Value::as_object);
        nested_completeness(member, declared, &place, &values_place, errors);
    }
}

/// Defaults hold what the schema knows, and are valid.
fn defaults(schema: &Object, tree: &Schema, resource: bool, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(default) = &tree.default_value {
        let place = path.child("default");
        let mut pruned = (**default).clone();
        let unknown = if resource { tree.prune(&mut pruned) } else { prune_part(tree, &mut pruned) };
        if unknown.is_empty() {
            for mut error in tree.validate(default) {
                error.field = match error.field.as_str() {
                    "" => place.clone(),
                    inner => Path::new(format!("{place}.{inner}")),
                };
                errors.push(error);
            }
        } else {
            errors.push(FieldError::invalid(&place, (**default).clone(), "must not have unknown fields"));
        }
    }
    for (name, member) in named(schema, "properties") {
        if let Some(tree) = tree.property(name) {
            defaults(member, tree, false, &path.child("properties").key(name), errors);
        }
    }
    if let (Some(items), Some(tree)) = (object(schema, "items"), &tree.items) {
        defaults(items, tree, false, &path.child("items"), errors);
    }
    if let (Some(member), Additional::Schema(tree)) = (object(schema, "additionalProperties"), &tree.additional) {
        defaults(member, tree, false, &path.child("additionalProperties"), errors);
    }
}

/// What holds for a schema because of where it stands.
#[derive(Clone, Default)]
struct Surroundings {
    /// Why defaults are not allowed.
    no_default: Option<String>,
    /// Inside of `apiVersion`, `kind` or `metadata` of a resource.
    in_metadata: bool,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// The use of keywords in a node and everything below it.
fn keywords(schema: &Object, path: &Path, around: &Surroundings, root: bool, errors: &mut Vec<FieldError>) {
    standard(schema, path, around, errors);
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(path.child("uniqueItems"), detail));
    }
    let properties = object(schema, "properties").filter(|p| !p.is_empty());
    if let Some(additional) = get(schema, "additionalProperties") {
        let place = path.child("additionalProperties");
        if properties.is_some() && *additional != Value::Bool(true) {
            errors.push(FieldError::forbidden(&place, "additionalProperties and properties are mutual exclusive"));
        }
        if let Some(member) = additional.as_object() {
            let mut around = around.clone();
            if around.in_metadata {
                around.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
            }
            keywords(member, &place, &around, false, errors);
        }
    }
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    for (name, member) in named(schema, "properties") {
        let mut around = around.clone();
        if (root || embedded) && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            around.in_metadata = true;
            if root {
                around.no_default = Some(format!("in top-level {name}"));
            }
        }
        keywords(member, &path.child("properties").key(name), &around, false, errors);
    }
    if let Some(nested) = object(schema, "not") {
        keywords(nested, &path.child("not"), around, false, errors);
    }
    for name in ["allOf", "oneOf", "anyOf"] {
        for (i, nested) in listed(schema, name).enumerate() {
            keywords(nested, &path.child(name).index(i), around, false, errors);
        }
    }
    if let Some(items) = object(schema, "items") {
        keywords(items, &path.child("items"), around, false, errors);
    }
    if get(schema, "x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined"));
    }
    list_and_map_types(schema, path, errors);
    rules(schema, path, errors);
}

/// Keywords of JSON Schema that are not supported.
fn standard(schema: &Object, path: &Path, around: &Surroundings, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type"), kind, &TYPES));
    }
    if let (Some(_), Some(reason)) = (get(schema, "default"), &around.no_default) {
        errors.push(FieldError::forbidden(path.child("default"), format!("must not be set {reason}")));
    }
    for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let present = get(schema, name).is_some_and(|v| {
            let empty = v.as_str().is_some_and(str::is_empty) || v.as_object().is_some_and(Map::is_empty);
            !empty || matches!(name, "additionalItems" | "dependencies" | "$ref")
        });
        if present {
            errors.push(FieldError::forbidden(path.child(name), format!("{name} is not supported")));
        }
    }
    if kind == "null" {
        errors.push(FieldError::forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative"));
    }
    if get(schema, "items").and_then(Value::as_array).is_some_and(|l| !l.is_empty()) {
        errors.push(FieldError::forbidden(path.child("items"), "items must be a schema object and not an array"));
    }
    if around.in_metadata && flag(schema, "x-kubernetes-embedded-resource") {
        errors.push(FieldError::forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta"));
    }
}

/// `required` when the type is missing, `invalid` when it is another one.
fn must_be(kind: &str, wanted: &str, reason: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if kind != wanted {
        let detail = format!("must be {wanted} if {reason}");
        let place = path.child("type");
        errors.push(if kind.is_empty() { FieldError::required(place, detail) } else { FieldError::invalid(place, kind, detail) });
    }
}

fn list_and_map_types(schema: &Object, path: &Path, errors: &mut Vec<FieldError>) {
    const MAP: &str = "x-kubernetes-map-type";
    const LIST: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let kind = text(schema, "type");
    if get(schema, MAP).is_some() {
        must_be(kind, "object", "x-kubernetes-map-type is specified", path, errors);
        if !matches!(text(schema, MAP), "atomic" | "granular") {
            errors.push(FieldError::not_supported(path.child(MAP), text(schema, MAP), &["atomic", "granular"]));
        }
    }
    let items = object(schema, "items");
    let list = get(schema, LIST).map(|_| text(schema, LIST));
    if let Some(list) = list {
        must_be(kind, "array", "x-kubernetes-list-type is specified", path, errors);
        let place = path.child("items");
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match (list, items, items.map(|i| text(i, "type"))) {
            ("set", Some(items), Some("array")) if kind == "array" && !matches!(text(items, LIST), "" | "atomic") => {
                errors.push(FieldError::invalid(place.child(LIST), text(items, LIST), detail));
            }
            ("set", Some(items), Some("object")) if kind == "array" && text(items, MAP) != "atomic" => {
                errors.push(FieldError::invalid(place.child(MAP), get(items, MAP).cloned().unwrap_or(Value::Null), detail));
            }
            _ => {}
        }
        if !matches!(list, "atomic" | "set" | "map") {
            errors.push(FieldError::not_supported(path.child(LIST), list, &["atomic", "set", "map"]));
        }
    }
    let keys: Vec<&str> = get(schema, KEYS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !keys.is_empty() && list != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list {
            None => FieldError::required(path.child(LIST), detail),
            Some(list) => FieldError::invalid(path.child(LIST), list, detail),
        });
    }
    if list == Some("map") {
        list_map(schema, items, &keys, path, errors);
    }
    if let (Some(list @ ("set" | "map")), Some(items)) = (list, items) {
        let place = path.child("items");
        if flag(items, "nullable") {
            errors
                .push(FieldError::forbidden(place.child("nullable"), format!("cannot be nullable when x-kubernetes-list-type is {list}")));
        }
        if list == "map" {
            key_fields(items, &keys, &place, errors);
        }
    }
}

/// A list of type map has keys, which are scalar members of its elements.
fn list_map(schema: &Object, items: Option<&Object>, keys: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let place = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(&place, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        match get(schema, "items") {
            None => errors.push(FieldError::required(path.child("items"), "must have a schema if x-kubernetes-list-type is map")),
            Some(other) => {
                let detail = "must only have a single schema if x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(path.child("items"), other.clone(), detail));
            }
        }
        return;
    };
    let kind = text(items, "type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(path.child("items").child("type"), kind, detail));
        return;
    }
    let list = || Value::from(keys.to_vec());
    for (i, key) in keys.iter().enumerate() {
        match object(items, "properties").and_then(|p| p.get(*key)).and_then(Value::as_object) {
            Some(member) => {
                if matches!(text(member, "type"), "array" | "object") {
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    let place = path.child("items").child("properties").key(key).child("type");
                    errors.push(FieldError::invalid(place, kind, detail));
                }
            }
            None => errors.push(FieldError::invalid(&place, list(), "entries must all be names of item properties")),
        }
        if keys[..i].contains(key) {
            errors.push(FieldError::invalid(&place, list(), "must not contain duplicate entries"));
        }
    }
}

/// The keys of a list of type map are always there.
fn key_fields(items: &Object, keys: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let required = |key: &str| get(items, "required").and_then(Value::as_array).is_some_and(|l| l.iter().any(|r| r == key));
    for key in keys {
        let Some(member) = object(items, "properties").and_then(|p| p.get(*key)).and_then(Value::as_object) else { continue };
        let place = path.child("properties").key(key);
        if !required(key) && get(member, "default").is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(place.child("default"), detail));
        }
        if flag(member, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(place.child("nullable"), detail));
        }
    }
}

/// The texts of rules; the expressions are not looked at.
fn rules(schema: &Object, path: &Path, errors: &mut Vec<FieldError>) {
    let place = path.child("x-kubernetes-validations");
    for (i, rule) in listed(schema, "x-kubernetes-validations").enumerate() {
        let place = place.index(i);
        let (expression, message) = (text(rule, "rule").trim(), text(rule, "message"));
        let broken = |s: &str| s.contains(['\n', '\r']);
        if expression.is_empty() {
            errors.push(FieldError::required(place.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(place.child("message"), message, "message must be non-empty if specified"));
        } else if broken(message.trim()) {
            errors.push(FieldError::invalid(place.child("message"), message, "message must not contain line breaks"));
        } else if broken(expression) && message.is_empty() {
            errors.push(FieldError::required(place.child("message"), "message must be specified if rule contains line breaks"));
        }
    }
}
