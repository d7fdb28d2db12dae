//! The HTTP side of the world: stubs, engines, launchers. Each call is one instant.

use std::collections::BTreeMap;

use dormouse_planner::action::EngineRef;
use dormouse_planner::ids::{GpuUuid, Uid};
use dormouse_planner::instance::report_from_body;
use dormouse_planner::memory::{ActionOutcome, FailureClass, InstanceReport};
use serde_json::Value;

use super::kubelet::{Engine, Instance, Program, Sim};
use super::world::World;

pub(crate) fn failed(class: FailureClass, why: &str) -> ActionOutcome {
    ActionOutcome::Failed { class, error: why.to_owned() }
}

fn refused() -> ActionOutcome {
    failed(FailureClass::Transient, "connection refused")
}

impl World {
    fn up(&mut self, uid: &Uid) -> Option<&mut Sim> {
        self.sims.get_mut(uid).filter(|sim| sim.running)
    }

    pub(crate) fn get_gpus(&mut self, requester: &Uid) -> ActionOutcome {
        match self.up(requester).map(|sim| &sim.program) {
            Some(Program::Stub { gpus, answers: true, .. }) => {
                ActionOutcome::Gpus(gpus.iter().map(|gpu| GpuUuid::from(gpu.as_str())).collect())
            }
            _ => refused(),
        }
    }

    /// MiB in use: 40000 for an awake engine, 1000 for a sleeper.
    pub(crate) fn get_gpu_memory(&mut self, requester: &Uid) -> ActionOutcome {
        let Some(Program::Stub { gpus, answers: true, .. }) = self.up(requester).map(|sim| sim.program.clone()) else { return refused() };
        let mut usage: BTreeMap<GpuUuid, u64> = gpus.iter().map(|gpu| (GpuUuid::from(gpu.as_str()), self.foreign_mib)).collect();
        for (_, engine) in self.engines() {
            for gpu in &engine.gpus {
                *usage.entry(GpuUuid::from(gpu.as_str())).or_default() += if engine.sleeping { 1000 } else { 40000 };
            }
        }
        ActionOutcome::GpuMemory(usage)
    }

    pub(crate) fn relay(&mut self, requester: &Uid, to: bool) -> ActionOutcome {
        if to {
            self.check_routed(requester);
        }
        match self.up(requester).map(|sim| &mut sim.program) {
            Some(Program::Stub { ready, answers: true, .. }) => {
                *ready = to;
                ActionOutcome::Done
            }
            _ => refused(),
        }
    }

    /// (e) ready is relayed only after the routing metadata is written.
    fn check_routed(&mut self, requester: &Uid) {
        let mark = format!("{requester} ");
        let provider = self.pods.values().find(|pod| {
            pod["metadata"]["annotations"]["dual-pods.llm-d.ai/requester"].as_str().is_some_and(|have| have.starts_with(&mark))
        });
        let Some(pod) = provider.cloned() else { return };
        let launcher = !pod["metadata"]["labels"]["dual-pods.llm-d.ai/launcher-config-name"].is_null();
        if launcher && pod["metadata"]["labels"]["dual-pods.llm-d.ai/sleeping"] != "false" {
            self.violated(format!("ready relayed to {requester} before its launcher was routed"));
        }
    }

    fn engine(&mut self, engine: &EngineRef) -> Option<&mut Engine> {
        let now = self.now;
        let found = match &mut self.up(&engine.provider)?.program {
            Program::Engine(found) => Some(found),
            Program::Launcher { instances, .. } => instances.get_mut(engine.instance.as_ref()?.as_str())?.engine.as_mut(),
            Program::Stub { .. } => None,
        };
        found.filter(|found| found.up_at <= now && !found.hung)
    }

    pub(crate) fn is_sleeping(&mut self, engine: &EngineRef) -> ActionOutcome {
        if let (Some(error), true) = (self.refuse_sleep_queries.clone(), self.engine(engine).is_some()) {
            return failed(FailureClass::Refused, &error);
        }
        self.engine(engine).map_or_else(refused, |engine| ActionOutcome::Sleeping(engine.sleeping))
    }

    pub(crate) fn sleep(&mut self, engine: &EngineRef) -> ActionOutcome {
        self.check_derouted(engine);
        let Some(found) = self.engine(engine) else { return refused() };
        found.sleeping = true;
        found.wild = false;
        ActionOutcome::Sleeping(true)
    }

    pub(crate) fn wake(&mut self, engine: &EngineRef) -> ActionOutcome {
        let Some(found) = self.engine(engine) else { return refused() };
        if found.stubborn {
            return failed(FailureClass::Transient, "HTTP POST returned unexpected status 500");
        }
        found.sleeping = false;
        ActionOutcome::Sleeping(false)
    }

    /// (d) routing labels go off before an instance is put to sleep or deleted.
    fn check_derouted(&mut self, engine: &EngineRef) {
        let Some(pod) = self.pods.get(&engine.provider) else { return };
        let bound = pod["metadata"]["annotations"]["dual-pods.llm-d.ai/instance-id"].as_str();
        let ours = engine.instance.as_ref().is_some_and(|id| bound == Some(id.as_str()));
        if ours && !pod["metadata"]["labels"]["routed"].is_null() {
            let what = format!("{engine:?} put to sleep or deleted while its launcher is routed");
            self.violated(what);
        }
    }

    // ---- launchers

