//! Strict decoding against recordings of a real API server, and its properties.

use dormouse_machinery::schema::{self, TypeRef};
use dormouse_machinery::strict::{self, Error};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape};

fn of(api_version: &str, kind: &str) -> TypeRef {
    schema::of(api_version, kind).unwrap()
}

fn refusal(ty: TypeRef, json: &str) -> String {
    match strict::decode(ty, json.as_bytes()) {
        Ok(decoded) => strict::message(&decoded.strict),
        Err(error) => error.to_string(),
    }
}

/// The rows are of custom resources; what is shared with them is wording, order and paths. Unknown members outside
/// the metadata are the business of structural schemas.
#[test]
fn recorded() {
    let meta = schema::named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
    let mut compared = 0;
    golden::follow(|_, step| {
        let message = step["response"]["message"].as_str().unwrap_or_default();
        let Some((_, errors)) = message.split_once("strict decoding error: ") else { return };
        if step["request"]["method"] == "PATCH" {
            return;
        }
        let expected = |prefix: &str| errors.split(", ").filter(|error| error.starts_with(prefix)).map(str::to_owned).collect::<Vec<_>>();
        let body = &step["request"]["body"];
        let (object, duplicates) = match body.as_str() {
            Some(text) => strict::parse_json(text.as_bytes()).unwrap(),
            None => strict::parse_json(body.to_string().as_bytes()).unwrap(),
        };
        let printed = |errors: Vec<strict::StrictError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(printed(duplicates), expected("duplicate field"), "{message}");
        let unknown = strict::check(meta, "metadata", &object["metadata"]).unwrap();
        assert_eq!(printed(unknown), expected("unknown field \"metadata."), "{message}");
        compared += 1;
    });
    golden::said(&format!("strict: {compared} recorded refusals, 0 failed"));
}

