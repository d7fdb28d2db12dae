//! Golden vectors that bind us (actuation A): the merge corpus. Status texts, create bodies and the merged text of
//! the nominal Pod stand beside the code that makes them.

use dormouse_machinery::patch::strategic;
use dormouse_machinery::schema;
use serde_json::{Value, json};

fn merged(base: Value, patch: Value) -> Value {
    strategic::apply(schema::kind("", "v1", "Pod").unwrap(), base, patch).unwrap()
}

/// Merges inside `spec.containers[0]`.
fn in_container(base: Value, patch: Value) -> Value {
    let pod = |mut container: Value| {
        container["name"] = json!("inference-server");
        json!({"spec": {"containers": [container]}})
    };
    let mut container = merged(pod(base), pod(patch))["spec"]["containers"][0].clone();
    container.as_object_mut().unwrap().remove("name");
    container
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn merge_corpus_in_a_container() {
    let env = |names: &[&str]| json!({"env": names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Vec<_>>()});
    let result = in_container(env(&["A", "B", "C"]), json!({"env": [{"name": "D", "value": "1"}, {"name": "B", "value": "x"}]}));
    assert_eq!(names(&result["env"]), ["D", "A", "B", "C"]);
    assert_eq!(result["env"][2]["value"], "x");
    let result = in_container(env(&["A", "B"]), json!({"env": [{"name": "A", "$patch": "delete"}]}));
    assert_eq!(names(&result["env"]), ["B"]);
    let from = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let result = in_container(env(&["A"]), json!({"env": [{"name": "A", "value": null, "valueFrom": from}]}));
    assert_eq!(result["env"], json!([{"name": "A", "valueFrom": from}]));
    let result = in_container(env(&["A"]), json!({"env": [{"$patch": "replace"}, {"name": "B"}]}));
    assert_eq!(result["env"], json!([{"name": "B"}]));
    let result = in_container(json!({"command": ["a", "b"], "args": ["x"]}), json!({"command": ["z"], "args": null}));
    assert_eq!(result, json!({"command": ["z"]}));
    let ports = json!({"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]});
    let result = in_container(ports, json!({"ports": [{"containerPort": 80, "name": "x"}]}));
    assert_eq!(result["ports"], json!([{"containerPort": 80, "protocol": "TCP", "name": "x"}, {"containerPort": 80, "protocol": "UDP"}]));
    let result = in_container(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}]}),
        json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}]}),
    );
    assert_eq!(result["volumeMounts"], json!([{"name": "w", "mountPath": "/a"}]));
}

#[test]
fn merge_corpus_in_the_spec() {
    let claim = json!({"claimName": "c"});
    let base = || json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let both = merged(base(), json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": claim}]}}));
    assert_eq!(both["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}, "persistentVolumeClaim": claim}]));
    let retained = json!({"name": "v", "persistentVolumeClaim": claim, "$retainKeys": ["name", "persistentVolumeClaim"]});
    let one = merged(base(), json!({"spec": {"volumes": [retained]}}));
    assert_eq!(one["spec"]["volumes"], json!([{"name": "v", "persistentVolumeClaim": claim}]));
    let secrets = |name: &str| json!({"spec": {"imagePullSecrets": [{"name": name}]}});
    assert_eq!(names(&merged(secrets("a"), secrets("b"))["spec"]["imagePullSecrets"]), ["b", "a"]);
    let tolerations = |key: &str| json!({"spec": {"tolerations": [{"key": key}]}});
    assert_eq!(merged(tolerations("T1"), tolerations("T2"))["spec"]["tolerations"], json!([{"key": "T2"}]));
    let containers = |items: Value| json!({"spec": {"containers": items}});
    let two = merged(containers(json!([{"name": "inference-server"}])), containers(json!([{"name": "side"}])));
    assert_eq!(names(&two["spec"]["containers"]), ["side", "inference-server"]);
    let none =
        merged(containers(json!([{"name": "inference-server"}])), containers(json!([{"name": "inference-server", "$patch": "delete"}])));
    assert_eq!(none["spec"]["containers"], json!([]));
}

#[test]
fn merge_corpus_in_the_metadata() {
    let labels =
        merged(json!({"metadata": {"labels": {"a": "1", "b": "2"}}}), json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}));
    assert_eq!(labels["metadata"]["labels"], json!({"c": "3"}));
    let finalizers =
        merged(json!({"metadata": {"finalizers": ["a", "b"]}}), json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}));
    assert_eq!(finalizers["metadata"]["finalizers"], json!(["b"]));
}

/// The order of a merged list (actuation 2.3, step 5).
#[test]
fn merge_order() {
    let list = |names: &str| json!({"spec": {"containers": names.chars().map(|c| json!({"name": c.to_string()})).collect::<Vec<_>>()}});
    for (patch, expected) in [("DB", "DABC"), ("BD", "ABDC"), ("CDB", "ACDB")] {
        let result = merged(list("ABC"), list(patch));
        assert_eq!(names(&result["spec"]["containers"]).concat(), expected, "{patch}");
    }
}
