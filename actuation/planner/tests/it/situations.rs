//! One test for each situation (actuation 3.13). Rows that describe a gap expect the better behaviour.

use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::action::Verb;
use serde_json::json;

use crate::fixtures::{calm, launchers, node, stocked, wait};
use crate::model::Harness;

fn serving() -> (Harness, String) {
    let mut h = stocked(2, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r"));
    let launcher = h.provider("r");
    (h, launcher)
}

#[test]
fn requester_deleted_by_user() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    assert!(!h.pod("r")["metadata"]["finalizers"].is_null());
    h.delete("r");
    assert!(!h.has("r"));
    assert!(h.pod(&provider)["metadata"]["finalizers"].is_null(), "the provider stays without finalizer");
    assert_eq!(h.label(&provider, "dual-pods.llm-d.ai/sleeping"), Some("true"));
    assert!(h.world.engines()[0].1.sleeping);
    h.direct("again", "GPU-0");
    calm(&mut h);
    assert_eq!(h.provider("again"), provider);
}

#[test]
fn requester_deleted_whose_instance_is_obsolete() {
    let (mut h, launcher) = serving();
    h.world.isc("smol", 8005, "--model changed", json!({}), "lc");
    calm(&mut h);
    assert_eq!(h.instances(&launcher), [("smol".to_owned(), false)], "a serving instance is left alone");
    h.delete("r");
    assert!(h.instances(&launcher).is_empty());
    assert_eq!(h.count(Verb::Sleep), 0, "deleted, not slept");
}

#[test]
fn provider_deleted_by_user() {
    for launcher_based in [false, true] {
        let mut h = stocked(1, 2, 0);
        if launcher_based {
            h.wants("r", "GPU-0", "smol");
        } else {
            h.direct("r", "GPU-0");
        }
        calm(&mut h);
        let provider = h.provider("r");
        h.delete(&provider);
        assert!(!h.has("r") && !h.has(&provider));
        let requester = h.trace.iter().position(|(_, a)| a.key.verb == Verb::DeletePod).unwrap();
        let finalizer = h.trace.iter().position(|(_, a)| a.key.verb == Verb::DropProviderFinalizer).unwrap();
        assert!(requester < finalizer, "the requester first, then the finalizer");
    }
}

#[test]
fn both_deleted_while_controller_is_down() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    h.crash(Duration::from_secs(60));
    h.world.delete_by_name("r");
    h.world.delete_by_name(&provider);
    wait(&mut h, 30_000);
    assert!(h.has("r") && h.has(&provider), "finalizers hold them");
    calm(&mut h);
    assert!(!h.has("r") && !h.has(&provider));
}

#[test]
fn provider_force_removed_while_bound() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    h.world.force_remove(&provider);
    calm(&mut h);
    assert!(h.ready("r"));
    assert_ne!(h.provider("r"), provider);
}

#[test]
fn provider_cannot_be_started() {
    let told = "container \"inference-server\" does not start: ErrImagePull: no such image";
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    h.world.stick(&provider, "ErrImagePull", "no such image");
    calm(&mut h);
    assert_eq!(h.errors("r"), [format!("server-providing Pod {provider:?}: {told}")]);

    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    while h.world.providers_of("r").is_empty() {
        wait(&mut h, 1);
    }
    let launcher = h.provider("r");
    h.world.stick(&launcher, "ErrImagePull", "no such image");
    wait(&mut h, 100);
    assert_eq!(h.errors("r"), [format!("waiting for launcher Pod {launcher:?}: {told}")]);
}

#[test]
fn launcher_container_restarts() {
    for crash in [false, true] {
        let (mut h, launcher) = serving();
        if crash {
            h.crash(Duration::from_millis(200));
        }
        h.world.restart(&launcher);
        calm(&mut h);
        assert!(!h.has("r"), "its set makes a new one");
        assert!(h.world.engines().is_empty());
        h.wants("r2", "GPU-0", "smol");
        calm(&mut h);
        assert!(h.ready("r2"));
    }
}

