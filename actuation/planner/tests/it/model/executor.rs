//! An executor as the contract in `dormouse_planner::action` wants it, with delays, failures, a lagging watch, and crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::action::{Action, DeletePodReason, Do, EngineRef, Owner, Target, Verb};
use dormouse_planner::ids::Uid;
use dormouse_planner::limits::Limits;
use dormouse_planner::memory::{ActionOutcome, FailureClass, Memory};
use dormouse_planner::observe::{self, Observed};
use dormouse_planner::state::NodeState;
use dormouse_planner::{Plan, plan};
use jiff::Timestamp;
use serde_json::Value;

use super::Dice;
use super::check::inconsistencies;
use super::engines::failed;
use super::world::{NODE, Program, World, Wrote};

/// How an action goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not done, and the caller is told so.
    Refused,
    /// Done, but the answer is lost.
    Lost,
    /// Not done, and the caller does not know.
    Dropped,
}

/// Which actions go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The n-th action, counted from 0.
    pub(crate) at: BTreeMap<u64, Fault>,
    /// One in so many.
    pub(crate) one_in: u64,
    /// As long as this many are left.
    pub(crate) budget: u64,
    /// The next so many of this verb.
    pub(crate) verbs: BTreeMap<Verb, (Fault, u64)>,
}

impl Faults {
    /// Nothing goes wrong any more, or ever did.
    fn is_quiet(&self) -> bool {
        self.at.is_empty() && self.verbs.is_empty() && self.budget == 0
    }
}

/// An action on its way.
struct Running {
    /// Which controller sent it.
    side: usize,
    action: Action,
    apply_at: Timestamp,
    done_at: Timestamp,
    outcome: Option<ActionOutcome>,
    fault: Option<Fault>,
    /// Its process has died: the effect happens, nobody waits for the answer.
    orphan: bool,
}

/// One controller process: what it has seen, and what it executes.
struct Side {
    /// `None`: both controllers in one process.
    owner: Option<Owner>,
    seen: NodeState,
    view: BTreeMap<Uid, Value>,
    noticed: BTreeMap<Uid, (String, Timestamp)>,
}

impl Side {
    fn new(world: &World, owner: Option<Owner>) -> Self {
        let seen = NodeState {
            namespace: "ns".to_owned(),
            node: world.node_info(),
            gpu_map: Arc::new(world.gpus()),
            requesters: BTreeMap::new(),
            directs: BTreeMap::new(),
            launchers: BTreeMap::new(),
            configs: Arc::clone(&world.configs),
            wanted: BTreeMap::new(),
            limits: Arc::new(Limits::default()),
            populate: owner != Some(Owner::DualPods),
            memory: Memory::default(),
        };
        Self { owner, seen, view: BTreeMap::new(), noticed: BTreeMap::new() }
    }

    /// The index learns of a Pod; gives the inference servers that have ended.
    fn learn(&mut self, world: &World, uid: &Uid) -> Vec<String> {
        let state = &mut self.seen;
        state.requesters.remove(uid);
        state.directs.remove(uid);
        state.launchers.remove(uid);
        match world.pods.get(uid) {
            Some(pod) => {
                observe_into(state, uid, pod);
                self.view.insert(uid.clone(), pod.clone());
            }
            None => drop(self.view.remove(uid)),
        }
        state.forget_vanished().into_iter().map(|server| server.name).collect()
    }
}

/// World and controller together.
pub(crate) struct Harness {
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) populate: bool,
    pub(crate) faults: Faults,
    pub(crate) dice: Dice,
    /// How far the watch lags behind.
    pub(crate) lag: Duration,
    /// Longest delay of a call.
    pub(crate) latency: Duration,
    /// Longest time that a wake or a sleep takes; it goes on when the controller dies.
    pub(crate) effort: Duration,
    /// Every action that was started: time, verb, target.
    pub(crate) trace: Vec<(Timestamp, Action)>,
    /// Steps that [`Harness::run`] may take.
    pub(crate) patience: usize,
    /// The controller dies at these steps.
    pub(crate) crashes_at: Vec<usize>,
    steps: usize,
    /// Inference servers that have come to their end.
    pub(crate) ended: Vec<String>,
    sides: Vec<Side>,
    running: Vec<Running>,
    down_until: Option<Timestamp>,
    started: u64,
}

