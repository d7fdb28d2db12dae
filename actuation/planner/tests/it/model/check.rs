//! What must hold of every node state, whatever happened; looked at after each step.

use std::collections::BTreeMap;

use dormouse_planner::NodeState;
use dormouse_planner::action::Target;
use dormouse_planner::ids::Uid;
use dormouse_planner::memory::Obs;
use dormouse_planner::observe::{self, Observed};

/// Everything that is inconsistent, in words; empty is good.
///
/// The API half is compared with what [`observe::pod`] makes of the very objects in it, the memory with the rules that
/// [`dormouse_planner::memory`] states.
pub(crate) fn inconsistencies(state: &NodeState) -> Vec<String> {
    let mut found = Vec::new();
    check_objects(state, &mut found);
    check_memory(state, &mut found);
    found
}

fn check_objects(state: &NodeState, found: &mut Vec<String>) {
    let mut names: BTreeMap<&str, &Uid> = BTreeMap::new();
    let requesters = state.requesters.iter().map(|(uid, requester)| (uid, &requester.pod));
    let directs = state.directs.iter().map(|(uid, direct)| (uid, &direct.pod));
    let launchers = state.launchers.iter().map(|(uid, launcher)| (uid, &launcher.pod));
    for (uid, pod) in requesters.chain(directs).chain(launchers) {
        if *uid != pod.uid {
            found.push(format!("Pod {} is kept under UID {uid}, not {}", pod.name, pod.uid));
        }
        if let Some(other) = names.insert(&pod.name, uid) {
            found.push(format!("two Pods are named {}: {uid} and {other}", pod.name));
        }
        let same = match observe::pod(&pod.object) {
            Some(Observed::Requester(node, seen)) => node == state.node.name && state.requesters.get(uid) == Some(&*seen),
            Some(Observed::Direct(node, seen)) => node == state.node.name && state.directs.get(uid) == Some(&*seen),
            Some(Observed::Launcher(node, seen)) => node == state.node.name && state.launchers.get(uid) == Some(&*seen),
            Some(Observed::Unscheduled) | None => false,
        };
        if !same {
            found.push(format!("Pod {} ({uid}) is not what its object says", pod.name));
        }
    }
}

fn check_memory(state: &NodeState, found: &mut Vec<String>) {
    let mut targets: BTreeMap<&Target, usize> = BTreeMap::new();
    for (key, count) in &state.memory.in_flight {
        *targets.entry(&key.target).or_default() += 1;
        if *count > state.memory.clock {
            found.push(format!("{key:?} began after now"));
        }
    }
    for (target, count) in targets {
        if count > 1 {
            found.push(format!("{count} actions are under way on {target:?}"));
        }
    }
    for (engine, memory) in &state.memory.engines {
        let Some(id) = &engine.instance else { continue };
        let launcher = state.memory.launchers.get(&engine.provider);
        let listed = launcher.and_then(|launcher| launcher.instances.known());
        if memory.sleep.known().is_some() && listed.is_some_and(|listed| !listed.contains_key(id)) {
            found.push(format!("the sleep state of instance {id} is known though its launcher has no such instance"));
        }
    }
    for (uid, launcher) in &state.memory.launchers {
        if let Obs::Known { value, .. } = &launcher.instances {
            let mut orders: Vec<u64> = value.values().map(|instance| instance.order).collect();
            orders.sort_unstable();
            orders.dedup();
            if orders.len() != value.len() {
                found.push(format!("two instances of launcher {uid} have one place in its list"));
            }
        }
    }
}
