//! Each gap of the peer that this planner closes (actuation 8), by its number: up to gap `a15`. The others
//! are in `gaps_more`.

use std::time::Duration;

use dormouse_planner::action::Verb;
use dormouse_planner::limits::ReclaimOrder;
use serde_json::json;

use crate::fixtures::{calm, launchers, node, stocked, wait};
use crate::model::world::Program;
use crate::model::{Fault, Harness};

/// Serves `isc` on `gpu` with a requester of this name, then lets it go again.
fn use_once(h: &mut Harness, name: &str, gpu: &str, isc: &str) {
    h.wants(name, gpu, isc);
    calm(h);
    assert!(h.ready(name), "{name}: {:?}\n{}", h.errors(name), h.story());
    h.delete(name);
    assert!(!h.has(name));
}

fn models(h: &Harness, launcher: &str) -> Vec<String> {
    h.instances(launcher).into_iter().map(|(model, _)| model).collect()
}

#[test]
fn a01_a_launcher_config_that_comes_later_is_noticed() {
    let mut h = node(1);
    h.world.isc("smol", 8005, "--model smol", json!({}), "lc");
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    assert_eq!(h.errors("r"), ["failed to get LauncherConfig \"lc\": launcherconfig.fma.llm-d.ai \"lc\" not found"]);
    h.world.lc("lc", 2, "launcher:1");
    calm(&mut h);
    assert!(h.ready("r"));
    assert_eq!(h.annotation("r", "status"), Some(r#"{"Errors":null}"#));
}

#[test]
fn a02_a_finalizer_is_removed_however_often_the_write_fails() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    h.faults.verbs.insert(Verb::DropProviderFinalizer, (Fault::Refused, 5));
    let provider = h.provider("r");
    h.delete(&provider);
    assert!(!h.has(&provider) && !h.has("r"));
    assert_eq!(h.count(Verb::DropProviderFinalizer), 6);
}

#[test]
fn a03_a_requester_of_the_same_name_is_another_requester() {
    let mut h = node(1);
    h.direct("web-0", "GPU-0");
    calm(&mut h);
    let (old, provider) = (h.world.uid_of("web-0").unwrap(), h.provider("web-0"));
    h.world.force_remove("web-0");
    h.direct("web-0", "GPU-0");
    calm(&mut h);
    assert_ne!(h.world.uid_of("web-0").unwrap(), old);
    assert!(h.ready("web-0"));
    assert_eq!(h.provider("web-0"), provider, "released, then bound anew");
    assert_eq!(h.count(Verb::Unbind), 1);
    assert_eq!(h.count(Verb::Sleep), 1);
    assert_eq!(h.count(Verb::CreateDirect), 1);
}

#[test]
fn a04_facts_about_a_binding_do_not_outlive_it() {
    let mut h = stocked(1, 2, 0);
    h.populate = false;
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let (uid, first) = (h.world.uid_of("r").unwrap(), h.provider("r"));
    h.world.force_remove(&first);
    calm(&mut h);
    assert_eq!(h.world.uid_of("r"), Some(uid), "{}", h.story());
    assert_eq!(h.count(Verb::Relay), 3, "ready, not ready, ready");
    assert!(h.ready("r"));
    let second = h.provider("r");
    assert_ne!(first, second);
    assert_eq!(h.label(&second, "routed"), Some("smol"));
}

#[test]
fn a05_reclaim_is_least_recently_used_and_survives_a_restart() {
    for (order, victim, kept) in [(ReclaimOrder::Lru, "qwen", "smol"), (ReclaimOrder::Fifo, "smol", "qwen")] {
        for crash in [false, true] {
            let mut h = stocked(1, 2, 1);
            h.limits.reclaim = order;
            h.limits.sleepers_per_gpu = 2;
            use_once(&mut h, "r1", "GPU-0", "smol");
            use_once(&mut h, "r2", "GPU-0", "qwen");
            use_once(&mut h, "r3", "GPU-0", "smol");
            if crash {
                h.crash(Duration::from_millis(100));
                calm(&mut h);
            }
            h.wants("r4", "GPU-0", "tiny");
            calm(&mut h);
            let launcher = h.provider("r4");
            assert_eq!(models(&h, &launcher), [kept, "tiny"], "{order:?} must remove {victim}, crash: {crash}");
        }
    }
}

#[test]
fn a06_sleepers_are_bounded_per_gpu_across_launchers() {
    let mut h = stocked(1, 4, 2);
    h.limits.sleepers_per_gpu = 1;
    use_once(&mut h, "r1", "GPU-0", "smol");
    use_once(&mut h, "r2", "GPU-0", "qwen");
    h.wants("r3", "GPU-0", "tiny");
    calm(&mut h);
    assert!(h.ready("r3"));
    let all: Vec<(String, bool)> = h.providers().iter().flat_map(|launcher| h.instances(launcher)).collect();
    assert_eq!(all.iter().filter(|(_, asleep)| *asleep).count(), 1, "{all:?}");
    assert!(all.contains(&("qwen".to_owned(), true)), "the least recently used went: {all:?}");
    // Direct providers count too.
    h.delete("r3");
    h.direct("r4", "GPU-0");
    calm(&mut h);
    assert!(h.ready("r4"));
    let asleep = h.world.engines().iter().filter(|(_, engine)| engine.sleeping).count();
    assert_eq!(asleep, 1);
}

#[test]
fn a07_patience_with_a_launcher_that_does_not_start_is_bounded() {
    let mut h = launchers(1, 2);
    h.world.stock("lc", 1);
    wait(&mut h, 50);
    let broken = h.providers()[0].clone();
    let uid = h.world.uid_of(&broken).unwrap();
    h.world.sims.get_mut(&uid).unwrap().broken = true;
    h.wants("r", "GPU-0", "smol");
    wait(&mut h, 60_000);
    assert_eq!(h.providers(), std::slice::from_ref(&broken), "still patient");
    assert_eq!(h.errors("r"), [format!("waiting for launcher Pod {broken:?} to become ready")]);
    wait(&mut h, 120_000);
    assert!(h.ready("r"), "{:?}", h.errors("r"));
    assert_ne!(h.provider("r"), broken);
}

#[test]
fn a07_a_stuck_launcher_is_not_waited_for() {
    let mut h = launchers(1, 2);
    h.limits.stuck_starting = Duration::from_secs(10);
    h.world.stock("lc", 1);
    wait(&mut h, 50);
    let uid = h.world.uid_of(&h.providers()[0]).unwrap();
    h.world.sims.get_mut(&uid).unwrap().broken = true;
    h.wants("r", "GPU-0", "smol");
    wait(&mut h, 30_000);
    assert!(h.ready("r"), "{:?}", h.errors("r"));
}

#[test]
fn a08_an_engine_that_will_not_sleep_is_ended() {
    // A launcher's instance that is hung.
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    let engine = h.world.engines()[0].0.clone();
    h.world.engine_mut(&engine).hung = true;
    h.delete("r");
    assert!(!h.has("r"));
    assert!(h.has(&launcher));
    assert!(h.instances(&launcher).is_empty());
    // A direct provider that is hung goes as a whole.
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let engine = h.world.engines()[0].0.clone();
    h.world.engine_mut(&engine).hung = true;
    let provider = h.provider("r");
    h.delete("r");
    assert!(!h.has("r") && !h.has(&provider));
}

#[test]
fn a08_an_instance_that_ended_is_deleted_at_unbinding_without_a_sleep() {
    let mut h = stocked(1, 2, 1);
    h.world.pace.notifier = false;
    h.wants("r", "GPU-0", "smol");
    h.run(Duration::from_secs(20));
    assert!(h.ready("r"));
    let launcher = h.provider("r");
    let id = h.instance_id(&launcher);
    h.world.delete_by_name("r");
    h.world.kill_instance(&launcher, &id);
    h.run(Duration::from_secs(200));
    assert!(!h.has("r"));
    assert!(h.instances(&launcher).is_empty());
    assert!(h.annotation(&launcher, "requester").is_none());
}

#[test]
fn a08_a_launcher_that_does_not_answer_goes_as_a_whole() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    let uid = h.world.uid_of(&launcher).unwrap();
    if let Program::Launcher { answers, .. } = &mut h.world.sims.get_mut(&uid).unwrap().program {
        *answers = false;
    }
    h.crash(Duration::from_millis(100));
    h.world.delete_by_name("r");
    h.run(Duration::from_secs(600));
    assert!(!h.has("r") && !h.has(&launcher), "{}", h.story());
}

