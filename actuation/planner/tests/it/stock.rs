//! Launchers in stock: creation, deletion, phases, stuck marks, take-over from the peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::action::{DeletePodReason, Do, Verb};
use dormouse_planner::ids::Uid;
use dormouse_planner::observe::{self, Observed};
use dormouse_planner::planned::LauncherPhase;
use dormouse_planner::{plan, template};
use serde_json::{Value, json};

use crate::fixtures::{calm, launchers, stocked, wait};
use crate::model::{Fault, Harness};

/// Names of deleted Pods with the reason, in order.
fn deletions(h: &Harness) -> Vec<(String, DeletePodReason)> {
    let deleted = |(_, action): &(_, dormouse_planner::Action)| match &action.what {
        Do::DeletePod { pod, reason, .. } => Some((pod.name.clone(), *reason)),
        _ => None,
    };
    h.trace.iter().filter_map(deleted).collect()
}

#[test]
fn as_many_as_wanted_and_never_more() {
    for (lag, fault) in [(0, None), (80, None), (0, Some(Fault::Lost)), (80, Some(Fault::Lost)), (0, Some(Fault::Dropped))] {
        let mut h = launchers(2, 2);
        h.lag = Duration::from_millis(lag);
        if let Some(fault) = fault {
            h.faults.verbs.insert(Verb::CreateLauncher, (fault, 2));
        }
        h.world.stock("lc", 5);
        calm(&mut h);
        assert_eq!(h.providers().len(), 5, "lag {lag} {fault:?}\n{}", h.story());
        assert!(deletions(&h).is_empty(), "never one too many: lag {lag} {fault:?}\n{}", h.story());
    }
}

#[test]
fn creation_is_bounded_and_waits_for_deletions() {
    let mut h = launchers(2, 2);
    h.world.stock("lc", 6);
    let plan = h.plan_now();
    assert_eq!(plan.actions.len(), 4);
    calm(&mut h);
    assert_eq!(h.providers().len(), 6);
    // One is on its way out: nothing is made before it is gone.
    h.world.pace.container_stop = Duration::from_secs(20);
    let leaving = h.providers()[0].clone();
    h.world.delete_by_name(&leaving);
    let made = h.count(Verb::CreateLauncher);
    wait(&mut h, 10_000);
    assert_eq!(h.count(Verb::CreateLauncher), made);
    calm(&mut h);
    assert_eq!(h.providers().len(), 6);
}

#[test]
fn the_count_is_a_total_and_bound_ones_are_never_deleted() {
    let mut h = stocked(3, 2, 2);
    h.wants("a", "GPU-0", "smol");
    h.wants("b", "GPU-1", "smol");
    h.wants("c", "GPU-2", "smol");
    calm(&mut h);
    assert_eq!(h.providers().len(), 3, "two from stock, one made for the third");
    h.world.stock("lc", 0);
    calm(&mut h);
    assert_eq!(h.providers().len(), 3);
    for name in ["a", "b", "c"] {
        h.delete(name);
    }
    assert!(h.providers().is_empty(), "unbound they are more than wanted");
}

#[test]
fn a16_a_new_template_replaces_idle_launchers_at_once() {
    let mut h = stocked(1, 2, 2);
    let old = h.providers();
    h.world.lc("lc", 2, "launcher:new");
    calm(&mut h);
    assert_eq!(h.providers().len(), 2);
    assert!(h.providers().iter().all(|name| !old.contains(name)));
    assert!(deletions(&h).iter().all(|(_, reason)| *reason == DeletePodReason::Stale));
}

#[test]
fn a16_max_instances_is_no_part_of_the_template() {
    let mut h = stocked(1, 2, 2);
    let old = h.providers();
    h.world.lc("lc", 5, "launcher:1");
    calm(&mut h);
    assert_eq!(h.providers(), old);
}

#[test]
fn a19_excess_goes_in_the_order_of_cost() {
    let mut h = stocked(3, 3, 5);
    let mut by_model: BTreeMap<&str, String> = BTreeMap::new();
    // One with two instances, two with one (used at different times), two without; of those one is not ready.
    for (name, gpu, isc) in [("x", "GPU-0", "smol"), ("y", "GPU-1", "qwen"), ("z", "GPU-2", "tiny")] {
        h.wants(name, gpu, isc);
    }
    calm(&mut h);
    for name in ["x", "y", "z"] {
        by_model.insert(name, h.provider(name));
    }
    for name in ["y", "z", "x"] {
        h.delete(name);
        wait(&mut h, 2_000);
    }
    h.world.isc("fourth", 8010, "--model fourth", json!({}), "lc");
    h.limits.sleepers_per_gpu = 3;
    let idle: Vec<String> = h.providers().into_iter().filter(|name| !by_model.values().any(|have| have == name)).collect();
    assert_eq!(idle.len(), 2);
    let unready = h.world.uid_of(&idle[1]).unwrap();
    if let crate::model::world::Program::Launcher { answers, .. } = &mut h.world.sims.get_mut(&unready).unwrap().program {
        *answers = false;
    }
    wait(&mut h, 5_000);
    let before = deletions(&h).len();
    for left in (0..5u32).rev() {
        h.world.stock("lc", left);
        wait(&mut h, 10_000);
    }
    let order: Vec<String> = deletions(&h)[before..].iter().map(|(name, _)| name.clone()).collect();
    let expected = [&idle[1], &idle[0], &by_model["y"], &by_model["z"], &by_model["x"]].map(Clone::clone);
    assert_eq!(order, expected, "not ready, empty, then by last use");
}

