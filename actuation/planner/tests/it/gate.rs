//! The readiness gate of a requester: opened last, shut first, left alone where nothing is known.

use dormouse_planner::action::{Action, Do, Verb};
use serde_json::json;

use crate::fixtures::{calm, node, stocked, wait};
use crate::model::{Fault, Harness};

/// What was done, in order.
fn verbs(h: &Harness, of: &[Verb]) -> Vec<Verb> {
    h.trace.iter().map(|(_, action)| action.key.verb).filter(|verb| of.contains(verb)).collect()
}

fn opened(action: &Action) -> Option<bool> {
    let Do::PatchPodStatus { patch, .. } = &action.what else { return None };
    Some(patch["status"]["conditions"][0]["status"] == "True")
}

fn actuations(h: &Harness) -> usize {
    h.trace.iter().filter(|(_, action)| matches!(&action.what, Do::Relay { first: Some(_), .. })).count()
}

fn served() -> Harness {
    let mut h = stocked(1, 2, 1);
    h.wants_gated("r", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r") && h.gate("r") == Some(true), "{}", h.story());
    h
}

#[test]
fn the_gate_opens_last_and_makes_ready_at_once() {
    let h = served();
    assert_eq!(verbs(&h, &[Verb::Route, Verb::Relay, Verb::SetServing]), [Verb::Route, Verb::Relay, Verb::SetServing]);
    assert_eq!(actuations(&h), 1);
    assert!(h.errors("r").is_empty());
}

#[test]
fn it_shuts_before_traffic_is_turned_away_and_the_requester_deleted() {
    let mut h = served();
    let before = h.trace.len();
    h.world.break_engine(0, 0);
    calm(&mut h);
    let after: Vec<Verb> = h.trace[before..].iter().map(|(_, action)| action.key.verb).collect();
    let order: Vec<Verb> =
        after.into_iter().filter(|verb| matches!(verb, Verb::UnsetServing | Verb::Deroute | Verb::DeletePod)).take(3).collect();
    assert_eq!(order, [Verb::UnsetServing, Verb::Deroute, Verb::DeletePod], "{}", h.story());
    let mut h = served();
    let before = h.trace.len();
    h.delete("r");
    let after: Vec<Verb> = h.trace[before..].iter().map(|(_, action)| action.key.verb).collect();
    let order: Vec<Verb> = after.into_iter().filter(|verb| matches!(verb, Verb::UnsetServing | Verb::Deroute | Verb::Sleep)).collect();
    assert_eq!(order, [Verb::UnsetServing, Verb::Deroute, Verb::Sleep], "{}", h.story());
}

/// It was opened, and nobody heard of it: that failure says nothing of shutting it.
#[test]
fn an_opening_whose_answer_was_lost_does_not_let_traffic_be_turned_away_first() {
    let mut h = stocked(1, 2, 1);
    h.faults.verbs.insert(Verb::SetServing, (Fault::Lost, 1));
    h.wants_gated("r", "GPU-0", "smol");
    calm(&mut h);
    assert_eq!((h.ready("r"), h.gate("r")), (true, Some(true)), "{}", h.story());
    let before = h.trace.len();
    h.delete("r");
    let after = h.trace[before..].iter().map(|(_, action)| action.key.verb);
    let order: Vec<Verb> = after.filter(|verb| matches!(verb, Verb::UnsetServing | Verb::Deroute | Verb::Sleep)).collect();
    assert_eq!(order, [Verb::UnsetServing, Verb::Deroute, Verb::Sleep], "{}", h.story());
}

#[test]
fn a_controller_that_starts_anew_leaves_it_and_tells_the_stub_again() {
    let mut h = served();
    let before = h.trace.len();
    h.crash(std::time::Duration::from_millis(100));
    calm(&mut h);
    assert!(h.trace[before..].iter().all(|(_, action)| opened(action).is_none()), "{}", h.story());
    let told = h.trace[before..].iter().filter(|(_, action)| matches!(&action.what, Do::Relay { ready: true, first: None, .. })).count();
    assert_eq!((told, actuations(&h), h.ready("r")), (1, 1, true));
}

#[test]
fn a_stub_that_starts_anew_is_told_again() {
    let mut h = served();
    h.world.restart("r");
    calm(&mut h);
    assert!(h.ready("r") && h.gate("r") == Some(true), "{}", h.story());
    assert_eq!(actuations(&h), 1);
}

#[test]
fn who_may_not_set_it_is_told_and_held_up_in_nothing() {
    let mut h = stocked(1, 2, 1);
    h.faults.verbs.insert(Verb::SetServing, (Fault::Refused, 1_000));
    h.faults.verbs.insert(Verb::UnsetServing, (Fault::Refused, 1_000));
    h.wants_gated("r", "GPU-0", "smol");
    wait(&mut h, 10_000);
    assert!(!h.ready("r") && h.gate("r").is_none());
    assert!(h.errors("r").iter().any(|e| e.contains("dormouse.dev/serving") && e.contains("pods/status")), "{:?}", h.errors("r"));
    h.delete("r");
    assert!(!h.has("r"), "{}", h.story());
}

#[test]
fn a_probe_beside_it_is_a_warning() {
    let mut h = stocked(1, 2, 1);
    h.wants_gated("r", "GPU-0", "smol");
    h.world.edit("r", |pod| pod["spec"]["containers"][0]["startupProbe"] = json!({"httpGet": {"path": "/", "port": 1}}));
    calm(&mut h);
    assert!(h.errors("r").iter().any(|e| e.contains("stands beside a readiness or startup probe")), "{:?}", h.errors("r"));
    h.world.edit("r", |pod| pod["spec"]["containers"][0]["startupProbe"] = json!(null));
    calm(&mut h);
    assert!(h.errors("r").is_empty());
}

#[test]
fn a_direct_provider_is_made_without_it() {
    let mut h = node(1);
    h.direct_gated("r", "GPU-0");
    calm(&mut h);
    let provider = h.provider("r");
    assert!(h.pod(&provider)["spec"]["readinessGates"].is_null());
    assert!(h.ready("r") && h.gate("r") == Some(true), "{}", h.story());
}

#[test]
fn an_address_that_is_about_to_come_is_not_waited_for_in_writing() {
    let mut h = stocked(1, 2, 1);
    let before = h.count(Verb::SetRequester);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let written: Vec<&Action> = h.trace.iter().map(|(_, action)| action).filter(|a| a.key.verb == Verb::SetRequester).collect();
    assert!(h.ready("r") && written.len() - before <= 2, "{}", h.story());
    assert!(written.iter().all(|action| !format!("{:?}", action.what).contains("no IP")), "{}", h.story());
}

/// Calls of the API server for one requester that comes, is served by a sleeper, and goes.
fn calls_of_a_hot_cycle(gated: bool) -> usize {
    let mut h = stocked(1, 2, 1);
    let come = |h: &mut Harness, name: &str| if gated { h.wants_gated(name, "GPU-0", "smol") } else { h.wants(name, "GPU-0", "smol") };
    come(&mut h, "first");
    calm(&mut h);
    h.delete("first");
    let before = h.trace.len();
    come(&mut h, "second");
    calm(&mut h);
    assert!(h.ready("second"), "{}", h.story());
    h.delete("second");
    assert_eq!(h.trace[before..].iter().filter(|(_, action)| action.key.verb == Verb::Wake).count(), 1);
    h.trace[before..].iter().filter(|(_, action)| action.purpose().is_none()).count()
}

#[test]
fn a_hot_cycle_takes_six_calls_and_two_more_with_the_gate() {
    assert_eq!((calls_of_a_hot_cycle(false), calls_of_a_hot_cycle(true)), (6, 8));
}