#[test]
fn a09_a_binding_that_cannot_be_read_is_ended_not_kept_for_ever() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    h.world.edit(&launcher, |pod| {
        pod["metadata"]["annotations"].as_object_mut().unwrap().remove("dual-pods.llm-d.ai/isc-routing-metadata");
    });
    calm(&mut h);
    assert_eq!(
        h.errors("r"),
        [format!("bound launcher Pod {launcher:?} is missing annotation \"dual-pods.llm-d.ai/isc-routing-metadata\"")]
    );
    h.world.violations.clear();
    h.world.delete_by_name("r");
    h.run(Duration::from_secs(300));
    assert!(!h.has("r"));
    assert!(h.instances(&launcher).is_empty());
    assert!(h.annotation(&launcher, "requester").is_none());
}

#[test]
fn a09_annotations_of_older_releases_are_read() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    h.world.edit(&launcher, |pod| {
        let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("dual-pods.llm-d.ai/isc-routing-metadata");
        annotations.insert("dual-pods.llm-d.ai/isc-label-keys".to_owned(), json!("routed"));
        annotations.insert("dual-pods.llm-d.ai/isc-annotation-keys".to_owned(), json!("note"));
    });
    calm(&mut h);
    assert!(h.errors("r").is_empty());
    h.delete("r");
    assert_eq!(h.label(&launcher, "routed"), None);
    assert!(h.annotation(&launcher, "isc-label-keys").is_none());
    assert_eq!(h.instances(&launcher), [("smol".to_owned(), true)]);
}

