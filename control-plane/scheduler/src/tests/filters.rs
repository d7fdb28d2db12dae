//! Each filter with its words.

use serde_json::{Value, json};

use super::*;

fn spec(spec: Value) -> Value {
    json!({"spec": spec})
}

fn labelled(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}})
}

#[test]
fn no_node() {
    assert_eq!(World::new(&[]).place("p", json!({})), Err("no nodes available to schedule pods"));
    let mut world = World::new(&[]);
    world.pod("elsewhere", spec(json!({"nodeName": "gone"})));
    assert_eq!(world.place("p", json!({})), Err("no nodes available to schedule pods"), "a node of which only a Pod speaks is none");
}

#[test]
fn each_node_counts_under_the_first_filter_and_resources_all() {
    let mut world = World::new(&["a", "b"]);
    world.node("c", json!({"spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    world.node("d", json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}));
    world.node("e", json!({"status": {"allocatable": {"nvidia.com/gpu": "8"}}}));
    let asks = asks(json!({"cpu": "5", "nvidia.com/gpu": "3"}));
    assert_eq!(
        world.place("p", asks),
        Err(
            "0/5 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu, 3 Insufficient cpu."
        )
    );
}

#[test]
fn counts_are_sorted_as_text() {
    let names: Vec<String> = (0..11).map(|i| format!("n{i}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.node("x", json!({"spec": {"unschedulable": true}}));
    world.node("y", json!({"spec": {"unschedulable": true}}));
    assert_eq!(
        world.place("p", asks(json!({"cpu": "5"}))),
        Err("0/13 nodes are available: 11 Insufficient cpu, 2 node(s) were unschedulable.")
    );
}

#[test]
fn taints_need_tolerations() {
    let mut world = World::new(&[]);
    world.node("a", json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}));
    let with = |world: &mut World, toleration: Value| world.place("p", spec(json!({"tolerations": [toleration]}))).map(str::to_owned).ok();
    assert_eq!(with(&mut world, json!({"key": "k", "operator": "Gt", "value": "v"})), None, "unknown operators bear nothing");
    assert_eq!(with(&mut world, json!({"key": "k", "operator": "Equal", "value": "v"})), Some("a".to_owned()));
    world.node("a", json!({"spec": {"unschedulable": true, "taints": []}}));
    let bears = json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
    assert_eq!(world.place("q", spec(json!({"tolerations": bears}))), Ok("a"));
}

#[test]
fn nodes_that_a_pod_names() {
    let mut world = World::new(&["a", "b", "c"]);
    let named = |names: &[&str]| {
        let fields: Vec<_> = names.iter().map(|n| json!({"key": "metadata.name", "operator": "In", "values": [n]})).collect();
        spec(
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}}}),
        )
    };
    assert_eq!(world.place("p", named(&["b"])), Ok("b"));
    world.node("b", json!({"spec": {"unschedulable": true}}));
    assert_eq!(
        world.place("q", named(&["b"])),
        Err("0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].")
    );
    assert_eq!(world.place("r", named(&["a", "b"])), Err("0/3 nodes are available: pod affinity terms conflict."));
    assert_eq!(
        world.place("s", spec(json!({"nodeSelector": {"x": "y"}}))),
        Err("0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector.")
    );
}

