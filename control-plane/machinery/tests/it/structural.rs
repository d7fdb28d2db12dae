//! Structural schemas: the recorded answers of an API server, and laws.

use std::collections::BTreeSet;

use dormouse_machinery::field::{self, FieldError, Path};
use dormouse_machinery::structural::{Schema, check};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::golden;

/// What happens to a created object: its form after pruning and defaults, and its errors.
fn create(schema: &Schema, body: &Value) -> (Value, Vec<String>, Vec<FieldError>) {
    let mut object = body.clone();
    let unknown = schema.prune(&mut object);
    schema.default(&mut object);
    let mut errors = schema.validate(&object);
    errors.extend(schema.unchecked_rules(&errors));
    (object, unknown, errors)
}

fn without(value: &Value, members: &[&str]) -> Value {
    let mut value = value.clone();
    for member in members {
        value.as_object_mut().unwrap().remove(*member);
    }
    value
}

/// Causes in any order: the server walks members at random.
fn sorted(causes: &Value) -> Vec<String> {
    let mut out: Vec<String> = causes.as_array().unwrap().iter().map(ToString::to_string).collect();
    out.sort();
    out
}

/// Causes about what the schema is not asked: metadata, type, parameters.
fn elsewhere(cause: &Value) -> bool {
    let field = cause["field"].as_str().unwrap();
    field.starts_with("metadata") || matches!(field, "kind" | "apiVersion" | "dryRun" | "fieldValidation")
}

#[test]
fn created_objects_as_recorded() {
    let (mut compared, mut rules) = (0, 0);
    golden::follow(|world, step| {
        let request = &step["request"];
        let (true, Some((definition, schema))) = (request["method"] == "POST" && request["body"].is_object(), world.schema(step)) else {
            return;
        };
        let body = &request["body"];
        let (object, unknown, errors) = create(&schema, body);
        let message = step["response"]["message"].as_str().unwrap_or("");
        match step["status"].as_u64().unwrap() {
            201 => {
                assert_eq!(errors, [], "{body}");
                // A create drops the status; that is not the schema's doing.
                let parts = ["metadata", "status"];
                assert_eq!(without(&object, &parts), without(&step["response"], &parts), "{body}");
                let warning = step["headers"]["warning"].to_string();
                let silent = request["path"].as_str().unwrap().contains("fieldValidation=Ignore");
                assert!(
                    unknown.iter().all(|u| silent != warning.contains(&format!("unknown field \\\\\\\"{u}"))),
                    "{unknown:?}: {warning}"
                );
            }
            400 if message.contains("strict decoding error: ") => {
                let fields: Vec<String> = unknown.iter().map(|u| format!("unknown field \"{u}\"")).collect();
                assert!(message.ends_with(&fields.join(", ")), "{message}");
            }
            422 => {
                let mut theirs = step["response"]["details"]["causes"].as_array().unwrap().clone();
                let all = theirs.len();
                rules += golden::without_rules(definition, &mut theirs);
                theirs.retain(|cause| !elsewhere(cause));
                let mine = serde_json::to_value(field::causes(&errors)).unwrap();
                assert_eq!(sorted(&mine), sorted(&theirs.clone().into()), "{body}");
                if errors.len() == 1 && all == theirs.len() {
                    assert!(message.ends_with(&format!(" is invalid: {}", field::aggregate(&errors))), "{message}");
                }
            }
            _ => return,
        }
        compared += 1;
    });
    golden::said(&format!("{compared} objects compared; {rules} causes of CEL rules left out: rules are not evaluated yet"));
    assert!(compared > 90 || !golden::own("api"), "{compared}");
}

#[test]
fn definitions_as_recorded() {
    let mut compared = 0;
    golden::follow(|_, step| {
        let body = &step["request"]["body"];
        let decided = matches!(step["status"].as_u64().unwrap(), 201 | 422);
        if body["kind"] != "CustomResourceDefinition" || step["request"]["method"] != "POST" || !decided {
            return;
        }
        let versions = body["spec"]["versions"].as_array().unwrap();
        for (i, version) in versions.iter().enumerate() {
            let at = if versions.len() == 1 {
                "spec.validation.openAPIV3Schema".to_owned()
            } else {
                format!("spec.versions[{i}].schema.openAPIV3Schema")
            };
            let errors = check(&version["schema"]["openAPIV3Schema"], &Path::new(at.as_str()));
            // Compilation and cost of rules come with them; what is beside the schema is the API server's.
            let of_rules =
                |c: &Value| [&c["field"], &c["message"]].iter().any(|t| t.as_str().unwrap().contains("x-kubernetes-validations"));
            let causes = step["response"]["details"]["causes"].as_array().cloned().unwrap_or_default().into_iter();
            let theirs: Vec<Value> = causes.filter(|c| c["field"].as_str().unwrap().starts_with(&at) && !of_rules(c)).collect();
            assert_eq!(serde_json::to_value(field::causes(&errors)).unwrap(), Value::from(theirs), "{}", body["metadata"]["name"]);
            compared += 1;
        }
    });
    golden::said(&format!("{compared} schemas of definitions compared, 0 differ"));
    assert!(compared > 60 || !golden::own("api"), "{compared}");
}