#[test]
fn a10_a_restarted_stub_is_told_again() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    h.world.restart("r");
    calm(&mut h);
    assert!(h.ready("r"));
    assert_eq!(h.count(Verb::Relay), 2);
}

#[test]
fn a11_a_provider_that_has_ended_counts_as_deleted() {
    let mut h = node(1);
    h.direct("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    h.world.evict(&provider);
    calm(&mut h);
    assert!(!h.has("r") && !h.has(&provider), "{:?}", h.names());
}

#[test]
fn a11_only_live_unbound_answering_providers_are_reused() {
    for how in ["ended", "leaving", "unready", "hung"] {
        let mut h = node(1);
        h.direct("r1", "GPU-0");
        calm(&mut h);
        let provider = h.provider("r1");
        h.delete("r1");
        match how {
            "ended" => h.world.evict(&provider),
            "leaving" => {
                h.world.pace.container_stop = Duration::from_secs(5);
                h.world.delete_by_name(&provider);
            }
            "unready" | "hung" => {
                let engine = h.world.engines()[0].0.clone();
                h.world.engine_mut(&engine).hung = true;
            }
            _ => {}
        }
        if how == "hung" {
            h.crash(Duration::from_millis(10));
        }
        wait(&mut h, 40_000);
        h.direct("r2", "GPU-0");
        calm(&mut h);
        assert!(h.ready("r2"), "{how}: {:?}", h.errors("r2"));
        assert_ne!(h.provider("r2"), provider, "{how}");
    }
}

#[test]
fn a12_a_failing_create_shows_in_the_status_and_goes_away() {
    let mut h = stocked(1, 2, 1);
    h.world.refuse_instances = Some("launcher error 409: GPU UUID 'GPU-0' not found".to_owned());
    h.wants("r", "GPU-0", "smol");
    wait(&mut h, 30_000);
    let errors = h.errors("r");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("failed to create instance \"I"), "{errors:?}");
    assert!(errors[0].contains("GPU UUID 'GPU-0' not found (tried "), "{errors:?}");
    h.world.refuse_instances = None;
    calm(&mut h);
    assert!(h.ready("r"));
    assert!(h.errors("r").is_empty());
}