#[test]
fn ports_by_protocol_and_address() {
    let mut world = World::new(&["a"]);
    let port =
        |more: Value| spec(json!({"containers": [{"name": "c", "ports": [both(json!({"containerPort": 80, "hostPort": 80}), more)]}]}));
    assert!(world.place("tcp", port(json!({"hostIP": "10.0.0.1"}))).is_ok());
    assert!(
        world.place("udp", port(json!({"protocol": "UDP"}))).is_ok() && world.place("other", port(json!({"hostIP": "10.0.0.2"}))).is_ok()
    );
    let full = Err("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
    assert_eq!(world.place("every", port(json!({}))), full);
    assert_eq!(
        world.place("network", spec(json!({"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}))),
        full
    );
    world.pod("tcp", json!({"status": {"phase": "Failed"}}));
    world.delete("other");
    world.settle();
    assert_eq!(world.fate("every"), Ok("a"), "who has ended holds no port");
}

#[test]
fn room_is_what_nobody_asked_for_or_holds() {
    let mut world = World::new(&[]);
    world.node("a", json!({"metadata": {"annotations": {"dormouse.dev/held": "{\"nvidia.com/gpu\": \"1\"}"}}, "status": {"allocatable": {"nvidia.com/gpu": "2", "pods": "2"}}}));
    let gpu = || asks(json!({"nvidia.com/gpu": "1"}));
    assert!(world.place("p", gpu()).is_ok());
    assert_eq!(world.place("q", gpu()), Err("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."));
    world.node("a", json!({"status": {"allocatable": {"nvidia.com/gpu": "2", "pods": "2"}}}));
    world.settle();
    assert_eq!(world.fate("q"), Ok("a"), "the leftovers have gone");
    assert_eq!(world.place("r", gpu()), Err("0/1 nodes are available: 1 Insufficient nvidia.com/gpu, 1 Too many pods."));
}

#[test]
fn what_cannot_be_judged_waits_and_says_so() {
    let mut world = World::new(&["a"]);
    let volume = spec(json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}));
    assert_eq!(world.place("p", volume), Err("0/1 nodes are available: persistentvolumeclaim \"data\" not found."));
    let odd = |more: Value| {
        spec(
            json!({"topologySpreadConstraints": [both(json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}), more)]}),
        )
    };
    let why = |what: &str| format!("0/1 nodes are available: topology spread constraint over zone: {what}.");
    assert_eq!(world.place("q", odd(json!({"whenUnsatisfiable": "Perhaps"}))), Err(&*why("whenUnsatisfiable \"Perhaps\" is not known")));
    assert_eq!(world.place("r", odd(json!({"nodeTaintsPolicy": "Perhaps"}))), Err(&*why("policy \"Perhaps\" is not known")));
    let selector = json!({"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
    assert_eq!(world.place("s", odd(selector.clone())), Err(&*why("\"Near\" is not a valid label selector operator")));
    let term = both(selector, json!({"topologyKey": "zone"}));
    assert_eq!(
        world.place("t", spec(json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}))),
        Err("0/1 nodes are available: parsing pod: requiredAffinityTerms: \"Near\" is not a valid label selector operator.")
    );
}

fn affinity(which: &str, terms: Value) -> Value {
    spec(json!({"affinity": {which: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}))
}

fn zone(app: &str) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "zone"})
}

fn zones() -> World {
    let mut world = World::new(&[]);
    for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        world.node(name, labelled(json!({"zone": zone})));
    }
    world.node("bare", labelled(json!({"zone": null})));
    world
}

/// A Pod bound by hand.
fn on(node: &str, app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"nodeName": node}})
}

#[test]
fn affinity_is_next_dues() {
    let mut world = zones();
    let near = || affinity("podAffinity", json!([zone("db")]));
    assert_eq!(world.place("p", near()), Err("0/4 nodes are available: 4 node(s) didn't match pod affinity rules."));
    world.pod("db", on("b1", "db"));
    world.settle();
    assert_eq!(world.fate("p"), Ok("b1"), "it is let in when whom it waits for comes");
    // All terms, by one Pod.
    world.pod("cache", on("a1", "cache"));
    let two = affinity("podAffinity", json!([zone("db"), zone("cache")]));
    assert!(world.place("q", two).unwrap_err().starts_with("0/4 nodes are available: 4 node(s) didn't match pod affinity rules"));
    world.pod("db", json!({"status": {"phase": "Succeeded"}}));
    assert!(world.place("r", near()).is_err(), "who has ended is nowhere");
}

#[test]
fn the_first_of_a_kind_is_let_in_where_the_labels_are() {
    let mut world = zones();
    let kin = |world: &mut World, name: &str| {
        world.place(name, both(labelled(json!({"app": "kin"})), affinity("podAffinity", json!([zone("kin")])))).unwrap().to_owned()
    };
    let first = kin(&mut world, "p");
    assert_ne!(first, "bare");
    for name in ["q", "r", "s"] {
        assert!(kin(&mut world, name).starts_with(&first[..1]), "the others follow");
    }
    // Whom somebody else's affinity means is no first of a kind.
    assert!(world.place("x", both(labelled(json!({"app": "x"})), affinity("podAffinity", json!([zone("none")])))).is_err());
}

#[test]
fn anti_affinity_of_the_one_and_of_the_others() {
    let mut world = zones();
    world.pod("db", on("a1", "db"));
    let apart = || affinity("podAntiAffinity", json!([zone("db")]));
    let p = world.place("p", apart()).unwrap().to_owned();
    assert!(p == "b1" || p == "bare", "a node without the label is no place");
    world.node("b1", json!({"spec": {"unschedulable": true}}));
    world.node("bare", json!({"spec": {"unschedulable": true}}));
    assert_eq!(
        world.place("q", apart()),
        Err("0/4 nodes are available: 2 node(s) didn't match pod anti-affinity rules, 2 node(s) were unschedulable.")
    );
    // Now the other way round: `p` is there already.
    let mut world = zones();
    world.pod("loner", both(on("a1", "loner"), affinity("podAntiAffinity", json!([zone("db")]))));
    for node in ["b1", "bare"] {
        world.node(node, json!({"spec": {"unschedulable": true}}));
    }
    assert_eq!(
        world.place("db", labelled(json!({"app": "db"}))),
        Err("0/4 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules, 2 node(s) were unschedulable.")
    );
    assert!(world.place("web", labelled(json!({"app": "web"}))).is_ok());
    world.delete("loner");
    world.settle();
    assert!(world.fate("db").is_ok());
}

