//! From a template and a document to results.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Found, JsonPathError, Node, Part, Slice};

type Results<'a> = Result<Vec<Found<'a>>, JsonPathError>;

/// How many results a template may have; recursive descent in a range can make many of few.
const MAX_RESULTS: usize = 1 << 20;

fn error<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

/// Does all parts for a document.
pub(super) fn run<'a>(parts: &'a [Part], document: &'a Value, allow_missing: bool) -> Result<Vec<Vec<Found<'a>>>, JsonPathError> {
    let mut run = Run { allow_missing, out: Vec::new(), results: 0 };
    run.block(parts, &Found::Value(document), 0)?;
    Ok(run.out)
}

struct Run<'a> {
    allow_missing: bool,
    out: Vec<Vec<Found<'a>>>,
    results: usize,
}

impl<'a> Run<'a> {
    /// Does parts for one value up to the end of the range they stand in (`ranges` tells how many are open),
    /// and answers the parts after that.
    fn block(&mut self, parts: &'a [Part], value: &Found<'a>, ranges: usize) -> Result<&'a [Part], JsonPathError> {
        let mut rest = parts;
        while let Some((part, after)) = rest.split_first() {
            rest = after;
            let nodes = match part {
                Part::Text(text) => {
                    self.push(vec![Found::Text(text)])?;
                    continue;
                }
                Part::Action(nodes) => nodes,
            };
            let words = |wanted: &str| nodes.iter().any(|n| matches!(n, Node::Word(w) if w == wanted));
            if words("end") {
                if ranges == 0 {
                    return error("not in range, nothing to end");
                }
                return Ok(after);
            }
            let found = self.list(nodes, vec![value.clone()])?;
            if !words("range") {
                self.push(found)?;
                continue;
            }
            if ranges >= 50 {
                return error("ranges are nested deeper than 50 levels");
            }
            for value in &found {
                rest = self.block(after, value, ranges + 1)?;
            }
            if found.is_empty() {
                rest = skip_range(after);
            }
        }
        Ok(rest)
    }

    fn push(&mut self, results: Vec<Found<'a>>) -> Result<(), JsonPathError> {
        self.results += results.len() + 1;
        if self.results > MAX_RESULTS {
            return error(format!("the template has more than {MAX_RESULTS} results"));
        }
        self.out.push(results);
        Ok(())
    }

    /// Each node works on the results of the one before.
    fn list(&self, nodes: &'a [Node], input: Vec<Found<'a>>) -> Results<'a> {
        let mut current = input;
        for node in nodes {
            current = self.node(node, current)?;
            if current.len() > MAX_RESULTS {
                return error(format!("the template has more than {MAX_RESULTS} results"));
            }
        }
        Ok(current)
    }

    fn node(&self, node: &'a Node, input: Vec<Found<'a>>) -> Results<'a> {
        let each = |literal: Found<'a>| Ok(vec![literal; input.len()]);
        match node {
            Node::Text(text) => Ok(vec![Found::Text(text)]),
            Node::Int(n) => each(Found::Int(*n)),
            Node::Float(f) => each(Found::Float(*f)),
            Node::Bool(b) => each(Found::Bool(*b)),
            Node::Word(word) if word == "range" => Ok(input),
            Node::Word(word) => error(format!("unrecognized identifier {word}")),
            Node::Field(name) => self.field(name, &input),
            Node::Wildcard => Ok(input.iter().flat_map(children).collect()),
            Node::Recursive => {
                let mut out = Vec::new();
                input.iter().for_each(|found| descend(found, &mut out));
                Ok(out)
            }
            Node::Slice(slice) => elements(*slice, &input),
            Node::Union(lists) => {
                let mut out = Vec::new();
                for list in lists {
                    out.extend(self.list(list, input.clone())?);
                }
                Ok(out)
            }
            Node::Exists(path) => self.filter(&input, |run, element| {
                // A path that fails has no result.
                Ok(run.list(path, vec![element]).is_ok_and(|found| !found.is_empty()))
            }),
            Node::Compare { left, operator, right } => self.filter(&input, |run, element| {
                let left = run.list(left, vec![element.clone()])?;
                if left.is_empty() {
                    return Ok(false);
                }
                let right = if left.len() > 1 { Vec::new() } else { run.list(right, vec![element])? };
                match (left.as_slice(), right.as_slice()) {
                    ([left], [right]) => compare(left, operator, right),
                    ([_], []) => Ok(false),
                    _ => error("can only compare one element at a time"),
                }
            }),
        }
    }

    fn field(&self, name: &str, input: &[Found<'a>]) -> Results<'a> {
        let found: Vec<Found<'a>> = input
            .iter()
            .filter_map(|found| match found {
                Found::Value(Value::Object(map)) => map.get(name).map(Found::Value),
                _ => None,
            })
            .collect();
        if found.is_empty() && !input.is_empty() && !self.allow_missing {
            return error(format!("{name} is not found"));
        }
        Ok(found)
    }

    fn filter(&self, input: &[Found<'a>], keep: impl Fn(&Self, Found<'a>) -> Result<bool, JsonPathError>) -> Results<'a> {
        let mut out = Vec::new();
        for found in input {
            let Found::Value(Value::Array(items)) = found else {
                return error(format!("{} is not array or slice and cannot be filtered", found.text()));
            };
            for item in items {
                if keep(self, Found::Value(item))? {
                    out.push(Found::Value(item));
                }
            }
        }
        Ok(out)
    }
}

