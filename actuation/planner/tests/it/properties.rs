//! The properties (actuation 9.5) over generated worlds and histories.
//!
//! A history is a seed and a list of things that happen to a node with delays, failures and a lagging watch. The safety
//! properties are checked by the model as the effects happen; the others when the node has come to rest. A failing case prints
//! the history; the test is repeated by proptest from its regression file.

use std::collections::BTreeSet;
use std::time::Duration;

use dormouse_planner::plan;
use proptest::prelude::*;
use serde_json::json;

use crate::fixtures::launchers;
use crate::model::{Dice, Faults, Harness};

/// Something that happens to a node.
#[derive(Clone, Debug)]
enum Happening {
    /// A requester appears on a free GPU, if there is one: direct, or for one of the configs.
    Appear { gpu: u8, want: u8 },
    /// The n-th requester is deleted.
    Leave(u8),
    /// The n-th provider is deleted by a user.
    Evict(u8),
    /// A container is started anew.
    Restart(u8),
    /// The n-th engine dies, is hung, or refuses to wake.
    Break(u8, u8),
    /// The n-th Pod ends without being deleted.
    Terminal(u8),
    /// A config is edited.
    Edit(u8),
    /// The controller dies.
    Crash,
    /// Time passes.
    Wait(u16),
    /// The node is cordoned, or no longer.
    Cordon(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(gpu, want)| Happening::Appear { gpu, want }),
        5 => any::<u8>().prop_map(Happening::Leave),
        1 => any::<u8>().prop_map(Happening::Evict),
        1 => any::<u8>().prop_map(Happening::Restart),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(n, how)| Happening::Break(n, how)),
        1 => any::<u8>().prop_map(Happening::Terminal),
        1 => any::<u8>().prop_map(Happening::Edit),
        1 => Just(Happening::Crash),
        6 => (0u16..6000).prop_map(Happening::Wait),
    ]
}

fn calm_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => (any::<u8>(), any::<u8>()).prop_map(|(gpu, want)| Happening::Appear { gpu, want }),
        4 => any::<u8>().prop_map(Happening::Leave),
        1 => any::<u8>().prop_map(Happening::Edit),
        5 => (0u16..6000).prop_map(Happening::Wait),
        1 => any::<bool>().prop_map(Happening::Cordon),
    ]
}

const GPUS: u64 = 3;

struct Run {
    h: Harness,
    made: u64,
}

impl Run {
    fn new(seed: u64, faults: u64, lag: u64) -> Self {
        let mut h = launchers(usize::try_from(GPUS).unwrap(), 2);
        h.world.stock("lc", u32::try_from(seed % 3).unwrap());
        h.dice = Dice(seed);
        h.lag = Duration::from_millis(lag);
        h.latency = Duration::from_millis(40);
        h.effort = Duration::from_millis(400);
        h.faults = Faults { one_in: 6, budget: faults, ..Faults::default() };
        Self { h, made: 0 }
    }

    fn requesters(&self) -> Vec<String> {
        self.h.names().into_iter().filter(|name| name.starts_with("req-")).filter(|name| !name.contains("-dual-")).collect()
    }

    /// GPUs that the scheduler would not give away: of requesters that are neither being deleted nor ended.
    fn free_gpus(&self) -> Vec<u64> {
        let held: BTreeSet<String> = self
            .requesters()
            .iter()
            .map(|name| self.h.pod(name))
            .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Failed")))
            .map(|pod| pod["metadata"]["annotations"]["test/gpus"].as_str().unwrap().to_owned())
            .collect();
        (0..GPUS).filter(|gpu| !held.contains(&format!("GPU-{gpu}"))).collect()
    }

