//! An OpenAPI v2 document as the protobuf message `openapi.v2.Document`, which older `kubectl` and client-go ask for.
//!
//! The numbers are those of the published `OpenAPIv2.proto`. Only what our documents hold is written; vendor extensions
//! (`x-…`) are YAML texts inside, for which JSON does.

use serde_json::{Map, Value};

/// Encodes a document.
#[must_use]
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    out.text(1, &document["swagger"]);
    out.message(2, |w| {
        w.text(1, &document["info"]["title"]);
        w.text(2, &document["info"]["version"]);
    });
    out.message(8, |w| {
        for (path, item) in members(&document["paths"]) {
            w.named(2, path, |w| path_item(w, item));
        }
    });
    out.message(9, |w| {
        for (name, definition) in members(&document["definitions"]) {
            w.named(1, name, |w| schema(w, definition));
        }
    });
    out.0
}

fn path_item(w: &mut Writer, item: &Value) {
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.get(method) {
            w.message(field, |w| operation(w, found));
        }
    }
    for parameter in elements(&item["parameters"]) {
        w.message(9, |w| parameters_item(w, parameter));
    }
}

fn operation(w: &mut Writer, operation: &Value) {
    w.texts(1, &operation["tags"]);
    w.text(3, &operation["description"]);
    w.text(5, &operation["operationId"]);
    w.texts(6, &operation["produces"]);
    w.texts(7, &operation["consumes"]);
    for parameter in elements(&operation["parameters"]) {
        w.message(8, |w| parameters_item(w, parameter));
    }
    w.message(9, |w| {
        for (code, response) in members(&operation["responses"]) {
            // Responses, NamedResponseValue, ResponseValue, Response, SchemaItem.
            w.named(1, code, |w| {
                w.message(1, |w| {
                    w.text(1, &response["description"]);
                    if let Some(found) = response.get("schema") {
                        w.message(2, |w| w.message(1, |w| schema(w, found)));
                    }
                });
            });
        }
    });
    w.texts(10, &operation["schemes"]);
    w.extensions(13, operation);
}

/// ParametersItem, Parameter, then body or one of the others.
fn parameters_item(w: &mut Writer, parameter: &Value) {
    w.message(1, |w| match parameter["in"].as_str() {
        Some("body") => w.message(1, |w| {
            w.text(1, &parameter["description"]);
            w.text(2, &parameter["name"]);
            w.text(3, &parameter["in"]);
            w.flag(4, &parameter["required"]);
            w.message(5, |w| schema(w, &parameter["schema"]));
        }),
        place => {
            let in_path = place == Some("path");
            let (kind, type_field) = if in_path { (4, 5) } else { (3, 6) };
            w.message(2, |w| {
                w.message(kind, |w| {
                    w.flag(1, &parameter["required"]);
                    w.text(2, &parameter["in"]);
                    w.text(3, &parameter["description"]);
                    w.text(4, &parameter["name"]);
                    w.text(type_field, &parameter["type"]);
                });
            });
        }
    });
}

fn schema(w: &mut Writer, found: &Value) {
    for (key, value) in members(found) {
        match key.as_str() {
            "$ref" => w.text(1, value),
            "format" => w.text(2, value),
            "title" => w.text(3, value),
            "description" => w.text(4, value),
            "default" => w.any(5, value),
            "multipleOf" => w.number(6, value),
            "maximum" => w.number(7, value),
            "exclusiveMaximum" => w.flag(8, value),
            "minimum" => w.number(9, value),
            "exclusiveMinimum" => w.flag(10, value),
            "maxLength" => w.integer(11, value),
            "minLength" => w.integer(12, value),
            "pattern" => w.text(13, value),
            "maxItems" => w.integer(14, value),
            "minItems" => w.integer(15, value),
            "uniqueItems" => w.flag(16, value),
            "maxProperties" => w.integer(17, value),
            "minProperties" => w.integer(18, value),
            "required" => w.texts(19, value),
            "enum" => elements(value).iter().for_each(|one| w.any(20, one)),
            "additionalProperties" => w.message(21, |w| match value {
                Value::Bool(_) => w.flag(2, value),
                _ => w.message(1, |w| schema(w, value)),
            }),
            "type" => w.message(22, |w| w.text(1, value)),
            "items" => w.message(23, |w| w.message(1, |w| schema(w, value))),
            "allOf" => elements(value).iter().for_each(|one| w.message(24, |w| schema(w, one))),
            "properties" => w.message(25, |w| {
                for (name, property) in members(value) {
                    w.named(1, name, |w| schema(w, property));
                }
            }),
            _ => {}
        }
    }
    w.extensions(31, found);
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The little of protobuf's wire format that is needed to write. Absent values write nothing.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    const VARINT: u64 = 0;
    const DOUBLE: u64 = 1;
    const BYTES: u64 = 2;

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, Self::BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, value: &Value) {
        elements(value).iter().for_each(|one| self.text(field, one));
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if let Some(flag) = value.as_bool() {
            self.key(field, Self::VARINT);
            self.varint(u64::from(flag));
        }
    }

    fn integer(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_i64() {
            self.key(field, Self::VARINT);
            self.varint(number.cast_unsigned());
        }
    }

    fn number(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.key(field, Self::DOUBLE);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// A `Named…` message: the name, then the value.
    fn named(&mut self, field: u64, name: &str, fill: impl FnOnce(&mut Self)) {
        self.message(field, |w| {
            w.bytes(1, name.as_bytes());
            w.message(2, fill);
        });
    }

    /// A value as `Any`, which is a YAML text.
    fn any(&mut self, field: u64, value: &Value) {
        self.message(field, |w| w.bytes(2, format!("{value}\n").as_bytes()));
    }

    fn extensions(&mut self, field: u64, value: &Value) {
        for (name, extension) in members(value).filter(|(name, _)| name.starts_with("x-")) {
            self.named(field, name, |w| w.bytes(2, format!("{extension}\n").as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wire_format() {
        let mut w = Writer::default();
        w.text(1, &json!("ab"));
        w.flag(4, &json!(true));
        w.integer(11, &json!(300));
        w.text(2, &Value::Null);
        assert_eq!(w.0, [0x0a, 2, b'a', b'b', 0x20, 1, 0x58, 0xac, 0x02]);
    }

    #[test]
    fn a_definition_is_named_and_nested() {
        let bytes = document(&json!({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}, "definitions": {
            "D": {"type": "object", "x-k": [1], "properties": {"p": {"type": "array", "items": {"type": "string"}}}}}}));
        // Document.definitions (9) > additional_properties (1) > name (1) "D".
        let at = bytes.iter().position(|b| *b == 9 << 3 | 2).unwrap();
        assert_eq!(&bytes[at + 2..at + 3], [0x0a]);
        assert_eq!(&bytes[at + 4..at + 7], [0x0a, 1, b'D']);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("x-k") && text.contains("[1]\n") && text.contains("object") && text.contains("array"));
    }
}