impl Harness {
    pub(crate) fn new(world: World) -> Self {
        let sides = vec![Side::new(&world, None)];
        Self {
            world,
            limits: Limits { check_gpu_memory: false, ..Limits::default() },
            populate: true,
            faults: Faults::default(),
            dice: Dice(1),
            lag: Duration::ZERO,
            latency: Duration::from_millis(5),
            effort: Duration::from_millis(5),
            trace: Vec::new(),
            patience: 20_000,
            crashes_at: Vec::new(),
            steps: 0,
            ended: Vec::new(),
            sides,
            running: Vec::new(),
            down_until: None,
            started: 0,
        }
    }

    /// From now on the two controllers are processes of their own, each with its own memory.
    pub(crate) fn split(&mut self) {
        self.sides = [Owner::DualPods, Owner::Populator].map(|owner| Side::new(&self.world, Some(owner))).into();
    }

    /// The state as the (first) controller sees it.
    pub(crate) fn state(&mut self) -> &mut NodeState {
        self.state_of(0)
    }

    fn state_of(&mut self, side: usize) -> &mut NodeState {
        let Side { owner, seen: state, .. } = &mut self.sides[side];
        state.node = self.world.node_info();
        state.gpu_map = Arc::new(self.world.gpus());
        state.configs = Arc::clone(&self.world.configs);
        state.wanted = self.world.policies.wanted(&state.node, &self.world.configs);
        state.limits = Arc::new(self.limits.clone());
        state.populate = self.populate && *owner != Some(Owner::DualPods);
        state
    }

    /// The same, learned in another order.
    pub(crate) fn state_shuffled(&mut self, dice: &mut Dice) -> NodeState {
        let mut state = self.state().clone();
        let mut pods: Vec<(&Uid, &Value)> = self.sides[0].view.iter().collect();
        state.requesters.clear();
        state.directs.clear();
        state.launchers.clear();
        while !pods.is_empty() {
            let (uid, pod) = pods.swap_remove(usize::try_from(dice.below(pods.len() as u64)).unwrap());
            observe_into(&mut state, uid, pod);
        }
        state
    }

    pub(crate) fn plan_now(&mut self) -> Plan {
        self.watch(0);
        let now = self.world.now;
        plan(self.state(), now)
    }

    /// The controller dies and is back after `downtime`; what it sent may still arrive.
    pub(crate) fn crash(&mut self, downtime: Duration) {
        for side in &mut self.sides {
            *side = Side::new(&self.world, side.owner);
        }
        for running in &mut self.running {
            running.orphan = true;
        }
        self.down_until = Some(self.world.now + downtime);
    }

    /// Runs until nothing is left to do, or for so long.
    pub(crate) fn run(&mut self, limit: Duration) {
        let end = self.world.now + limit;
        for _ in 0..self.patience {
            let next = self.step();
            match next {
                Some(next) if next <= end => self.world.now = next.max(self.world.now),
                Some(_) => {
                    self.world.now = end;
                    self.step();
                    return;
                }
                None => return,
            }
        }
        let last: Vec<String> = self.trace.iter().rev().take(12).map(|(at, action)| format!("{at} {:?}", action.key)).collect();
        panic!("no end after {} steps; last: {last:#?}", self.patience);
    }

    /// Everything that happens at this instant; gives the next one.
    pub(crate) fn step(&mut self) -> Option<Timestamp> {
        self.steps += 1;
        if self.crashes_at.contains(&self.steps) {
            self.crash(Duration::from_millis(100));
        }
        self.world.settle();
        self.deliver();
        self.world.settle();
        if self.down_until.is_some_and(|until| self.world.now >= until) {
            self.down_until = None;
        }
        let mut next = self.down_until;
        for side in 0..self.sides.len() {
            if self.down_until.is_none() {
                next = earliest(next, self.plan_side(side));
            }
        }
        for running in &self.running {
            let at = if running.outcome.is_none() { running.apply_at } else { running.done_at };
            next = earliest(next, Some(at));
        }
        earliest(next, self.world.next_event())
    }

