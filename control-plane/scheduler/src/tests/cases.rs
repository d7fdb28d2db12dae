//! Situations as manifests, played against the index.

use serde_json::{Value, json};

use super::*;

/// Makes the Pods of a manifest, those of a ReplicaSet as `<name>-<i>`.
fn play(world: &mut World, manifest: &str) {
    for object in dormouse_machinery::yaml::documents(manifest).unwrap() {
        let name = object["metadata"]["name"].as_str().unwrap();
        match object["kind"].as_str().unwrap() {
            "Pod" => world.pod(name, json!({"spec": object["spec"]})),
            "ReplicaSet" => {
                let template = &object["spec"]["template"];
                let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true}]);
                let metadata = both(template["metadata"].clone(), json!({"ownerReferences": owner}));
                for i in 0..object["spec"]["replicas"].as_u64().unwrap() {
                    world.pod(&format!("{name}-{i}"), json!({"metadata": metadata, "spec": template["spec"]}));
                }
            }
            other => panic!("{other}"),
        }
    }
    world.settle();
}

#[test]
fn two_pods_that_must_not_share_a_node() {
    let mut world = World::new(&["a"]);
    play(&mut world, include_str!("../../../../tests/cases/kubernetes/11-antiaffinity.yaml"));
    assert_eq!(world.fate("apart-0"), Ok("a"));
    assert_eq!(world.fate("apart-1"), Err("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."));
    world.node("b", json!({}));
    world.settle();
    assert_eq!(world.fate("apart-1"), Ok("b"));
}

#[test]
fn two_pods_that_want_the_same_port() {
    let mut world = World::new(&["a"]);
    play(&mut world, include_str!("../../../../tests/cases/kubernetes/12-hostport.yaml"));
    assert_eq!(world.fate("ports-0"), Ok("a"));
    assert_eq!(world.fate("ports-1"), Err("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."));
    world.delete("ports-0");
    world.settle();
    assert_eq!(world.fate("ports-1"), Ok("a"));
}

#[test]
fn rules_between_pods() {
    let mut world = World::new(&["two"]);
    world.node("one", json!({"metadata": {"labels": {"only": "one"}}}));
    play(&mut world, include_str!("../../../../tests/cases/kubernetes/36-scheduling.yaml"));
    assert_eq!(world.fate("lonely"), Err("0/2 nodes are available: 2 node(s) didn't match pod affinity rules."));
    let fates: Vec<_> = (0..4).map(|i| world.fate(&format!("spread-{i}"))).collect();
    let kept_out = "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod topology spread constraints.";
    assert_eq!(fates, [Ok("one"), Err(kept_out), Err(kept_out), Err(kept_out)]);
    assert_eq!((world.fate("gated"), world.fate("other-scheduler")), (Err("not looked at"), Err("not looked at")));
    let gated: Vec<_> = world.cluster.take_gated("gates").iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(gated, ["gated"]);
    // Whom the lonely one waits for comes, bound by hand.
    world.pod("nobody", json!({"metadata": {"labels": {"app": "nobody"}}, "spec": {"schedulerName": "mine", "nodeName": "two"}}));
    world.pod("gated", json!({"spec": {"schedulingGates": Value::Null}}));
    world.settle();
    assert_eq!((world.fate("lonely"), world.fate("gated").is_ok()), (Ok("two"), true));
}
