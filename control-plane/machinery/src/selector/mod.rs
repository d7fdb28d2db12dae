//! Selectors: which objects a client means.
//!
//! A label [`Selector`] is a list of [`Requirement`]s that must all hold. It comes from a query string
//! ([`Selector::parse`]), from a `metav1.LabelSelector` in an object ([`Selector::from_label_selector`]) or
//! from a map of labels. Field selectors ([`fields`]) are simpler and know equality only. Both print in the
//! canonical form that parses to the same selector, and both fail with the words of Kubernetes.

pub mod fields;
mod parse;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::field::{self, FieldError, Path};
use crate::{go, names};

pub use fields::{FieldRequirement, FieldSelector};

/// Why a selector is refused; the text is that of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The value is in the list.
    In,
    /// The label is absent or its value is not in the list.
    NotIn,
    /// `=`
    Equals,
    /// `==`; the same, but printed as written.
    DoubleEquals,
    /// `!=`; also holds where the label is absent.
    NotEquals,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is an integer above the given one.
    GreaterThan,
    /// The value is an integer below the given one.
    LessThan,
}

impl Operator {
    /// The operator of a `matchExpressions` entry: `In`, `NotIn`, `Exists`, `DoesNotExist`, and for nodes
    /// also `Gt` and `Lt`.
    pub fn from_expression(name: &str) -> Option<Self> {
        Some(match name {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::GreaterThan,
            "Lt" => Self::LessThan,
            _ => return None,
        })
    }
}

/// One condition on one label. Values are sorted and without repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// A checked requirement. The errors name `key` and `values[i]`.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        values.sort();
        values.dedup();
        let mut errors = Vec::new();
        if let Some(error) = check_key(key, &Path::new("key")) {
            errors.push(error);
        }
        let place = Path::new("values");
        let wrong_count = match operator {
            Operator::In | Operator::NotIn => values.is_empty().then_some("for 'in', 'notin' operators, values set can't be empty"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                (values.len() != 1).then_some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist => {
                (!values.is_empty()).then_some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan => {
                (values.len() != 1).then_some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
        };
        if let Some(detail) = wrong_count {
            errors.push(FieldError::invalid(&place, values.clone(), detail));
        }
        for (i, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(place.index(i), value.as_str(), detail));
            }
        }
        for (i, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                errors.push(FieldError::invalid(place.index(i).key(key), value.as_str(), messages.join("; ")));
            }
        }
        if errors.is_empty() { Ok(Self { key: key.to_owned(), operator, values }) } else { Err(SelectorError(field::aggregate(&errors))) }
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// With what, sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether it holds for a label with this value, or for an absent one.
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|mine| mine == v);
        let integers = |v: &str| -> Option<(i64, i64)> { Some((v.parse().ok()?, self.values.first()?.parse().ok()?)) };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => value.and_then(integers).is_some_and(|(theirs, mine)| theirs > mine),
            Operator::LessThan => value.and_then(integers).is_some_and(|(theirs, mine)| theirs < mine),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        let key = &self.key;
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A label selector: all requirements hold, sorted by key. Without any it selects everything, unless it is
/// [`Selector::nothing`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// A selector with these requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// The selector that a query string writes, such as `app=web,tier in (a,b),!old`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self::new(parse::requirements(text)?))
    }

    /// The selector for objects that have all these labels. As in Kubernetes they are not checked.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        Self::new(
            labels
                .iter()
                .map(|(key, value)| Requirement { key: key.clone(), operator: Operator::Equals, values: vec![value.clone()] })
                .collect(),
        )
    }

    /// The selector of a `metav1.LabelSelector`: null selects nothing, an empty one everything.
    pub fn from_label_selector(selector: &Value) -> Result<Self, SelectorError> {
        let object = match selector {
            Value::Null => return Ok(Self::nothing()),
            Value::Object(object) => object,
            other => return Err(SelectorError(format!("a label selector must be an object, not {}", type_name(other)))),
        };
        let mut requirements = Vec::new();
        match object.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(labels)) => {
                for (key, value) in labels {
                    requirements.push(Requirement::new(key, Operator::Equals, vec![string(value, "matchLabels")?.to_owned()])?);
                }
            }
            Some(other) => return Err(SelectorError(format!("matchLabels must be an object, not {}", type_name(other)))),
        }
        for expression in array(object.get("matchExpressions"), "matchExpressions")? {
            requirements.push(Self::expression(expression, false)?);
        }
        Ok(Self::new(requirements))
    }

    /// The selector of one node selector term's `matchExpressions` (or `matchFields`): like those of a label
    /// selector, with `Gt` and `Lt`.
    pub fn from_node_expressions(expressions: &[Value]) -> Result<Self, SelectorError> {
        Ok(Self::new(expressions.iter().map(|e| Self::expression(e, true)).collect::<Result<_, _>>()?))
    }

    fn expression(expression: &Value, order: bool) -> Result<Requirement, SelectorError> {
        let key = expression.get("key").map_or(Ok(""), |v| string(v, "key"))?;
        let name = expression.get("operator").map_or(Ok(""), |v| string(v, "operator"))?;
        let operator = Operator::from_expression(name)
            .filter(|op| order || !matches!(op, Operator::GreaterThan | Operator::LessThan))
            .ok_or_else(|| {
                let what = if order { "node" } else { "label" };
                SelectorError(format!("{} is not a valid {what} selector operator", go::quote(name)))
            })?;
        let values = array(expression.get("values"), "values")?
            .iter()
            .map(|v| string(v, "values").map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()?;
        Requirement::new(key, operator, values)
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// Whether it selects this object, by its `metadata.labels`.
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|m| m.get("labels"));
        self.matches_with(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }

    /// Whether it selects an object whose labels `get` looks up.
    pub fn matches_with<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches_value(get(&r.key)))
    }

    /// True when every object is selected.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// True when no object can be selected.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The one value that the label `key` must have, where the selector asks for one.
    pub fn exact_match(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [one]) => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// The error for a key that is no qualified name.