#[test]
fn a20_a_node_that_cannot_take_launchers_keeps_those_it_has() {
    for obstacle in ["cordon", "taint", "unready"] {
        let mut h = stocked(1, 2, 1);
        match obstacle {
            "cordon" => h.world.node.as_mut().unwrap()["spec"]["unschedulable"] = json!(true),
            "taint" => h.world.node.as_mut().unwrap()["spec"]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]),
            _ => h.world.node.as_mut().unwrap()["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]),
        }
        h.world.stock("lc", 3);
        calm(&mut h);
        assert_eq!(h.providers().len(), 1, "{obstacle}");
        // The peer makes them all the same.
        h.limits.populate_unschedulable_nodes = true;
        h.crash(std::time::Duration::from_millis(1));
        calm(&mut h);
        assert_eq!(h.providers().len(), 3, "{obstacle}");
    }
}

#[test]
fn a53_hands_off_while_the_config_is_missing_or_malformed() {
    for policy in [true, false] {
        let mut h = stocked(1, 2, 2);
        if !policy {
            h.world.policies.delete("lpp");
        }
        let lcs = &mut Arc::make_mut(&mut h.world.configs).lcs;
        lcs.get_mut("lc").unwrap().template = Err("container \"inference-server\" not found".to_owned());
        calm(&mut h);
        assert_eq!(h.providers().len(), 2);
        Arc::make_mut(&mut h.world.configs).lcs.remove("lc");
        calm(&mut h);
        assert_eq!(h.providers().len(), 2);
    }
}

#[test]
fn a_stuck_launcher_is_labelled_with_one_event_and_unlabelled_when_it_recovers() {
    let mut h = launchers(1, 2);
    h.limits.stuck_starting = Duration::from_secs(60);
    h.world.stock("lc", 1);
    wait(&mut h, 50);
    let name = h.providers()[0].clone();
    let uid = h.world.uid_of(&name).unwrap();
    h.world.sims.get_mut(&uid).unwrap().broken = true;
    wait(&mut h, 50_000);
    assert_eq!(h.label(&name, "dual-pods.llm-d.ai/launcher-stuck"), None);
    wait(&mut h, 600_000);
    assert_eq!(h.label(&name, "dual-pods.llm-d.ai/launcher-stuck"), Some("true"));
    assert_eq!(
        h.world.events,
        [(
            name.clone(),
            "LauncherStuck".to_owned(),
            "Launcher is stuck (stuck_starting); leaving it in place for investigation".to_owned(),
        )]
    );
    assert_eq!(h.providers().len(), 1, "left in place, not replaced");
    h.world.sims.get_mut(&uid).unwrap().broken = false;
    calm(&mut h);
    assert_eq!(h.label(&name, "dual-pods.llm-d.ai/launcher-stuck"), None);
    assert_eq!(h.world.events.len(), 1);
}

/// Bound or not, hash equal, other or absent, ready or not, young or old, scheduled or not.
#[test]
fn phases_in_all_combinations() {
    let mut h = launchers(1, 2);
    let lc = h.world.configs.lcs["lc"].clone();
    let made = template::on_node(lc.template.as_ref().unwrap(), &h.world.node_info());
    let state = h.state().clone();
    let created = state.node.name.len(); // any number
    assert!(created > 0);
    let t0: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for bits in 0..96u32 {
        let (bound, ready, scheduled, old) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 8 != 0);
        let hash = ["equal", "other", "absent"][usize::try_from((bits >> 4) % 3).unwrap()];
        let mut pod = made.clone();
        pod["metadata"]["name"] = json!("l");
        pod["metadata"]["uid"] = json!("l");
        pod["metadata"]["creationTimestamp"] = json!(t0.to_string());
        let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
        match hash {
            "other" => drop(annotations.insert("dual-pods.llm-d.ai/launcher-populator-template-hash".to_owned(), json!("dm1:x"))),
            "absent" => drop(annotations.remove("dual-pods.llm-d.ai/launcher-populator-template-hash")),
            _ => {}
        }
        if bound {
            annotations.insert("dual-pods.llm-d.ai/requester".to_owned(), json!("u n"));
        }
        let text = |holds: bool| if holds { "True" } else { "False" };
        pod["status"] = json!({"conditions": [
            {"type": "PodScheduled", "status": text(scheduled), "lastTransitionTime": t0.to_string()},
            {"type": "Ready", "status": text(ready), "lastTransitionTime": t0.to_string()},
        ]});
        let Some(Observed::Launcher(_, launcher)) = observe::pod(&Arc::new(pod)) else { panic!("a launcher") };
        let mut state = state.clone();
        state.launchers.insert(Uid::from("l"), *launcher);
        let limit = if scheduled { state.limits.stuck_starting } else { state.limits.stuck_scheduling };
        // Equality counts as stuck.
        let now = if old { t0 + limit } else { t0 + limit - Duration::from_secs(1) };
        let expected = match (bound, hash, ready, old, scheduled) {
            (true, ..) => LauncherPhase::Bound,
            (_, "other" | "absent", ..) => LauncherPhase::Stale,
            (_, _, true, ..) | (_, _, _, false, _) => LauncherPhase::Unbound,
            (_, _, _, _, true) => LauncherPhase::StuckStarting,
            (_, _, _, _, false) => LauncherPhase::StuckScheduling,
        };
        let facts = plan(&state, now).facts.launchers["lc"].clone();
        assert_eq!(facts.len(), 5, "all phases are always there");
        assert_eq!(facts[&expected], 1, "{bits:b} {hash}: {facts:?}");
    }
}

