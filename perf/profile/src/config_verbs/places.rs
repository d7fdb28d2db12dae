//! Which member of a document is to blame for something, and in which line of its file it stands.
//!
//! Nothing that refuses a document says where in it the fault is. It is found by taking members out: the one without which the
//! fault is gone has it, and within that one the search goes on.

use std::fmt;

use dormouse_perf_report::json::Json;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One step from a value to one that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An item of a list, from 0.
    Item(usize),
}

/// Steps as people write them: `benchmark.phases[0].rate`.
#[must_use]
pub fn path(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Member(name) if out.is_empty() => out.push_str(name),
            Step::Member(name) => out.push_str(&format!(".{name}")),
            Step::Item(at) => out.push_str(&format!("[{at}]")),
        }
    }
    out
}

/// What steps lead to.
#[must_use]
pub fn at<'a>(mut json: &'a Json, steps: &[Step]) -> Option<&'a Json> {
    for step in steps {
        json = match (json, step) {
            (Json::Object(members), Step::Member(name)) => &members.iter().find(|(n, _)| n == name)?.1,
            (Json::Array(items), Step::Item(at)) => items.get(*at)?,
            _ => return None,
        };
    }
    Some(json)
}

/// Takes out what steps lead to.
pub fn remove(json: &mut Json, steps: &[Step]) {
    let Some((first, rest)) = steps.split_first() else { return };
    match (json, first) {
        (Json::Object(members), Step::Member(name)) => {
            let Some(place) = members.iter().position(|(n, _)| n == name) else { return };
            if rest.is_empty() {
                members.remove(place);
            } else {
                remove(&mut members[place].1, rest);
            }
        }
        (Json::Array(items), Step::Item(place)) if *place < items.len() => {
            if rest.is_empty() {
                items.remove(*place);
            } else {
                remove(&mut items[*place], rest);
            }
        }
        _ => {}
    }
}

/// The smallest part of a document without which `problem` is not among its problems. Empty when no part is to blame: something
/// is missing.
#[must_use]
pub fn culprit(document: &Json, problem: &str, problems: &impl Fn(&Json) -> Vec<String>) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    while let Some(here) = at(document, &found) {
        let steps: Vec<Step> = match here {
            // A name is how others speak of its owner, and never wrong by itself.
            Json::Object(members) => members.iter().filter(|(n, _)| n != "name").map(|(n, _)| Step::Member(n.clone())).collect(),
            Json::Array(items) => (0..items.len()).map(Step::Item).collect(),
            _ => break,
        };
        let guilty = steps.into_iter().find(|step| {
            let mut without = document.clone();
            remove(&mut without, &[&found[..], std::slice::from_ref(step)].concat());
            !problems(&without).iter().any(|other| other == problem)
        });
        match guilty {
            Some(step) => found.push(step),
            None => break,
        }
    }
    found
}

/// Where everything stands in a YAML text.
#[derive(Debug)]
pub struct Places(Spanned<Node>);

#[derive(Debug)]
enum Node {
    Scalar,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Places {
    /// Of a text; `None` when it is no YAML.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        serde_saphyr::from_str(text).ok().map(Self)
    }

    /// The line of what steps lead to in the document that the text became, from 1. Where the file has a shorter form, the line of
    /// that; where it has nothing of the kind, that of what should have it.
    #[must_use]
    pub fn line(&self, steps: &[Step]) -> Option<u64> {
        let (mut node, mut line) = (&self.0.value, None);
        for step in steps {
            let next = match (node, step) {
                (Node::Map(members), Step::Member(name)) => member(members, name),
                (Node::List(items), Step::Item(at)) => items.get(*at).map(|item| (item.referenced.line(), &item.value)),
                // One that stands alone is a list of one.
                (node, Step::Item(0)) => Some((line.unwrap_or(1), node)),
                _ => None,
            };
            let Some((at, inner)) = next else { break };
            (line, node) = (Some(at), inner);
        }
        line.filter(|line| *line > 0)
    }
}

/// A member by the name that it has in documents, or that a shorter form has.
fn member<'a>(members: &'a [(Spanned<String>, Spanned<Node>)], name: &str) -> Option<(u64, &'a Node)> {
    let as_in_documents = |key: &str| {
        let mut key = Json::Object(vec![(key.to_owned(), Json::Null)]);
        crate::config::tree::snake(&mut key);
        key.members().first().map(|(name, _)| name.clone()).unwrap_or_default()
    };
    let find = |name: &str| {
        members.iter().find(|(key, _)| as_in_documents(&key.value) == name).map(|(key, value)| (key.referenced.line(), &value.value))
    };
    let shorter: &[&str] = match name {
        "models" => &["model"],
        "phases" => &["profiling", "warmup"],
        "datasets" => &["dataset"],
        "urls" => &["url"],
        _ => &[],
    };
    find(name).or_else(|| shorter.iter().find_map(|name| find(name)))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Map(members))
            }
        }
        deserializer.deserialize_any(Of)
    }
}