    /// One controller plans and starts what is its own; gives when it wants to look again.
    fn plan_side(&mut self, side: usize) -> Option<Timestamp> {
        let due = self.watch(side);
        let (now, check) = (self.world.now, self.steps.is_multiple_of(8));
        let state = self.state_of(side);
        let plan = plan(state, now);
        let found = if check { inconsistencies(state) } else { Vec::new() };
        for problem in found {
            self.world.violated(problem);
        }
        let owner = self.sides[side].owner;
        for action in plan.actions {
            if owner.is_none_or(|owner| action.owner == owner || action.owner == Owner::Each) {
                self.start(side, action);
            }
        }
        earliest(due, plan.wake_at)
    }

    /// Lets the watch catch up; gives when it will show more.
    fn watch(&mut self, side: usize) -> Option<Timestamp> {
        let mut due = None;
        let this = &mut self.sides[side];
        let mut uids: Vec<Uid> = self.world.pods.keys().chain(this.view.keys()).cloned().collect();
        uids.sort();
        uids.dedup();
        for uid in uids {
            let version = self.world.pods.get(&uid).map_or("", |pod| pod["metadata"]["resourceVersion"].as_str().unwrap()).to_owned();
            let seen = this.view.get(&uid).map_or("", |pod| pod["metadata"]["resourceVersion"].as_str().unwrap());
            if version == seen {
                this.noticed.remove(&uid);
                continue;
            }
            let now = self.world.now;
            let noticed = this.noticed.entry(uid.clone()).or_insert((version.clone(), now));
            let at = noticed.1 + self.lag;
            if now < at {
                due = earliest(due, Some(at));
                continue;
            }
            this.noticed.remove(&uid);
            self.ended.extend(this.learn(&self.world, &uid));
        }
        due
    }

    fn start(&mut self, side: usize, action: Action) {
        self.sides[side].seen.started(&action);
        let effort = matches!(action.key.verb, Verb::Wake | Verb::Sleep);
        let longest = if effort { self.effort } else { self.latency };
        let ms = 1 + self.dice.below(u64::try_from(longest.as_millis()).unwrap().max(1));
        let mut apply_at = self.world.now + Duration::from_millis(ms);
        // An engine does one thing after the other, whoever asked.
        if let Target::Engine(_) = action.key.target {
            for other in self.running.iter().filter(|other| other.outcome.is_none() && other.action.key.target == action.key.target) {
                apply_at = apply_at.max(other.apply_at + Duration::from_millis(1));
            }
        }
        let done_at = apply_at + Duration::from_millis(self.dice.below(3));
        let fault = self.fault(action.key.verb);
        self.started += 1;
        self.trace.push((self.world.now, action.clone()));
        self.running.push(Running { side, action, apply_at, done_at, outcome: None, fault, orphan: false });
    }

    fn fault(&mut self, verb: Verb) -> Option<Fault> {
        if let Some((fault, left)) = self.faults.verbs.get_mut(&verb).filter(|(_, left)| *left > 0) {
            *left -= 1;
            return Some(*fault);
        }
        if let Some(fault) = self.faults.at.get(&self.started) {
            return Some(*fault);
        }
        if self.faults.budget == 0 || !self.dice.one_in(self.faults.one_in) {
            return None;
        }
        self.faults.budget -= 1;
        Some([Fault::Refused, Fault::Lost, Fault::Dropped][usize::try_from(self.dice.below(3)).unwrap()])
    }

    /// Effects that are due happen; answers that are due arrive.
    fn deliver(&mut self) {
        let now = self.world.now;
        let mut running = std::mem::take(&mut self.running);
        running.sort_by_key(|running| (running.apply_at, running.action.key.clone()));
        for one in &mut running {
            if one.outcome.is_none() && one.apply_at <= now {
                one.outcome = Some(match one.fault {
                    Some(Fault::Refused) => failed(FailureClass::Transient, "injected"),
                    Some(Fault::Dropped) => failed(FailureClass::Lost, "injected: dropped"),
                    Some(Fault::Lost) => {
                        self.apply(&one.action);
                        failed(FailureClass::Lost, "injected: answer lost")
                    }
                    None => self.apply(&one.action),
                });
            }
        }
        let (done, rest): (Vec<Running>, Vec<Running>) = running.into_iter().partition(|one| one.outcome.is_some() && one.done_at <= now);
        self.running = rest;
        for one in done.into_iter().filter(|one| !one.orphan) {
            self.answer(one.side, &one.action, one.outcome.unwrap());
        }
    }

