//! Lives of Pods, told as events and checked by actions and status.

mod changes;

use std::time::Duration;

use dormouse_names::{Program, Programs};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::probe::ProbeKind;
use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

/// A machine with a clock that only tests move.
struct World {
    machine: Machine,
    mono: Duration,
    log: Vec<Action>,
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u1", "generation": 3}, "spec": spec})).unwrap()
}

fn app(extra: Value) -> Value {
    let mut c = json!({"name": "c", "image": "img", "command": ["sleep"]});
    c.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    c
}

fn now_at(mono: Duration) -> Now {
    Now { wall: Timestamp::from_second(1_700_000_000).unwrap() + jiff::SignedDuration::try_from(mono).unwrap(), mono }
}

/// As a plane has it that knows a program which waits for a controller.
fn settings() -> Settings {
    let requester = Program { waits_for_release: true, ..Program::new("requester") };
    Settings { programs: Programs::new([requester], false), ..Settings::default() }
}

impl World {
    fn new(pod: &Pod) -> Self {
        let mono = S(1000);
        Self { machine: Machine::new(pod, &settings(), now_at(mono)), mono, log: Vec::new() }
    }

    /// A Pod that has been prepared; its first containers are asked to start.
    fn prepared(spec: Value) -> Self {
        let mut w = Self::new(&pod(spec));
        assert_eq!(w.send(Event::Tick), ["Prepare"]);
        w.send(Event::Prepared);
        w
    }

    fn send(&mut self, event: Event) -> Vec<String> {
        let actions = self.machine.step(event, now_at(self.mono));
        self.log.extend(actions.clone());
        actions.iter().map(word).collect()
    }

    fn wait(&mut self, by: Duration) -> Vec<String> {
        self.mono += by;
        self.send(Event::Tick)
    }

    /// How long until the next deadline.
    fn next(&self) -> Option<Duration> {
        self.machine.deadline(now_at(self.mono)).map(|d| d.saturating_sub(self.mono))
    }

    fn started(&mut self, container: usize, attempt: u32) -> Vec<String> {
        self.send(Event::Started { container, attempt, id: format!("id{container}{attempt}"), image: "sha".into() })
    }

    fn exited(&mut self, container: usize, attempt: u32, code: i32) -> Vec<String> {
        self.send(Event::Exited { container, attempt, exit: Exit { code, signal: None }, message: None })
    }

    fn probed(&mut self, kind: ProbeKind, ok: bool) -> Vec<String> {
        let outcome = if ok { Ok(()) } else { Err("no".to_owned()) };
        let attempt = self.machine.containers[0].attempt().unwrap_or(0);
        self.send(Event::Probed { container: 0, attempt, kind, outcome })
    }

    fn deleted(&mut self, grace: u64) -> Vec<String> {
        self.send(Event::Updated(Update { deletion: Some(S(grace)), ..Update::default() }))
    }

    fn status(&self) -> PodStatus {
        self.machine.status(&Facts { pod_ip: Some("127.16.1.2".into()), host_ip: "127.16.1.1".into() }, now_at(self.mono))
    }

    fn json(&self) -> Value {
        serde_json::to_value(self.status()).unwrap()
    }

    fn phase(&self) -> String {
        self.status().phase.unwrap()
    }

    fn condition(&self, name: &str) -> (String, Option<String>, Option<String>) {
        let c = self.status().conditions.unwrap().into_iter().find(|c| c.type_ == name).unwrap();
        (c.status, c.reason, c.message)
    }

    fn ready(&self) -> bool {
        self.condition("Ready").0 == "True"
    }
}

/// An action as one short word for comparing.
fn word(action: &Action) -> String {
    match action {
        Action::Prepare => "Prepare".into(),
        Action::Start { container, attempt } => format!("Start {container}.{attempt}"),
        Action::Signal { container, signal, .. } => format!("{signal:?} {container}"),
        Action::Probe { container, kind, .. } => format!("Probe {container} {kind:?}"),
        Action::Hook { container, hook, .. } => format!("{hook:?} {container}"),
        Action::Record(r) => format!("Event {}", r.reason),
        Action::Release => "Release".into(),
        Action::Delete => "Delete".into(),
    }
}

