//! What volumes hold.

use serde_json::json;

use super::*;

fn pod(volumes: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {"volumes": volumes, "containers": [{"name": "c"}]}
    }))
    .unwrap()
}

fn sources() -> Sources {
    let mut sources = Sources::default();
    sources
        .config_maps
        .insert("cm".into(), serde_json::from_value(json!({"data": {"k": "v", "k2": "v2"}, "binaryData": {"b": "AAE="}})).unwrap());
    sources.secrets.insert("s".into(), serde_json::from_value(json!({"data": {"t": "c2VjcmV0"}})).unwrap());
    sources
}

fn contents(volume: serde_json::Value) -> Result<Content, String> {
    let tokens = [(TokenWish { audience: None, expiration_seconds: 3607 }, "tok".to_owned())].into();
    let (sources, facts) = (sources(), FieldFacts::default());
    let with = Ingredients { sources: &sources, tokens: &tokens, facts: &facts, ca_pem: Some("PEM") };
    plan(&pod(json!([volume])), with).map(|mut p| p.remove(0).content).map_err(|e| e.why)
}

fn text(content: &Content) -> String {
    let Content::Files(files) = content else { return format!("{content:?}") };
    files.iter().map(|f| format!("{}={}:{:o} ", f.path, String::from_utf8_lossy(&f.bytes), f.mode)).collect()
}

#[test]
fn config_maps_and_secrets_with_items_and_modes() {
    assert_eq!(
        text(&contents(json!({"name": "v", "configMap": {"name": "cm", "defaultMode": 256}})).unwrap()),
        "b=\u{0}\u{1}:400 k=v:400 k2=v2:400 "
    );
    assert_eq!(
        text(&contents(json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "t", "path": "d/x", "mode": 384}]}})).unwrap()),
        "d/x=secret:600 "
    );
    assert_eq!(contents(json!({"name": "v", "configMap": {"name": "gone"}})).unwrap_err(), "configmap \"gone\" not found");
    assert_eq!(contents(json!({"name": "v", "configMap": {"name": "gone", "optional": true}})).unwrap(), Content::Files(vec![]));
    let missing = json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "zz", "path": "a"}]}});
    assert_eq!(contents(missing).unwrap_err(), "configmap references non-existent config key: zz");
    let missing = json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "zz", "path": "a"}]}});
    assert_eq!(contents(missing).unwrap_err(), "references non-existent secret key: zz");
    for (path, want) in [
        ("../a", "invalid path: must not contain '..': ../a"),
        ("..a", "invalid path: must not start with '..': ..a"),
        ("/a", "invalid path: must be relative path: /a"),
        ("", "invalid path: must not be empty: \"\""),
    ] {
        let bad = json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "k", "path": path}]}});
        assert_eq!(contents(bad).unwrap_err(), want);
    }
}

#[test]
fn other_sources() {
    assert_eq!(contents(json!({"name": "v", "emptyDir": {}})).unwrap(), Content::Empty);
    assert!(matches!(contents(json!({"name": "v", "hostPath": {"path": "/x"}})).unwrap(), Content::Host { .. }));
    let host = |path: &str| contents(json!({"name": "v", "hostPath": {"path": path}})).unwrap_err();
    assert_eq!(host("/x/../y"), "invalid HostPath `/x/../y`: must not contain '..'");
    assert!(host("x").contains("absolute"));
    let downward = json!({"name": "v", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}});
    assert_eq!(text(&contents(downward).unwrap()), "l=a=\"b\":644 ");
    assert!(contents(json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}})).unwrap_err().contains("not supported"));
}

#[test]
fn the_volume_of_the_service_account_is_made_of_three_files() {
    let pod = pod(json!([{"name": "kube-api-access-x7z", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}}]));
    assert_eq!(references(&pod).config_maps.into_iter().collect::<Vec<_>>(), [ROOT_CA]);
    let tokens = token_wishes(&pod).into_iter().map(|w| (w, "tok".to_owned())).collect();
    let (sources, facts) = (Sources::default(), FieldFacts::default());
    let with = |ca_pem| Ingredients { sources: &sources, tokens: &tokens, facts: &facts, ca_pem };
    assert_eq!(text(&plan(&pod, with(Some("PEM"))).unwrap()[0].content), "token=tok:644 ca.crt=PEM:644 namespace=ns:644 ");
    assert_eq!(text(&plan(&pod, with(None)).unwrap()[0].content), "token=tok:644 namespace=ns:644 ");
}

#[test]
fn hosts_file_has_the_pods_own_line_and_aliases() {
    let mut pod = pod(json!([]));
    pod.spec.as_mut().unwrap().host_aliases = serde_json::from_value(json!([{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])).unwrap();
    let text = hosts_file(&pod, "p", "127.16.1.2");
    assert!(text.contains("127.16.1.2\tp\n") && text.contains("1.2.3.4\ta\tb\n") && text.contains("127.0.0.1\tlocalhost\n"));
}

#[test]
fn every_source_that_lacks_something_is_named() {
    let sources = json!([{"configMap": {"name": "gone"}}, {"configMap": {"name": "cm"}}, {"secret": {"name": "away"}},
                         {"secret": {"name": "maybe", "optional": true}}]);
    let volume = json!({"name": "v", "projected": {"sources": sources}});
    assert_eq!(contents(volume).unwrap_err(), "[configmap \"gone\" not found, secret \"away\" not found]");
}

#[test]
fn what_one_volume_lacks_does_not_concern_the_others() {
    let pod = pod(json!([{"name": "a", "configMap": {"name": "gone"}}, {"name": "b", "configMap": {"name": "cm"}}]));
    let (sources, tokens, facts) = (sources(), BTreeMap::new(), FieldFacts::default());
    let with = Ingredients { sources: &sources, tokens: &tokens, facts: &facts, ca_pem: None };
    let found: Vec<bool> = each(&pod, with).map(|v| v.is_ok()).collect();
    assert_eq!(found, [false, true]);
    assert_eq!(plan(&pod, with).unwrap_err().to_string(), "MountVolume.SetUp failed for volume \"a\" : configmap \"gone\" not found");
}

#[test]
fn what_may_change_under_the_pod() {
    let pod = pod(json!([{"name": "a", "configMap": {"name": "cm"}}, {"name": "b", "configMap": {"name": "fixed"}},
                         {"name": "c", "secret": {"secretName": "gone"}}]));
    let mut sources = sources();
    sources.config_maps.insert("fixed".into(), serde_json::from_value(json!({"immutable": true})).unwrap());
    let left = without(references(&pod), &sources.immutable());
    assert_eq!((left.config_maps.into_iter().collect::<Vec<_>>(), left.secrets.len()), (vec!["cm".to_owned()], 1));
    assert!(!shows_metadata(&pod));
    let item = |path: &str| json!({"items": [{"path": "l", "fieldRef": {"fieldPath": path}}]});
    for (volume, want) in [
        (json!({"name": "d", "downwardAPI": item("metadata.labels")}), true),
        (json!({"name": "d", "downwardAPI": item("metadata.name")}), false),
        (json!({"name": "d", "projected": {"sources": [{"downwardAPI": item("metadata.annotations['x']")}]}}), true),
    ] {
        assert_eq!(shows_metadata(&super::tests::pod(json!([volume]))), want, "{volume}");
    }
}
