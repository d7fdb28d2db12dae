//! What holds whatever the cluster is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::filter::Filters;

const APPS: [&str; 3] = ["x", "y", "z"];

/// A node: zone, CPUs, whether it is tainted.
fn node((zone, cpus, tainted): &(u8, u8, bool)) -> Value {
    let taints = if *tainted { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
    json!({"metadata": {"labels": {"zone": format!("z{zone}")}}, "status": {"allocatable": {"cpu": cpus.to_string()}}, "spec": {"taints": taints}})
}

/// A Pod: its app, the app its rule means, the rule, CPUs.
fn pod((app, other, rule, cpus): &(usize, usize, u8, u8)) -> Value {
    let selector = json!({"matchLabels": {"app": APPS[*other]}});
    let term = json!({"labelSelector": selector, "topologyKey": "zone"});
    let required = |which: &str| json!({"affinity": {which: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let preferred = |which: &str| json!({"affinity": {which: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": term}]}}});
    let spread = |when: &str| json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when, "labelSelector": selector}]});
    let rule = match rule {
        0 => required("podAffinity"),
        1 => required("podAntiAffinity"),
        2 => preferred("podAffinity"),
        3 => preferred("podAntiAffinity"),
        4 => spread("DoNotSchedule"),
        5 => spread("ScheduleAnyway"),
        6 => json!({"tolerations": [{"operator": "Exists"}]}),
        _ => {
            json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}], "resources": {"requests": {"cpu": cpus.to_string()}}}]})
        }
    };
    let base = both(asks(json!({"cpu": cpus.to_string()})), json!({"metadata": {"labels": {"app": APPS[*app]}}}));
    both(base, json!({"spec": rule}))
}

fn fates(world: &World) -> Vec<Result<String, String>> {
    world.pods.keys().map(|name| world.fate(name).map(str::to_owned).map_err(str::to_owned)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The order in which nodes come changes nothing; what is chosen passes every filter and leaves no node with too much; a
    /// Pod that is kept out passes on no node; a Pod that nothing is about changes nothing.
    #[test]
    fn decisions_are_sound(
        nodes in prop::collection::vec((0_u8..3, 1_u8..5, prop::bool::weighted(0.2)), 1..6),
        pods in prop::collection::vec((0..APPS.len(), 0..APPS.len(), 0_u8..9, 0_u8..3), 1..12),
    ) {
        let build = |order: &mut dyn Iterator<Item = usize>| {
            let mut world = World::new(&[]);
            order.for_each(|i| world.node(&format!("n{i}"), node(&nodes[i])));
            world
        };
        let (mut there, mut back) = (build(&mut (0..nodes.len())), build(&mut (0..nodes.len()).rev()));
        // Somebody who is about nothing and asks for nothing, on a node that is not there.
        let mut beside = build(&mut (0..nodes.len()));
        beside.pod("stranger", json!({"metadata": {"namespace": "m"}, "spec": {"nodeName": "gone"}}));
        for (i, facts) in pods.iter().enumerate() {
            let name = format!("p{i:02}");
            for world in [&mut there, &mut back, &mut beside] {
                world.pod(&name, pod(facts));
            }
            let due = there.cluster.next_due(99);
            for due in due {
                let passing: Vec<String> = {
                    let sight = there.cluster.sight();
                    let (filters, mut why) = (Filters::new(&due, sight), BTreeMap::new());
                    sight.nodes().filter(|(n, taken)| filters.pass(n, taken, &mut why)).map(|(n, _)| n.name.clone()).collect()
                };
                match there.cluster.decide(&due) {
                    Ok(chosen) => prop_assert!(passing.contains(&chosen)),
                    Err(why) => prop_assert!(passing.is_empty(), "{why}: {passing:?}"),
                }
            }
            there.settle();
            back.settle();
            beside.settle();
        }
        prop_assert_eq!(fates(&there), fates(&back));
        let beside: Vec<_> = fates(&beside).into_iter().take(pods.len()).collect();
        prop_assert_eq!(fates(&there), beside);
        let mut asked: BTreeMap<String, u32> = BTreeMap::new();
        for (fate, (.., cpus)) in fates(&there).iter().zip(&pods) {
            if let Ok(node) = fate {
                *asked.entry(node.clone()).or_default() += u32::from(*cpus);
            }
        }
        for (node, asked) in asked {
            let i: usize = node[1..].parse().unwrap();
            prop_assert!(asked <= u32::from(nodes[i].1));
        }
    }
}
