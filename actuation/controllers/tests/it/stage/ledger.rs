//! What is awake on which GPU. Engines enter before they begin to use a GPU and leave after they have ended, so
//! two of them on one GPU at any moment is a violation, whoever asked for it.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// An engine as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Known {
    /// Instance ID, or `direct`.
    pub(crate) instance: String,
    pub(crate) gpus: Vec<String>,
    /// Whether it uses its GPUs.
    pub(crate) awake: bool,
    /// What it says.
    pub(crate) says_asleep: bool,
}

#[derive(Default)]
struct State {
    next: u64,
    engines: BTreeMap<u64, Known>,
    violations: Vec<String>,
}

/// The ledger of a stage.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

impl Ledger {
    /// A new engine, awake.
    pub(crate) fn enter(&self, instance: &str, gpus: &[String]) -> u64 {
        let mut s = self.0.lock().unwrap();
        s.next += 1;
        let id = s.next;
        s.engines.insert(id, Known { instance: instance.to_owned(), gpus: gpus.to_vec(), awake: false, says_asleep: false });
        drop(s);
        self.wake(id);
        id
    }

    /// It begins to wake: it uses its GPUs, and still says that it sleeps.
    pub(crate) fn wake(&self, id: u64) {
        let mut s = self.0.lock().unwrap();
        let Some(me) = s.engines.get(&id).cloned() else { return };
        let clash: Vec<String> = s
            .engines
            .iter()
            .filter(|(other, e)| **other != id && e.awake && e.gpus.iter().any(|g| me.gpus.contains(g)))
            .map(|(_, e)| format!("{me:?} beside {e:?}"))
            .collect();
        s.violations.extend(clash);
        s.engines.get_mut(&id).unwrap().awake = true;
    }

    /// It has woken.
    pub(crate) fn woken(&self, id: u64) {
        if let Some(e) = self.0.lock().unwrap().engines.get_mut(&id) {
            e.says_asleep = false;
        }
    }

    pub(crate) fn sleep(&self, id: u64) {
        if let Some(e) = self.0.lock().unwrap().engines.get_mut(&id) {
            (e.awake, e.says_asleep) = (false, true);
        }
    }

    pub(crate) fn leave(&self, id: u64) {
        self.0.lock().unwrap().engines.remove(&id);
    }

    pub(crate) fn sleeps(&self, id: u64) -> bool {
        self.0.lock().unwrap().engines.get(&id).is_some_and(|e| e.says_asleep)
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    /// All engines that live, sorted.
    pub(crate) fn engines(&self) -> Vec<Known> {
        let mut all: Vec<Known> = self.0.lock().unwrap().engines.values().cloned().collect();
        all.sort();
        all
    }

    /// MiB in use on a GPU: a lot by what is awake, a little by each sleeper.
    pub(crate) fn mib(&self, gpu: &str) -> u64 {
        let s = self.0.lock().unwrap();
        s.engines.values().filter(|e| e.gpus.iter().any(|g| g == gpu)).map(|e| if e.awake { 70_000 } else { 1_024 }).sum()
    }
}