/// What the API server prints is what decoding leaves as it is.
#[test]
fn printed_objects_are_fixed_points() {
    for case in &golden::cases(Shape::Protobuf) {
        let object = &case["json"];
        let ty = of(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let decoded = strict::decode_value(ty, object).unwrap();
        assert_eq!(decoded.strict, []);
        assert_eq!(strict::decode_value(ty, &decoded.value).unwrap().value, decoded.value);
        assert_eq!(strict::decode(ty, object.to_string().as_bytes()).unwrap(), decoded);
    }
}

#[test]
fn strict_errors_in_the_order_of_the_document() {
    let pod = r#"{"kind":"Pod","spec":{"frobozz":1,"containers":[{"name":"a","image":"i","image":"j","x":{"y":1,"y":2}},{"name":"b","ports":[{"containerPort":1,"hostport":2}]}],
        "nodeSelector":{"a":"1","a":"2"},"frobozz":2},"metadata":{"labelz":{}},"spec":{}}"#;
    assert_eq!(
        refusal(of("v1", "Pod"), pod),
        "strict decoding error: unknown field \"spec.frobozz\", duplicate field \"spec.containers[0].image\", \
         unknown field \"spec.containers[0].x\", unknown field \"spec.containers[1].ports[0].hostport\", \
         duplicate field \"spec.nodeSelector.a\", unknown field \"metadata.labelz\", duplicate field \"spec\""
    );
    let many: Vec<String> = (0..300).map(|i| format!("\"f{i}\":1")).collect();
    let decoded = strict::decode(of("v1", "Pod"), format!("{{{}}}", many.join(",")).as_bytes()).unwrap();
    assert_eq!(decoded.strict.len(), 100);
    // A value that decodes itself hides what is inside.
    assert_eq!(refusal(of("apps/v1", "ControllerRevision"), r#"{"data":{"a":1,"a":2}}"#), "strict decoding error: ");
}

#[test]
fn wrong_types_in_the_words_of_go() {
    let pod = of("v1", "Pod");
    for (json, expected) in [
        (
            r#"{"spec":{"containers":"x"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (r#"{"spec":[]}"#, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        (r#"[]"#, "json: cannot unmarshal array into Go value of type v1.Pod"),
        (r#"{"kind":1}"#, "json: cannot unmarshal number into Go struct field Pod.TypeMeta.kind of type string"),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":{"labels":["a"]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (r#"{"spec":{"priority":"1"}}"#, "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32"),
        (
            r#"{"spec":{"priority":5000000000}}"#,
            "json: cannot unmarshal number 5000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (r#"{"spec":{"priority":1.5}}"#, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        (r#"{"spec":{"hostNetwork":1}}"#, "json: cannot unmarshal number into Go struct field PodSpec.spec.hostNetwork of type bool"),
        (
            r#"{"spec":{"volumes":[{"secret":1}]}}"#,
            "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.secret of type v1.SecretVolumeSource",
        ),
        (
            r#"{"spec":{"containers":[1]}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            r#"{"metadata":{"creationTimestamp":1}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            r#"{"spec":{"containers":[{"ports":"x","resources":{"limits":{"cpu":"x"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        assert_eq!(refusal(pod, json), expected, "{json}");
    }
    assert!(matches!(strict::decode(pod, b"{\"spec\":1"), Err(Error::Syntax(_))), "a syntax error outranks a type error");
    assert!(matches!(strict::decode(pod, b"{} {}"), Err(Error::Syntax(_))));
    let deep = "[".repeat(100_000);
    assert!(matches!(strict::parse_json(deep.as_bytes()), Err(Error::Syntax(_))));
}

#[test]
fn values_come_out_as_printed() {
    let given = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "", "labels": {"a": null}, "creationTimestamp": null},
        "spec": {
            "hostNetwork": false, "priority": 0, "nodeName": null, "bogus": 1,
            "containers": [{"name": "c", "args": [], "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    });
    let decoded = strict::decode_value(of("v1", "Pod"), &given).unwrap();
    assert_eq!(
        decoded.value,
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": {"a": ""}},
            "spec": {
                "priority": 0,
                "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
            "status": {},
        })
    );
    let mut pruned = given.clone();
    strict::prune(of("v1", "Pod"), &mut pruned);
    assert_eq!(pruned["spec"].get("bogus"), None);
    assert_eq!(pruned["spec"]["hostNetwork"], false);
}

#[test]
fn schemas_inside_custom_resource_definitions() {
    let ty = of("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let schema = json!({
        "type": "object", "maximum": 1.5, "default": {"a": [1, null]},
        "properties": {"a": {"type": "array", "items": {"type": "string"}}, "b": {"additionalProperties": true}},
        "additionalProperties": false, "dependencies": {"x": ["y"], "z": {"type": "object"}},
        "x-kubernetes-validations": [{"rule": "true"}],
    });
    let object = json!({"spec": {"group": "g", "names": {"kind": "K", "plural": "ks"}, "scope": "Namespaced",
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let decoded = strict::decode_value(ty, &object).unwrap();
    assert_eq!(decoded.strict, []);
    assert_eq!(decoded.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"], schema);
    let at = |schema: Value| {
        let spec = json!({"versions": [{"schema": {"openAPIV3Schema": schema}}]});
        refusal(ty, &json!({"spec": spec}).to_string())
    };
    assert_eq!(
        at(json!({"properties": {"a": {"tyype": "x"}}})),
        "strict decoding error: unknown field \"spec.versions[0].schema.openAPIV3Schema.properties.a.tyype\""
    );
    assert_eq!(at(json!({"items": {"tyype": "x"}})), "strict decoding error: ", "items decode themselves");
    assert_eq!(at(json!({"additionalProperties": 1})), "boolean or JSON schema expected");
}

/// JSON that looks like parts of built-in kinds.
fn objectlike() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..90).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "a", "1", "500m", "2026-01-02T03:04:05Z", "YQ==", "TCP"]).prop_map(Value::from),
    ];
    let names: Vec<&'static str> = ["Pod", "Deployment", "Job"]
        .iter()
        .zip(["v1", "apps/v1", "batch/v1"])
        .flat_map(|(kind, version)| {
            let schema::Shape::One(schema::Type::Struct(spec)) = of(version, kind).field("spec").unwrap().shape else { panic!() };
            of(version, kind).fields().iter().chain(spec.fields()).map(|field| field.name)
        })
        .chain(["name", "image", "ports", "limits", "resources", "template", "x"])
        .collect();
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(names.clone()).prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_is_idempotent(object in objectlike(), kind in 0..3usize) {
        let ty = [of("v1", "Pod"), of("apps/v1", "Deployment"), of("batch/v1", "Job")][kind];
        let bytes = object.to_string();
        let from_bytes = strict::decode(ty, bytes.as_bytes());
        let from_value = strict::decode_value(ty, &object);
        prop_assert_eq!(from_bytes.clone().map(|d| d.value), from_value.map(|d| d.value));
        if let Ok(first) = from_bytes {
            let again = strict::decode_value(ty, &first.value).unwrap();
            prop_assert_eq!(&again.value, &first.value);
            prop_assert_eq!(again.strict, vec![]);
        }
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}:,\"a1tnul ]{0,40}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            drop(strict::parse_json(input));
            drop(strict::decode(of("v1", "Pod"), input));
        }
    }

    #[test]
    fn untyped_parsing_agrees_with_the_plain_parser(object in objectlike()) {
        let (value, duplicates) = strict::parse_json(object.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&value, &serde_json::from_str::<Value>(&object.to_string()).unwrap());
        prop_assert_eq!(duplicates, vec![]);
    }
}
