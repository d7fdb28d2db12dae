//! Variables of a run: texts, and objects as they were when a condition looked at them. `${name}` is the text or the
//! object's name, `${name.field}` a field of the object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields;

/// All of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Vars {
    all: BTreeMap<String, Value>,
}

impl Vars {
    /// Sets a text.
    pub(crate) fn text(&mut self, name: &str, text: impl Into<String>) {
        self.all.insert(name.to_owned(), Value::String(text.into()));
    }

    /// Remembers an object.
    pub(crate) fn object(&mut self, name: &str, object: Value) {
        self.all.insert(name.to_owned(), object);
    }

    /// A text with its variables replaced.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            let end = from.find('}').ok_or_else(|| format!("{text:?} lacks a closing brace"))?;
            filled.push_str(before);
            filled.push_str(&self.look_up(&from[2..end])?);
            rest = &from[end + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// JSON with the variables of all its texts replaced.
    pub(crate) fn fill_value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => Value::Array(items.iter().map(|i| self.fill_value(i)).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let fill = |(key, value): (&String, &Value)| Ok::<_, String>((self.fill(key)?, self.fill_value(value)?));
                Value::Object(members.iter().map(fill).collect::<Result<Map<_, _>, _>>()?)
            }
            other => other.clone(),
        })
    }

    fn look_up(&self, expression: &str) -> Result<String, String> {
        let (name, field) = expression.split_once('.').unwrap_or((expression, "name"));
        match self.all.get(name) {
            None => Err(format!("nothing has set ${{{name}}}")),
            Some(Value::String(text)) if field == "name" => Ok(text.clone()),
            Some(Value::String(_)) => Err(format!("${{{name}}} is a text and has no {field}")),
            Some(object) => match fields::read(object, field)? {
                Value::String(text) => Ok(text),
                Value::Null => Err(format!("{} has no {field}", fields::brief(object))),
                other => Ok(other.to_string()),
            },
        }
    }
}
