//! Values against a schema: types, ranges, formats, and the logical operators.
//!
//! The messages and their order are those of the API server: of one value first its type, then the operators,
//! then text, numbers and lists, allowed values, members. The server leaves the order of members open; here
//! they come sorted. When no alternative of `anyOf` or `oneOf` holds, the errors of the one that came furthest
//! are told, measured as the server does by the number of checks made.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::{Additional, Checks, JsonType, Schema, formats};
use crate::field::{FieldError, Path};
use crate::go;

/// The errors of a value, without repetitions.
pub(super) fn value(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut walk = Walk { path: String::new() };
    let mut found = Found::default();
    walk.value(schema, value, &mut found);
    let mut seen = HashSet::new();
    found.errors.retain(|e| seen.insert(e.to_string()));
    found.errors
}

/// What a check of one value gave.
#[derive(Default)]
struct Found {
    errors: Vec<FieldError>,
    /// How many checks were made, in the server's way of counting.
    made: usize,
}

impl Found {
    fn push(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.made += other.made;
    }
}

struct Walk {
    path: String,
}

impl Walk {
    fn inside(&mut self, name: &str, walk: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        walk(self);
        self.path.truncate(len);
    }

    fn place(&self) -> Path {
        Path::new(self.path.as_str())
    }

    fn invalid(&self, value: &Value, rule: &str) -> FieldError {
        FieldError::invalid(self.place(), value.clone(), format!("{} in body {rule}", self.path))
    }

    fn wrong_type(&self, wanted: &str, found: &str) -> FieldError {
        let detail = format!("{} in body must be of type {wanted}: {}", self.path, go::quote(found));
        FieldError::type_invalid(self.place(), found, detail)
    }

    fn value(&mut self, schema: &Schema, value: &Value, found: &mut Found) {
        let checks = schema.checks.as_deref();
        let typed = schema.int_or_string || schema.kind.is_some() || checks.is_some_and(|c| c.format.is_some());
        if typed {
            self.check_type(schema, checks, value, found);
        }
        if !value.is_null() {
            if let Some(checks) = checks {
                self.operators(checks, value, found);
            }
            found.made += 2;
            match value {
                Value::String(text) => self.text(checks, text, value, found),
                Value::Number(number) => self.number(schema, checks, number, value, found),
                Value::Array(items) => self.list(schema, checks, items, found),
                _ => {}
            }
        }
        if let Some(checks) = checks
            && !checks.one_of_values.is_empty()
            && !checks.one_of_values.iter().any(|allowed| same(allowed, value))
        {
            let supported: Vec<String> =
                checks.one_of_values.iter().map(|v| v.as_str().map_or_else(|| go::json(v), str::to_owned)).collect();
            found.push(FieldError::not_supported(self.place(), value.clone(), &supported));
        }
        found.made += 1;
        if let Value::Object(map) = value {
            self.members(schema, checks, map, found);
            found.made += 1;
        }
    }

    fn check_type(&self, schema: &Schema, checks: Option<&Checks>, value: &Value, found: &mut Found) {
        found.made += 2;
        let names = if schema.int_or_string { "integer,string" } else { schema.kind.map_or("", JsonType::name) };
        if value.is_null() {
            if !names.is_empty() && !schema.nullable {
                found.push(self.wrong_type(names, "null"));
            }
            return;
        }
        let is = type_of(value);
        let fits = |kind: JsonType| match kind {
            JsonType::Integer => is == "integer" || (is == "number" && value.as_f64().is_some_and(is_whole)),
            JsonType::Number => is == "integer" || is == "number",
            kind => kind.name() == is,
        };
        let ok = if schema.int_or_string { fits(JsonType::Integer) || fits(JsonType::String) } else { schema.kind.is_none_or(fits) };
        if ok {
            return;
        }
        // With a format, the server names that instead of the type, and the format of what it found.
        match checks.and_then(|c| c.format.as_ref()) {
            Some(format) if !matches!(value, Value::String(_) | Value::Array(_)) => {
                let is = match is {
                    "integer" => "int64",
                    "number" => "float64",
                    _ => "",
                };
                found.push(self.wrong_type(&format.name, is));
            }
            _ => found.push(self.wrong_type(names, is)),
        }
    }