fn check_key(key: &str, place: &Path) -> Option<FieldError> {
    let messages = names::qualified_name(key);
    (!messages.is_empty()).then(|| FieldError::invalid(place, key, messages.join("; ")))
}

fn string<'a>(value: &'a Value, what: &str) -> Result<&'a str, SelectorError> {
    value.as_str().ok_or_else(|| SelectorError(format!("{what} of a selector must be a string, not {}", type_name(value))))
}

fn array<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a [Value], SelectorError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(SelectorError(format!("{what} of a selector must be a list, not {}", type_name(other)))),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_of_objects() {
        let parsed = |value| Selector::from_label_selector(&value).map(|s| s.to_string()).map_err(|e| e.to_string());
        assert_eq!(
            parsed(json!({"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["z", "y"]}]})),
            Ok("a notin (y,z),b=1".into())
        );
        assert_eq!(
            parsed(json!({"matchExpressions": [{"key": "a", "operator": "in"}]})),
            Err("\"in\" is not a valid label selector operator".into())
        );
        assert_eq!(
            parsed(json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})),
            Err("\"Gt\" is not a valid label selector operator".into())
        );
        assert_eq!(
            parsed(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})),
            Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into())
        );
        assert_eq!(parsed(json!({"matchLabels": {"a": 1}})), Err("matchLabels of a selector must be a string, not a number".into()));
        assert!(Selector::from_label_selector(&Value::Null).unwrap().is_nothing());
        assert!(Selector::from_label_selector(&json!({})).unwrap().is_everything());
    }

    #[test]
    fn nodes_compare_numbers() {
        let selector = Selector::from_node_expressions(&[json!({"key": "n", "operator": "Gt", "values": ["5"]})]).unwrap();
        assert!(selector.matches_object(&json!({"metadata": {"labels": {"n": "6"}}})));
        assert!(!selector.matches_object(&json!({"metadata": {"labels": {"n": "x"}}})));
        assert!(!selector.matches_object(&json!({})));
    }

    #[test]
    fn exact_matches() {
        let selector = Selector::parse("a=1,b in (2),c in (3,4),d!=5").unwrap();
        assert_eq!(
            (selector.exact_match("a"), selector.exact_match("b"), selector.exact_match("c"), selector.exact_match("d")),
            (Some("1"), Some("2"), None, None)
        );
    }
}