    fn pick(list: &[String], n: u8) -> Option<String> {
        if list.is_empty() { None } else { Some(list[usize::from(n) % list.len()].clone()) }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Appear { gpu, want } => {
                let free = self.free_gpus();
                if free.is_empty() {
                    return;
                }
                let gpu = format!("GPU-{}", free[usize::from(*gpu) % free.len()]);
                self.made += 1;
                let name = format!("req-{}", self.made);
                match want % 6 {
                    0 => self.h.direct(&name, &gpu),
                    1 => self.h.wants(&name, &gpu, "smol"),
                    2 => self.h.wants(&name, &gpu, "qwen"),
                    3 => self.h.wants(&name, &gpu, "tiny"),
                    4 => self.h.direct_gated(&name, &gpu),
                    _ => self.h.wants_gated(&name, &gpu, "smol"),
                }
            }
            Happening::Leave(n) => {
                if let Some(name) = Self::pick(&self.requesters(), *n) {
                    self.h.world.delete_by_name(&name);
                }
            }
            Happening::Evict(n) => {
                if let Some(name) = Self::pick(&self.h.providers(), *n) {
                    self.h.world.delete_by_name(&name);
                }
            }
            Happening::Restart(n) => {
                let live: Vec<String> =
                    self.h.names().into_iter().filter(|name| self.h.pod(name)["metadata"]["deletionTimestamp"].is_null()).collect();
                if let Some(name) = Self::pick(&live, *n).filter(|name| self.h.world.is_running(name)) {
                    self.h.world.restart(&name);
                }
            }
            Happening::Break(n, how) => self.h.world.break_engine(usize::from(*n), *how),
            Happening::Terminal(n) => {
                if let Some(name) = Self::pick(&self.h.names(), *n) {
                    self.h.world.evict(&name);
                }
            }
            Happening::Edit(n) => {
                let options = format!("--model smol --variant {}", n % 3);
                self.h.world.isc("smol", 8005, &options, json!({"routed": "smol"}), "lc");
            }
            Happening::Crash => self.h.crash(Duration::from_millis(100)),
            Happening::Wait(ms) => self.h.run(Duration::from_millis(u64::from(*ms))),
            Happening::Cordon(on) => {
                if let Some(node) = &mut self.h.world.node {
                    node["spec"]["unschedulable"] = json!(on);
                }
            }
        }
    }

    fn rest(&mut self) {
        if let Some(node) = &mut self.h.world.node {
            node["spec"]["unschedulable"] = json!(false);
        }
        self.h.faults.budget = 0;
        self.h.run(Duration::from_secs(3600));
    }

    /// What must hold when the node has come to rest.
    fn check_rest(&mut self) -> Result<(), TestCaseError> {
        let story = self.h.story();
        prop_assert!(self.h.world.violations.is_empty(), "{:#?}\n{story}", self.h.world.violations);
        let plan = self.h.plan_now();
        prop_assert!(plan.actions.is_empty(), "not at rest: {:#?}\n{story}", plan.actions);
        for pod in self.h.world.pods.values() {
            let meta = &pod["metadata"];
            // (h) finalizers go from what is being deleted.
            prop_assert!(meta["deletionTimestamp"].is_null(), "{} is still there\n{story}", meta["name"]);
        }
        for name in self.requesters() {
            let pod = self.h.pod(&name);
            if pod["status"]["phase"] == "Failed" {
                prop_assert!(self.h.world.providers_of(&name).is_empty(), "{name} has ended and is still bound\n{story}");
                continue;
            }
            let gpu = pod["metadata"]["annotations"]["test/gpus"].as_str().unwrap();
            prop_assert!(self.h.ready(&name), "{name} on {gpu} is not served: {:?} {:?}\n{story}", self.h.errors(&name), plan.problems);
            prop_assert!(!pod["metadata"]["finalizers"].is_null(), "{name} lacks the finalizer\n{story}");
        }
        self.check_budget(&story)
    }

    /// (g) sleepers within the limit wherever something is awake.
    fn check_budget(&self, story: &str) -> Result<(), TestCaseError> {
        for gpu in 0..GPUS {
            let gpu = format!("GPU-{gpu}");
            let on: Vec<bool> =
                self.h.world.engines().into_iter().filter(|(_, e)| e.gpus.contains(&gpu)).map(|(_, e)| e.sleeping).collect();
            let (asleep, awake) = (on.iter().filter(|s| **s).count(), on.iter().filter(|s| !**s).count());
            let limit = self.h.limits.sleeper_limit();
            prop_assert!(awake <= 1, "{awake} awake on {gpu}\n{story}");
            prop_assert!(awake == 0 || asleep <= limit, "{asleep} sleepers beside an awake engine on {gpu}\n{story}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// Properties 2 (quiescence) and 3 (safety), with every kind of trouble and any finite number of failures; the two
    /// controllers in one process or in two.
    #[test]
    fn any_history_is_safe_and_comes_to_rest(
        seed in any::<u64>(),
        faults in 0u64..30,
        lag in prop_oneof![Just(0u64), 1u64..60],
        split in any::<bool>(),
        history in prop::collection::vec(happening(), 1..28),
    ) {
        let mut run = Run::new(seed, faults, lag);
        if split {
            run.h.split();
        }
        for happening in &history {
            run.happen(happening);
        }
        run.rest();
        run.check_rest()?;
    }

    /// Property 4: a controller that forgets everything at any moment reaches the same final state.
    #[test]
    fn a_crash_changes_nothing_in_the_end(
        seed in any::<u64>(),
        history in prop::collection::vec(calm_happening(), 1..14),
        crashes in prop::collection::vec(0usize..400, 1..5),
    ) {
        let outcome = |crashes: &[usize]| -> Result<Vec<String>, TestCaseError> {
            let mut run = Run::new(seed, 0, 0);
            run.h.crashes_at = crashes.to_vec();
            for happening in &history {
                run.happen(happening);
                run.h.run(Duration::from_secs(120));
            }
            run.rest();
            run.check_rest()?;
            Ok(run.h.world.summary())
        };
        prop_assert_eq!(outcome(&[])?, outcome(&crashes)?);
    }

    /// Properties 1 (determinism) and 5 (no churn).
    #[test]
    fn order_and_irrelevant_edits_do_not_matter(
        seed in any::<u64>(),
        history in prop::collection::vec(happening(), 1..16),
    ) {
        let mut run = Run::new(seed, 0, 0);
        for happening in &history {
            run.happen(happening);
            let state = run.h.state().clone();
            let mut dice = Dice(seed);
            prop_assert_eq!(plan(&state, run.h.world.now), plan(&run.h.state_shuffled(&mut dice), run.h.world.now));
        }
        run.rest();
        for name in run.h.names() {
            run.h.world.edit(&name, |pod| pod["metadata"]["annotations"]["somebody/else"] = json!("x"));
            run.h.world.edit(&name, |pod| pod["metadata"]["labels"]["somebody/else"] = json!("x"));
        }
        let plan = run.h.plan_now();
        prop_assert!(plan.actions.is_empty(), "{:#?}", plan.actions);
    }
}
