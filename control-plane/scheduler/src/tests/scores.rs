//! What is better, and by how much.

use serde_json::{Value, json};

use super::*;
use crate::facts::PodFacts;
use crate::score::{Scores, scores};

/// The scores of all nodes, in the order of their names, for a Pod that is not there yet.
fn of(world: &World, pod: Value) -> Vec<Scores> {
    let object = both(json!({"metadata": {"name": "new", "namespace": "n"}, "spec": {"containers": []}}), pod);
    let pod = PodFacts::of(&serde_json::from_value(object).unwrap());
    let sight = world.cluster.sight();
    let nodes: Vec<_> = sight.nodes().collect();
    scores(&pod.wants, sight, &nodes)
}

fn on(node: &str, labels: Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"nodeName": node}})
}

#[test]
fn the_emptier_node_wins_and_ties_go_by_name() {
    let mut world = World::new(&["b", "a"]);
    assert_eq!(world.place("p", asks(json!({"cpu": "1"}))), Ok("a"));
    assert_eq!(world.place("q", asks(json!({"cpu": "1"}))), Ok("b"));
    // Finer than a hundredth.
    let mut world = World::new(&[]);
    for name in ["a", "b"] {
        world.node(name, json!({"status": {"allocatable": {"cpu": "1000", "pods": "1000"}}}));
    }
    assert_eq!(world.place("p", json!({})), Ok("a"));
    assert_eq!(world.place("q", json!({})), Ok("b"));
}

#[test]
fn room_is_that_of_the_scarcest() {
    let mut world = World::new(&["a"]);
    world.node("b", json!({"status": {"allocatable": {"cpu": "4", "pods": "100", "gpu": "2"}}}));
    world.pod("p", both(asks(json!({"gpu": "1"})), json!({"spec": {"nodeName": "b"}})));
    let room: Vec<_> = of(&world, asks(json!({"cpu": "1"}))).iter().map(|s| s.room).collect();
    assert_eq!(room, [75, 75]);
    let room: Vec<_> = of(&world, asks(json!({"cpu": "1", "gpu": "1"}))).iter().map(|s| s.room).collect();
    assert_eq!(room, [75, 0]);
}

#[test]
fn taints_and_preferred_nodes_are_scaled_to_the_most() {
    let mut world = World::new(&["a"]);
    let taint = |key: &str| json!({"key": key, "effect": "PreferNoSchedule"});
    world.node("b", json!({"spec": {"taints": [taint("x")]}, "metadata": {"labels": {"gpu": "h100"}}}));
    world.node("c", json!({"spec": {"taints": [taint("x"), taint("y")]}, "metadata": {"labels": {"gpu": "h100", "fast": ""}}}));
    let term = |weight: i32, key: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
    let pod = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term(30, "gpu"), term(60, "fast")]}}}});
    let scores = of(&world, pod);
    assert_eq!(scores.iter().map(|s| s.taints).collect::<Vec<_>>(), [100, 50, 0]);
    assert_eq!(scores.iter().map(|s| s.node_affinity).collect::<Vec<_>>(), [0, 33, 100]);
    let bears = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    assert!(of(&world, bears).iter().all(|s| (s.taints, s.node_affinity, s.spread, s.pod_affinity) == (100, 0, 0, 0)));
}

#[test]
fn near_and_apart_between_pods() {
    let mut world = World::new(&["a", "b", "c"]);
    let host = |app: &str| json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"});
    let preferred = |which: &str, weight: i32, app: &str| json!({"spec": {"affinity": {which: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": host(app)}]}}}});
    let scores = |world: &World, pod: Value| of(world, pod).iter().map(|s| s.pod_affinity).collect::<Vec<_>>();
    world.pod("db1", on("a", json!({"app": "db"})));
    world.pod("db2", on("a", json!({"app": "db"})));
    world.pod("db3", on("b", json!({"app": "db"})));
    assert_eq!(scores(&world, json!({})), [0, 0, 0]);
    assert_eq!(scores(&world, preferred("podAffinity", 10, "db")), [100, 50, 0]);
    assert_eq!(scores(&world, preferred("podAntiAffinity", 10, "db")), [0, 50, 100]);
    // What runs has wishes too: that it must be near counts one, what it prefers its weight.
    let web = || json!({"metadata": {"labels": {"app": "web"}}});
    let required = json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [host("web")]}}}});
    world.pod("must", both(on("b", json!({})), required));
    assert_eq!(scores(&world, web()), [0, 100, 0]);
    world.pod("likes", both(on("c", json!({})), preferred("podAffinity", 4, "web")));
    world.pod("dislikes", both(on("a", json!({})), preferred("podAntiAffinity", 4, "web")));
    assert_eq!(scores(&world, web()), [0, 62, 100]);
    assert_eq!(scores(&world, json!({})), [0, 0, 0]);
}

#[test]
fn spread_that_rather_holds() {
    let mut world = World::new(&["a", "b", "c"]);
    world.node("bare", json!({"metadata": {"labels": {"kubernetes.io/hostname": null}}}));
    for (name, node) in [("p", "a"), ("q", "a"), ("r", "b")] {
        world.pod(name, on(node, json!({"app": "s"})));
    }
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "s"}}});
    let scores: Vec<_> = of(&world, json!({"spec": {"topologySpreadConstraints": [constraint]}})).iter().map(|s| s.spread).collect();
    // ln(3 + 2) for each: 3.2, 1.6 and 0, rounded; a, b, bare, c.
    assert_eq!(scores, [0, 33, 0, 100]);
    assert_eq!(
        world.place("new", json!({"metadata": {"labels": {"app": "s"}}, "spec": {"topologySpreadConstraints": [constraint]}})),
        Ok("c")
    );
}

#[test]
fn pods_of_a_replica_set_are_spread_by_themselves() {
    let mut world = World::new(&["a", "b", "c"]);
    let owned = |kind: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": "r", "uid": "r", "controller": true}]}});
    // Room says a and c: b has nothing left to spare but is empty of the kind.
    world.pod("big", both(asks(json!({"cpu": "3"})), json!({"spec": {"nodeName": "b"}})));
    world.pod("r1", both(owned("ReplicaSet"), json!({"spec": {"nodeName": "a"}})));
    world.pod("r2", both(owned("ReplicaSet"), json!({"spec": {"nodeName": "c"}})));
    assert_eq!(world.place("r3", both(owned("ReplicaSet"), asks(json!({"cpu": "1"})))), Ok("b"));
    assert_eq!(world.place("d", both(owned("DaemonSet"), asks(json!({"cpu": "1"})))), Ok("a"), "not those of others");
}

#[test]
fn weights() {
    let mut world = World::new(&["a", "b"]);
    world.node("a", json!({"spec": {"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}, "metadata": {"labels": {"gpu": ""}}}));
    let prefers = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}}]}}}});
    assert_eq!(world.place("p", prefers), Ok("b"), "a taint weighs three, node affinity two");
}
