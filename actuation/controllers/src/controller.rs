//! The loop: what was seen changes the index, changed nodes are planned, actions are performed, their
//! answers are seen.
//!
//! One task plans; actions run concurrently, at most one per target (the planner sees to that). Nothing is
//! planned before every watched kind was listed once. Losing this process at any point loses nothing but
//! observations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dormouse_apis::fma;
use dormouse_apis::names::{DUAL_PODS_CONTROLLER, GPU_MAP, LAUNCHER_POPULATOR};
use dormouse_controller::{Change, changes};
use dormouse_planner::action::{Action, Do, Level, Owner};
use dormouse_planner::ids::Uid;
use dormouse_planner::limits::Limits;
use dormouse_planner::memory::{FailureClass, Outcome};
use dormouse_planner::plan;
use dormouse_planner::planned::{Facts, LauncherPhase, Problem};
use dormouse_planner::policies::plan_configs;
use dormouse_runtime::log::pairs;
use dormouse_runtime::{CancellationToken, SharedClock};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::executor::{Answer, Executor, Seen};
use crate::follow::{Follower, News};
use crate::metrics::Metrics;
use crate::world::{Dirty, World};

/// Events that are taken in before planning again, so that a burst is planned once.
const BATCH: usize = 256;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The dual-pods controller.
    DualPods,
    /// The launcher populator.
    Populator,
    /// Both in one.
    Both,
}

impl Role {
    fn owns(self, owner: Owner) -> bool {
        match owner {
            Owner::Each => true,
            Owner::DualPods => self != Self::Populator,
            Owner::Populator => self != Self::DualPods,
        }
    }

    fn manager(self) -> &'static str {
        if self == Self::Populator { LAUNCHER_POPULATOR } else { DUAL_PODS_CONTROLLER }
    }
}

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace it works in.
    pub namespace: String,
    /// Which actions are its own.
    pub role: Role,
    /// Budgets, deadlines, patience.
    pub limits: Limits,
    /// Wall time.
    pub clock: SharedClock,
}

/// The kinds that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    Node,
    GpuMap,
    Isc,
    Lc,
    Lpp,
}

const KINDS: usize = 6;

type Watches = SelectAll<BoxStream<'static, (Kind, Change<Value>)>>;

/// Sets a controller up; the future runs it until `shutdown`. Metrics go into `registry`.
///
/// # Errors
/// When no HTTP client can be made.
pub fn run(
    client: &Client,
    options: Options,
    registry: &mut Registry,
    shutdown: CancellationToken,
) -> reqwest::Result<impl Future<Output = ()> + use<>> {
    let metrics = Arc::new(Metrics::new(registry));
    let executor = Executor::new(client.clone(), options.namespace.clone(), options.role.manager(), Arc::clone(&metrics))?;
    let (news_tx, news) = mpsc::channel(1_024);
    let follower = Follower::new(news_tx)?;
    let populate = options.role != Role::DualPods;
    let world = World::new(options.namespace.clone(), options.limits, populate);
    let watches = watches(client, &options.namespace);
    let controller = Controller {
        role: options.role,
        namespace: options.namespace,
        clock: options.clock,
        world,
        executor,
        follower,
        metrics,
        calls: JoinSet::new(),
        running: HashMap::new(),
        config_wake: None,
        listed: BTreeSet::new(),
        dirty: BTreeMap::new(),
        wakes: BTreeMap::new(),
        facts: BTreeMap::new(),
        problems: BTreeMap::new(),
        started: false,
    };
    Ok(controller.run(watches, news, shutdown))
}

