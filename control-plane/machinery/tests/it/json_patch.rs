//! JSON patch and merge patch: the recorded answers of Kubernetes, and laws.

use dormouse_machinery::patch::{json::Patch, merge};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape, World};

#[test]
fn json_patches_as_recorded() {
    for case in &golden::cases(Shape::JsonPatch) {
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

/// What a patch makes of the object that was shown before, when the schema alone decides beside it.
fn patched(world: &World, step: &Value) -> Option<(Option<Value>, Value)> {
    let (old, (_, schema)) = (world.object(step)?, world.schema(step)?);
    let body = &step["request"]["body"];
    let new = match step["request"]["content_type"].as_str()? {
        "application/json-patch+json" => Patch::from_value(body.clone()).ok().and_then(|patch| patch.apply(old.clone()).ok()),
        "application/merge-patch+json" => {
            let mut object = old.clone();
            merge::apply(&mut object, body);
            Some(object)
        }
        _ => return None,
    };
    let other = if step["request"]["path"].as_str()?.split('?').next()?.ends_with("/status") { "spec" } else { "status" };
    let new = new.map(|mut new| {
        match old.get(other) {
            Some(kept) => new[other] = kept.clone(),
            None => drop(new.as_object_mut().unwrap().remove(other)),
        }
        schema.prune(&mut new);
        schema.default(&mut new);
        new
    });
    Some((new, old.clone()))
}

#[test]
fn patches_of_the_api_as_recorded() {
    let without_metadata = |value: &Value| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove("metadata");
        value
    };
    let (mut applied, mut refused) = (0, 0);
    golden::follow(|world, step| {
        if step["request"]["method"] != "PATCH" {
            return;
        }
        let Some((new, _)) = patched(world, step) else { return };
        let body = &step["request"]["body"];
        match step["status"].as_u64().unwrap() {
            200 => {
                assert_eq!(without_metadata(&new.unwrap()), without_metadata(&step["response"]), "{body}");
                applied += 1;
            }
            // Everything the patch itself refuses has no causes; other refusals come from validation.
            422 if step["response"]["details"]["causes"].is_null() => {
                assert_eq!(new, None, "{body}");
                refused += 1;
            }
            _ => {}
        }
    });
    golden::said(&format!("patches of the API: {applied} applied, {refused} refused, 0 failed"));
    assert!((applied > 40 && refused > 2) || !golden::own("api"), "{applied}, {refused}");
}

#[test]
fn a_body_that_is_no_list_as_recorded() {
    let mut compared = 0;
    golden::follow(|_, step| {
        let request = &step["request"];
        if request["content_type"] == "application/json-patch+json" && request["body"].is_object() && step["status"] == 400 {
            let error = Patch::from_value(request["body"].clone()).unwrap_err();
            assert_eq!(step["response"]["message"], error.to_string());
            compared += 1;
        }
    });
    assert!(compared > 0 || !golden::own("api"));
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