    /// Rule 4 of the contract: answers of the API server go into the index before the action is reported.
    fn answer(&mut self, side: usize, action: &Action, outcome: ActionOutcome) {
        let subject = match &action.what {
            Do::ReplacePod { pod, .. } | Do::DeletePod { pod, .. } | Do::PatchPod { pod, .. } | Do::PatchPodStatus { pod, .. } => {
                Some(pod.uid.clone())
            }
            Do::CreatePod { .. } => match &outcome {
                ActionOutcome::Object(object) => Some(Uid::from(object["metadata"]["uid"].as_str().unwrap())),
                _ => None,
            },
            _ => None,
        };
        if let Some(uid) = subject {
            self.ended.extend(self.sides[side].learn(&self.world, &uid));
        }
        if !matches!(outcome, ActionOutcome::Failed { .. } | ActionOutcome::Conflict)
            && let Some(event) = &action.event
        {
            self.world.events.push((event.pod.name.clone(), event.reason.to_owned(), event.message.clone()));
        }
        self.sides[side].seen.finished(action, &outcome, self.world.now);
    }

    fn apply(&mut self, action: &Action) -> ActionOutcome {
        self.check_effect(action);
        let world = &mut self.world;
        match &action.what {
            Do::ReadGpus { requester, .. } => world.get_gpus(&requester.uid),
            Do::ReadGpuMemory { requester, .. } => world.get_gpu_memory(&requester.uid),
            Do::ListInstances { launcher, .. } => world.list(&launcher.uid),
            Do::ReadSleep { engine, .. } => world.is_sleeping(engine),
            Do::Sleep { engine, .. } => world.sleep(engine),
            Do::Wake { engine, .. } => world.wake(engine),
            Do::CreateInstance { engine, body, .. } => world.create_instance(engine, body),
            Do::DeleteInstance { engine, .. } => world.delete_instance(engine),
            Do::Relay { requester, ready, .. } => world.relay(&requester.uid, *ready),
            Do::CreatePod { object, .. } => wrote(world.create(object.clone())),
            Do::ReplacePod { object, .. } => wrote(world.replace(object.clone())),
            Do::DeletePod { pod, .. } => wrote(world.delete(&pod.uid, Some(&pod.rv))),
            Do::PatchPod { pod, patch } => {
                if !world.pods.contains_key(&pod.uid) {
                    return ActionOutcome::Gone;
                }
                let patch = patch.clone();
                world.edit_uid(&pod.uid, |object| {
                    dormouse_machinery::patch::merge::apply(object, &patch);
                });
                ActionOutcome::Object(world.pods[&pod.uid].clone())
            }
            Do::PatchPodStatus { pod, patch } => {
                if !world.pods.contains_key(&pod.uid) {
                    return ActionOutcome::Gone;
                }
                world.set_gate(&pod.uid, patch);
                ActionOutcome::Object(world.pods[&pod.uid].clone())
            }
            Do::SetConfigStatus { .. } => panic!("no such action in a node's plan"),
        }
    }