fn watches(client: &Client, namespace: &str) -> Watches {
    let custom = |names: fma::KindNames| {
        let gvk = GroupVersionKind::gvk(fma::GROUP, fma::VERSION, names.kind);
        ApiResource::from_gvk_with_plural(&gvk, names.plural)
    };
    let one = |kind: Kind, resource: &ApiResource, namespaced: bool, config: watcher::Config| {
        let api: Api<DynamicObject> =
            if namespaced { Api::namespaced_with(client.clone(), namespace, resource) } else { Api::all_with(client.clone(), resource) };
        let (api_version, name) = (resource.api_version.clone(), resource.kind.clone());
        changes(api, config).map(move |change| (kind, values(change, &api_version, &name))).boxed()
    };
    let all = watcher::Config::default;
    let gpu_map = watcher::Config::default().fields(&format!("metadata.name={GPU_MAP}"));
    [
        one(Kind::Pod, &ApiResource::erase::<Pod>(&()), true, all()),
        one(Kind::Node, &ApiResource::erase::<Node>(&()), false, all()),
        one(Kind::GpuMap, &ApiResource::erase::<ConfigMap>(&()), true, gpu_map),
        one(Kind::Isc, &custom(fma::INFERENCE_SERVER_CONFIG), true, all()),
        one(Kind::Lc, &custom(fma::LAUNCHER_CONFIG), true, all()),
        one(Kind::Lpp, &custom(fma::LAUNCHER_POPULATION_POLICY), true, all()),
    ]
    .into_iter()
    .collect()
}

/// Objects as JSON, complete with their type, which items of a list do not carry.
fn values(change: Change<DynamicObject>, api_version: &str, kind: &str) -> Change<Value> {
    let value = |object: DynamicObject| {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.insert("apiVersion".into(), api_version.into());
            map.insert("kind".into(), kind.into());
        }
        value
    };
    match change {
        Change::Apply(o) => Change::Apply(value(o)),
        Change::Delete(o) => Change::Delete(value(o)),
        Change::Reset(all) => Change::Reset(all.into_iter().map(value).collect()),
    }
}

struct Controller {
    role: Role,
    namespace: String,
    clock: SharedClock,
    world: World,
    executor: Executor,
    follower: Follower,
    metrics: Arc<Metrics>,
    calls: JoinSet<Answer>,
    /// What each running call is about, so that one that panics is accounted for. No node: a configuration object.
    running: HashMap<tokio::task::Id, (Option<String>, Action)>,
    /// When time alone makes the configuration objects worth planning.
    config_wake: Option<Timestamp>,
    listed: BTreeSet<Kind>,
    /// Nodes to plan, and since when.
    dirty: BTreeMap<String, Instant>,
    /// When time alone makes a node worth planning.
    wakes: BTreeMap<String, Timestamp>,
    facts: BTreeMap<String, Facts>,
    /// What was last logged as keeping a requester from being served.
    problems: BTreeMap<Uid, Vec<Problem>>,
    started: bool,
}

