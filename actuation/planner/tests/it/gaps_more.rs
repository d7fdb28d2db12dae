//! Gaps of the peer from gap `a21` on, and those that concern both controllers (actuation 8).

use std::time::Duration;

use dormouse_planner::action::{DeletePodReason, Do, Verb};
use serde_json::json;

use crate::fixtures::{PATCH, calm, launchers, node, stocked, wait};
use crate::model::{Fault, Harness};

#[test]
fn a21_changes_of_the_node_are_acted_on() {
    let mut h = launchers(1, 2);
    h.populate = false;
    h.wants("r", "GPU-0", "smol");
    h.world.refuse_pods = Some(("launcher-lc-".to_owned(), "the server is busy".to_owned()));
    wait(&mut h, 2_000);
    assert!(h.has("r"));
    h.world.node.as_mut().unwrap()["spec"]["unschedulable"] = json!(true);
    calm(&mut h);
    assert!(!h.has("r"), "cordoning releases a requester that waits");
    // A node that is away, and comes back.
    h.world.refuse_pods = None;
    let node = h.world.node.take();
    h.wants("s", "GPU-0", "smol");
    wait(&mut h, 5_000);
    assert!(h.has("s") && !h.ready("s"));
    h.world.node = node;
    h.world.node.as_mut().unwrap()["spec"]["unschedulable"] = json!(false);
    calm(&mut h);
    assert!(h.ready("s"));
}

#[test]
fn a22_the_deletion_on_a_cordoned_node_has_preconditions_and_is_repeated() {
    let mut h = node(1);
    h.world.node.as_mut().unwrap()["spec"]["unschedulable"] = json!(true);
    h.faults.verbs.insert(Verb::DeletePod, (Fault::Refused, 3));
    h.direct("r", "GPU-0");
    calm(&mut h);
    assert!(!h.has("r"));
    assert_eq!(h.count(Verb::DeletePod), 4);
    for (_, action) in h.trace.iter().filter(|(_, action)| action.key.verb == Verb::DeletePod) {
        let Do::DeletePod { pod, reason, .. } = &action.what else { panic!("{action:?}") };
        assert_eq!(*reason, DeletePodReason::NodeUnschedulable);
        assert!(!pod.uid.is_empty() && !pod.rv.is_empty());
    }
}

#[test]
fn a23_of_two_providers_bound_to_one_requester_the_serving_one_is_kept() {
    let mut h = stocked(1, 2, 2);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let serving = h.provider("r");
    let other = h.providers().into_iter().find(|name| *name != serving).unwrap();
    let bound = h.pod(&serving)["metadata"]["annotations"].clone();
    h.world.edit(&other, |pod| {
        for key in ["requester", "instance-id", "server-port", "vllm-config", "isc-routing-metadata"] {
            let key = format!("dual-pods.llm-d.ai/{key}");
            pod["metadata"]["annotations"][&key] = bound[&key].clone();
        }
        pod["metadata"]["finalizers"] = json!(["dual-pods.llm-d.ai/provider"]);
    });
    h.run(Duration::from_secs(60));
    assert_eq!(h.provider("r"), serving);
    assert!(h.ready("r"));
    assert!(h.annotation(&other, "requester").is_none());
    assert!(h.pod(&other)["metadata"]["finalizers"].is_null());
}

#[test]
fn a24_an_edited_patch_is_looked_at_again() {
    let mut h = node(1);
    let invalid = "Pod \"r-dual-x\" is invalid: spec.containers[0].image: Invalid value";
    h.world.refuse_pods = Some(("\"image\":\"wrong\"".to_owned(), invalid.to_owned()));
    h.direct_with("r", "GPU-0", &PATCH.replace("image: vllm", "image: wrong"));
    wait(&mut h, 60_000);
    assert_eq!(h.errors("r"), [format!("the nominal server-providing {invalid}")]);
    assert_eq!(h.count(Verb::CreateDirect), 1, "an invalid Pod is not tried again");
    h.world.edit("r", |pod| pod["metadata"]["annotations"]["dual-pods.llm-d.ai/server-patch"] = json!(PATCH));
    calm(&mut h);
    assert!(h.ready("r"));
}