#[test]
fn instance_dies() {
    let (mut h, launcher) = serving();
    let id = h.instance_id(&launcher);
    h.world.kill_instance(&launcher, &id);
    calm(&mut h);
    assert!(!h.has("r"));
    assert!(h.instances(&launcher).is_empty());
    assert_eq!(h.label(&launcher, "routed"), None);
    assert_eq!(h.count(Verb::Sleep), 0);
    h.wants("r2", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r2"));
    assert_eq!(h.provider("r2"), launcher, "the launcher is used again");
}

#[test]
fn isc_edited_while_instance_sleeps() {
    let (mut h, launcher) = serving();
    h.delete("r");
    assert_eq!(h.instances(&launcher).len(), 1);
    h.world.isc("smol", 8005, "--model changed", json!({}), "lc");
    calm(&mut h);
    assert!(h.instances(&launcher).is_empty());
}

#[test]
fn isc_edited_while_instance_is_awake() {
    let (mut h, launcher) = serving();
    let before = h.trace.len();
    h.world.isc("smol", 8005, "--model changed", json!({"routed": "elsewhere"}), "lc");
    calm(&mut h);
    assert!(h.ready("r"));
    assert_eq!(h.label(&launcher, "routed"), Some("smol"), "the binding keeps what it recorded");
    assert_eq!(h.trace.len(), before, "nothing is done");
}

#[test]
fn isc_routing_edited_while_instance_sleeps_keeps_it() {
    let (mut h, launcher) = serving();
    h.delete("r");
    h.world.isc("smol", 8005, "--model smol", json!({"routed": "elsewhere"}), "lc");
    calm(&mut h);
    h.wants("r2", "GPU-0", "smol");
    calm(&mut h);
    assert_eq!(h.provider("r2"), launcher);
    assert_eq!(h.label(&launcher, "routed"), Some("elsewhere"));
    assert_eq!(h.count(Verb::CreateInstance), 1, "the same content is reused");
}

/// Better (gap `a14`): nobody can ask for a sleeper again whose config is gone, so it goes.
#[test]
fn isc_deleted() {
    let (mut h, launcher) = serving();
    Arc::make_mut(&mut h.world.configs).iscs.remove("smol");
    calm(&mut h);
    assert!(h.ready("r"), "bound pairs go on");
    h.delete("r");
    assert!(h.instances(&launcher).is_empty());
}

#[test]
fn isc_names_another_launcher_config() {
    let (mut h, launcher) = serving();
    h.delete("r");
    h.world.lc("lc2", 2, "launcher:2");
    h.world.isc("smol", 8005, "--model smol", json!({"routed": "smol"}), "lc2");
    calm(&mut h);
    assert_eq!(h.instances(&launcher).len(), 1, "the instance is not obsolete");
    h.populate = false;
    h.wants("r2", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.provider("r2").starts_with("launcher-lc2-"));
}

#[test]
fn lc_edited() {
    let (mut h, launcher) = serving();
    h.world.lc("lc", 2, "launcher:new");
    calm(&mut h);
    assert!(h.ready("r") && h.has(&launcher), "a bound launcher is kept");
    h.wants("r2", "GPU-1", "smol");
    calm(&mut h);
    assert_ne!(h.provider("r2"), launcher);
    let image = |h: &Harness, pod: &str| h.pod(pod)["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    assert_eq!(image(&h, &h.provider("r2")), "launcher:new");
    h.delete("r");
    assert!(!h.has(&launcher), "unbound it is stale");
}

#[test]
fn lc_deleted() {
    let (mut h, launcher) = serving();
    Arc::make_mut(&mut h.world.configs).lcs.remove("lc");
    // The garbage collector follows the owner reference.
    h.delete(&launcher);
    assert!(!h.has(&launcher) && !h.has("r"));
}

#[test]
fn node_cordoned() {
    let (mut h, launcher) = serving();
    let before = h.trace.len();
    h.world.node.as_mut().unwrap()["spec"]["unschedulable"] = json!(true);
    calm(&mut h);
    assert!(h.ready("r") && h.has(&launcher));
    assert_eq!(h.trace.len(), before, "bound pairs are untouched");
    h.wants("late", "GPU-1", "qwen");
    calm(&mut h);
    assert!(!h.has("late"));
}

#[test]
fn node_deleted() {
    let (mut h, launcher) = serving();
    h.world.node = None;
    let before = h.trace.len();
    calm(&mut h);
    assert!(h.has("r") && h.has(&launcher));
    assert_eq!(h.trace.len(), before, "nothing is done actively");
    // The collector of Pods of lost nodes comes.
    h.world.delete_by_name("r");
    h.world.delete_by_name(&launcher);
    calm(&mut h);
    assert!(!h.has("r") && !h.has(&launcher));
}

#[test]
fn gpu_map_late() {
    let mut h = node(1);
    let map = h.world.gpu_map.take();
    h.direct("r", "GPU-0");
    calm(&mut h);
    assert_eq!(h.errors("r"), ["GPU map ConfigMap gpu-map is not available"]);
    h.world.gpu_map = Some(json!({"data": {"node-b": "{\"GPU-0\": 0}"}}));
    calm(&mut h);
    assert_eq!(h.errors("r"), ["UUID GPU-0 is on Node node-b, not node-a"]);
    h.world.gpu_map = map;
    calm(&mut h);
    assert!(h.ready("r"));
}

#[test]
fn two_requesters_same_isc_same_node() {
    let (mut h, launcher) = serving();
    h.wants("r2", "GPU-1", "smol");
    calm(&mut h);
    assert!(h.ready("r2"));
    assert_ne!(h.provider("r2"), launcher);
}

#[test]
fn two_iscs_with_the_same_port_in_one_launcher() {
    let (mut h, launcher) = serving();
    h.delete("r");
    h.world.isc("clash", 8005, "--model clash", json!({}), "lc");
    h.wants("r2", "GPU-1", "clash");
    calm(&mut h);
    assert_eq!(h.provider("r2"), launcher);
    assert_eq!(h.instances(&launcher), [("clash".to_owned(), false)], "the other one is deleted to free the port");
}

#[test]
fn launcher_selected_but_not_ready() {
    let mut h = launchers(1, 2);
    h.world.pace.container_start = Duration::from_secs(30);
    h.world.stock("lc", 1);
    wait(&mut h, 100);
    h.world.pace.container_start = Duration::from_millis(100);
    h.wants("r", "GPU-0", "smol");
    wait(&mut h, 20_000);
    assert_eq!(h.providers().len(), 1, "it is waited for");
    calm(&mut h);
    assert!(h.ready("r"));
    assert_eq!(h.providers().len(), 1);
}

/// A key (actuation 3.6.1) that somebody else put on the launcher after the binding.
#[test]
fn outdated_routing_metadata() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    wait(&mut h, 1_500);
    let launcher = h.provider("r");
    h.world.edit(&launcher, |pod| pod["metadata"]["labels"]["routed"] = json!("mine"));
    h.run(Duration::from_secs(60));
    assert!(!h.has("r"));
    let message = "Deleting server-requesting Pod because bound launcher is committed to outdated ISC routing metadata: \
                   ISC label key \"routed\" collides with existing pod label";
    assert!(h.world.events.contains(&("r".to_owned(), "OutdatedRoutingMetadata".to_owned(), message.to_owned())), "{:?}", h.world.events);
}

/// Routing metadata that cannot be applied is refused before anything is bound (actuation 3.7.2).
#[test]
fn routing_metadata_that_cannot_be_applied() {
    let mut h = stocked(1, 2, 1);
    h.world.isc("bad", 8005, "--model bad", json!({"team": "x", "k8s.io/a": "b c"}), "lc");
    h.wants("r", "GPU-0", "bad");
    calm(&mut h);
    let errors = h.errors("r");
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(errors[0], "ISC label key \"k8s.io/a\" uses a reserved prefix");
    assert_eq!(errors[1], "ISC label key \"team\" collides with existing pod label");
    assert!(errors[2].starts_with("ISC label value \"b c\" for key \"k8s.io/a\" is not valid: "));
    assert!(h.world.providers_of("r").is_empty());
}

/// Recipe example 8 and the suite's D8, D9: the limit, and who goes.
#[test]
fn sleeper_limit_of_direct_providers() {
    let mut h = node(1);
    h.limits.sleepers_per_gpu = 2;
    let patch = |model: &str| crate::fixtures::PATCH.replace("granite", model);
    let mut providers = Vec::new();
    for model in ["m1", "m2", "m3"] {
        h.direct_with(model, "GPU-0", &patch(model));
        calm(&mut h);
        assert!(h.ready(model));
        providers.push(h.provider(model));
        h.delete(model);
        wait(&mut h, 2_000);
    }
    assert_eq!(h.providers().len(), 3, "limit and one, while nothing is awake");
    // The oldest is used again: now the second is the least recently used.
    h.direct_with("again", "GPU-0", &patch("m1"));
    calm(&mut h);
    assert_eq!(h.provider("again"), providers[0]);
    h.delete("again");
    wait(&mut h, 2_000);
    h.direct_with("m4", "GPU-0", &patch("m4"));
    calm(&mut h);
    assert!(h.ready("m4"));
    assert!(!h.has(&providers[1]), "the least recently used went");
    assert!(h.has(&providers[0]) && h.has(&providers[2]));
}

/// Appendix B.1: the older prefix of the recipe.
#[test]
fn older_annotation_prefix() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    h.world.edit("r", |pod| {
        let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
        let patch = annotations.remove("dual-pods.llm-d.ai/server-patch").unwrap();
        annotations.insert("dual-pod.llm-d.ai/server-patch".to_owned(), patch);
        annotations.insert("dual-pod.llm-d.ai/admin-port".to_owned(), json!("8081"));
    });
    calm(&mut h);
    assert!(h.ready("r"));
    let annotations = h.pod("r")["metadata"]["annotations"].clone();
    assert_eq!(annotations["dual-pods.llm-d.ai/status"], r#"{"Errors":null}"#);
    assert_eq!(annotations["dual-pod.llm-d.ai/status"], r#"{"Errors":null}"#);
}

/// The memory in use is looked at before a wake (actuation 3.11.1).
#[test]
fn memory_is_checked_before_a_wake() {
    let mut h = node(1);
    h.limits.check_gpu_memory = true;
    h.direct("r1", "GPU-0");
    calm(&mut h);
    h.delete("r1");
    h.world.foreign_mib = 9000;
    h.direct("r2", "GPU-0");
    wait(&mut h, 20_000);
    assert!(!h.ready("r2"));
    assert_eq!(h.errors("r2"), ["accelerator GPU-0 is currently using 10000 MiB of memory, limit for sleeping total is 4096 MiB"]);
    h.world.foreign_mib = 0;
    calm(&mut h);
    assert!(h.ready("r2"));
}

/// When requester and provider are gone the server has ended (actuation 3.5, step 3).
#[test]
fn end_of_life() {
    let (mut h, _) = serving();
    assert!(h.ended.is_empty());
    h.delete("r");
    assert_eq!(h.ended, ["r"]);
}

/// A restart of the controller writes nothing on pairs that serve.
#[test]
fn restart_of_the_controller_changes_nothing() {
    let (mut h, _) = serving();
    h.direct("d", "GPU-1");
    calm(&mut h);
    let before = h.trace.len();
    h.crash(Duration::from_secs(1));
    calm(&mut h);
    let written: Vec<Verb> = h.trace[before..].iter().map(|(_, action)| action.key.verb).collect();
    assert!(written.iter().all(|verb| matches!(verb, Verb::ReadSleep | Verb::ListInstances)), "{written:?}");
}