fn errors(schema: &Value, value: &Value) -> Vec<String> {
    Schema::parse(schema).unwrap().validate(value).iter().map(ToString::to_string).collect()
}

#[test]
fn messages_of_values() {
    let schema = json!({"type": "object", "required": ["r"], "minProperties": 1, "properties": {
        "i": {"type": "integer", "multipleOf": 5, "exclusiveMinimum": true, "minimum": 0},
        "n": {"type": "number", "maximum": 1.5},
        "s": {"type": "string", "minLength": 2},
        "l": {"type": "array", "minItems": 2, "items": {"type": "string"}},
        "m": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
        "q": {"x-kubernetes-int-or-string": true},
        "t": {"type": "string", "format": "date-time"},
        "e": {"type": "integer", "enum": [1, 2]},
        "r": {"type": "string", "nullable": true}
    }});
    for (value, message) in [
        (json!({"r": null, "i": 7}), "i: Invalid value: 7: i in body should be a multiple of 5"),
        (json!({"r": null, "i": 0}), "i: Invalid value: 0: i in body should be greater than 0"),
        (json!({"r": null, "n": 2}), "n: Invalid value: 2: n in body should be less than or equal to 1.5"),
        (json!({"r": null, "s": "é"}), "s: Invalid value: \"é\": s in body should be at least 2 chars long"),
        (json!({"r": null, "l": ["a"]}), "l: Invalid value: 1: l in body should have at least 2 items"),
        (json!({"r": null, "l": ["a", 1]}), "l[1]: Invalid value: \"integer\": l[1] in body must be of type string: \"integer\""),
        (json!({"r": null, "m": {"a": true, "b": true}}), "m: Too many: 2: must have at most 1 item"),
        (json!({"r": null, "m": {"a": 1}}), "m.a: Invalid value: \"integer\": m.a in body must be of type boolean: \"integer\""),
        (json!({"r": null, "q": true}), "q: Invalid value: \"boolean\": q in body must be of type integer,string: \"boolean\""),
        (json!({"r": null, "t": 5}), "t: Invalid value: \"int64\": t in body must be of type date-time: \"int64\""),
        (json!({"r": null, "e": 3}), "e: Unsupported value: 3: supported values: \"1\", \"2\""),
        (json!({"r": null, "s": null}), "s: Invalid value: \"null\": s in body must be of type string: \"null\""),
        (json!({"s": "ab"}), "r: Required value"),
        (json!({}), "<nil>: Invalid value: 0:  in body should have at least 1 properties"),
    ] {
        assert_eq!(errors(&schema, &value), [message]);
    }
    assert_eq!(
        errors(&schema, &json!({"r": "x", "i": 5.0, "n": 1, "e": 1.0, "q": "5", "t": "2026-11-21T10:00:00Z"})),
        Vec::<String>::new()
    );
}

#[test]
fn logical_operators() {
    let schema = json!({"type": "object", "properties": {"v": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["c"]}}}});
    assert_eq!(errors(&schema, &json!({"v": {"a": 1}})), Vec::<String>::new());
    assert_eq!(
        errors(&schema, &json!({"v": {}})),
        ["<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found none valid", "v.a: Required value"]
    );
    assert_eq!(
        errors(&schema, &json!({"v": {"a": 1, "b": 1, "c": 1}})),
        [
            "<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            "<nil>: Invalid value: \"\": \"v\" must not validate the schema (not)"
        ]
    );
    let any = json!({"type": "object", "properties": {"v": {"type": "string", "anyOf": [{"maxLength": 1}, {"pattern": "^b"}], "allOf": [{"minLength": 1}, {"maxLength": 3}]}}});
    assert_eq!(errors(&any, &json!({"v": "bcd"})), Vec::<String>::new());
    let found = errors(&any, &json!({"v": "acde"}));
    assert_eq!(found[0], "<nil>: Invalid value: \"\": \"v\" must validate at least one schema (anyOf)");
    assert!(found.contains(&"<nil>: Invalid value: \"\": \"v\" must validate all the schemas (allOf)".to_owned()), "{found:?}");
}

