//! Protobuf bodies against recordings of the API machinery's encoder, and what garbage does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dormouse_machinery::protobuf::{self, Error};
use dormouse_machinery::{schema, strict};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape};

fn recordings() -> Vec<(Vec<u8>, Value)> {
    let row = |case: &Value| (STANDARD.decode(case["protobuf_base64"].as_str().unwrap()).unwrap(), case["json"].clone());
    golden::cases(Shape::Protobuf).iter().map(row).collect()
}

/// The recording says that empty members may be left out; numbers and booleans are never empty.
fn without_empty(value: &Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), without_empty(value))).filter(|(_, value)| !empty(value)).collect(),
        ),
        Value::Array(items) => items.iter().map(without_empty).collect(),
        scalar => scalar.clone(),
    }
}

#[test]
fn recorded() {
    let mut exact = 0;
    let rows = recordings();
    for (body, wanted) in &rows {
        let got = protobuf::decode(body).unwrap_or_else(|error| panic!("{}: {error}", wanted["kind"]));
        assert_eq!(without_empty(&got), without_empty(wanted), "{}", wanted["kind"]);
        exact += usize::from(got == *wanted);
    }
    golden::said(&format!("protobuf: {} rows, 0 failed, {exact} equal to the last member, empty ones included", rows.len()));
}

#[test]
fn json_and_protobuf_of_an_object_decode_to_the_same() {
    for (body, wanted) in recordings() {
        let ty = schema::of(wanted["apiVersion"].as_str().unwrap(), wanted["kind"].as_str().unwrap()).unwrap();
        assert_eq!(protobuf::decode(&body).unwrap(), strict::decode_value(ty, &wanted).unwrap().value, "{}", wanted["kind"]);
    }
}

fn tag(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [tag(1, api_version.as_bytes()), tag(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), tag(1, &meta), tag(2, raw)].concat()
}

#[test]
fn delete_options() {
    let preconditions = [tag(1, b"u"), tag(2, b"7")].concat();
    let raw = [vec![0x08, 0x1e], tag(2, &preconditions), vec![0x18, 0x00], tag(4, b"Foreground"), tag(5, b"All")].concat();
    let wanted = json!({
        "apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 30, "orphanDependents": false,
        "preconditions": {"uid": "u", "resourceVersion": "7"}, "propagationPolicy": "Foreground", "dryRun": ["All"],
    });
    assert_eq!(protobuf::decode(&body("apps/v1", "DeleteOptions", &raw)), Ok(wanted));
}

#[test]
fn numbers_packed_or_not() {
    let requirement = |values: &[u8]| {
        let ty = schema::named("k8s.io/api/batch/v1.PodFailurePolicyOnExitCodesRequirement").unwrap();
        protobuf::decode_message(ty, values).unwrap()["values"].clone()
    };
    let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(requirement(&[0x18, 1, 0x18, 2]), json!([1, 2]));
    assert_eq!(requirement(&[&[0x1a, 11, 1][..], &minus_one].concat()), json!([1, -1]));
}

#[test]
fn bad_bodies_say_what_is_wrong() {
    assert_eq!(protobuf::decode(b"{}"), Err(Error::Magic));
    assert_eq!(protobuf::decode(b"k8s"), Err(Error::Magic));
    assert!(matches!(protobuf::decode(b"k8s\0"), Err(Error::Kind { .. })));
    assert!(matches!(protobuf::decode(&body("v1", "Nonsense", b"")), Err(Error::Kind { kind, .. }) if kind == "Nonsense"));
    let encoded = [body("v1", "Pod", b""), tag(3, b"gzip")].concat();
    assert_eq!(protobuf::decode(&encoded), Err(Error::Content("gzip".to_owned())));
    assert_eq!(protobuf::decode(&body("v1", "Pod", &[0x08, 0x01])), Err(Error::WireType { wire: 0, field: "metadata" }));
    let quantity = tag(2, &[tag(1, b"cpu"), tag(2, &tag(1, b"1,5"))].concat());
    let ty = schema::named("k8s.io/api/core/v1.ResourceRequirements").unwrap();
    assert!(matches!(protobuf::decode_message(ty, &quantity), Err(Error::Value { field: "requests", .. })));
}

#[test]
fn size_is_bounded() {
    let schema = schema::named("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps").unwrap();
    let mut deep = Vec::new();
    for _ in 0..60 {
        // `not`, number 28, in itself; lengths stay below two bytes of varint for long enough.
        let length = deep.len();
        deep = [&[0xe2, 0x01][..], &[u8::try_from(length & 0x7f | 0x80).unwrap(), u8::try_from(length >> 7).unwrap()], &deep].concat();
    }
    assert!(protobuf::decode_message(schema, &deep).is_ok());
    for _ in 0..60 {
        let length = deep.len();
        deep = [&[0xe2, 0x01][..], &[u8::try_from(length & 0x7f | 0x80).unwrap(), u8::try_from(length >> 7).unwrap()], &deep].concat();
    }
    assert_eq!(protobuf::decode_message(schema, &deep), Err(Error::TooLarge));
    let many = [0x12, 0x00].repeat(200_000);
    let spec = schema::named("k8s.io/api/core/v1.PodSpec").unwrap();
    assert_eq!(protobuf::decode_message(spec, &many), Err(Error::TooLarge));
}

proptest! {
    #[test]
    fn garbage_never_panics(raw in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..1000) {
        let kinds = schema::builtin().kinds();
        let kind = &kinds[kind % kinds.len()];
        drop(protobuf::decode(&raw));
        drop(protobuf::decode_message(kind.ty, &raw).map_err(|error| error.to_string()));
    }

    #[test]
    fn broken_recordings_never_panic(row in 0usize..100, at in 0usize..10_000, byte in any::<u8>(), cut in any::<bool>()) {
        let rows = recordings();
        prop_assume!(!rows.is_empty());
        let mut body = rows[row % rows.len()].0.clone();
        let at = at % body.len();
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        drop(protobuf::decode(&body));
    }
}