/// Makes the launchers look as if the peer had made them, under its own hashes and instance IDs.
fn as_the_peer_made_them(h: &mut Harness) {
    for name in h.providers() {
        h.world.edit(&name, |pod| {
            pod["metadata"]["annotations"]["dual-pods.llm-d.ai/launcher-config-hash"] =
                json!("r5V1CCDRDJP2nIhxAl2IrZltIhtBQM99Mbv2VaQV0Ks");
            pod["metadata"]["annotations"]["dual-pods.llm-d.ai/launcher-populator-template-hash"] =
                json!("6c3oSHL1HAa8B1Hg9/O1mAxw+YTxVI8rKDrh69AQi9g");
        });
        let uid = h.world.uid_of(&name).unwrap();
        if let crate::model::world::Program::Launcher { instances, .. } = &mut h.world.sims.get_mut(&uid).unwrap().program {
            *instances =
                std::mem::take(instances).into_values().map(|i| ("IoMQR9A6DxcI9egSszXYTh-9kpFAU7rpJ_olVmP5rhSki".to_owned(), i)).collect();
        }
    }
    h.crash(Duration::from_millis(10));
}

#[test]
fn sleepers_of_the_peer_are_woken_under_their_own_id() {
    let mut h = stocked(1, 2, 1);
    h.wants("r1", "GPU-0", "smol");
    calm(&mut h);
    h.delete("r1");
    h.populate = false;
    as_the_peer_made_them(&mut h);
    h.wants("r2", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r2");
    assert!(h.ready("r2"));
    assert_eq!(h.instance_id(&launcher), "IoMQR9A6DxcI9egSszXYTh-9kpFAU7rpJ_olVmP5rhSki");
    assert_eq!(h.count(Verb::CreateInstance), 1, "the peer's, not another one");
}

#[test]
fn launchers_of_the_peer_are_replaced_one_by_one_holders_of_sleepers_last() {
    let mut h = stocked(1, 2, 3);
    h.wants("r1", "GPU-0", "smol");
    calm(&mut h);
    let holder = h.provider("r1");
    h.delete("r1");
    as_the_peer_made_them(&mut h);
    wait(&mut h, 30);
    h.world.pace.container_stop = Duration::from_secs(1);
    calm(&mut h);
    let stale = deletions(&h);
    assert_eq!(stale.len(), 3);
    assert_eq!(stale[2].0, holder);
    assert_eq!(h.providers().len(), 3);
}

#[test]
fn objects_carry_what_the_peer_reads() {
    let mut h = stocked(1, 2, 1);
    let launcher = h.providers()[0].clone();
    let pod: Value = h.pod(&launcher).clone();
    assert_eq!(pod["metadata"]["labels"]["dual-pods.llm-d.ai/node-name"], "node-a");
    assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/component"], "launcher");
    assert_eq!(pod["spec"]["nodeSelector"]["kubernetes.io/hostname"], "node-a");
    assert!(pod["metadata"]["finalizers"].is_null());
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let annotations = h.pod(&launcher)["metadata"]["annotations"].clone();
    let uid = h.world.uid_of("r").unwrap();
    assert_eq!(annotations["dual-pods.llm-d.ai/requester"], format!("{uid} r"));
    assert_eq!(annotations["dual-pods.llm-d.ai/server-port"], "8005");
    assert_eq!(annotations["dual-pods.llm-d.ai/isc-routing-metadata"], r#"{"labels":{"routed":"smol"},"annotations":{"note":"routed"}}"#);
    assert_eq!(
        annotations["dual-pods.llm-d.ai/vllm-config"],
        r#"{"options":"--model smol --port 8005","gpu_uuids":["GPU-0"],"annotations":{"inference-port":"8005","isc-name":"smol"}}"#
    );
}
