//! JSONPath as `kubectl -o jsonpath` and printer columns have it.
//!
//! A [`Template`] is text with actions in braces. An action is a path (`{.items[0].metadata.name}`), a literal
//! (`{"\n"}`), or `{range ...}` and `{end}` around a part that is done for each result. Paths know members,
//! indexes, slices, unions, filters, wildcards and recursive descent. As in Kubernetes, a number of a document
//! compares with numbers written with a point only, and an index out of range is an error even where missing
//! members are none.

mod eval;
mod parse;

use serde_json::Value;

use crate::go;

/// Why a template cannot be read or done; the text is that of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template: a text, or the nodes of an action.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Action(Vec<Node>),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `range`, `end`, or something that is an error when it is done.
    Word(String),
    Field(String),
    Wildcard,
    Recursive,
    Slice(Slice),
    Union(Vec<Vec<Node>>),
    /// Elements for which the path has a result.
    Exists(Vec<Node>),
    /// Elements for which the comparison holds.
    Compare {
        left: Vec<Node>,
        operator: String,
        right: Vec<Node>,
    },
}

/// An index or a slice. `end_derived`: only the start was written, and one element is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    end_derived: bool,
    step: Option<i64>,
}

/// One result: a value of the document, or a literal of the template.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    /// A value of the document.
    Value(&'a Value),
    /// A literal text.
    Text(&'a str),
    /// A literal number.
    Int(i64),
    /// A literal number with a point.
    Float(f64),
    /// A literal truth value.
    Bool(bool),
}

impl Found<'_> {
    /// As it is printed: text bare, lists and objects as JSON.
    pub fn text(&self) -> String {
        match self {
            Self::Value(Value::String(s)) => s.clone(),
            Self::Value(Value::Number(n)) if n.is_f64() => go::float(n.as_f64().unwrap_or(f64::NAN)),
            Self::Value(value) => go::json(value),
            Self::Text(s) => (*s).to_owned(),
            Self::Int(n) => n.to_string(),
            Self::Float(f) => go::float(*f),
            Self::Bool(b) => b.to_string(),
        }
    }
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        parse::template(text)
    }

    /// Reads the path of a printer column or a subresource, which has no braces: `.spec.replicas`.
    pub fn column(path: &str) -> Result<Self, JsonPathError> {
        parse::template(&format!("{{{path}}}"))
    }

    /// The text for a document. Missing members are errors, unless allowed.
    pub fn render(&self, document: &Value, allow_missing: bool) -> Result<String, JsonPathError> {
        let mut out = String::new();
        for results in self.find(document, allow_missing)? {
            let texts: Vec<String> = results.iter().map(Found::text).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }

    /// The results of each action and text, in order.
    pub fn find<'a>(&'a self, document: &'a Value, allow_missing: bool) -> Result<Vec<Vec<Found<'a>>>, JsonPathError> {
        eval::run(&self.parts, document, allow_missing)
    }

    /// The first result for a document, as a printer column shows it; nothing where the path leads nowhere.
    pub fn first<'a>(&'a self, document: &'a Value) -> Option<Found<'a>> {
        self.find(document, true).ok()?.into_iter().next()?.into_iter().next()
    }
}
