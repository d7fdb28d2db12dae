//! Pods that must leave their node: it has a `NoExecute` taint that they do not tolerate, or tolerate only for a time.
//!
//! As kube-controller-manager's taint eviction: who does not tolerate every such taint goes at once; else the shortest
//! `tolerationSeconds` of the tolerations used counts, from when the taints were first seen. A taint that goes, or a toleration
//! that comes, calls it off.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use dormouse_controller::{
    At, CallError, Consistent, Inconsistent, Index, JsonClient, Note, Objects, Patch, Recorder, Touched, changes, gone_is_done, same,
};
use dormouse_placement::taints::tolerates;
use dormouse_runtime::SharedClock;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Taint, Toleration};
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Pods evicted at once.
const CONCURRENT: usize = 16;
/// Pause before an eviction that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long a Pod may stay beside some taints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// For ever.
    Always,
    /// For so long.
    For(Duration),
}

/// PURE: by the first toleration that bears each taint.
fn stay(taints: &[Taint], tolerations: &[Toleration]) -> Stay {
    let mut least = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|t| tolerates(t, taint)) else { return Stay::For(Duration::ZERO) };
        if let Some(seconds) = toleration.toleration_seconds {
            let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            least = Some(least.map_or(time, |least: Duration| least.min(time)));
        }
    }
    least.map_or(Stay::Always, Stay::For)
}

/// A Pod that is bound.
#[derive(Debug, Clone, PartialEq)]
struct Resident {
    reference: ObjectReference,
    node: String,
    tolerations: Vec<Toleration>,
}

impl Resident {
    /// None: it is not bound, or goes already.
    fn of(pod: &Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        let finished = matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
        let node = spec.node_name.clone().filter(|n| !n.is_empty() && !finished && pod.metadata.deletion_timestamp.is_none())?;
        Some(Self { reference: pod.object_ref(&()), node, tolerations: spec.tolerations.clone().unwrap_or_default() })
    }
}

/// When a Pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Notice {
    since: Instant,
    at: Instant,
}

/// Bound Pods, the taints of nodes, and who goes when.
///
/// Invariant: a Pod has a notice exactly when its node's taints do not let it stay for ever.
#[derive(Debug, Default)]
struct Residents {
    pods: Objects<Resident>,
    taints: BTreeMap<String, Vec<Taint>>,
    notices: HashMap<String, Notice>,
    /// Told off: to be said.
    cancelled: Vec<ObjectReference>,
}

impl Residents {
    fn judge(&mut self, pod: &Resident, now: Instant) {
        let uid = pod.reference.uid.clone().unwrap_or_default();
        match stay(self.taints.get(&pod.node).map_or(&[][..], Vec::as_slice), &pod.tolerations) {
            Stay::Always => {
                if self.notices.remove(&uid).is_some() {
                    self.cancelled.push(pod.reference.clone());
                }
            }
            Stay::For(time) => {
                let notice = self.notices.entry(uid).or_insert(Notice { since: now, at: now + time });
                notice.at = notice.since + time;
            }
        }
    }

    fn judge_node(&mut self, node: &str, now: Instant) {
        let pods: Vec<Resident> = self.pods.iter().map(|(_, p)| p).filter(|p| p.node == node).cloned().collect();
        pods.iter().for_each(|pod| self.judge(pod, now));
    }

    fn set_taints(&mut self, node: &Node) {
        let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten()).filter(|t| t.effect == "NoExecute").cloned();
        let (name, taints) = (node.name_any(), taints.collect::<Vec<_>>());
        let old = if taints.is_empty() { self.taints.remove(&name) } else { self.taints.insert(name.clone(), taints) };
        if old.as_ref() != self.taints.get(&name) {
            self.judge_node(&name, Instant::now());
        }
    }

    fn take_in(&mut self, pod: &Pod) {
        let Some(resident) = Resident::of(pod) else { return self.take_out(pod) };
        self.pods.put(&pod.metadata, resident.clone());
        self.judge(&resident, Instant::now());
    }

    fn take_out(&mut self, pod: &Pod) {
        self.pods.remove(&pod.metadata);
        self.notices.remove(pod.metadata.uid.as_deref().unwrap_or_default());
    }

    /// Who is due, and when to look again.
    fn due(&self, now: Instant) -> (Vec<Resident>, Option<Instant>) {
        let notice = |p: &Resident| p.reference.uid.as_ref().and_then(|uid| self.notices.get(uid));
        let due = self.pods.iter().map(|(_, p)| p).filter(|p| notice(p).is_some_and(|n| n.at <= now)).cloned().collect();
        (due, self.notices.values().map(|n| n.at).filter(|at| *at > now).min())
    }

    /// It could not be evicted.
    fn again(&mut self, uid: &str, at: Instant) {
        if let Some(notice) = self.notices.get_mut(uid) {
            notice.at = at;
        }
    }
}

