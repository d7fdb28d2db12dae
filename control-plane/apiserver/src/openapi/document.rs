//! Whole documents, put together as text.

use dormouse_machinery::schema::published::Published;
use serde_json::{Map, Value};

use super::definitions::{Definitions, Form};
use super::paths::Paths;
use crate::registry::Kind;

/// The document of these rows. `schema_of` gives the structural schema of a custom resource.
pub(super) fn build(form: Form, rows: &[&Kind], schema_of: impl Fn(&Kind) -> Option<Value>) -> String {
    let published = Published::read();
    let mut definitions = Definitions::new(form, &published);
    let mut out = Map::new();
    for row in rows {
        let schema = if row.custom { schema_of(row) } else { None };
        let (object, list) = definitions.row(row, schema.as_ref());
        Paths { form, definitions: &mut definitions, out: &mut out }.row(row, &object, &list);
    }
    let paths = Value::Object(out).to_string();
    let definitions = definitions.finished();
    drop(published);

    let head = match form {
        Form::V2 => "{\"swagger\":\"2.0\"",
        Form::V3 => "{\"openapi\":\"3.0.0\"",
    };
    let mut text = format!("{head},\"info\":{{\"title\":\"Kubernetes\",\"version\":\"{}\"}},\"paths\":{paths},", crate::discovery::VERSION);
    text.push_str(match form {
        Form::V2 => "\"definitions\":{",
        Form::V3 => "\"components\":{\"schemas\":{",
    });
    for (index, (name, schema)) in definitions.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        // Names are dotted words, which need no escapes.
        text.push_str(&format!("\"{name}\":"));
        text.push_str(schema);
    }
    text.push_str(match form {
        Form::V2 => "}}",
        Form::V3 => "}}}",
    });
    text
}