/// The parts after the end of a range whose body is not done at all.
fn skip_range(parts: &[Part]) -> &[Part] {
    let mut open = 1;
    for (at, part) in parts.iter().enumerate() {
        let Part::Action(nodes) = part else { continue };
        for node in nodes {
            match node {
                Node::Word(word) if word == "range" => open += 1,
                Node::Word(word) if word == "end" => open -= 1,
                _ => {}
            }
        }
        if open == 0 {
            return &parts[at + 1..];
        }
    }
    &[]
}

fn children<'a>(found: &Found<'a>) -> Vec<Found<'a>> {
    match found {
        Found::Value(Value::Array(items)) => items.iter().map(Found::Value).collect(),
        Found::Value(Value::Object(map)) => map.values().map(Found::Value).collect(),
        _ => Vec::new(),
    }
}

/// The value and everything in it that holds something.
fn descend<'a>(found: &Found<'a>, out: &mut Vec<Found<'a>>) {
    let inside = children(found);
    if !inside.is_empty() {
        out.push(found.clone());
        inside.iter().for_each(|child| descend(child, out));
    }
}

fn elements<'a>(slice: Slice, input: &[Found<'a>]) -> Results<'a> {
    let mut out = Vec::new();
    for found in input {
        let items = match found {
            Found::Value(Value::Null) => continue,
            Found::Value(Value::Array(items)) => items,
            other => return error(format!("{} is not array or slice", go_type(other))),
        };
        let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let start = from_end(slice.start.unwrap_or(0));
        let end = match slice.end {
            None => len,
            // The element after the last but none, counted from the end.
            Some(0) if slice.end_derived => len,
            Some(end) => from_end(end),
        };
        if start == end {
            return Ok(out);
        }
        if start >= len || start < 0 {
            return error(format!("array index out of bounds: index {start}, length {len}"));
        }
        if end > len || end < 0 {
            return error(format!("array index out of bounds: index {}, length {len}", end.saturating_sub(1)));
        }
        if start > end {
            return error(format!("starting index {start} is greater than ending index {end}"));
        }
        let step = match slice.step {
            None => 1,
            Some(step) => match usize::try_from(step) {
                Ok(step) if step > 0 => step,
                _ => return error("step must be > 0"),
            },
        };
        let bound = |at: i64| usize::try_from(at).unwrap_or(0);
        out.extend(items[bound(start)..bound(end)].iter().step_by(step).map(Found::Value));
    }
    Ok(out)
}

fn go_type(found: &Found<'_>) -> &'static str {
    match found {
        Found::Value(Value::Object(_)) => "map[string]interface {}",
        Found::Value(Value::Array(_)) => "[]interface {}",
        Found::Value(Value::Null) => "<nil>",
        Found::Value(Value::String(_)) | Found::Text(_) => "string",
        Found::Value(Value::Bool(_)) | Found::Bool(_) => "bool",
        Found::Value(Value::Number(_)) | Found::Float(_) => "float64",
        Found::Int(_) => "int",
    }
}

/// What can be compared. Numbers of documents are floats, so they differ in kind from integers of templates.
enum Operand<'a> {
    Text(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
}

fn operand<'a>(found: &'a Found<'a>) -> Result<Operand<'a>, JsonPathError> {
    match found {
        Found::Value(Value::String(s)) => Ok(Operand::Text(s)),
        Found::Value(Value::Number(n)) => Ok(Operand::Float(n.as_f64().unwrap_or(f64::NAN))),
        Found::Value(Value::Bool(b)) => Ok(Operand::Bool(*b)),
        Found::Value(_) => error("invalid type for comparison"),
        Found::Text(s) => Ok(Operand::Text(s)),
        Found::Int(n) => Ok(Operand::Int(*n)),
        Found::Float(f) => Ok(Operand::Float(*f)),
        Found::Bool(b) => Ok(Operand::Bool(*b)),
    }
}

fn compare(left: &Found<'_>, operator: &str, right: &Found<'_>) -> Result<bool, JsonPathError> {
    if operator == "=~" {
        return matches(left, right);
    }
    if !matches!(operator, "<" | ">" | "==" | "!=" | "<=" | ">=") {
        return error(format!("unrecognized filter operator {operator}"));
    }
    let order = match (operand(left)?, operand(right)?) {
        (Operand::Text(a), Operand::Text(b)) => Some(a.cmp(b)),
        (Operand::Int(a), Operand::Int(b)) => Some(a.cmp(&b)),
        (Operand::Float(a), Operand::Float(b)) => a.partial_cmp(&b),
        (Operand::Bool(a), Operand::Bool(b)) if matches!(operator, "==" | "!=") => Some(a.cmp(&b)),
        (Operand::Bool(_), Operand::Bool(_)) => return error("invalid type for comparison"),
        _ => return error("incompatible types for comparison"),
    };
    Ok(match operator {
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn matches(left: &Found<'_>, right: &Found<'_>) -> Result<bool, JsonPathError> {
    let (Ok(Operand::Text(text)), Ok(Operand::Text(pattern))) = (operand(left), operand(right)) else {
        return error("regular expressions match text only");
    };
    match regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        Ok(regex) => Ok(regex.is_match(text)),
        Err(e) => error(format!("error parsing regexp: {e}")),
    }
}
