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

use dormouse_apis::CustomResourceExt;
use dormouse_apis::fma::{InferenceServerConfig, LauncherConfig, LauncherPopulationPolicy};
use dormouse_apis::names::{DUAL_PODS_CONTROLLER, GPU_MAP, LAUNCHER_POPULATOR};
use dormouse_controller::inspect::{self, Inspector, Question};
use dormouse_controller::metrics::{Metrics as FrameMetrics, QueueCounts};
use dormouse_controller::{Change, Consistent, Fence, JsonClient, Note, Reason, Reasons, Recorder, Source, Touched, changes};
use dormouse_planner::action::{Action, EventSpec, Owner};
use dormouse_planner::limits::Limits;
use dormouse_planner::memory::{ActionOutcome, FailureClass};
use dormouse_planner::plan;
use dormouse_planner::policies::plan_configs;
use dormouse_runtime::{CancellationToken, SharedClock};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, ObjectReference, Pod};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::calls::Caller;
use crate::executor::{Answer, Executor, Seen};
use crate::follow::{Follower, News, Report};
use crate::metrics::Metrics;
use crate::report::{Performed, Reporter};
use crate::shown;
use crate::world::{Dirty, Watched, World, touched};

/// Events that are taken in before planning again, so that a burst is planned once.
const BATCH: usize = 256;
/// How long gauges may lag behind: they are counted over all nodes, which is too much work for each event.
const GAUGES: Duration = Duration::from_millis(200);

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

    pub(crate) fn manager(self) -> &'static str {
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
    /// Budgets, switches, and after how long a launcher is stuck.
    pub limits: Limits,
    /// Wall time.
    pub clock: SharedClock,
    /// Asked before each call of an action and each write of an Event; watches and the streams of launchers are read without it.
    pub fence: Fence,
}

type Watches = SelectAll<BoxStream<'static, (Watched, Change<Value>)>>;

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
    run_inspected(client, options, registry, shutdown).map(|(_, work)| work)
}

/// As [`run`], with a way to look into it.
///
/// # Errors
/// As [`run`].
pub fn run_inspected(
    client: &Client,
    options: Options,
    registry: &mut Registry,
    shutdown: CancellationToken,
) -> reqwest::Result<(Inspector, impl Future<Output = ()> + use<>)> {
    let (inspector, inspected) = inspect::channel();
    let metrics = Arc::new(Metrics::new(registry));
    let clock = options.clock;
    // One for calls and streams; it trusts no certificates. Calls are bounded by their actions, streams by silence.
    let http = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts { total: None, ..Default::default() })?;
    let manager = options.role.manager();
    let frame = FrameMetrics::default();
    frame.register(registry);
    let api = JsonClient::from(client.clone()).manager(manager).fence(options.fence.clone()).counted(frame.calls(manager));
    let source = Source { component: manager.to_owned(), host: None };
    let recorder = Recorder::start(api.clone(), source, Arc::clone(&clock), frame.events(manager));
    let caller = Caller::new(http.clone(), Arc::clone(&metrics), options.namespace.clone(), Arc::clone(&clock), options.fence);
    let executor = Executor::new(api, caller, options.namespace.clone(), Arc::clone(&metrics));
    let (news_tx, news) = mpsc::channel(1_024);
    let follower = Follower::new(http, news_tx);
    let populate = options.role != Role::DualPods;
    let world = World::new(options.namespace.clone(), options.limits, populate);
    let watches = watches(client, &options.namespace);
    let reporter = Reporter::new(options.role, options.namespace, Arc::clone(&metrics));
    let controller = Controller {
        role: options.role,
        clock,
        world,
        executor,
        follower,
        metrics,
        reporter,
        calls: JoinSet::new(),
        running: HashMap::new(),
        recorder,
        counts: frame.queue(manager),
        config_wake: None,
        listed: BTreeSet::new(),
        dirty: BTreeMap::new(),
        wakes: BTreeMap::new(),
        gauges: None,
        gauged: None,
        started: false,
        ready: inspected.ready,
    };
    Ok((inspector, controller.run(watches, news, inspected.questions, shutdown)))
}