    /// Safety properties that are about single effects.
    fn check_effect(&mut self, action: &Action) {
        if let Do::ReplacePod { pod, .. } | Do::DeletePod { pod, .. } = &action.what
            && self.world.pods.get(&pod.uid).is_some_and(|now| now["metadata"]["resourceVersion"] != pod.rv.as_str())
        {
            // The API server refuses it: somebody wrote in between.
            return;
        }
        match (&action.what, action.key.verb) {
            (Do::ReplacePod { pod, .. }, Verb::Unbind) => self.check_unbind(&pod.uid),
            (Do::ReplacePod { pod, .. }, Verb::Route) => {
                let engine = self.bound_engine(&pod.uid);
                let asleep = self.world.engines().into_iter().any(|(found, sim)| Some(&found) == engine.as_ref() && sim.sleeping);
                if asleep {
                    self.world.violated(format!("{} routed while its engine sleeps", pod.name));
                }
            }
            (Do::ReplacePod { pod, .. }, Verb::Deroute) => self.check_gate(&pod.uid, &pod.name),
            (Do::PatchPodStatus { pod, patch }, _) if patch["status"]["conditions"][0]["status"] == "True" => {
                let told = matches!(self.world.sims.get(&pod.uid).map(|sim| &sim.program), Some(Program::Stub { ready: true, .. }));
                // A container that was started anew a moment ago has forgotten.
                if !told && self.world.is_running(&pod.name) && self.world.sims[&pod.uid].starts == 1 {
                    self.world.violated(format!("the gate of {} is opened before its stub is told", pod.name));
                }
            }
            (Do::DeletePod { pod, reason, .. }, _) => self.check_delete(&pod.uid, *reason),
            _ => {}
        }
    }

    /// Traffic is turned away only when the gate is shut, unless it cannot be.
    fn check_gate(&mut self, provider: &Uid, name: &str) {
        let mark = self.world.pods.get(provider).and_then(|pod| pod["metadata"]["annotations"]["dual-pods.llm-d.ai/requester"].as_str());
        let requester = mark.and_then(|mark| mark.split(' ').next()).and_then(|uid| self.world.pods.get(uid));
        let open = requester.is_some_and(|pod| pod["status"]["conditions"][2]["status"] == "True");
        if open && self.faults.is_quiet() {
            self.world.violated(format!("{name} derouted while the gate of its requester is open"));
        }
    }

    fn bound_engine(&self, provider: &Uid) -> Option<EngineRef> {
        let pod = self.world.pods.get(provider)?;
        let annotations = &pod["metadata"]["annotations"];
        annotations["dual-pods.llm-d.ai/requester"].as_str()?;
        if pod["metadata"]["labels"]["dual-pods.llm-d.ai/launcher-config-name"].is_null() {
            return Some(EngineRef::direct(provider));
        }
        Some(EngineRef::instance(provider, &annotations["dual-pods.llm-d.ai/instance-id"].as_str()?.into()))
    }

    /// (c) never unbind what is awake.
    fn check_unbind(&mut self, provider: &Uid) {
        let Some(engine) = self.bound_engine(provider) else { return };
        if self.world.engines().iter().any(|(found, sim)| *found == engine && !sim.sleeping) {
            self.world.violated(format!("{engine:?} unbound while awake"));
        }
    }

    /// (f) a bound provider is deleted only when nobody uses it any more.
    fn check_delete(&mut self, uid: &Uid, reason: DeletePodReason) {
        let Some(pod) = self.world.pods.get(uid) else { return };
        let Some(mark) = pod["metadata"]["annotations"]["dual-pods.llm-d.ai/requester"].as_str() else { return };
        let requester = mark.split(' ').next().and_then(|uid| self.world.pods.get(uid));
        let live = requester.is_some_and(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null() && !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
        });
        if live && reason != DeletePodReason::Terminal {
            self.world.violated(format!("provider of {mark} deleted ({reason:?}) while it is alive"));
        }
    }

    /// How often this was started.
    pub(crate) fn count(&self, verb: Verb) -> usize {
        self.trace.iter().filter(|(_, action)| action.key.verb == verb).count()
    }
}

fn observe_into(state: &mut NodeState, uid: &Uid, pod: &Value) {
    match observe::pod(&Arc::new(pod.clone())) {
        Some(Observed::Requester(node, requester)) if node == NODE => drop(state.requesters.insert(uid.clone(), *requester)),
        Some(Observed::Direct(node, direct)) if node == NODE => drop(state.directs.insert(uid.clone(), *direct)),
        Some(Observed::Launcher(node, launcher)) if node == NODE => drop(state.launchers.insert(uid.clone(), *launcher)),
        _ => {}
    }
}

fn wrote(answer: Wrote) -> ActionOutcome {
    match answer {
        Wrote::Object(object) => ActionOutcome::Object(object),
        Wrote::Gone => ActionOutcome::Gone,
        Wrote::Conflict => ActionOutcome::Conflict,
        Wrote::Refused(why) => failed(FailureClass::Refused, &why),
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