#[test]
fn a27_a_provider_that_has_not_started_is_deleted_not_unbound() {
    let mut h = node(1);
    h.world.pace.container_start = Duration::from_secs(5);
    h.direct("r", "GPU-0");
    wait(&mut h, 5_200);
    let provider = h.provider("r");
    assert!(h.pod(&provider)["status"]["podIP"].is_null());
    h.delete("r");
    assert!(!h.has("r") && !h.has(&provider));
    assert_eq!(h.count(Verb::Unbind), 0);
}

#[test]
fn a44_a_requester_that_has_ended_releases_its_provider() {
    let mut h = node(1);
    h.direct("r1", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r1");
    h.world.evict("r1");
    h.direct("r2", "GPU-0");
    calm(&mut h);
    assert!(h.ready("r2"));
    assert_eq!(h.provider("r2"), provider);
    assert!(h.pod("r1")["metadata"]["finalizers"].is_null());
}

#[test]
fn a45_the_sleeper_limit_never_takes_what_is_awake_or_bound() {
    let mut h = node(1);
    h.limits.sleepers_per_gpu = 0;
    h.direct("r1", "GPU-0");
    calm(&mut h);
    let running = h.provider("r1");
    // Another requester for the same GPU, which cannot be.
    h.direct_with("r2", "GPU-0", &PATCH.replace("granite", "other"));
    wait(&mut h, 60_000);
    assert!(h.ready("r1"));
    assert_eq!(h.providers(), std::slice::from_ref(&running));
    assert_eq!(h.errors("r2"), [format!("waiting for GPU GPU-0, which an engine of {running} is not known to have released")]);
    h.delete("r1");
    assert!(h.ready("r2"));
    assert!(!h.has(&running), "asleep and unbound it may go");
}

#[test]
fn a52_a_gpu_is_occupied_until_its_last_engine_sleeps() {
    // The scheduler gives the GPU away as soon as the stub has ended: the next requester comes at once.
    let mut h = node(1);
    h.direct("r1", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r1");
    h.effort = Duration::from_secs(3);
    h.world.delete_by_name("r1");
    h.direct("r2", "GPU-0");
    calm(&mut h);
    assert!(h.ready("r2"));
    assert_eq!(h.provider("r2"), provider);
    let first = |verb: Verb| h.trace.iter().position(|(_, action)| action.key.verb == verb).unwrap();
    assert!(first(Verb::Sleep) < first(Verb::Unbind) && first(Verb::Unbind) < first(Verb::Bind), "not stolen while it is bound");
    assert_eq!(h.count(Verb::CreateDirect), 1);
    // Launcher flow, two launchers: no second engine beside an awake one. The model checks it throughout.
    let mut h = stocked(1, 2, 2);
    h.wants("r1", "GPU-0", "smol");
    calm(&mut h);
    h.effort = Duration::from_secs(3);
    h.world.delete_by_name("r1");
    h.wants("r2", "GPU-0", "qwen");
    calm(&mut h);
    assert!(h.ready("r2"));
}

#[test]
fn a29_a_routing_label_that_drifted_is_repaired() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    h.crash(Duration::from_millis(10));
    h.world.edit(&launcher, |pod| pod["metadata"]["labels"]["routed"] = json!("drifted"));
    calm(&mut h);
    assert!(h.has("r"));
    assert_eq!(h.label(&launcher, "routed"), Some("smol"));
}

#[test]
fn a33_the_path_of_an_actuation_is_what_was_done() {
    let path = |h: &Harness, requester: &str| {
        h.trace.iter().find_map(|(_, action)| match &action.what {
            Do::Relay { requester: pod, first: Some(first), .. } if pod.name == requester => Some((first.path.as_str(), first.deleted)),
            _ => None,
        })
    };
    let mut h = launchers(1, 1);
    h.populate = false;
    for (name, isc, expected) in [("a", "smol", ("cold", 0)), ("b", "smol", ("hot", 0)), ("c", "qwen", ("warm", 1))] {
        h.wants(name, "GPU-0", isc);
        calm(&mut h);
        assert_eq!(path(&h, name), Some(expected), "{name}");
        h.delete(name);
    }
    h.direct("d", "GPU-0");
    calm(&mut h);
    assert_eq!(path(&h, "d"), Some(("cold", 0)));
}

#[test]
fn a37_ipv6_addresses_are_bracketed() {
    assert_eq!(dormouse_planner::action::base_url("fd00::1", 8081), "http://[fd00::1]:8081");
    assert_eq!(dormouse_planner::action::base_url("10.0.0.1", 80), "http://10.0.0.1:80");
}

#[test]
fn a40_contradictory_requesters_are_told_so() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    h.world.edit("r", |pod| pod["metadata"]["annotations"]["dual-pods.llm-d.ai/inference-server-config"] = json!("smol"));
    calm(&mut h);
    assert!(h.errors("r")[0].ends_with("exclude each other"), "{:?}", h.errors("r"));
    assert!(h.providers().is_empty());
}

