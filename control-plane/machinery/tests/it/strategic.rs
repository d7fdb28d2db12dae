//! Strategic merge patch against recordings of the API machinery, and its properties.

use dormouse_machinery::patch::strategic;
use dormouse_machinery::schema::{self, TypeRef};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape};

fn type_of(kind: &str) -> TypeRef {
    schema::kind("", "v1", kind).unwrap()
}

/// (kind, original, patch, what should come of it) of every recording.
fn recorded_rows() -> Vec<(String, Value, Value, Value)> {
    let wanted = |case: &Value| case.get("result").unwrap_or(&case["error"]).clone();
    let kind = |case: &Value| case["kind"].as_str().unwrap().to_owned();
    let mut rows = Vec::new();
    for file in golden::of(Shape::Strategic) {
        let cases = file["cases"].as_array().unwrap().iter();
        rows.extend(cases.map(|case| (kind(case), file["originals"][kind(case)].clone(), case["patch"].clone(), wanted(case))));
    }
    // What `kubectl apply` computes from three objects and sends is such a patch too.
    let three_way = golden::cases(Shape::ThreeWay);
    rows.extend(three_way.iter().map(|case| (kind(case), case["current"].clone(), case["patch"].clone(), wanted(case))));
    rows
}

#[test]
fn recorded() {
    let mut failed = Vec::new();
    let rows = recorded_rows();
    for (i, (kind, original, patch, wanted)) in rows.iter().enumerate() {
        let got = match strategic::apply(type_of(kind), original.clone(), patch.clone()) {
            Ok(value) => value,
            Err(error) => Value::String(error.to_string()),
        };
        if got != *wanted {
            failed.push(format!("row {i}: {patch}\n  got    {got}\n  wanted {wanted}"));
        }
    }
    golden::said(&format!("strategic merge: {} rows, {} failed, 0 allowed differences", rows.len(), failed.len()));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Rows of the contract on actuation that the recording lacks: (base, patch, result) of a container.
#[test]
fn container_rows_of_the_contract() {
    let env = |rows: &[(&str, &str)]| Value::Array(rows.iter().map(|(name, value)| json!({"name": name, "value": value})).collect());
    let rows = [
        (
            json!({"env": env(&[("A", "1"), ("B", "2"), ("C", "3")])}),
            json!({"env": env(&[("D", "4"), ("B", "x")])}),
            json!({"env": env(&[("D", "4"), ("A", "1"), ("B", "x"), ("C", "3")])}),
        ),
        (
            json!({"env": env(&[("A", "1"), ("B", "2"), ("C", "3")])}),
            json!({"env": env(&[("B", "x"), ("D", "4")])}),
            json!({"env": env(&[("A", "1"), ("B", "x"), ("D", "4"), ("C", "3")])}),
        ),
        (
            json!({"env": env(&[("A", "1"), ("B", "2"), ("C", "3")])}),
            json!({"env": env(&[("C", "x"), ("D", "4"), ("B", "y")])}),
            json!({"env": env(&[("A", "1"), ("C", "x"), ("D", "4"), ("B", "y")])}),
        ),
        (
            json!({"env": env(&[("A", "1"), ("B", "2")])}),
            json!({"env": [{"name": "A", "$patch": "delete"}]}),
            json!({"env": env(&[("B", "2")])}),
        ),
        (
            json!({"env": env(&[("A", "1")])}),
            json!({"env": [{"name": "A", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
        ),
        (json!({"env": env(&[("A", "1")])}), json!({"env": [{"$patch": "replace"}, {"name": "B"}]}), json!({"env": [{"name": "B"}]})),
        (json!({"command": ["a", "b"], "args": ["x"]}), json!({"command": ["z"], "args": null}), json!({"command": ["z"]})),
        (
            json!({"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]}),
            json!({"ports": [{"containerPort": 80, "name": "x"}]}),
            json!({"ports": [{"containerPort": 80, "name": "x", "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]}),
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}]}),
            json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}]}),
            json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}]}),
        ),
        // A null survives inside a new element only.
        (json!({"env": []}), json!({"env": [{"name": "A", "value": null}]}), json!({"env": [{"name": "A", "value": null}]})),
        (json!({}), json!({"env": [{"name": "A", "value": null}]}), json!({"env": [{"name": "A"}]})),
        (json!({}), json!({"resources": {"limits": {"cpu": null, "memory": "1Gi"}}}), json!({"resources": {"limits": {"memory": "1Gi"}}})),
        (json!({}), json!({"bogus": "x"}), json!({"bogus": "x"})),
    ];
    let container = schema::named("k8s.io/api/core/v1.Container").unwrap();
    for (base, patch, result) in rows {
        assert_eq!(strategic::apply(container, base.clone(), patch.clone()), Ok(result), "{base} with {patch}");
    }
    let volume = |patch: Value| {
        let base = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
        strategic::apply(type_of("Pod"), base, json!({"spec": {"volumes": [patch]}})).unwrap()["spec"]["volumes"][0].clone()
    };
    let claim = json!({"claimName": "c"});
    assert_eq!(
        volume(json!({"name": "v", "persistentVolumeClaim": claim})),
        json!({"name": "v", "emptyDir": {}, "persistentVolumeClaim": claim})
    );
    assert_eq!(
        volume(json!({"name": "v", "persistentVolumeClaim": claim, "$retainKeys": ["name", "persistentVolumeClaim"]})),
        json!({"name": "v", "persistentVolumeClaim": claim})
    );
}

#[test]
fn errors_name_the_place() {
    let apply = |base: Value, patch: Value| strategic::apply(type_of("Pod"), base, patch).unwrap_err().to_string();
    assert_eq!(
        apply(json!({"spec": {"bogus": {"a": 1}}}), json!({"spec": {"bogus": {"b": 1}}})),
        "unable to find api field in struct PodSpec for the json field \"bogus\""
    );
    assert_eq!(apply(json!([]), json!({})), "invalid JSON document");
    assert_eq!(apply(json!({}), json!([])), "invalid JSON document");
    assert_eq!(
        apply(json!({"metadata": {}}), json!({"metadata": {"$setElementOrder/finalizers": 1}})),
        "expected a []interface {}, but received a int64"
    );
}

/// JSON that looks like parts of a Pod: names that the merge knows, directives, wrong types.
fn podlike() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..90).prop_map(Value::from),
        prop::sample::select(vec!["a", "b", "delete", "replace", "merge", "/v"]).prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "metadata",
        "spec",
        "containers",
        "name",
        "env",
        "value",
        "ports",
        "containerPort",
        "labels",
        "finalizers",
        "volumes",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/env",
        "$deleteFromPrimitiveList/finalizers",
        "emptyDir",
        "x",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn empty_patch_is_identity(original in podlike()) {
        prop_assume!(original.is_object());
        prop_assert_eq!(strategic::apply(type_of("Pod"), original.clone(), json!({})), Ok(original));
    }

    #[test]
    fn never_panics(original in podlike(), patch in podlike()) {
        drop(strategic::apply(type_of("Pod"), original, patch).map_err(|error| error.to_string()));
    }
}
