//! What must hold of every node state, whatever happened. Used by tests after each step, and by whoever suspects a bug.

use std::collections::BTreeMap;

use crate::action::Target;
use crate::ids::Uid;
use crate::memory::Obs;
use crate::observe::{self, Observed};
use crate::state::NodeState;

impl NodeState {
    /// Everything that is inconsistent, in words; empty is good.
    ///
    /// The API half is compared with what [`observe::pod`] makes of the very objects in it, the memory with the rules that
    /// [`crate::memory`] states.
    #[must_use]
    pub fn consistency_check(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.check_objects(&mut found);
        self.check_memory(&mut found);
        found
    }

    fn check_objects(&self, found: &mut Vec<String>) {
        let mut names: BTreeMap<&str, &Uid> = BTreeMap::new();
        let requesters = self.requesters.iter().map(|(uid, requester)| (uid, &requester.pod));
        let directs = self.directs.iter().map(|(uid, direct)| (uid, &direct.pod));
        let launchers = self.launchers.iter().map(|(uid, launcher)| (uid, &launcher.pod));
        for (uid, pod) in requesters.chain(directs).chain(launchers) {
            if *uid != pod.uid {
                found.push(format!("Pod {} is kept under UID {uid}, not {}", pod.name, pod.uid));
            }
            if let Some(other) = names.insert(&pod.name, uid) {
                found.push(format!("two Pods are named {}: {uid} and {other}", pod.name));
            }
            let same = match observe::pod(&pod.object) {
                Some(Observed::Requester(node, seen)) => node == self.node.name && self.requesters.get(uid) == Some(&*seen),
                Some(Observed::Direct(node, seen)) => node == self.node.name && self.directs.get(uid) == Some(&*seen),
                Some(Observed::Launcher(node, seen)) => node == self.node.name && self.launchers.get(uid) == Some(&*seen),
                Some(Observed::Unscheduled(_)) | None => false,
            };
            if !same {
                found.push(format!("Pod {} ({uid}) is not what its object says", pod.name));
            }
        }
    }

    fn check_memory(&self, found: &mut Vec<String>) {
        let mut targets: BTreeMap<&Target, usize> = BTreeMap::new();
        for (key, count) in &self.memory.in_flight {
            *targets.entry(&key.target).or_default() += 1;
            if *count > self.memory.clock {
                found.push(format!("{key:?} began after now"));
            }
        }
        for (target, count) in targets {
            if count > 1 {
                found.push(format!("{count} actions are under way on {target:?}"));
            }
        }
        for (engine, memory) in &self.memory.engines {
            let Some(id) = &engine.instance else { continue };
            let launcher = self.memory.launchers.get(&engine.provider);
            let listed = launcher.and_then(|launcher| launcher.instances.known());
            if memory.sleep.known().is_some() && listed.is_some_and(|listed| !listed.contains_key(id)) {
                found.push(format!("the sleep state of instance {id} is known though its launcher has no such instance"));
            }
        }
        for (uid, launcher) in &self.memory.launchers {
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
}