#[test]
fn a_pod_runs_completes_and_goes() {
    let mut w = World::prepared(json!({"restartPolicy": "Never", "containers": [app(json!({}))]}));
    assert_eq!(w.phase(), "Pending");
    assert_eq!(w.json()["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
    w.started(0, 0);
    assert!(w.ready() && w.phase() == "Running");
    let status = w.json();
    assert_eq!(status["containerStatuses"][0]["containerID"], "dormouse://id00");
    assert_eq!(status["containerStatuses"][0]["imageID"], "dormouse://sha");
    assert_eq!((status["observedGeneration"].clone(), status["qosClass"].clone()), (json!(3), Value::Null), "the server's word");
    assert!(w.machine.timeline().started.is_some() && w.machine.timeline().ready.is_some());
    assert_eq!(w.exited(0, 0, 0), ["Release"]);
    assert_eq!(w.phase(), "Succeeded");
    assert_eq!(w.condition("Ready").1.as_deref(), Some("PodCompleted"));
    assert_eq!(w.json()["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(w.deleted(30), ["Delete"]);
    assert_eq!(w.deleted(30), Vec::<String>::new());
}

#[test]
fn policy_decides_who_restarts() {
    for (policy, code, restarts, phase) in [
        ("Always", 0, true, "Running"),
        ("Always", 1, true, "Running"),
        ("OnFailure", 1, true, "Running"),
        ("OnFailure", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
    ] {
        let mut w = World::prepared(json!({"restartPolicy": policy, "containers": [app(json!({}))]}));
        w.started(0, 0);
        let actions = w.exited(0, 0, code);
        assert_eq!(actions.contains(&"Start 0.1".to_owned()), restarts, "{policy} {code}");
        assert_eq!(w.phase(), phase, "{policy} {code}");
    }
}

#[test]
fn crash_loop_waits_and_says_so() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    w.started(0, 0);
    assert_eq!(w.exited(0, 0, 3), ["Start 0.1"], "the first restart is at once");
    w.started(0, 1);
    assert_eq!(w.exited(0, 1, 3), ["Event BackOff"]);
    assert_eq!(w.next(), Some(S(10)));
    let c = w.json()["containerStatuses"][0].clone();
    assert_eq!(c["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(c["state"]["waiting"]["message"], "back-off 10s restarting failed container=c pod=p_ns(u1)");
    assert_eq!((c["lastState"]["terminated"]["exitCode"].clone(), c["restartCount"].clone()), (json!(3), json!(1)));
    assert_eq!(w.phase(), "Running");
    assert_eq!(w.wait(S(9)), Vec::<String>::new());
    assert_eq!(w.wait(S(1)), ["Start 0.2"]);
    w.started(0, 2);
    w.exited(0, 2, 3);
    assert_eq!(w.next(), Some(S(20)));
    // The second event of the same end is not written again.
    assert_eq!(w.wait(S(5)), Vec::<String>::new());
}

#[test]
fn init_containers_run_in_order_and_the_first_failure_of_never_ends_the_pod() {
    let init = |name: &str| json!({"name": name, "image": "i"});
    let spec = |policy: &str| json!({"restartPolicy": policy, "initContainers": [init("a"), init("b")], "containers": [app(json!({}))]});
    let mut w = World::prepared(spec("Always"));
    assert_eq!(w.log.last(), Some(&Action::Start { container: 0, attempt: 0 }));
    assert_eq!(w.json()["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    w.started(0, 0);
    assert_eq!(w.condition("Initialized").2.as_deref(), Some("containers with incomplete status: [a b]"));
    assert_eq!(w.exited(0, 0, 1), ["Start 0.1"]);
    w.started(0, 1);
    assert_eq!(w.exited(0, 1, 0), ["Start 1.0"]);
    w.started(1, 0);
    assert_eq!(w.exited(1, 0, 0), ["Start 2.0"]);
    assert_eq!(w.condition("Initialized").0, "True");
    w.started(2, 0);
    assert!(w.ready());

    let mut w = World::prepared(spec("Never"));
    w.started(0, 0);
    assert_eq!(w.exited(0, 0, 1), ["Release"]);
    assert_eq!(w.phase(), "Failed");
}

#[test]
fn sidecars_start_first_and_stop_last() {
    let mut w = World::prepared(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always"}, {"name": "t", "image": "i", "restartPolicy": "Always"}],
        "containers": [app(json!({}))]}));
    assert_eq!(w.started(0, 0), ["Start 1.0"]);
    assert_eq!(w.started(1, 0), ["Start 2.0"]);
    w.started(2, 0);
    assert!(w.ready());
    assert_eq!(w.exited(0, 0, 1), ["Start 0.1"], "a sidecar restarts whatever the policy");
    w.started(0, 1);
    assert_eq!(w.exited(2, 0, 0), ["Event Killing", "Stop 1"], "the last sidecar ends first");
    assert_eq!(w.exited(1, 0, 143), ["Event Killing", "Stop 0"]);
    assert_eq!(w.exited(0, 1, 143), ["Release"]);
    assert_eq!(w.phase(), "Succeeded", "sidecars do not decide");
}

#[test]
fn readiness_follows_its_probe_and_gates() {
    let probe = json!({"httpGet": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2, "initialDelaySeconds": 2});
    let mut w =
        World::prepared(json!({"readinessGates": [{"conditionType": "x/y"}], "containers": [app(json!({"readinessProbe": probe}))]}));
    w.started(0, 0);
    assert_eq!(w.condition("ContainersReady").2.as_deref(), Some("containers with unready status: [c]"));
    assert_eq!(w.next(), Some(S(2)));
    assert_eq!(w.wait(S(2)), ["Probe 0 Readiness"]);
    w.probed(ProbeKind::Readiness, true);
    assert_eq!(w.condition("ContainersReady").0, "True");
    assert_eq!(w.condition("Ready").1.as_deref(), Some("ReadinessGatesNotReady"));
    w.send(Event::Updated(Update { gates: vec![Some("True".into())], generation: Some(4), ..Update::default() }));
    assert!(w.ready() && w.json()["observedGeneration"] == 4);
    w.wait(S(1));
    assert_eq!(w.probed(ProbeKind::Readiness, false), ["Event Unhealthy"]);
    assert!(w.ready(), "one failure is below the threshold");
    w.wait(S(1));
    w.probed(ProbeKind::Readiness, false);
    assert!(!w.ready());
}

#[test]
fn startup_probe_holds_the_others_back() {
    let mut w = World::prepared(json!({"containers": [app(json!({
        "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 3},
        "readinessProbe": {"tcpSocket": {"port": 1}}, "livenessProbe": {"tcpSocket": {"port": 1}}}))]}));
    assert_eq!(w.started(0, 0), ["Probe 0 Startup"]);
    assert_eq!(w.json()["containerStatuses"][0]["started"], false);
    w.probed(ProbeKind::Startup, false);
    w.wait(S(1));
    assert_eq!(w.probed(ProbeKind::Startup, true), ["Probe 0 Liveness", "Probe 0 Readiness"]);
    assert_eq!(w.json()["containerStatuses"][0]["started"], true);

    let mut w =
        World::prepared(json!({"containers": [app(json!({"startupProbe": {"exec": {}, "periodSeconds": 1, "failureThreshold": 1}}))]}));
    w.started(0, 0);
    assert_eq!(w.probed(ProbeKind::Startup, false), ["Event Unhealthy", "Event Killing", "Stop 0"]);
}

#[test]
fn liveness_failure_restarts_within_its_own_grace() {
    let liveness = json!({"exec": {"command": ["x"]}, "periodSeconds": 5, "failureThreshold": 2, "terminationGracePeriodSeconds": 4});
    let mut w = World::prepared(json!({"containers": [app(json!({"livenessProbe": liveness}))]}));
    w.started(0, 0);
    w.probed(ProbeKind::Liveness, false);
    w.wait(S(5));
    assert_eq!(w.probed(ProbeKind::Liveness, false), ["Event Unhealthy", "Event Killing", "Stop 0"]);
    assert!(
        matches!(w.log.iter().rev().nth(1), Some(Action::Record(r)) if r.message == "Container c failed liveness probe, will be restarted")
    );
    assert_eq!(w.next(), Some(S(4)));
    assert_eq!(w.wait(S(4)), ["Kill 0"]);
    assert_eq!(w.exited(0, 0, 137), ["Start 0.1"]);
}

#[test]
fn deletion_runs_hook_signal_grace_kill() {
    let mut w = World::prepared(json!({"containers": [app(json!({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}))]}));
    w.started(0, 0);
    assert_eq!(w.deleted(10), ["Event Killing", "PreStop 0"]);
    w.mono += S(3);
    let done = Event::HookDone { container: 0, attempt: 0, hook: Hook::PreStop, outcome: Ok(()) };
    assert_eq!(w.send(done), ["Stop 0"]);
    assert_eq!(w.next(), Some(S(7)));
    assert_eq!(w.wait(S(7)), ["Kill 0"]);
    assert_eq!(w.next(), None);
    assert_eq!(w.exited(0, 0, 137), ["Release", "Delete"]);
    assert_eq!(w.phase(), "Failed");
}

#[test]
fn a_hook_that_hangs_leaves_two_seconds_and_a_shorter_grace_shortens() {
    let mut w = World::prepared(json!({"containers": [app(json!({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}))]}));
    w.started(0, 0);
    w.deleted(10);
    assert_eq!(w.wait(S(10)), ["Stop 0"]);
    assert_eq!(w.next(), Some(S(2)));

    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    w.started(0, 0);
    assert_eq!(w.deleted(30), ["Event Killing", "Stop 0"]);
    assert_eq!(w.next(), Some(S(30)));
    w.deleted(0);
    assert_eq!(w.next(), Some(S(1)), "grace 0 is one second");
    w.deleted(20);
    assert_eq!(w.next(), Some(S(1)), "and is not taken back");
    assert_eq!(w.send(Event::Stop(Duration::ZERO)), ["Kill 0"]);
}

#[test]
fn a_requester_is_told_twice_when_the_node_ends() {
    let requester = |extra: Value| {
        let mut w = World::prepared(json!({"containers": [app(json!({"command": ["/ko-app/requester"]})), app(extra)]}));
        w.started(0, 0);
        w.started(1, 0);
        w
    };
    let mut w = requester(json!({"name": "other"}));
    assert_eq!(w.send(Event::Stop(S(10))), ["Event Killing", "Stop 0", "Event Killing", "Stop 1"]);
    assert_eq!(w.next(), Some(S(1)));
    assert_eq!(w.wait(S(1)), ["Stop 0"], "the other has its grace");
    assert_eq!(w.next(), Some(S(9)));
    assert_eq!(w.wait(S(9)), ["Kill 0", "Kill 1"]);

    let mut w = requester(json!({"name": "other"}));
    w.deleted(30);
    assert_eq!(w.next(), Some(S(30)), "as long as there is a controller it may wait for it");
    w.mono += S(4);
    assert_eq!(w.send(Event::Stop(S(10))), Vec::<String>::new());
    assert_eq!(w.wait(S(1)), ["Stop 0"]);
    assert_eq!(w.next(), Some(S(9)));

    let mut w = requester(json!({"name": "other"}));
    w.send(Event::Stop(S(10)));
    assert_eq!(w.send(Event::Stop(Duration::ZERO)), ["Kill 0", "Kill 1"]);
    assert_eq!(w.wait(S(1)), Vec::<String>::new(), "what is killed is told nothing any more");

    let hook = json!({"name": "c2", "command": ["requester"], "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}});
    let mut w = requester(hook);
    assert_eq!(w.send(Event::Stop(S(10))), ["Event Killing", "Stop 0", "Event Killing", "PreStop 1"]);
    assert_eq!(w.wait(S(2)), ["Stop 0"], "the hook comes first");
    assert_eq!(w.send(Event::HookDone { container: 1, attempt: 0, hook: Hook::PreStop, outcome: Ok(()) }), ["Stop 1"]);
    assert_eq!(w.wait(S(1)), ["Stop 1"]);
}

#[test]
fn deletion_while_starting_stops_what_comes_up() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    assert_eq!(w.deleted(30), Vec::<String>::new());
    assert_eq!(w.started(0, 0), ["Event Killing", "Stop 0"]);
    assert_eq!(w.exited(0, 0, 0), ["Release", "Delete"]);

    let mut w = World::new(&pod(json!({"containers": [app(json!({}))]})));
    w.send(Event::Tick);
    assert_eq!(w.deleted(30), ["Release", "Delete"], "nothing ran yet");
    assert_eq!(w.send(Event::Prepared), Vec::<String>::new());
}

#[test]
fn preparation_and_configuration_are_tried_again() {
    let mut w = World::new(&pod(json!({"containers": [app(json!({}))]})));
    w.send(Event::Tick);
    let failed = Event::PrepareFailed { reason: "FailedMount", message: "configmap \"x\" not found".into() };
    assert_eq!(w.send(failed), ["Event FailedMount"]);
    assert_eq!(w.next(), Some(Duration::from_millis(100)));
    assert_eq!(w.wait(Duration::from_millis(100)), ["Prepare"]);
    assert_eq!(w.send(Event::Prepared), ["Start 0.0"]);
    let failed = |failure| Event::StartFailed { container: 0, attempt: 0, failure, message: "why".into() };
    assert_eq!(w.send(failed(Failure::Config)), ["Event Failed"]);
    assert_eq!(w.json()["containerStatuses"][0]["state"]["waiting"], json!({"reason": "CreateContainerConfigError", "message": "why"}));
    assert_eq!(w.wait(Duration::from_millis(100)), ["Start 0.0"]);
    assert_eq!(w.send(failed(Failure::Start)), ["Event Failed", "Start 0.1"]);
    w.started(0, 1);
    let c = w.json()["containerStatuses"][0].clone();
    assert_eq!((c["lastState"]["terminated"]["reason"].clone(), c["restartCount"].clone()), (json!("StartError"), json!(1)));
}

#[test]
fn an_image_that_resolves_to_nothing_waits_in_two_words() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    let failed = Event::StartFailed { container: 0, attempt: 0, failure: Failure::Image, message: "nothing".into() };
    assert_eq!(w.send(failed.clone()), ["Event Failed", "Event Failed"]);
    let reason = |w: &World| w.json()["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    assert_eq!(reason(&w), "ErrImagePull");
    assert_eq!(w.wait(S(1)), ["Event BackOff"]);
    assert_eq!(reason(&w), "ImagePullBackOff");
    assert_eq!(w.next(), Some(S(9)));
    assert_eq!(w.wait(S(9)), ["Start 0.0"]);
    assert_eq!(reason(&w), "ImagePullBackOff", "what was shown stays until the outcome");
    w.send(failed);
    assert_eq!((w.phase().as_str(), w.json()["containerStatuses"][0]["restartCount"].clone()), ("Pending", json!(0)));
}

#[test]
fn post_start_delays_probes_and_its_failure_kills() {
    let spec =
        json!({"containers": [app(json!({"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}, "readinessProbe": {"exec": {}}}))]});
    let done = |outcome| Event::HookDone { container: 0, attempt: 0, hook: Hook::PostStart, outcome };
    let mut w = World::prepared(spec.clone());
    assert_eq!(w.started(0, 0), ["PostStart 0"]);
    assert_eq!(w.json()["containerStatuses"][0]["started"], false);
    assert_eq!(w.send(done(Ok(()))), ["Probe 0 Readiness"]);
    let mut w = World::prepared(spec);
    w.started(0, 0);
    assert_eq!(w.send(done(Err("x".into()))), ["Event FailedPostStartHook", "Event Killing", "Stop 0"]);
}

#[test]
fn late_events_of_an_earlier_run_change_nothing() {
    let mut w = World::prepared(json!({"containers": [app(json!({"readinessProbe": {"exec": {}}}))]}));
    w.started(0, 0);
    w.exited(0, 0, 1);
    w.started(0, 1);
    let before = w.json();
    w.exited(0, 0, 0);
    w.send(Event::Probed { container: 0, attempt: 0, kind: ProbeKind::Readiness, outcome: Ok(()) });
    w.send(Event::Started { container: 7, attempt: 0, id: "x".into(), image: "y".into() });
    assert_eq!(w.json(), before);
}

#[test]
fn what_an_earlier_kubelet_ran_is_reported_ended_and_follows_its_policy() {
    let before = |policy: &str| -> Pod {
        let mut p = pod(json!({"restartPolicy": policy, "containers": [app(json!({}))]}));
        p.status = serde_json::from_value(json!({"phase": "Running", "startTime": "2023-11-14T00:00:00Z", "containerStatuses": [
            {"name": "c", "image": "img", "imageID": "", "ready": true, "restartCount": 2, "containerID": "dormouse://old",
             "state": {"running": {"startedAt": "2023-11-14T00:00:00Z"}}}]}))
        .unwrap();
        p
    };
    let mut w = World::new(&before("Always"));
    let c = w.json()["containerStatuses"][0].clone();
    assert_eq!((c["state"]["terminated"]["exitCode"].clone(), c["state"]["terminated"]["reason"].clone()), (json!(137), json!("Error")));
    w.send(Event::Tick);
    assert_eq!(w.send(Event::Prepared), ["Start 0.3"]);
    w.started(0, 3);
    assert_eq!(w.json()["containerStatuses"][0]["restartCount"], 3);
    assert_eq!(w.json()["startTime"], "2023-11-14T00:00:00Z");

    let mut w = World::new(&before("Never"));
    w.send(Event::Tick);
    assert_eq!(w.send(Event::Prepared), ["Release"]);
    assert_eq!(w.phase(), "Failed");
}

#[test]
fn a_lost_sandbox_is_made_again() {
    let mut w = World::prepared(json!({"containers": [app(json!({}))]}));
    w.started(0, 0);
    assert_eq!(w.send(Event::Lost), Vec::<String>::new(), "the run must report its end first");
    assert_eq!(w.exited(0, 0, 137), ["Prepare"]);
    assert_eq!(w.send(Event::Prepared), ["Start 0.1"]);
    // The end may be seen before the loss: the start that fails for it counts for nothing.
    w.started(0, 1);
    w.mono += S(1000);
    assert_eq!(w.exited(0, 1, 137), ["Start 0.2"]);
    let failed = Event::StartFailed { container: 0, attempt: 2, failure: Failure::Sandbox, message: "gone".into() };
    assert_eq!(w.send(failed), ["Event SandboxChanged"]);
    assert_eq!(w.send(Event::Lost), ["Prepare"]);
    w.send(Event::Prepared);
    assert_eq!(w.wait(S(1)), ["Start 0.2"]);
}

/// Whatever happens in whatever order: no panic, never two runs of a container, nothing starts once the end has begun,
/// `Release` and `Delete` at most once and in that order, and no deadline in the past that a tick does not clear.
#[test]
fn any_order_of_events_keeps_the_invariants() {
    let spec = json!({"restartPolicy": "OnFailure",
        "initContainers": [{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}],
        "containers": [app(json!({"livenessProbe": {"exec": {}, "periodSeconds": 1, "failureThreshold": 1},
                                  "lifecycle": {"preStop": {"exec": {}}, "postStart": {"exec": {}}}})),
                       {"name": "d", "image": "x", "startupProbe": {"exec": {}, "failureThreshold": 2}}]});
    for seed in 0_u64..400 {
        let mut w = World::new(&pod(spec.clone()));
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) % n
        };
        let mut ending = false;
        for _ in 0..120 {
            let container = usize::try_from(roll(4)).unwrap();
            let attempt = w.machine.containers[container].attempt().unwrap_or(u32::try_from(roll(3)).unwrap());
            let outcome = if roll(2) == 0 { Ok(()) } else { Err("x".to_owned()) };
            let event = match roll(14) {
                0 => Event::Prepared,
                1 => Event::PrepareFailed { reason: "FailedMount", message: "x".into() },
                2..=4 => Event::Started { container, attempt, id: "i".into(), image: "i".into() },
                5 => {
                    let failure = [Failure::Image, Failure::Config, Failure::Start, Failure::Mount, Failure::Sandbox]
                        [usize::try_from(roll(5)).unwrap()];
                    Event::StartFailed { container, attempt, failure, message: "x".into() }
                }
                6 | 7 => {
                    Event::Exited { container, attempt, exit: Exit { code: i32::try_from(roll(2)).unwrap(), signal: None }, message: None }
                }
                8 => Event::Probed { container, attempt, kind: ProbeKind::Liveness, outcome },
                9 => Event::HookDone { container, attempt, hook: if roll(2) == 0 { Hook::PreStop } else { Hook::PostStart }, outcome },
                10 if roll(12) == 0 => Event::Updated(Update { deletion: Some(S(roll(5))), ..Update::default() }),
                10 => {
                    let images = ["x", "x", "img", "x"].map(|image| if roll(4) == 0 { "other" } else { image }.to_owned());
                    Event::Updated(Update { images: images.to_vec(), ..Update::default() })
                }
                11 if roll(12) == 0 => Event::Lost,
                _ => {
                    w.mono += Duration::from_millis(roll(3000));
                    Event::Tick
                }
            };
            ending |= matches!(&event, Event::Updated(Update { deletion: Some(_), .. }));
            let active: Vec<bool> = w.machine.containers.iter().map(super::container::Container::active).collect();
            let from = w.log.len();
            w.send(event);
            for action in &w.log[from..] {
                if let Action::Start { container, .. } = action {
                    assert!(
                        !active[*container]
                            || !matches!(w.machine.stage, super::pod::Stage::Running)
                            || w.machine.containers[*container].attempt().is_some()
                    );
                    assert!(!ending, "seed {seed}: a start after deletion");
                }
            }
            let starts = |log: &[Action]| log.iter().filter(|a| **a == Action::Release).count();
            assert!(starts(&w.log) <= 1, "seed {seed}");
            // A deadline that has passed is served by one tick.
            for _ in 0..4 {
                if w.machine.deadline(now_at(w.mono)).is_some_and(|d| d <= w.mono) {
                    w.send(Event::Tick);
                }
            }
            assert!(w.machine.deadline(now_at(w.mono)).is_none_or(|d| d > w.mono), "seed {seed}: a deadline that no tick clears");
            let _ = w.status();
        }
        let released = w.log.iter().position(|a| *a == Action::Release);
        let deleted = w.log.iter().position(|a| *a == Action::Delete);
        assert!(deleted.is_none() || released < deleted, "seed {seed}");
    }
}