#[test]
fn sets_and_maps() {
    let schema = json!({"type": "object", "properties": {
        "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["p", "q"], "items": {"type": "object", "properties": {"p": {"type": "integer"}, "q": {"type": "string"}}}},
        "o": {"type": "object", "additionalProperties": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}
    }});
    assert_eq!(errors(&schema, &json!({"s": [1, 2, 1, 1]})), ["s[2]: Duplicate value: 1"]);
    assert_eq!(
        errors(&schema, &json!({"m": [{"p": 1, "q": "x"}, {"p": 1}, {"q": "x", "p": 1}]})),
        ["m[2]: Duplicate value: {\"p\":1,\"q\":\"x\"}"]
    );
    assert_eq!(errors(&schema, &json!({"o": {"k": ["a", "a"]}})), ["o[k][1]: Duplicate value: \"a\""]);
}

#[test]
fn embedded_resources() {
    let schema = json!({"type": "object", "properties": {"t": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}}});
    let parsed = Schema::parse(&schema).unwrap();
    let mut object =
        json!({"metadata": {"x": 1}, "t": {"apiVersion": "v1", "kind": "Pod", "metadata": {"y": 1}, "spec": {"a": "1", "b": 2}, "c": 3}});
    assert_eq!(parsed.prune(&mut object), ["t.c", "t.spec.b"]);
    assert_eq!(object, json!({"metadata": {"x": 1}, "t": {"apiVersion": "v1", "kind": "Pod", "metadata": {"y": 1}, "spec": {"a": "1"}}}));
    assert_eq!(errors(&schema, &json!({"t": {"kind": "9"}}))[0], "t.apiVersion: Required value: must not be empty");
    assert!(errors(&schema, &json!({"t": {"apiVersion": "a/b/c", "kind": "Pod"}}))[0].contains("unexpected GroupVersion string: a/b/c"));
}

#[test]
fn what_is_preserved_is_pruned_below() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "any": {"type": "object", "additionalProperties": true}
    }}))
    .unwrap();
    let mut object = json!({"free": {"known": {"a": "", "b": 1}, "other": {"c": [1]}}, "map": {"k": {"a": "", "b": 1}}, "any": {"k": 1, "o": {"x": 1}}, "kind": "K"});
    assert_eq!(schema.prune(&mut object), ["any.o.x", "free.known.b", "map.k.b"]);
    assert_eq!(
        object,
        json!({"free": {"known": {"a": ""}, "other": {"c": [1]}}, "map": {"k": {"a": ""}}, "any": {"k": 1, "o": {}}, "kind": "K"})
    );
}

#[test]
fn defaults_fill_from_above() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "a": {"type": "object", "default": {"b": 1}, "properties": {"b": {"type": "integer", "default": 7}, "c": {"type": "integer", "default": 8}}},
        "d": {"type": "object", "properties": {"e": {"type": "integer", "default": 9}}},
        "l": {"type": "array", "items": {"type": "integer", "default": 3}},
        "n": {"type": "string", "nullable": true, "default": "x"},
        "o": {"type": "string"}
    }}))
    .unwrap();
    let mut object = json!({"l": [1, null], "n": null, "o": null});
    schema.default(&mut object);
    assert_eq!(object, json!({"a": {"b": 1, "c": 8}, "l": [1, 3], "n": null}));
    let mut object = json!({"a": null, "d": {}});
    schema.default(&mut object);
    assert_eq!(object, json!({"a": {"b": 1, "c": 8}, "d": {"e": 9}, "n": "x"}));
}

fn refused(schema: &Value) -> Vec<String> {
    check(schema, &Path::new("s")).iter().map(ToString::to_string).collect()
}

#[test]
fn schemas_that_are_not_structural() {
    for (schema, message) in [
        (json!({}), "s.type: Required value: must not be empty at the root"),
        (json!({"type": "array", "items": {"type": "string"}}), "s.type: Invalid value: \"array\": must be object at the root"),
        (json!({"type": "object", "properties": {"a": {"type": "array"}}}), "s.properties[a].items: Required value: must be specified"),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}}}),
            "s.properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        (json!({"type": "object", "additionalProperties": true}), "s.additionalProperties: Forbidden: must not be used at the root"),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}),
            "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"minimum": 1}}}]}),
            "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
            "s.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "default": {"b": 1}}}}),
            "s.properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#/x", "type": "string"}}}),
            "s.properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "strin"}}}),
            "s.properties[a].type: Unsupported value: \"strin\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false}}}),
            "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "uniqueItems": true}}}),
            "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}}),
            "s.properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}}}),
            "s.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            "s.properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: unclosed group",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "default": {}}}}),
            "s.properties[metadata].default: Forbidden: must not be set in top-level metadata",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": false}}}),
            "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (json!({"type": "object", "properties": 5}), "s.properties: Invalid value: 5: must be an object"),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-validations": [{"rule": " "}]}}}),
            "s.properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
    ] {
        let errors = refused(&schema);
        assert!(errors.contains(&message.to_owned()), "{schema}: {errors:?}");
    }
}

