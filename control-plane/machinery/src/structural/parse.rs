//! From the JSON of a schema to its tree.

use serde_json::{Map, Value};

use super::{Additional, Checks, Format, Inside, JsonType, ListType, MapType, Pattern, Rule, Schema, formats};
use crate::field::{FieldError, Path};

/// Keywords of an object, with errors that name their place.
struct Words<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
}

impl<'a> Words<'a> {
    /// The value of a keyword; null is as good as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|v| !v.is_null())
    }

    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, FieldError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(FieldError::invalid(self.path.child(name), value.clone(), format!("must be {what}"))),
            },
        }
    }

    fn flag(&self, name: &str) -> Result<bool, FieldError> {
        Ok(self.read(name, "a boolean", Value::as_bool)?.unwrap_or(false))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, FieldError> {
        self.read(name, "a string", Value::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<f64>, FieldError> {
        self.read(name, "a number", Value::as_f64)
    }

    /// A size; a negative one is zero.
    fn size(&self, name: &str) -> Result<Option<usize>, FieldError> {
        let number = self.read(name, "an integer", Value::as_i64)?;
        Ok(number.map(|n| usize::try_from(n).unwrap_or(0)))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, FieldError> {
        let list = self.read(name, "a list of strings", |v| v.as_array()?.iter().map(|s| s.as_str().map(str::to_owned)).collect())?;
        Ok(list.unwrap_or_default())
    }

    fn schemas(&self, name: &str) -> Result<Vec<Schema>, FieldError> {
        let list = self.read(name, "a list of schemas", Value::as_array)?;
        let place = self.path.child(name);
        list.into_iter().flatten().enumerate().map(|(i, s)| schema(s, &place.index(i))).collect()
    }

    fn schema(&self, name: &str) -> Result<Option<Schema>, FieldError> {
        self.get(name).map(|s| schema(s, &self.path.child(name))).transpose()
    }
}

/// Parses the schema at `path`.
pub(super) fn schema(json: &Value, path: &Path) -> Result<Schema, FieldError> {
    let Some(object) = json.as_object() else {
        return Err(FieldError::invalid(path, json.clone(), "must be a schema"));
    };
    let words = Words { object, path };
    let place = path.child("properties");
    let mut properties: Vec<(Box<str>, Schema)> = words
        .read("properties", "an object", Value::as_object)?
        .into_iter()
        .flatten()
        .map(|(name, s)| Ok((name.as_str().into(), schema(s, &place.key(name))?)))
        .collect::<Result<_, FieldError>>()?;
    properties.sort_by(|a, b| a.0.cmp(&b.0));
    let additional = match words.get("additionalProperties") {
        None => Additional::Unset,
        Some(Value::Bool(true)) => Additional::Allowed,
        Some(Value::Bool(false)) => Additional::Forbidden,
        Some(other) => Additional::Schema(Box::new(schema(other, &path.child("additionalProperties"))?)),
    };
    let checks = checks(&words)?;
    Ok(Schema {
        kind: words.text("type")?.and_then(JsonType::from_name),
        nullable: words.flag("nullable")?,
        int_or_string: words.flag("x-kubernetes-int-or-string")?,
        preserve_unknown: words.flag("x-kubernetes-preserve-unknown-fields")?,
        embedded: words.flag("x-kubernetes-embedded-resource")?,
        list_type: words.text("x-kubernetes-list-type")?.and_then(|t| match t {
            "atomic" => Some(ListType::Atomic),
            "set" => Some(ListType::Set),
            "map" => Some(ListType::Map),
            _ => None,
        }),
        map_type: words.text("x-kubernetes-map-type")?.and_then(|t| match t {
            "atomic" => Some(MapType::Atomic),
            "granular" => Some(MapType::Granular),
            _ => None,
        }),
        list_keys: words.texts("x-kubernetes-list-map-keys")?.into(),
        default_value: words.get("default").cloned().map(Box::new),
        properties: properties.into(),
        additional,
        // A list of schemas is not structural.
        items: words.get("items").filter(|v| !v.is_array()).map(|s| schema(s, &path.child("items"))).transpose()?.map(Box::new),
        rules: rules(&words)?.into(),
        checks,
        inside: Inside::default(),
    }
    .summed())
}

/// The rules on the value, if there is any.
fn checks(words: &Words<'_>) -> Result<Option<Box<Checks>>, FieldError> {
    const NAMES: [&str; 20] = [
        "format",
        "maxLength",
        "minLength",
        "pattern",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "multipleOf",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "enum",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    if NAMES.iter().all(|name| words.get(name).is_none()) {
        return Ok(None);
    }
    Ok(Some(Box::new(Checks {
        format: words.text("format")?.and_then(|name| {
            let plain: Box<str> = name.replace('-', "").into();
            formats::known(&plain).then(|| Format { name: name.into(), plain })
        }),
        max_length: words.size("maxLength")?,
        min_length: words.size("minLength")?,
        pattern: words.text("pattern")?.filter(|p| !p.is_empty()).map(Pattern::new),
        maximum: words.number("maximum")?,
        exclusive_maximum: words.flag("exclusiveMaximum")?,
        minimum: words.number("minimum")?,
        exclusive_minimum: words.flag("exclusiveMinimum")?,
        multiple_of: words.number("multipleOf")?,
        max_items: words.size("maxItems")?,
        min_items: words.size("minItems")?,
        unique_items: words.flag("uniqueItems")?,
        max_properties: words.size("maxProperties")?,
        min_properties: words.size("minProperties")?,
        required: words.texts("required")?,
        one_of_values: words.read("enum", "a list", |v| v.as_array().cloned())?.unwrap_or_default(),
        all_of: words.schemas("allOf")?,
        any_of: words.schemas("anyOf")?,
        one_of: words.schemas("oneOf")?,
        not: words.schema("not")?,
    })))
}

fn rules(words: &Words<'_>) -> Result<Vec<Rule>, FieldError> {
    let list = words.read("x-kubernetes-validations", "a list of rules", Value::as_array)?;
    let place = words.path.child("x-kubernetes-validations");
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(i, rule)| {
            let path = place.index(i);
            let Some(object) = rule.as_object() else {
                return Err(FieldError::invalid(path, rule.clone(), "must be a rule"));
            };
            let words = Words { object, path: &path };
            let text = |name: &str| words.text(name).map(|t| t.unwrap_or_default().to_owned());
            Ok(Rule {
                rule: text("rule")?,
                message: text("message")?,
                message_expression: text("messageExpression")?,
                reason: words.text("reason")?.map(str::to_owned),
                field_path: text("fieldPath")?,
                optional_old_self: words.read("optionalOldSelf", "a boolean", Value::as_bool)?,
            })
        })
        .collect()
}