/// After every change it is asked who is due, so that no key is named.
impl Index<Pod> for Residents {
    type Key = ();

    fn apply(&mut self, pod: Pod) -> Touched<()> {
        self.take_in(&pod);
        Touched::new()
    }

    fn delete(&mut self, pod: Pod) -> Touched<()> {
        self.take_out(&pod);
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Pod>) -> Touched<()> {
        let all: Vec<_> = all.into_iter().filter_map(|pod| Some((Resident::of(&pod)?, pod.metadata))).collect();
        let there: HashSet<&str> = all.iter().filter_map(|(_, meta)| meta.uid.as_deref()).collect();
        self.notices.retain(|uid, _| there.contains(uid.as_str()));
        self.pods.replace_all(all.iter().map(|(resident, meta)| (meta.clone(), resident.clone())).collect());
        all.iter().for_each(|(resident, _)| self.judge(resident, Instant::now()));
        Touched::new()
    }
}

impl Index<Node> for Residents {
    type Key = ();

    fn apply(&mut self, node: Node) -> Touched<()> {
        self.set_taints(&node);
        Touched::new()
    }

    fn delete(&mut self, node: Node) -> Touched<()> {
        self.set_taints(&Node { spec: None, ..node });
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Node>) -> Touched<()> {
        let gone: Vec<String> = self.taints.keys().filter(|name| !all.iter().any(|n| n.name_any() == **name)).cloned().collect();
        for name in gone {
            self.taints.remove(&name);
            self.judge_node(&name, Instant::now());
        }
        all.iter().for_each(|node| self.set_taints(node));
        Touched::new()
    }
}