#[test]
fn schemas_that_are_structural() {
    for schema in [
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        json!({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^x"}}}),
        json!({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^x"}]}}}),
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}, "kind": {"type": "string"}}}),
        json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}, "anyOf": [{"properties": {"a": {"properties": {"b": {"minLength": 1}}}}}]}),
        json!({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": true}, "b": {"type": "integer", "format": "int32", "default": 1}}}),
    ] {
        assert_eq!(refused(&schema), Vec::<String>::new(), "{schema}");
    }
}

/// A schema that need not make sense.
fn any_schema() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec!["object", "array", "string", "integer", "number", "boolean", "null", "x"]);
    let leaf = (word, any::<u8>()).prop_map(|(kind, bits)| {
        let mut schema = json!({"type": kind});
        let map = schema.as_object_mut().unwrap();
        let mut set = |bit: u8, name: &str, value: Value| {
            if bits & (1 << bit) != 0 {
                map.insert(name.into(), value);
            }
        };
        set(0, "nullable", json!(true));
        set(1, "x-kubernetes-preserve-unknown-fields", json!(true));
        set(2, "default", json!({"a": [1]}));
        set(3, "enum", json!([1, "a", null]));
        set(4, "maxLength", json!(1));
        set(5, "maximum", json!(2));
        set(6, "x-kubernetes-list-type", json!("set"));
        set(7, "format", json!("date-time"));
        schema
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        let names = prop::collection::btree_map("[a-c]", inner.clone(), 0..3);
        (inner.clone(), inner, names, any::<u8>()).prop_map(|(mut schema, other, names, bits)| {
            let map = schema.as_object_mut().unwrap();
            map.insert("properties".into(), Value::Object(names.into_iter().collect::<Map<_, _>>()));
            for (bit, name) in ["items", "additionalProperties", "not"].into_iter().enumerate() {
                if bits & (1 << bit) != 0 {
                    map.insert(name.into(), other.clone());
                }
            }
            for (bit, name) in ["anyOf", "oneOf", "allOf"].into_iter().enumerate() {
                if bits & (8 << bit) != 0 {
                    map.insert(name.into(), json!([other, {"required": ["a"]}]));
                }
            }
            schema
        })
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        (-2.0..2.0).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

const FORMATS: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "date-time",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8s-long-name",
    "k8s-short-name",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

proptest! {
    #[test]
    fn any_text_and_pattern_is_answered(
        pattern in prop_oneof![any::<String>(), "(a|é|\\\\[dwsDWSbBQEpxz1]|\\[|\\]|\\^|-|&|~|\\{|\\}|[0-9,]|\\(|\\)|\\?|:|\\*){0,12}"],
        text in prop_oneof![any::<String>(), "[0-9a-f:./@<>\\[\\]%+ T-]{0,24}"],
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let _ = errors(&json!({"type": "string", "pattern": pattern, "format": format}), &json!(text));
    }

    #[test]
    fn any_schema_is_answered(schema in prop_oneof![any_schema(), any_value()], value in any_value()) {
        let _ = check(&schema, &Path::new("s"));
        if let Ok(schema) = Schema::parse(&schema) {
            let _ = create(&schema, &value);
        }
    }

    #[test]
    fn pruning_and_defaults_are_done_once(schema in any_schema(), value in any_value()) {
        let schema = Schema::parse(&schema).unwrap();
        let (once, _, _) = create(&schema, &value);
        prop_assert_eq!(schema.unknown_fields(&{ let mut v = value.clone(); schema.prune(&mut v); v }), Vec::<String>::new());
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn errors_are_not_repeated(schema in any_schema(), value in any_value()) {
        let schema = Schema::parse(&schema).unwrap();
        let errors = dedup_candidates(&schema, &value);
        let distinct: BTreeSet<&String> = errors.iter().collect();
        prop_assert_eq!(distinct.len(), errors.len());
    }
}

/// Errors of values; those of sets may say the same of one place.
fn dedup_candidates(schema: &Schema, value: &Value) -> Vec<String> {
    let texts = schema.validate(value).into_iter().map(|e| e.to_string());
    texts.filter(|t| !t.contains("Duplicate value")).collect()
}