    fn operators(&mut self, checks: &Checks, value: &Value, found: &mut Found) {
        found.made += 1;
        let quoted = |walk: &Self| go::quote(&walk.path);
        let composite = |detail: String| FieldError::invalid(Path::root(), "", detail);
        if !checks.any_of.is_empty() {
            match self.alternatives(&checks.any_of, value) {
                (0, best) => {
                    found.push(composite(format!("{} must validate at least one schema (anyOf)", quoted(self))));
                    found.merge(best);
                }
                (_, best) => found.made += best.made,
            }
        }
        if !checks.one_of.is_empty() {
            match self.alternatives(&checks.one_of, value) {
                (1, best) => found.made += best.made,
                (0, best) => {
                    let detail = format!("{} must validate one and only one schema (oneOf). Found none valid", quoted(self));
                    found.push(composite(detail));
                    found.merge(best);
                }
                (n, _) => {
                    let detail = format!("{} must validate one and only one schema (oneOf). Found {n} valid alternatives", quoted(self));
                    found.push(composite(detail));
                }
            }
        }
        if !checks.all_of.is_empty() {
            let mut held = 0;
            for schema in &checks.all_of {
                let mut one = Found::default();
                self.value(schema, value, &mut one);
                held += usize::from(one.errors.is_empty());
                found.merge(one);
            }
            if held < checks.all_of.len() {
                let none = if held == 0 { ". None validated" } else { "" };
                found.push(composite(format!("{} must validate all the schemas (allOf){none}", quoted(self))));
            }
        }
        if let Some(schema) = &checks.not {
            let mut one = Found::default();
            self.value(schema, value, &mut one);
            if one.errors.is_empty() {
                found.push(composite(format!("{} must not validate the schema (not)", quoted(self))));
            }
        }
    }

    /// How many hold, and the first that does or, when none does, the one that came furthest.
    fn alternatives(&mut self, schemas: &[Schema], value: &Value) -> (usize, Found) {
        let mut held = 0;
        let mut best: Option<Found> = None;
        for schema in schemas {
            let mut one = Found::default();
            self.value(schema, value, &mut one);
            if one.errors.is_empty() {
                held += 1;
                if held == 1 {
                    best = Some(one);
                }
            } else if held == 0 && best.as_ref().is_none_or(|b| one.made > b.made) {
                best = Some(one);
            }
        }
        (held, best.unwrap_or_default())
    }

    fn text(&self, checks: Option<&Checks>, text: &str, value: &Value, found: &mut Found) {
        let Some(checks) = checks else { return };
        // The first of these that fails is the only one told.
        let wrong = self.length(checks, text, value).or_else(|| {
            let pattern = checks.pattern.as_ref()?;
            match pattern.is_match(text) {
                Ok(true) => None,
                Ok(false) => Some(self.invalid(value, &format!("should match '{}'", pattern.source()))),
                Err(error) => Some(self.invalid(value, &format!("should match '{}, but pattern is invalid: {error}'", pattern.source()))),
            }
        });
        if let Some(wrong) = wrong {
            found.push(wrong);
        }
        if let Some(format) = &checks.format {
            found.made += 1;
            if !formats::holds(&format.plain, text) {
                found.push(self.wrong_type(&format.name, text));
            }
        }
    }

    fn length(&self, checks: &Checks, text: &str, value: &Value) -> Option<FieldError> {
        if checks.max_length.is_none() && checks.min_length.is_none() {
            return None;
        }
        let length = text.chars().count();
        if let Some(max) = checks.max_length.filter(|max| length > *max) {
            return Some(FieldError::too_long(self.place(), max));
        }
        let min = checks.min_length.filter(|min| length < *min)?;
        Some(self.invalid(value, &format!("should be at least {min} chars long")))
    }