#[test]
fn a12_a_failing_wake_shows_in_the_status_and_is_cured_by_a_fresh_instance() {
    let mut h = stocked(1, 2, 1);
    use_once(&mut h, "r1", "GPU-0", "smol");
    let engine = h.world.engines()[0].0.clone();
    h.world.engine_mut(&engine).stubborn = true;
    // Each try takes a while.
    h.effort = Duration::from_secs(20);
    h.wants("r2", "GPU-0", "smol");
    let shown = |h: &Harness| h.errors("r2").iter().any(|error| error.starts_with("failed to wake instance "));
    for _ in 0..600 {
        if !shown(&h) {
            wait(&mut h, 100);
        }
    }
    assert!(shown(&h), "{:?}", h.errors("r2"));
    // It stays there while the next try is under way.
    wait(&mut h, 500);
    assert!(shown(&h), "{:?}", h.errors("r2"));
    calm(&mut h);
    assert!(h.ready("r2"));
    assert!(h.world.events.iter().any(|(pod, reason, _)| pod == "r2" && reason == "InstanceReplaced"));
}

#[test]
fn a13_an_instance_that_served_and_vanished_is_dead_also_after_a_restart_of_the_controller() {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("r");
    let id = h.instance_id(&launcher);
    h.crash(Duration::from_secs(5));
    let uid = h.world.uid_of(&launcher).unwrap();
    if let Program::Launcher { instances, .. } = &mut h.world.sims.get_mut(&uid).unwrap().program {
        instances.remove(&id);
    }
    calm(&mut h);
    assert!(!h.has("r"), "{}", h.story());
    assert_eq!(h.label(&launcher, "routed"), None);
    assert!(h.instances(&launcher).is_empty());
    let order: Vec<Verb> = h.trace.iter().map(|(_, action)| action.key.verb).collect();
    let deroute = order.iter().position(|verb| *verb == Verb::Deroute).unwrap();
    let delete = order.iter().rposition(|verb| *verb == Verb::DeletePod).unwrap();
    assert!(deroute < delete, "de-routed first");
}

#[test]
fn a14_obsolete_sleepers_are_found_whenever_the_config_changed() {
    let mut h = stocked(1, 2, 1);
    use_once(&mut h, "r1", "GPU-0", "smol");
    let launcher = h.providers()[0].clone();
    assert_eq!(models(&h, &launcher), ["smol"]);
    // Edited while nobody watched.
    h.crash(Duration::from_secs(1));
    h.world.isc("smol", 8005, "--model other", json!({"routed": "smol"}), "lc");
    calm(&mut h);
    assert!(h.instances(&launcher).is_empty());
    // Deleted; and the deletion of the instance fails a few times.
    use_once(&mut h, "r2", "GPU-0", "qwen");
    h.faults.verbs.insert(Verb::DeleteInstance, (Fault::Refused, 3));
    std::sync::Arc::make_mut(&mut h.world.configs).iscs.remove("qwen");
    calm(&mut h);
    assert!(h.instances(&launcher).is_empty());
}

#[test]
fn a15_a_slow_launcher_holds_nobody_up() {
    let mut h = stocked(2, 2, 2);
    h.wants("slow", "GPU-0", "smol");
    calm(&mut h);
    let engine = h.world.engines()[0].0.clone();
    h.world.engine_mut(&engine).hung = true;
    h.world.delete_by_name("slow");
    wait(&mut h, 100);
    h.wants("quick", "GPU-1", "qwen");
    wait(&mut h, 5_000);
    assert!(h.ready("quick"));
    assert!(h.has("slow"), "its engine is still being put to sleep");
    calm(&mut h);
    assert!(!h.has("slow"));
}
