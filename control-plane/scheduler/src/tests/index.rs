//! Who is to be placed, and when again.

use dormouse_controller::{Change, Consistent, Index};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::index::Cluster;

fn pod(name: &str, uid: &str, more: Value) -> Pod {
    let object = json!({"metadata": {"name": name, "namespace": "n", "uid": uid}, "spec": {"containers": [], "schedulerName": "me"}});
    serde_json::from_value(both(object, more)).unwrap()
}

fn names(cluster: &mut Cluster) -> Vec<String> {
    cluster.next_due(99).iter().map(|pod| pod.name.clone()).collect()
}

fn taken(cluster: &Cluster, node: &str) -> i128 {
    cluster.sight().places.get(node).map_or(0, |place| place.taken.requested("pods"))
}

#[test]
fn priority_then_arrival_and_only_ours() {
    let mut c = Cluster::new("me".into());
    c.apply(pod("first", "1", json!({})));
    c.apply(pod("urgent", "2", json!({"spec": {"priority": 5}})));
    c.apply(pod("theirs", "3", json!({"spec": {"schedulerName": "other"}})));
    c.apply(pod("bound", "4", json!({"spec": {"nodeName": "n1"}})));
    assert_eq!(names(&mut c), ["urgent", "first"]);
    assert_eq!(c.next_due(1)[0].name, "urgent");
    c.apply(pod("first", "1", json!({"spec": {"priority": 9}})));
    assert_eq!(names(&mut c), ["first", "urgent"]);
    c.apply(pod("theirs", "3", json!({"spec": {"schedulerName": "other", "nodeName": "n1"}})));
    assert_eq!(taken(&c, "n1"), 2_000, "they count where they are bound");
    c.consistency_check().unwrap();
}

#[test]
fn a_binding_counts_until_it_is_seen_or_refused() {
    let mut c = Cluster::new("me".into());
    c.apply(pod("p", "1", json!({})));
    let p = c.next_due(1).remove(0);
    c.assume(&p, "n1".into());
    assert!(names(&mut c).is_empty() && taken(&c, "n1") == 1_000);
    c.apply(pod("p", "1", json!({"metadata": {"labels": {"a": "b"}}})));
    assert!(names(&mut c).is_empty(), "it stays assumed");
    assert!(!c.not_bound("n/p", "other", true), "not this Pod");
    assert!(c.not_bound("n/p", "1", true));
    assert_eq!(names(&mut c), ["p"]);
    c.assume(&p, "n1".into());
    assert!(!c.not_bound("n/p", "1", false));
    assert!(names(&mut c).is_empty() && c.sight().places.is_empty(), "refused, and the watch has not said why");
    c.apply(pod("p", "1", json!({})));
    assert_eq!(names(&mut c), ["p"]);
    // Another Pod of the same name begins anew.
    c.assume(&p, "n1".into());
    c.apply(pod("p", "2", json!({})));
    assert_eq!(names(&mut c), ["p"]);
    c.consistency_check().unwrap();
}

#[test]
fn a_reason_is_news_once() {
    let mut c = Cluster::new("me".into());
    c.apply(pod("p", "1", json!({})));
    let p = c.next_due(1).remove(0);
    assert!(c.keep_out(&p, "full") && !c.keep_out(&p, "full") && c.keep_out(&p, "tainted"));
    c.apply(pod("p", "1", json!({"spec": {"nodeName": "n1"}})));
    c.consistency_check().unwrap();
    c.reset(Vec::<Pod>::new());
    c.consistency_check().unwrap();
}

#[test]
fn gates_are_told_once_and_only_where_nobody_did() {
    let mut c = Cluster::new("me".into());
    let gated = |more: Value| both(json!({"spec": {"schedulingGates": [{"name": "g"}]}}), more);
    let told = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}});
    c.apply(pod("p", "1", gated(json!({}))));
    c.apply(pod("told", "2", gated(told.clone())));
    c.apply(pod("theirs", "3", gated(json!({"spec": {"schedulerName": "other"}}))));
    c.apply(pod("free", "4", json!({})));
    let take = |c: &mut Cluster| c.take_gated("gates").iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(take(&mut c), ["p"]);
    c.apply(pod("p", "1", gated(json!({"metadata": {"labels": {"a": "b"}}}))));
    assert!(take(&mut c).is_empty());
    c.apply(pod("p", "1", gated(told)));
    assert!(take(&mut c).is_empty() && names(&mut c) == ["free"]);
    c.apply(pod("p", "1", json!({})));
    assert_eq!(names(&mut c), ["free", "p"]);
    c.consistency_check().unwrap();
}

