//! How the controller sees each node, for the debug port.
//!
//! What is shown is what decisions depend on: names, bindings, answers, failures, calls under way. Environments and command
//! lines of engines may hold secrets and stay out.

use dormouse_planner::NodeState;
use dormouse_planner::action::{ActionKey, EngineRef, Target};
use dormouse_planner::ids::{GpuUuid, InstanceId, Uid};
use dormouse_planner::memory::Instance;
use dormouse_planner::state::{Binding, Launcher, PodMeta, RequesterKind};
use serde_json::{Value, json};

use crate::world::World;

/// All nodes, or one of them.
pub(crate) fn nodes(world: &World, only: Option<&str>) -> Value {
    let nodes = world.nodes.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    nodes.map(|(name, state)| (name.clone(), node(state))).collect()
}

fn node(state: &NodeState) -> Value {
    let memory = &state.memory;
    let bound = |binding: Option<&Binding>, uid: &Uid| binding.is_some_and(|b| b.uid == *uid);
    let provider = |uid: &Uid| {
        let directs = state.directs.values().filter(|d| bound(d.binding.as_ref(), uid)).map(|d| &d.pod);
        let launchers = state.launchers.values().filter(|l| bound(l.binding.as_ref(), uid)).map(|l| &l.pod);
        directs.chain(launchers).next().map(|pod| pod.name.as_str())
    };
    let requesters = state.requesters.values().map(|r| {
        let stub = state.stub(r);
        let mut shown = pod(&r.pod, provider(&r.pod.uid));
        match &r.kind {
            RequesterKind::Direct { .. } => shown["kind"] = "direct".into(),
            RequesterKind::Launcher { isc } => shown["inferenceServerConfig"] = isc.as_str().into(),
            RequesterKind::Contradictory => shown["kind"] = "contradictory".into(),
        }
        shown["gpus"] = stub.and_then(|s| s.gpus.known()).map_or(Value::Null, |g| gpus(g));
        shown["toldReady"] = stub.and_then(|s| s.relayed).map(|(ready, _)| ready).into();
        shown
    });
    let directs = state.directs.values().map(|d| {
        let mut shown = pod(&d.pod, d.binding.as_ref().map(|b| b.name.as_str()));
        shown["gpus"] = gpus(&d.gpus);
        shown["sleep"] = sleep(state, &EngineRef::direct(&d.pod.uid), &d.pod);
        shown
    });
    let launchers = state.launchers.values().map(|l| {
        let mut shown = pod(&l.pod, l.binding.as_ref().map(|b| b.name.as_str()));
        shown["launcherConfig"] = l.lc.as_str().into();
        shown["followed"] = state.told_by(l).is_some_and(|m| m.followed).into();
        shown["instances"] = instances(state, l);
        shown
    });
    let failures = memory.failures.iter().map(|(key, failure)| {
        json!({"what": what(state, key), "attempts": failure.attempts, "first": failure.first, "last": failure.last,
            "class": format!("{:?}", failure.class), "error": failure.error})
    });
    json!({
        "exists": state.node.exists, "ready": state.node.ready,
        "requesters": requesters.collect::<Vec<_>>(),
        "directProviders": directs.collect::<Vec<_>>(),
        "launchers": launchers.collect::<Vec<_>>(),
        "underWay": memory.in_flight.keys().map(|key| what(state, key)).collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn pod(pod: &PodMeta, bound_to: Option<&str>) -> Value {
    json!({"name": pod.name, "uid": pod.uid, "resourceVersion": pod.rv, "ip": pod.ip, "running": pod.running(), "ready": pod.ready,
        "deleting": pod.deleting.is_some(), "boundTo": bound_to})
}

fn gpus(list: &[GpuUuid]) -> Value {
    list.iter().map(GpuUuid::as_str).collect()
}

fn instances(state: &NodeState, launcher: &Launcher) -> Value {
    let Some(instances) = state.instances(launcher) else { return Value::Null };
    let one = |(id, instance): (&InstanceId, &Instance)| {
        json!({"id": id, "stopped": instance.stopped, "exitCode": instance.exit_code, "gpus": instance.gpus,
            "sleep": sleep(state, &EngineRef::instance(&launcher.pod.uid, id), &launcher.pod)})
    };
    instances.iter().map(one).collect()
}

fn sleep(state: &NodeState, engine: &EngineRef, provider: &PodMeta) -> Value {
    state.sleep(engine, provider).map_or(Value::Null, |sleep| format!("{sleep:?}").into())
}

/// An action by what it does to what, with names in place of UIDs where there are some.
fn what(state: &NodeState, key: &ActionKey) -> String {
    let name = |uid: &Uid| {
        let pods =
            [state.requesters.get(uid).map(|r| &r.pod), state.directs.get(uid).map(|d| &d.pod), state.launchers.get(uid).map(|l| &l.pod)];
        pods.into_iter().flatten().next().map_or_else(|| uid.to_string(), |pod| pod.name.clone())
    };
    let target = match &key.target {
        Target::Pod(uid) => format!("Pod {}", name(uid)),
        Target::Stub(uid) => format!("stub of {}", name(uid)),
        Target::Launcher(uid) => format!("launcher {}", name(uid)),
        Target::Engine(EngineRef { provider, instance: None }) => format!("engine of {}", name(provider)),
        Target::Engine(EngineRef { provider, instance: Some(id) }) => format!("instance {id} of {}", name(provider)),
        Target::NewProvider(uid) => format!("new provider for {}", name(uid)),
        Target::NewLauncher(config, n) => format!("new launcher {n} of {config}"),
        Target::Config(kind, name) => format!("{kind} {name}"),
    };
    format!("{:?} {target}", key.verb)
}

#[cfg(test)]
mod tests {
    use dormouse_planner::action::Verb;
    use dormouse_planner::limits::Limits;
    use dormouse_planner::memory::{Failure, FailureClass};
    use jiff::Timestamp;

    use super::*;
    use crate::world::Watched;

    #[test]
    fn what_is_shown_has_names_and_no_secrets() {
        let mut world = World::new("ns".into(), Limits::default(), false);
        for (uid, name, node) in [("u1", "r1", "n1"), ("u2", "r2", "n2")] {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "annotations": {"dual-pods.llm-d.ai/inference-server-config": "isc"}},
                "spec": {"nodeName": node, "containers": [{"name": "inference-server", "image": "i", "env": [{"name": "T", "value": "secret"}]}]},
                "status": {"podIP": "10.0.0.1"},
            });
            world.answered(Watched::Pods, pod);
        }
        let key = ActionKey { target: Target::Stub(Uid("u1".into())), verb: Verb::ReadGpus, detail: String::new() };
        let (first, error) = (Timestamp::UNIX_EPOCH, "refused".to_owned());
        let failure = Failure { attempts: 2, first, last: first, class: FailureClass::Transient, error };
        world.nodes.get_mut("n1").unwrap().memory.failures.insert(key, failure);

        let all = nodes(&world, None);
        assert_eq!(all.as_object().unwrap().len(), 2);
        assert_eq!(all["n1"]["requesters"][0]["inferenceServerConfig"], "isc");
        assert_eq!(all["n1"]["failures"][0]["what"], "ReadGpus stub of r1");
        assert!(!all.to_string().contains("secret"));
        assert_eq!(nodes(&world, Some("n2")).as_object().unwrap().keys().collect::<Vec<_>>(), ["n2"]);
    }
}