    pub(crate) fn list(&mut self, launcher: &Uid) -> ActionOutcome {
        let Some(Program::Launcher { instances, answers: true, .. }) = self.up(launcher).map(|sim| &sim.program) else { return refused() };
        let mut list: Vec<(&String, &Instance)> = instances.iter().collect();
        list.sort_by_key(|(_, instance)| instance.order);
        let report = |(id, instance): (&String, &Instance)| InstanceReport {
            stopped: instance.engine.is_none(),
            ..report_from_body(&id.as_str().into(), &instance.body)
        };
        ActionOutcome::Instances(list.into_iter().map(report).collect())
    }

    pub(crate) fn create_instance(&mut self, engine: &EngineRef, body: &Value) -> ActionOutcome {
        if let Some(error) = &self.refuse_instances {
            return failed(FailureClass::Refused, error);
        }
        let (now, start) = (self.now, self.pace.engine_start);
        let id = engine.instance.as_ref().unwrap().to_string();
        let Some(Program::Launcher { instances, next, answers: true }) = self.up(&engine.provider).map(|sim| &mut sim.program) else {
            return refused();
        };
        if instances.contains_key(&id) {
            return failed(FailureClass::Refused, "Instance already exists");
        }
        let gpus: Vec<String> = body["gpu_uuids"].as_array().into_iter().flatten().map(|gpu| gpu.as_str().unwrap().to_owned()).collect();
        *next += 1;
        let new = Engine { up_at: now + start, sleeping: false, gpus, hung: false, stubborn: false, wild: false };
        instances.insert(id, Instance { body: body.clone(), order: *next, engine: Some(new) });
        ActionOutcome::Done
    }

    pub(crate) fn delete_instance(&mut self, engine: &EngineRef) -> ActionOutcome {
        self.check_derouted(engine);
        let id = engine.instance.as_ref().unwrap().to_string();
        let Some(Program::Launcher { instances, answers: true, .. }) = self.up(&engine.provider).map(|sim| &mut sim.program) else {
            return refused();
        };
        if instances.remove(&id).is_some() { ActionOutcome::Done } else { ActionOutcome::Gone }
    }

    /// The engine process dies.
    pub(crate) fn kill_instance(&mut self, launcher: &str, id: &str) {
        let uid = self.uid_of(launcher).unwrap();
        let Program::Launcher { instances, .. } = &mut self.sims.get_mut(&uid).unwrap().program else {
            panic!("{launcher} is no launcher")
        };
        instances.get_mut(id).unwrap().engine = None;
    }

    /// All engine processes, with their provider and instance.
    pub(crate) fn engines(&self) -> Vec<(EngineRef, Engine)> {
        let mut found = Vec::new();
        for (uid, sim) in self.sims.iter().filter(|(_, sim)| sim.running) {
            match &sim.program {
                Program::Engine(engine) => found.push((EngineRef::direct(uid), engine.clone())),
                Program::Launcher { instances, .. } => {
                    for (id, instance) in instances {
                        if let Some(engine) = &instance.engine {
                            found.push((EngineRef::instance(uid, &id.as_str().into()), engine.clone()));
                        }
                    }
                }
                Program::Stub { .. } => {}
            }
        }
        found
    }

    pub(crate) fn engine_mut(&mut self, engine: &EngineRef) -> &mut Engine {
        match &mut self.sims.get_mut(&engine.provider).unwrap().program {
            Program::Engine(found) => found,
            Program::Launcher { instances, .. } => {
                instances.get_mut(engine.instance.as_ref().unwrap().as_str()).unwrap().engine.as_mut().unwrap()
            }
            Program::Stub { .. } => panic!("a stub has no engine"),
        }
    }

    /// (b) never two awake engines on one GPU.
    pub(crate) fn check_gpus(&mut self) {
        let mut awake: BTreeMap<String, Vec<EngineRef>> = BTreeMap::new();
        for (engine, sim) in self.engines() {
            if !sim.sleeping && !sim.wild {
                for gpu in sim.gpus {
                    awake.entry(gpu).or_default().push(engine.clone());
                }
            }
        }
        for (gpu, engines) in awake {
            if engines.len() > 1 {
                self.violated(format!("{engines:?} are awake on {gpu}"));
            }
        }
    }

    /// The n-th engine dies (instances only), hangs, or refuses to wake.
    pub(crate) fn break_engine(&mut self, n: usize, how: u8) {
        let engines = self.engines();
        if engines.is_empty() {
            return;
        }
        let engine = engines[n % engines.len()].0.clone();
        match (how % 3, &engine.instance) {
            (0, Some(id)) => {
                let id = id.to_string();
                let Program::Launcher { instances, .. } = &mut self.sims.get_mut(&engine.provider).unwrap().program else { return };
                instances.get_mut(&id).unwrap().engine = None;
            }
            (1, Some(_)) => self.engine_mut(&engine).hung = true,
            (2, Some(_)) => self.engine_mut(&engine).stubborn = true,
            _ => {}
        }
    }

    /// What has become of everything, without names that depend on time: for each requester whether it is served, and what is
    /// awake and asleep on each GPU.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut out = Vec::new();
        for pod in self.pods.values() {
            let meta = &pod["metadata"];
            if !meta["annotations"]["test/gpus"].is_null() && meta["annotations"]["dual-pods.llm-d.ai/nominal"].is_null() {
                let ready = &pod["status"]["conditions"][1]["status"];
                let (status, gpus) = (&meta["annotations"]["dual-pods.llm-d.ai/status"], &meta["annotations"]["test/gpus"]);
                out.push(format!("{} on {gpus}: ready {ready}, status {status}", meta["name"]));
            }
        }
        for (_, engine) in self.engines() {
            if !engine.sleeping {
                out.push(format!("awake on {:?}", engine.gpus));
            }
        }
        out.sort();
        out
    }
}