/// Pods that are kept out are looked at again when it may help, and not otherwise.
#[test]
fn who_is_kept_out_waits_for_what_may_help() {
    let mut world = World::new(&["a"]);
    world.pod("runs", both(asks(json!({"cpu": "3"})), json!({"spec": {"nodeName": "a"}})));
    world.pod("big", asks(json!({"cpu": "2"})));
    let near = json!({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "zone"});
    world.pod("near", json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}}}));
    assert_eq!(world.settle(), 2);
    let mut looks = |step: &mut dyn FnMut(&mut World)| {
        step(&mut world);
        world.settle()
    };
    assert_eq!(
        looks(&mut |w| w.pod("big", json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}))),
        0,
        "our own report"
    );
    assert_eq!(looks(&mut |w| w.pod("runs", json!({"status": {"phase": "Running"}}))), 0, "nothing became free");
    assert_eq!(looks(&mut |w| w.node("a", json!({"status": {"conditions": []}}))), 0, "a heartbeat");
    assert_eq!(looks(&mut |w| w.pod("big", json!({"metadata": {"labels": {"a": "b"}}}))), 1, "it changed itself");
    assert_eq!(looks(&mut |w| w.pod("more", json!({}))), 2, "a Pod was placed: who waits for others looks, who lacks room does not");
    assert_eq!(looks(&mut |w| w.pod("runs", json!({"metadata": {"labels": {"app": "x"}}}))), 2, "labels of one that holds something");
    assert_eq!(world.fate("near"), Ok("a"));
    world.pod("runs", json!({"status": {"phase": "Succeeded"}}));
    world.settle();
    assert_eq!(world.fate("big"), Ok("a"));
}

#[test]
fn nodes_come_and_go_under_their_pods() {
    let mut c = Cluster::new("me".into());
    let node = |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).unwrap();
    c.apply(pod("p", "1", json!({"spec": {"nodeName": "a"}})));
    assert_eq!(c.sight().nodes().count(), 0);
    c.reset(vec![node("a"), node("b")]);
    assert_eq!((c.sight().nodes().count(), taken(&c, "a")), (2, 1_000));
    c.delete(node("a"));
    assert_eq!((c.sight().nodes().count(), taken(&c, "a")), (1, 1_000), "the Pod is still bound");
    c.delete(pod("p", "1", json!({})));
    c.reset(Vec::<Node>::new());
    assert!(c.sight().places.is_empty());
    c.consistency_check().unwrap();
}

/// A thousand nodes and Pods with and without rules: what is seen of it is that the test ends.
#[test]
fn many_nodes_and_pods() {
    let mut c = Cluster::new("me".into());
    let node = |i: usize| json!({"metadata": {"name": format!("n{i:04}"), "labels": {"kubernetes.io/hostname": format!("n{i:04}")}}, "status": {"allocatable": {"cpu": "64", "pods": "110"}}});
    c.reset((0..1_000).map(|i| serde_json::from_value::<Node>(node(i)).unwrap()).collect());
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}]}}});
    let some = |i: usize| {
        if i.is_multiple_of(2) {
            both(asks(json!({"cpu": "1"})), json!({"metadata": {"labels": {"app": "a"}}, "spec": apart}))
        } else {
            asks(json!({"cpu": "1"}))
        }
    };
    c.reset((0..1_000).map(|i| pod(&format!("p{i:04}"), &format!("{i}"), some(i))).collect::<Vec<Pod>>());
    let mut placed = 0;
    while let Some(pod) = c.next_due(1).pop() {
        let node = c.decide(&pod).unwrap();
        c.assume(&pod, node);
        placed += 1;
    }
    assert_eq!(placed, 1_000);
    c.check_sums().unwrap();
    c.consistency_check().unwrap();
}

proptest! {
    /// Whatever happens in whatever order, the index is what it would be if built anew.
    #[test]
    fn it_stays_consistent(steps in prop::collection::vec((0_u8..12, 0_u8..4, 0_u8..2, 0_u8..6), 1..60)) {
        let mut c = Cluster::new("me".into());
        for (step, name, uid, kind) in steps {
            let more = match kind {
                0 => json!({"spec": {"nodeName": "n1"}}),
                1 => json!({"spec": {"nodeName": "n2"}, "status": {"phase": "Succeeded"}}),
                2 => json!({"spec": {"schedulingGates": [{"name": "g"}]}}),
                3 => json!({"metadata": {"labels": {"a": "b"}, "deletionTimestamp": "2024-01-01T00:00:00Z"}, "spec": {"nodeName": "n1"}}),
                4 => both(asks(json!({"cpu": "1", "memory": "0"})), json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {}, "topologyKey": "zone"}]}}}})),
                _ => json!({}),
            };
            let p = pod(&format!("p{name}"), &format!("{name}-{uid}"), more);
            let node: Node = serde_json::from_value(json!({"metadata": {"name": format!("n{name}"), "labels": {"zone": uid.to_string()}}})).unwrap();
            let ns: Namespace = serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"x": uid.to_string()}}})).unwrap();
            let _ = match step {
                0..=2 => Change::Apply(p).fold_into(&mut c),
                3 => Change::Delete(p).fold_into(&mut c),
                4 => Change::Reset(vec![p]).fold_into(&mut c),
                5 => Change::Apply(node).fold_into(&mut c),
                6 => Change::Delete(node).fold_into(&mut c),
                7 => Change::Reset(vec![node]).fold_into(&mut c),
                8 => Change::Apply(ns).fold_into(&mut c),
                9 => {
                    if let Some(p) = c.next_due(1).pop() {
                        match c.decide(&p) {
                            Ok(node) => c.assume(&p, node),
                            Err(why) => drop(c.keep_out(&p, &why.to_string())),
                        }
                    }
                    Vec::new()
                }
                10 => { c.take_gated("gates"); Vec::new() }
                _ => { c.not_bound(&format!("n/p{name}"), &format!("{name}-{uid}"), kind == 0); Vec::new() }
            };
            prop_assert_eq!(c.consistency_check(), Ok(()));
        }
    }
}