    fn number(&self, schema: &Schema, checks: Option<&Checks>, number: &Number, value: &Value, found: &mut Found) {
        let integer = schema.int_or_string || schema.kind == Some(JsonType::Integer);
        let exact = number.as_i64();
        let float = number.as_f64().unwrap_or(f64::NAN);
        // Whole floats up to 64 bits count as integers here, though not as the type.
        let fits = exact.is_some() || (float.fract() == 0.0 && float.abs() < 9_223_372_036_854_775_808.0);
        if integer && !fits {
            let detail = format!("Checked value must be of type integer (default format) in {}", self.path);
            found.push(FieldError::invalid(Path::root(), "", detail));
        }
        let Some(checks) = checks else { return };
        // Whole bounds are compared with whole numbers exactly.
        let compare = |bound: f64| match (exact, whole(bound)) {
            (Some(value), Some(bound)) => value.cmp(&bound),
            _ => float.total_cmp(&bound),
        };
        if let Some(factor) = checks.multiple_of.filter(|f| *f > 0.0) {
            let multiple = match (exact, whole(factor)) {
                (Some(value), Some(factor)) => value % factor == 0,
                _ => is_nearly_whole(if factor < 1.0 { 1.0 / factor * float } else { float / factor }),
            };
            if !multiple {
                found.push(self.invalid(value, &format!("should be a multiple of {}", bound_text(factor))));
            }
        }
        if let Some(max) = checks.maximum {
            let order = compare(max);
            if order.is_gt() || (checks.exclusive_maximum && order.is_eq()) {
                let equal = if checks.exclusive_maximum { "" } else { " or equal to" };
                found.push(self.invalid(value, &format!("should be less than{equal} {}", bound_text(max))));
            }
        }
        if let Some(min) = checks.minimum {
            let order = compare(min);
            if order.is_lt() || (checks.exclusive_minimum && order.is_eq()) {
                let equal = if checks.exclusive_minimum { "" } else { " or equal to" };
                found.push(self.invalid(value, &format!("should be greater than{equal} {}", bound_text(min))));
            }
        }
    }

    fn list(&mut self, schema: &Schema, checks: Option<&Checks>, items: &[Value], found: &mut Found) {
        if let Some(element) = &schema.items {
            let len = self.path.len();
            for (i, item) in items.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(self.path, "[{i}]");
                self.value(element, item, found);
                self.path.truncate(len);
            }
        }
        let Some(checks) = checks else { return };
        let count = || Value::from(items.len());
        if let Some(min) = checks.min_items.filter(|min| items.len() < *min) {
            found.push(self.invalid(&count(), &format!("should have at least {min} items")));
        }
        if let Some(max) = checks.max_items.filter(|max| items.len() > *max) {
            found.push(FieldError::too_many(self.place(), items.len(), max));
        }
        if checks.unique_items {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(go::json(item))) {
                found.push(self.invalid(&Value::from(""), "shouldn't contain duplicates"));
            }
        }
    }

    fn members(&mut self, schema: &Schema, checks: Option<&Checks>, map: &Map<String, Value>, found: &mut Found) {
        if let Some(checks) = checks {
            if let Some(min) = checks.min_properties.filter(|min| map.len() < *min) {
                found.push(self.invalid(&Value::from(map.len()), &format!("should have at least {min} properties")));
                return;
            }
            if let Some(max) = checks.max_properties.filter(|max| map.len() > *max) {
                found.push(FieldError::too_many(self.place(), map.len(), max));
            }
        }
        for (name, value) in map {
            if schema.property(name).is_some() {
                continue;
            }
            match &schema.additional {
                Additional::Schema(member) => self.inside(name, |walk| walk.value(member, value, found)),
                Additional::Forbidden => {
                    let detail = format!("{}.{name} in body is a forbidden property", self.path);
                    found.push(FieldError::invalid(self.place(), name.as_str(), detail));
                }
                Additional::Unset | Additional::Allowed => {}
            }
        }
        for (name, member) in &schema.properties {
            if let Some(value) = map.get(&**name) {
                self.inside(name, |walk| walk.value(member, value, found));
            }
        }
        for name in checks.into_iter().flat_map(|c| &c.required) {
            if !map.contains_key(name) {
                found.push(FieldError::required(self.place().child(name), ""));
            }
        }
    }
}

/// The type of a value as the server sees it: numbers that fit 64 bits are integers.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.as_i64().is_some() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a float is a whole number that JSON programs agree on.
fn is_whole(number: f64) -> bool {
    number.abs() <= 9_007_199_254_740_991.0 && is_nearly_whole(number)
}

fn is_nearly_whole(number: f64) -> bool {
    let nearest = number.round();
    number.is_finite() && (number - nearest).abs() <= 1e-9 * number.abs().max(nearest.abs())
}

/// The whole number that a bound is, if it is one that floats hold exactly.
#[allow(clippy::cast_possible_truncation)] // whole and below 2^53
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0).then_some(number as i64)
}

fn bound_text(bound: f64) -> String {
    whole(bound).map_or_else(|| go::float(bound), |n| n.to_string())
}

/// Equal as JSON, where 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || (x.is_f64() != y.is_f64() && x.as_f64() == y.as_f64()),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y))),
        _ => a == b,
    }
}