/// Gaps `a12` and `a49` for engines that end by themselves: the configuration is wrong, and each new requester would start the engine again.
#[test]
fn an_engine_that_ends_at_its_start_is_started_again_with_growing_pauses() {
    let mut h = stocked(1, 2, 1);
    let launcher = h.providers().remove(0);
    let quick = std::mem::replace(&mut h.world.pace.engine_start, Duration::from_secs(3600));
    let mut died = None;
    let mut pauses = Vec::new();
    for n in 0..6 {
        let name = format!("r{n}");
        h.wants(&name, "GPU-0", "smol");
        let mut shown = Vec::new();
        while h.instances(&launcher).is_empty() {
            wait(&mut h, 20);
            shown.extend(h.errors(&name));
        }
        if let Some(died) = died {
            pauses.push(h.world.now.duration_since(died).as_millis());
            let said = |e: &String| e.contains("ended before it could serve") && e.contains(&format!("launcher Pod {launcher:?}"));
            assert!(shown.iter().any(said), "the status of {name} says why it waits: {shown:?}");
        }
        let id = h.instance_id(&launcher);
        h.world.kill_instance(&launcher, &id);
        died = Some(h.world.now);
        while h.has(&name) {
            wait(&mut h, 20);
        }
        let told = |action: &dormouse_planner::action::Action| action.event.as_ref().is_some_and(|e| e.reason == "InstanceEnded");
        assert!(h.trace.iter().any(|(_, action)| told(action)));
    }
    for (pause, least) in pauses.iter().zip([1_000, 2_000, 4_000, 8_000, 16_000]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    // Once it answers, all is forgiven: the death of an engine that served is no failed start.
    h.world.pace.engine_start = quick;
    h.wants("well", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("well") && h.errors("well").is_empty());
    let id = h.instance_id(&launcher);
    h.world.kill_instance(&launcher, &id);
    calm(&mut h);
    h.wants("next", "GPU-0", "smol");
    wait(&mut h, 5_000);
    assert!(h.ready("next"));
}

/// Gap `a12`: an engine without vLLM's development mode has no `/is_sleeping`.
#[test]
fn an_engine_that_refuses_to_say_whether_it_sleeps_is_a_problem_of_its_requesters() {
    for launcher in [false, true] {
        let mut h = stocked(1, 2, 1);
        h.world.refuse_sleep_queries = Some("404 Not Found".to_owned());
        if launcher {
            h.wants("r", "GPU-0", "smol");
        } else {
            h.direct("r", "GPU-0");
        }
        wait(&mut h, 60_000);
        let errors = h.errors("r");
        assert!(errors.len() == 1 && errors[0].contains("does not tell whether it sleeps"), "{errors:?}");
        let writes = h.count(Verb::SetRequester);
        wait(&mut h, 600_000);
        assert_eq!(h.count(Verb::SetRequester), writes, "said once");
        h.world.refuse_sleep_queries = None;
        calm(&mut h);
        assert!(h.ready("r") && h.errors("r").is_empty());
    }
}
