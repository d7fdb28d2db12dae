//! Answers that arrive in another order than things happened.

use std::collections::BTreeMap;

use dormouse_planner::action::{Action, Verb};
use dormouse_planner::ids::Uid;
use dormouse_planner::instance::report_from_body;
use dormouse_planner::memory::{ActionOutcome, FailureClass, InstanceEvent, InstanceReport, Memory, Sleep};
use dormouse_planner::state::Written;
use dormouse_planner::{NodeState, plan};
use serde_json::json;

use crate::fixtures::{calm, stocked};
use crate::model::inconsistencies;

/// A node with one serving pair; gives its state, the launcher, and the last action of a verb.
struct Pair {
    state: NodeState,
    launcher: Uid,
    trace: BTreeMap<Verb, Action>,
    now: jiff::Timestamp,
}

fn pair() -> Pair {
    let mut h = stocked(1, 2, 1);
    h.wants("r", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.world.uid_of(&h.provider("r")).unwrap();
    let trace = h.trace.iter().map(|(_, action)| (action.key.verb, action.clone())).collect();
    Pair { state: h.state().clone(), launcher, trace, now: h.world.now }
}

impl Pair {
    fn known(&self) -> Vec<String> {
        let memory = &self.state.memory.launchers[&self.launcher];
        memory.instances.known().into_iter().flatten().map(|(id, _)| id.to_string()).collect()
    }

    fn report(&self) -> InstanceReport {
        let (id, instance) = self.state.memory.launchers[&self.launcher].instances.known().unwrap().iter().next().unwrap();
        let body = json!({"options": instance.options, "gpu_uuids": instance.gpus, "annotations": instance.annotations});
        report_from_body(id, &body)
    }

    fn stale(&self) -> bool {
        self.state.memory.launchers[&self.launcher].stale
    }
}

#[test]
fn a_list_that_was_asked_for_before_a_deletion_does_not_bring_the_instance_back() {
    let mut p = pair();
    let (list, report) = (p.trace[&Verb::ListInstances].clone(), p.report());
    p.state.started(&list);
    p.state.instances_streamed(&p.launcher, &InstanceEvent::Deleted(report.id.clone()), p.now);
    assert!(p.known().is_empty());
    p.state.finished(&list, &ActionOutcome::Instances(vec![report]), p.now);
    assert!(p.known().is_empty());
    assert!(p.stale(), "ask again");
}

#[test]
fn a_list_that_was_asked_for_before_a_creation_does_not_lose_the_instance() {
    let mut p = pair();
    let (list, mut report) = (p.trace[&Verb::ListInstances].clone(), p.report());
    let old = report.clone();
    report.id = "new".into();
    p.state.started(&list);
    p.state.instances_streamed(&p.launcher, &InstanceEvent::Created(report), p.now);
    p.state.finished(&list, &ActionOutcome::Instances(vec![old]), p.now);
    assert_eq!(p.known().len(), 2);
    assert!(inconsistencies(&p.state).is_empty());
}

#[test]
fn a_younger_list_settles_it() {
    let mut p = pair();
    let (list, report) = (p.trace[&Verb::ListInstances].clone(), p.report());
    p.state.instances_streamed(&p.launcher, &InstanceEvent::Deleted(report.id.clone()), p.now);
    p.state.started(&list);
    p.state.finished(&list, &ActionOutcome::Instances(vec![report]), p.now);
    assert_eq!(p.known().len(), 1, "it was created again");
    assert!(!p.stale());
}

#[test]
fn a_stream_that_opens_before_the_first_list_loses_nothing() {
    let mut p = pair();
    let (list, report) = (p.trace[&Verb::ListInstances].clone(), p.report());
    p.state.memory.launchers.clear();
    p.state.stream_opened(&p.launcher, true);
    p.state.started(&list);
    p.state.instances_streamed(&p.launcher, &InstanceEvent::Created(report.clone()), p.now);
    p.state.finished(&list, &ActionOutcome::Instances(vec![report]), p.now);
    assert_eq!(p.known().len(), 1);
}

#[test]
fn a_stop_is_known_when_it_is_streamed() {
    let mut p = pair();
    let report = p.report();
    p.state.instances_streamed(&p.launcher, &InstanceEvent::Stopped(report), p.now);
    let plan = dormouse_planner::plan(&p.state, p.now);
    assert_eq!(plan.actions.iter().map(|action| action.key.verb).collect::<Vec<_>>(), [Verb::Deroute]);
}

#[test]
fn what_is_sent_makes_what_was_known_unknown() {
    let mut p = pair();
    let engine = p.state.memory.engines.keys().next().unwrap().clone();
    assert_eq!(p.state.memory.engines[&engine].sleep.known(), Some(&Sleep::Awake));
    let mut sleep = p.trace[&Verb::ReadSleep].clone();
    sleep.key.verb = Verb::Sleep;
    let dormouse_planner::action::Do::ReadSleep { engine: found, provider, base_url } = sleep.what else { panic!("a read") };
    sleep.what = dormouse_planner::action::Do::Sleep { engine: found, provider, base_url, level: 1 };
    p.state.started(&sleep);
    assert_eq!(p.state.memory.engines[&engine].sleep.known(), None);
    p.state.finished(&sleep, &ActionOutcome::Failed { class: FailureClass::Lost, error: "x".repeat(5000) }, p.now);
    assert_eq!(p.state.memory.engines[&engine].sleep.known(), None);
    let failure = &p.state.memory.failures[&sleep.key];
    assert!(failure.error.len() <= 1027, "long texts are cut (G39)");
    p.state.started(&sleep);
    p.state.finished(&sleep, &ActionOutcome::Sleeping(true), p.now);
    assert_eq!(p.state.memory.engines[&engine].sleep.known(), Some(&Sleep::Settled));
    assert!(!p.state.memory.failures.contains_key(&sleep.key));
}

#[test]
fn what_a_stub_says_before_its_container_is_known_was_said_by_the_first_start() {
    let mut p = pair();
    let uid = p.state.requesters.keys().next().unwrap().clone();
    let asked = Action { container: None, ..p.trace[&Verb::ReadGpus].clone() };
    let requester = p.state.requesters.get_mut(&uid).unwrap();
    let id = requester.pod.container.id.take();
    // As if it were new, so that its GPUs matter.
    (requester.written, requester.has_finalizer) = (Written::default(), false);
    (requester.pod.ready, requester.pod.container.ready) = (false, false);
    p.state.launchers.clear();
    p.state.memory = Memory::default();
    let asks = |state: &NodeState, now| plan(state, now).actions.iter().any(|a| a.key.verb == Verb::ReadGpus);
    assert!(asks(&p.state, p.now));
    p.state.started(&asked);
    let mut late = p.state.clone();
    let answer = ActionOutcome::Gpus(vec!["GPU-0".into()]);
    p.state.finished(&asked, &answer, p.now);
    assert!(!asks(&p.state, p.now));
    p.state.requesters.get_mut(&uid).unwrap().pod.container.id = id.clone();
    assert!(!asks(&p.state, p.now), "the API has told which start it was");
    // The answer may also come after that.
    late.requesters.get_mut(&uid).unwrap().pod.container.id = id;
    late.finished(&asked, &answer, p.now);
    assert!(!asks(&late, p.now));
    for mut state in [p.state, late] {
        let pod = &mut state.requesters.get_mut(&uid).unwrap().pod;
        (pod.container.id, pod.restarts) = (Some("another".into()), 1);
        assert!(asks(&state, p.now), "another start may have other GPUs");
    }
}