#[test]
fn namespaces_of_terms() {
    let mut world = World::new(&["a"]);
    world.namespace("n", json!({}));
    world.namespace("m", json!({"team": "x"}));
    world.pod("db", both(on("a", "db"), json!({"metadata": {"namespace": "m"}})));
    let near = |more: Value| affinity("podAffinity", json!([both(zone("db"), more)]));
    assert!(world.place("own", near(json!({}))).is_err());
    assert!(world.place("listed", near(json!({"namespaces": ["m"]}))).is_ok());
    assert!(world.place("selected", near(json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}))).is_err());
    world.namespace("m", json!({"team": "y"}));
    world.settle();
    assert!(world.fate("selected").is_ok(), "labels of a namespace change");
}

fn spreading(more: Value) -> Value {
    let constraint =
        json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "s"}}});
    both(labelled(json!({"app": "s"})), spec(json!({"topologySpreadConstraints": [both(constraint, more)]})))
}

const SKEWED: &str = "node(s) didn't match pod topology spread constraints";

#[test]
fn skew_is_kept_over_domains() {
    let mut world = zones();
    let zone = |world: &mut World, name: &str| world.place(name, spreading(json!({}))).map(|n| n[..1].to_owned()).map_err(str::to_owned);
    let mut first: Vec<_> = ["p", "q"].map(|n| zone(&mut world, n).unwrap()).into();
    first.sort();
    assert_eq!(first, ["a", "b"]);
    world.node("b1", json!({"spec": {"unschedulable": true}}));
    assert_eq!(zone(&mut world, "r"), Ok("a".to_owned()));
    let why = format!("0/4 nodes are available: 1 {SKEWED} (missing required label), 1 node(s) were unschedulable, 2 {SKEWED}.");
    assert_eq!(zone(&mut world, "s"), Err(why.clone()));
    // Of another namespace, being deleted, or not meant: they do not count.
    world.pod("else", both(on("b1", "s"), json!({"metadata": {"namespace": "m"}})));
    world.pod("going", both(on("b1", "s"), json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}})));
    world.settle();
    assert_eq!(world.fate("s"), Err(&*why));
    world.pod("more", on("b1", "s"));
    world.settle();
    assert_eq!(world.fate("s").map(|n| &n[..1]), Ok("a"), "the least has one more");
}

#[test]
fn few_domains_make_the_least_none() {
    let mut world = zones();
    let place = |world: &mut World, name: &str| world.place(name, spreading(json!({"minDomains": 3}))).is_ok();
    assert!(place(&mut world, "p") && place(&mut world, "q"));
    assert!(!place(&mut world, "r"), "a third zone might come");
    world.node("c1", labelled(json!({"zone": "c"})));
    world.settle();
    assert_eq!(world.fate("r"), Ok("c1"));
}

#[test]
fn policies_choose_the_domains() {
    let world = || {
        let mut world = zones();
        world.node("b1", json!({"metadata": {"labels": {"zone": "b"}}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
        world.pod("p", on("a1", "s"));
        world
    };
    let place = |more: Value, pod: Value| world().place("q", both(spreading(more), pod)).map(|n| n[..1].to_owned()).map_err(str::to_owned);
    let a = Ok("a".to_owned());
    assert!(place(json!({}), json!({})).unwrap_err().contains(SKEWED), "zone b counts, and is out of reach");
    assert_eq!(place(json!({"nodeTaintsPolicy": "Honor"}), json!({})), a);
    let only_a = spec(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}}}));
    assert_eq!(place(json!({}), only_a.clone()), a);
    assert!(place(json!({"nodeAffinityPolicy": "Ignore"}), only_a).unwrap_err().contains(SKEWED));
}

#[test]
fn label_keys_make_groups_of_their_own() {
    let mut world = zones();
    world.pod("old", both(on("a1", "s"), labelled(json!({"hash": "1"}))));
    world.node("b1", json!({"spec": {"unschedulable": true}}));
    let of = |hash: &str| both(spreading(json!({"matchLabelKeys": ["hash"]})), labelled(json!({"hash": hash})));
    assert!(world.place("one", of("1")).is_err() && world.place("two", of("2")).is_ok());
}