impl Consistent for Residents {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.pods.consistency_check()?;
        for (_, pod) in self.pods.iter() {
            let goes = stay(self.taints.get(&pod.node).map_or(&[][..], Vec::as_slice), &pod.tolerations) != Stay::Always;
            same("notice of a Pod", &self.notices.contains_key(pod.reference.uid.as_deref().unwrap_or_default()), &goes)?;
        }
        Ok(())
    }
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, recorder: &Recorder) {
    let recorder = recorder.of("taint-eviction-controller");
    let mut pods = Box::pin(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Box::pin(changes(Api::<Node>::all(client.clone()), watcher::Config::default()));
    let client = JsonClient::from(client);
    let mut index = Residents::default();
    let mut again: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(change) = pods.next() => drop(change.fold_into(&mut index)),
            Some(change) = nodes.next() => drop(change.fold_into(&mut index)),
            () = async { match again { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {}
        }
        for pod in index.cancelled.drain(..) {
            recorder.record(&pod, Note::normal("TaintManagerEviction", format!("Cancelling deletion of Pod {}", named(&pod))));
        }
        let (due, _) = index.due(Instant::now());
        let evict = |pod: Resident| {
            recorder.record(
                &pod.reference,
                Note::normal("TaintManagerEviction", format!("Marking for deletion Pod {}", named(&pod.reference))),
            );
            let (client, clock) = (&client, &clock);
            async move { (evict(client, clock, &pod).await, pod) }
        };
        let mut evicted = stream::iter(due).map(evict).buffer_unordered(CONCURRENT);
        while let Some((result, pod)) = evicted.next().await {
            let far = Duration::from_secs(3_600);
            let pause = match result {
                // The deletion shows in the watch.
                Ok(()) => far,
                Err(error) => {
                    tracing::warn!(pod = %named(&pod.reference), node = %pod.node, %error, "cannot evict a Pod from a tainted node");
                    RETRY
                }
            };
            index.again(pod.reference.uid.as_deref().unwrap_or_default(), Instant::now() + pause);
        }
        again = index.due(Instant::now()).1;
    }
}

fn named(pod: &ObjectReference) -> String {
    format!("{}/{}", pod.namespace.as_deref().unwrap_or_default(), pod.name.as_deref().unwrap_or_default())
}

async fn evict(client: &JsonClient, clock: &SharedClock, pod: &Resident) -> Result<(), CallError> {
    let at = At::one::<Pod>(pod.reference.namespace.as_deref(), pod.reference.name.as_deref().unwrap_or_default());
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": clock.now().to_string()});
    let patch = json!({"metadata": {"uid": pod.reference.uid}, "status": {"conditions": [condition]}});
    gone_is_done(client.patch::<Value>(&at.clone().subresource("status"), &Patch::Strategic(&patch)).await)?;
    let only_this = Preconditions { uid: pod.reference.uid.clone(), resource_version: None };
    gone_is_done(client.delete(&at, &DeleteParams::default().preconditions(only_this)).await)
}

#[cfg(test)]
mod tests {
    use dormouse_controller::Change;

    use super::*;

    fn taint(key: &str) -> Taint {
        Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration { key: Some(key.to_owned()), operator: Some("Exists".to_owned()), toleration_seconds: seconds, ..Toleration::default() }
    }

    #[test]
    fn every_taint_must_be_tolerated_and_the_shortest_time_counts() {
        let secs = |n| Stay::For(Duration::from_secs(n));
        let (a, b) = (taint("a"), taint("b"));
        assert_eq!(stay(&[], &[]), Stay::Always);
        assert_eq!(stay(std::slice::from_ref(&a), &[]), secs(0));
        assert_eq!(stay(&[a.clone(), b.clone()], &[toleration("a", None)]), secs(0));
        assert_eq!(stay(&[a.clone(), b.clone()], &[toleration("a", Some(9)), toleration("b", Some(5))]), secs(5));
        assert_eq!(stay(&[a.clone(), b], &[toleration("a", Some(9)), toleration("b", None)]), secs(9));
        assert_eq!(stay(std::slice::from_ref(&a), &[toleration("a", Some(-1))]), secs(0));
        assert_eq!(
            stay(std::slice::from_ref(&a), &[toleration("a", None), toleration("a", Some(1))]),
            Stay::Always,
            "the first that bears it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_runs_from_the_first_taint_and_is_called_off() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1"},
            "spec": {"nodeName": "n1", "containers": [], "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 10}]}}))
        .unwrap();
        let node =
            |taints: &[Taint]| -> Node { serde_json::from_value(json!({"metadata": {"name": "n1"}, "spec": {"taints": taints}})).unwrap() };
        let mut index = Residents::default();
        Change::Apply(pod).fold_into(&mut index);
        Change::Apply(node(&[taint("a")])).fold_into(&mut index);
        let begun = Instant::now();
        assert_eq!(index.due(begun), (Vec::new(), Some(begun + Duration::from_secs(10))));
        tokio::time::advance(Duration::from_secs(4)).await;
        Change::Apply(node(&[taint("a"), Taint { effect: "NoSchedule".to_owned(), ..taint("b") }])).fold_into(&mut index);
        assert_eq!(index.due(Instant::now()).1, Some(begun + Duration::from_secs(10)));
        Change::Apply(node(&[])).fold_into(&mut index);
        assert_eq!((index.due(Instant::now() + Duration::from_secs(60)), index.cancelled.len()), ((Vec::new(), None), 1));
        Change::Apply(node(&[taint("z")])).fold_into(&mut index);
        assert_eq!(index.due(Instant::now()).0.len(), 1);
        index.consistency_check().unwrap();
        Change::Reset(Vec::<Pod>::new()).fold_into(&mut index);
        assert!(index.due(Instant::now()).0.is_empty() && index.notices.is_empty());
    }
}