fn watches(client: &Client, namespace: &str) -> Watches {
    let one = |watched: Watched, resource: &ApiResource, namespaced: bool, config: watcher::Config| {
        let api: Api<DynamicObject> =
            if namespaced { Api::namespaced_with(client.clone(), namespace, resource) } else { Api::all_with(client.clone(), resource) };
        let (api_version, name) = (resource.api_version.clone(), resource.kind.clone());
        changes(api, config).map(move |change| (watched, values(change, &api_version, &name))).boxed()
    };
    let all = watcher::Config::default;
    let gpu_map = watcher::Config::default().fields(&format!("metadata.name={GPU_MAP}"));
    [
        one(Watched::Pods, &ApiResource::erase::<Pod>(&()), true, all()),
        one(Watched::Nodes, &ApiResource::erase::<Node>(&()), false, all()),
        one(Watched::GpuMap, &ApiResource::erase::<ConfigMap>(&()), true, gpu_map),
        one(Watched::InferenceServerConfigs, &InferenceServerConfig::api_resource(), true, all()),
        one(Watched::LauncherConfigs, &LauncherConfig::api_resource(), true, all()),
        one(Watched::PopulationPolicies, &LauncherPopulationPolicy::api_resource(), true, all()),
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

/// A call under way.
struct Call {
    /// The node it is about; none: a configuration object.
    node: Option<String>,
    action: Action,
    begun: Timestamp,
}

struct Controller {
    role: Role,
    clock: SharedClock,
    world: World,
    executor: Executor,
    follower: Follower,
    metrics: Arc<Metrics>,
    reporter: Reporter,
    calls: JoinSet<Answer>,
    /// What each call is about, so that one that panics is accounted for.
    running: HashMap<tokio::task::Id, Call>,
    recorder: Recorder,
    counts: QueueCounts,
    /// When time alone makes the configuration objects worth planning.
    config_wake: Option<Timestamp>,
    listed: BTreeSet<Watched>,
    /// Nodes to plan, since when, and why.
    dirty: BTreeMap<String, (Instant, Reasons)>,
    /// When time alone makes a node worth planning.
    wakes: BTreeMap<String, Timestamp>,
    /// When the gauges are due, if anything changed, and when they were last set.
    gauges: Option<Instant>,
    gauged: Option<Instant>,
    started: bool,
    /// Told when it has planned everything once.
    ready: watch::Sender<bool>,
}

impl Controller {
    async fn run(
        mut self,
        mut watches: Watches,
        mut news: mpsc::Receiver<Report>,
        mut questions: mpsc::Receiver<Question>,
        shutdown: CancellationToken,
    ) {
        loop {
            let pause = self.until_wake();
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some((watched, change)) = watches.next() => self.on_change(watched, change),
                Some(done) = self.calls.join_next_with_id() => self.on_done(done),
                Some(report) = news.recv() => self.on_news(report),
                Some(question) = questions.recv() => {
                    let state = self.shown(&question.query);
                    question.answer(state);
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            for _ in 0..BATCH {
                if let Some(done) = self.calls.try_join_next_with_id() {
                    self.on_done(done);
                } else if let Some(Some((watched, change))) = watches.next().now_or_never() {
                    self.on_change(watched, change);
                } else if let Ok(report) = news.try_recv() {
                    self.on_news(report);
                } else {
                    break;
                }
            }
            if self.listed.len() == Watched::COUNT {
                self.plan_dirty();
            }
            if self.gauges.is_some_and(|due| due <= Instant::now()) {
                (self.gauges, self.gauged) = (None, Some(Instant::now()));
                self.reporter.gauges(&self.world);
            }
        }
    }

    /// What is shown on the debug port, of one node with `?node=`.
    fn shown(&self, query: &BTreeMap<String, String>) -> Value {
        let nodes = shown::nodes(&self.world, query.get("node").map(String::as_str));
        json!({
            "role": format!("{:?}", self.role), "namespace": self.world.configs.namespace, "ready": self.started,
            "listed": self.listed.iter().map(|watched| format!("{watched:?}")).collect::<Vec<_>>(),
            "callsUnderWay": self.calls.len(), "nodesToPlan": self.dirty.keys().collect::<Vec<_>>(), "wakes": self.wakes,
            "inconsistent": self.world.consistency_check().err().map(|e| e.to_string()), "nodes": nodes,
        })
    }

    /// Time until the earliest wake; long when there is none.
    fn until_wake(&self) -> Duration {
        let now = self.clock.now();
        let earliest = self.wakes.values().chain(&self.config_wake).min();
        let pause = earliest.map_or(Duration::from_secs(3_600), |at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        let gauges = self.gauges.map_or(pause, |due| due.saturating_duration_since(Instant::now()));
        pause.min(gauges).max(Duration::from_millis(1))
    }

    fn mark(&mut self, nodes: Touched<String>) {
        for (node, reason) in nodes {
            let depth = i64::try_from(self.dirty.len()).unwrap_or(i64::MAX);
            self.metrics.marked(&node, depth);
            self.counts.enqueued(reason);
            self.dirty.entry(node).or_insert_with(|| (Instant::now(), Reasons::default())).1.merge(reason);
        }
        self.counts.depth(self.dirty.len());
    }

    fn on_change(&mut self, watched: Watched, change: Change<Value>) {
        if matches!(change, Change::Reset(_)) {
            self.listed.insert(watched);
        }
        let touched = change.fold_into(&mut self.world.of(watched));
        self.mark(touched);
    }

    fn on_news(&mut self, report: Report) {
        let now = self.clock.now();
        let Some((node, state)) = self.world.node_of_launcher(&report.launcher, &report.container) else { return };
        match report.news {
            News::Open(open) => state.stream_opened(&report.launcher, open),
            News::Event(event) => state.instances_streamed(&report.launcher, &event, now),
        }
        let node = node.to_owned();
        self.mark(vec![(node, Reason::Reported)]);
    }

    fn on_done(&mut self, done: Result<(tokio::task::Id, Answer), tokio::task::JoinError>) {
        let (id, answer) = match done {
            Ok((id, answer)) => (id, answer),
            Err(error) => {
                let outcome = ActionOutcome::Failed { class: FailureClass::Lost, error: error.to_string() };
                (error.id(), Answer { seen: None, outcome })
            }
        };
        let Some(Call { node, action, begun }) = self.running.remove(&id) else { return };
        // Answers of the API are observations: the index first, then the planner's memory.
        let mut dirty = match answer.seen {
            Some(Seen::Pod(object)) => self.world.answered(Watched::Pods, object),
            Some(Seen::NoPod(uid)) => self.world.delete_pod(&uid),
            Some(Seen::Config(watched, object)) => self.world.answered(watched, object),
            Some(Seen::NoConfig(watched, object)) => self.world.delete(watched, &object),
            None => Dirty::new(),
        };
        let (now, outcome) = (self.clock.now(), answer.outcome);
        self.reporter.performed(&Performed { node: node.as_deref().unwrap_or_default(), action: &action, begun, ended: now }, &outcome);
        if let (Some(event), ActionOutcome::Done | ActionOutcome::Object(_)) = (&action.event, &outcome) {
            self.recorder.record(&about(event), Note::warning(event.reason, event.message.as_str()));
        }
        match node {
            Some(node) => {
                if let Some(state) = self.world.nodes.get_mut(&node) {
                    state.finished(&action, &outcome, now);
                }
                dirty.insert(node);
            }
            None => self.world.configs.finished(&action, &outcome, now),
        }
        self.mark(touched(dirty, Reason::Answered));
    }

    fn plan_dirty(&mut self) {
        let now = self.clock.now();
        let due: Dirty = self.wakes.iter().filter(|(_, at)| **at <= now).map(|(node, _)| node.clone()).collect();
        self.mark(touched(due, Reason::Due));
        if self.role != Role::DualPods {
            self.plan_configs(now);
        }
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.is_empty() && self.started {
            return;
        }
        for (node, (since, why)) in dirty {
            tracing::trace!(node, %why, "plan");
            let begun = Instant::now();
            self.counts.waited(begun.saturating_duration_since(since));
            self.plan_node(&node, since, now);
            self.counts.worked(begun.elapsed());
        }
        self.counts.depth(self.dirty.len());
        self.follower.set(&self.world.launcher_places());
        self.gauges.get_or_insert_with(|| self.gauged.map_or_else(Instant::now, |last| last + GAUGES));
        if !self.started {
            self.started = true;
            self.ready.send_replace(true);
            tracing::info!("All initial items processed");
        }
    }

    /// Statuses of configuration objects.
    fn plan_configs(&mut self, now: Timestamp) {
        let plan = plan_configs(&self.world.configs, now);
        for action in plan.actions {
            self.world.configs.started(&action);
            self.start(None, action, now);
        }
        self.config_wake = plan.wake_at;
    }

    fn plan_node(&mut self, node: &str, since: Instant, now: Timestamp) {
        self.wakes.remove(node);
        let Some(state) = self.world.nodes.get_mut(node) else {
            self.reporter.forget(node);
            return;
        };
        let ended = state.forget_vanished();
        let begun = Instant::now();
        let plan = plan(state, now);
        let (waited, worked) = (begun.duration_since(since), begun.elapsed());
        let mine: Vec<Action> = plan.actions.into_iter().filter(|action| self.role.owns(action.owner)).collect();
        for action in &mine {
            state.started(action);
        }
        self.reporter.planned(state, &ended, plan.problems, plan.facts);
        if let Some(at) = plan.wake_at {
            self.wakes.insert(node.to_owned(), at);
        }
        for action in mine {
            self.start(Some(node.to_owned()), action, now);
        }
        self.world.prune(node);
        self.metrics.planned(node, waited, worked);
    }

    /// Performs an action in a task of its own.
    fn start(&mut self, node: Option<String>, action: Action, now: Timestamp) {
        let (executor, job) = (self.executor.clone(), action.clone());
        let task = self.calls.spawn(async move { executor.perform(&job).await });
        self.running.insert(task.id(), Call { node, action, begun: now });
    }
}

/// The Pod that an event is about, as it was when it was planned with.
fn about(event: &EventSpec) -> ObjectReference {
    let pod = &event.pod;
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.as_str().to_owned()),
        resource_version: Some(pod.rv.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use dormouse_runtime::clock;

    use super::*;

    /// An API server without objects, which keeps who lists `LauncherConfig`s waiting until told.
    fn slow_api(told: watch::Receiver<bool>) -> Client {
        let answer = move |request: http::Request<kube::client::Body>| {
            let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
            let mut told = told.clone();
            async move {
                if path.ends_with("/launcherconfigs") {
                    let _ = told.wait_for(|told| *told).await;
                }
                let nothing = futures::stream::pending::<Result<&str, std::convert::Infallible>>();
                let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": []});
                let body = if query.contains("watch=true") { Body::from_stream(nothing) } else { Body::from(list.to_string()) };
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            }
        };
        Client::new(tower::service_fn(answer), "ns")
    }

    #[tokio::test]
    async fn a_controller_is_ready_when_everything_was_listed() {
        dormouse_runtime::tls::install_provider();
        let (tell, told) = watch::channel(false);
        let options =
            Options { namespace: "ns".into(), role: Role::Both, limits: Limits::default(), clock: clock::system(), fence: Fence::none() };
        let end = CancellationToken::new();
        let (inspector, work) = run_inspected(&slow_api(told), options, &mut Registry::default(), end.clone()).unwrap();
        let work = tokio::spawn(work);
        let until_listed = async |kinds: usize| loop {
            let state = inspector.state(BTreeMap::new()).await.unwrap();
            if state["listed"].as_array().unwrap().len() == kinds {
                break state;
            }
            tokio::task::yield_now().await;
        };
        let soon = Duration::from_secs(20);
        let state = tokio::time::timeout(soon, until_listed(Watched::COUNT - 1)).await.unwrap();
        assert!(!inspector.ready() && state["ready"] == false && state["namespace"] == "ns", "{state}");
        tell.send_replace(true);
        let state = tokio::time::timeout(soon, until_listed(Watched::COUNT)).await.unwrap();
        assert!(inspector.ready() && state["ready"] == true, "{state}");
        end.cancel();
        work.await.unwrap();
        assert_eq!(inspector.state(BTreeMap::new()).await, None, "it has ended");
    }
}
