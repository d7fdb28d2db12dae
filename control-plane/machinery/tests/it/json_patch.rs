//! JSON patch and merge patch: the recorded answers of Kubernetes, and laws.

use dormouse_machinery::patch::{json::Patch, merge};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden;

#[test]
fn json_patches_as_recorded() {
    let file = golden::load("machinery/json-patch.json");
    for case in file["cases"].as_array().unwrap() {
        let patch = Patch::from_value(case["patch"].clone()).unwrap();
        match patch.apply(case["document"].clone()) {
            Ok(result) => {
                assert_eq!(case["error"], Value::Null, "{}", case["patch"]);
                assert_eq!(result, case["result"], "{}", case["patch"]);
            }
            Err(error) => assert_eq!(Value::from(error.to_string()), case["error"], "{}", case["patch"]),
        }
    }
}

/// Replays the bodies of a scenario on the object of its first step, as far as patches alone decide.
fn replay(file: &str, apply: impl Fn(&Value, &Value) -> Option<Value>) {
    let file = golden::load(file);
    let without_metadata = |value: &Value| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove("metadata");
        value
    };
    let mut object = Value::Null;
    let mut applied = 0;
    for step in file["steps"].as_array().unwrap() {
        let body = &step["request"]["body"];
        match (step["request"]["method"].as_str().unwrap(), step["status"].as_u64().unwrap()) {
            ("POST", 201) => object = step["response"].clone(),
            ("PATCH", 200) => {
                let result = apply(&object, body).unwrap();
                assert_eq!(without_metadata(&result), without_metadata(&step["response"]), "{body}");
                object = step["response"].clone();
                applied += 1;
            }
            // Everything the patch itself refuses has no causes; other refusals come from validation.
            ("PATCH", 422) if step["response"]["details"]["causes"].is_null() => assert_eq!(apply(&object, body), None, "{body}"),
            _ => {}
        }
    }
    assert!(applied > 2);
}

#[test]
fn json_patches_of_the_api_as_recorded() {
    replay("api/patch-json.json", |object, body| Patch::from_value(body.clone()).ok()?.apply(object.clone()).ok());
}

#[test]
fn merge_patches_of_the_api_as_recorded() {
    replay("api/patch-merge.json", |object, body| {
        let mut object = object.clone();
        merge::apply(&mut object, body);
        Some(object)
    });
}

#[test]
fn a_body_that_is_no_list_as_recorded() {
    let file = golden::load("api/patch-json.json");
    let step = file["steps"].as_array().unwrap().iter().find(|s| s["request"]["body"].is_object() && s["status"] == 400).unwrap();
    let error = Patch::from_value(step["request"]["body"].clone()).unwrap_err();
    assert_eq!(step["response"]["message"], error.to_string());
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d~/]{1,2}", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn operation() -> impl Strategy<Value = Value> {
    let pointer = || "(/([a-d]|~0|~1|-|-1|[0-3])){0,3}";
    (prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]), pointer(), pointer(), document())
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}

/// Whether an object anywhere has a null member.
fn has_null_member(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().any(|v| v.is_null() || has_null_member(v)),
        Value::Array(items) => items.iter().any(has_null_member),
        _ => false,
    }
}

proptest! {
    #[test]
    fn any_json_patch_is_answered(document in document(), patch in prop::collection::vec(operation(), 0..8)) {
        let _ = Patch::from_value(Value::from(patch)).unwrap().apply(document);
    }

    #[test]
    fn any_value_as_patch_is_answered(document in document(), patch in document()) {
        if let Ok(patch) = Patch::from_value(patch) {
            let _ = patch.apply(document);
        }
    }

    #[test]
    fn adding_then_removing_changes_nothing(mut document in document(), value in document()) {
        if let Some(map) = document.as_object_mut() {
            map.remove("new");
            let patch = Patch::from_value(json!([{"op": "add", "path": "/new", "value": value}, {"op": "test", "path": "/new", "value": value}, {"op": "remove", "path": "/new"}])).unwrap();
            prop_assert_eq!(patch.apply(document.clone()).unwrap(), document);
        }
    }

    #[test]
    fn a_merge_is_done_once(mut document in document(), patch in document()) {
        merge::apply(&mut document, &patch);
        let once = document.clone();
        merge::apply(&mut document, &patch);
        prop_assert_eq!(document, once);
    }

    #[test]
    fn an_empty_merge_changes_nothing(document in document()) {
        let mut merged = document.clone();
        merge::apply(&mut merged, &json!({}));
        prop_assert_eq!(merged, if document.is_object() { document } else { json!({}) });
    }

    #[test]
    fn a_merge_into_nothing_has_no_nulls(patch in document()) {
        let mut merged = Value::Null;
        merge::apply(&mut merged, &patch);
        prop_assert!(!has_null_member(&merged) );
    }

    #[test]
    fn a_value_without_nulls_merges_into_itself(value in document()) {
        if !has_null_member(&value) {
            let mut merged = value.clone();
            merge::apply(&mut merged, &value);
            prop_assert_eq!(merged, value);
        }
    }
}