impl Controller {
    async fn run(mut self, mut watches: Watches, mut news: mpsc::Receiver<(Uid, News)>, shutdown: CancellationToken) {
        loop {
            let pause = self.until_wake();
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some((kind, change)) = watches.next() => self.on_change(kind, change),
                Some(done) = self.calls.join_next_with_id() => self.on_done(done),
                Some((uid, item)) = news.recv() => self.on_news(&uid, item),
                () = tokio::time::sleep(pause) => {}
            }
            for _ in 0..BATCH {
                if let Some(Some((kind, change))) = watches.next().now_or_never() {
                    self.on_change(kind, change);
                } else if let Ok((uid, item)) = news.try_recv() {
                    self.on_news(&uid, item);
                } else if let Some(done) = self.calls.try_join_next_with_id() {
                    self.on_done(done);
                } else {
                    break;
                }
            }
            if self.listed.len() == KINDS {
                self.plan_dirty();
            }
        }
    }

    /// Time until the earliest wake; long when there is none.
    fn until_wake(&self) -> Duration {
        let now = self.clock.now();
        let earliest = self
            .wakes
            .values()
            .chain(&self.config_wake)
            .min()
            .map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        earliest.unwrap_or(Duration::from_secs(3_600)).max(Duration::from_millis(1))
    }

    fn mark(&mut self, nodes: Dirty) {
        for node in nodes {
            let depth = i64::try_from(self.dirty.len()).unwrap_or(i64::MAX);
            self.metrics.marked(&node, depth);
            self.dirty.entry(node).or_insert_with(Instant::now);
        }
    }

    fn on_change(&mut self, kind: Kind, change: Change<Value>) {
        if matches!(change, Change::Reset(_)) {
            self.listed.insert(kind);
        }
        let dirty = self.world.change(kind, change);
        self.mark(dirty);
    }

    fn on_news(&mut self, uid: &Uid, news: News) {
        let now = self.clock.now();
        let Some((node, state)) = self.world.node_of_launcher(uid) else { return };
        match news {
            News::Open(open) => state.stream_opened(uid, open),
            News::Event(event) => state.instances_streamed(uid, &event, now),
        }
        let node = node.to_owned();
        self.mark([node].into());
    }

    fn on_done(&mut self, done: Result<(tokio::task::Id, Answer), tokio::task::JoinError>) {
        let (id, answer) = match done {
            Ok((id, answer)) => (id, answer),
            Err(error) => {
                let outcome = Outcome::Failed { class: FailureClass::Lost, error: error.to_string() };
                (error.id(), Answer { seen: None, outcome })
            }
        };
        let Some((node, action)) = self.running.remove(&id) else { return };
        // Answers of the API are observations: the index first, then the planner's memory.
        let mut dirty = match answer.seen {
            Some(Seen::Pod(object)) => self.world.apply_pod(&Arc::new(object)),
            Some(Seen::NoPod(uid)) => self.world.delete_pod(&uid),
            None => Dirty::new(),
        };
        let now = self.clock.now();
        self.report(node.as_deref().unwrap_or_default(), &action, &answer.outcome, now);
        match node {
            Some(node) => {
                if let Some(state) = self.world.nodes.get_mut(&node) {
                    state.finished(&action, &answer.outcome, now);
                }
                dirty.insert(node);
            }
            None => self.world.configs.finished(&action, &answer.outcome, now),
        }
        self.mark(dirty);
    }

    fn plan_dirty(&mut self) {
        let now = self.clock.now();
        let due: Dirty = self.wakes.iter().filter(|(_, at)| **at <= now).map(|(node, _)| node.clone()).collect();
        self.mark(due);
        if self.role != Role::DualPods {
            self.plan_configs(now);
        }
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.is_empty() && self.started {
            return;
        }
        for (node, since) in dirty {
            self.plan_node(&node, since, now);
        }
        self.follower.set(&self.world.launcher_places());
        self.set_gauges();
        if !self.started {
            self.started = true;
            tracing::info!("All initial items processed");
        }
    }

    /// Statuses of configuration objects.
    fn plan_configs(&mut self, now: Timestamp) {
        let plan = plan_configs(&self.world.configs, self.world.limits(), now);
        for action in plan.actions {
            self.world.configs.started(&action);
            start(&self.executor, &mut self.calls, &mut self.running, None, action);
        }
        self.config_wake = plan.wake_at;
    }

    fn plan_node(&mut self, node: &str, since: Instant, now: Timestamp) {
        self.wakes.remove(node);
        let Some(state) = self.world.nodes.get_mut(node) else {
            self.facts.remove(node);
            return;
        };
        state.forget_vanished();
        let begun = Instant::now();
        let plan = plan(state, now);
        let (waited, worked) = (begun.duration_since(since), begun.elapsed());
        for action in plan.actions {
            if !self.role.owns(action.owner) {
                continue;
            }
            state.started(&action);
            start(&self.executor, &mut self.calls, &mut self.running, Some(node.to_owned()), action);
        }
        for (uid, problems) in plan.problems {
            if self.problems.get(&uid) != Some(&problems) {
                let name = state.requesters.get(&uid).map(|r| r.pod.name.as_str()).unwrap_or_default();
                for problem in &problems {
                    tracing::info!(node, serverUID = uid.as_str(), requesterName = name, problem = problem.text, "Requester waits");
                }
                self.problems.insert(uid, problems);
            }
        }
        if let Some(at) = plan.wake_at {
            self.wakes.insert(node.to_owned(), at);
        }
        self.facts.insert(node.to_owned(), plan.facts);
        self.world.prune(node);
        self.metrics.planned(node, waited, worked);
    }

    /// Gauges follow from state.
    fn set_gauges(&mut self) {
        let known = |uid: &Uid| self.world.nodes.values().any(|n| n.requesters.contains_key(uid));
        self.problems.retain(|uid, _| known(uid));
        self.metrics.set_requesters(&self.world.requesters_by_isc());
        self.metrics.set_iscs(&self.world.iscs_by_lc());
        if self.role != Role::Populator {
            let mut pairs = BTreeSet::new();
            for (node, facts) in &self.facts {
                for pair in &facts.duality {
                    for gpu in &pair.gpus {
                        pairs.insert(vec![
                            ("exported_namespace", self.namespace.clone()),
                            ("requester_name", pair.requester_name.clone()),
                            ("exported_pod", pair.provider.clone()),
                            ("exported_container", dormouse_apis::names::SERVER_CONTAINER.to_owned()),
                            ("instance_id", pair.instance.as_str().to_owned()),
                            ("UUID", gpu.as_str().to_owned()),
                            ("node", node.clone()),
                        ]);
                    }
                }
            }
            self.metrics.set_pairs(&pairs);
        }
        if self.role != Role::DualPods {
            let mut counts: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
            let lcs = self.world.launcher_configs();
            for lc in lcs.iter().chain(self.facts.values().flat_map(|f| f.launchers.keys())) {
                for phase in LauncherPhase::ALL {
                    counts.entry((lc.clone(), phase.as_str())).or_default();
                }
            }
            for (lc, phases) in self.facts.values().flat_map(|f| &f.launchers) {
                for (phase, n) in phases {
                    *counts.entry((lc.clone(), phase.as_str())).or_default() += i64::from(*n);
                }
            }
            self.metrics.set_launchers(&counts);
        }
    }

    /// Logs how an action ended, under the message names of the contract, and counts it.
    fn report(&self, node: &str, action: &Action, outcome: &Outcome, now: Timestamp) {
        let subject = &action.subject;
        let mut keys: Vec<(&str, &str)> = vec![("node", node)];
        if let Some(requester) = &subject.requester {
            keys.push(("serverUID", requester.uid.as_str()));
            keys.push(("requesterName", &requester.name));
        }
        if let Some(instance) = &subject.instance {
            keys.push(("instanceID", instance.as_str()));
        }
        if let Some(provider) = &subject.provider {
            keys.push(("providerName", provider));
        }
        keys.extend(action.log.fields.iter().map(|(k, v)| (*k, v.as_str())));
        match outcome {
            Outcome::Failed { error, .. } => {
                self.metrics.retried(node);
                keys.push(("err", error));
                let message = if action.log.failed.is_empty() { "Action failed" } else { action.log.failed };
                // Polls that find nobody yet are the ordinary course of a start.
                if action.log.failed.is_empty() {
                    tracing::debug!(kv = %pairs(keys), "{message}");
                } else {
                    tracing::error!(kv = %pairs(keys), "{message}");
                }
            }
            Outcome::Conflict => tracing::debug!(kv = %pairs(keys), "Object is newer than planned with"),
            Outcome::Gone if !action.log.gone.is_empty() => tracing::info!(kv = %pairs(keys), "{}", action.log.gone),
            Outcome::Gone => {}
            _ if action.log.done.is_empty() => {}
            _ => match action.log.level {
                Level::Error => tracing::error!(kv = %pairs(keys), "{}", action.log.done),
                Level::Info => tracing::info!(kv = %pairs(keys), "{}", action.log.done),
                Level::Debug => tracing::debug!(kv = %pairs(keys), "{}", action.log.done),
            },
        }
        if let (Do::Relay { first: Some(actuation), .. }, Outcome::Done) = (&action.what, outcome) {
            let seconds = now.duration_since(actuation.since).as_secs_f64().max(0.0);
            let path = actuation.path.as_str();
            self.metrics.actuated(&self.namespace, path, actuation.deleted, &actuation.isc, seconds);
            tracing::debug!(path, actuationSecs = seconds, node, "Observed actuation latency");
        }
    }
}

/// Performs an action in a task of its own.
fn start(
    executor: &Executor,
    calls: &mut JoinSet<Answer>,
    running: &mut HashMap<tokio::task::Id, (Option<String>, Action)>,
    node: Option<String>,
    action: Action,
) {
    let (executor, job) = (executor.clone(), action.clone());
    let task = calls.spawn(async move { executor.perform(&job).await });
    running.insert(task.id(), (node, action));
}
