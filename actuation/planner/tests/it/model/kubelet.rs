//! What runs in Pods, and how the kubelet shows it.

use std::collections::BTreeMap;

use dormouse_planner::ids::Uid;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::World;

/// What runs in a Pod.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) program: Program,
    /// How often the container was started.
    pub(crate) starts: u64,
    pub(crate) running: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) stops_at: Option<Timestamp>,
    /// What the readiness probe saw last.
    pub(crate) ready: bool,
    pub(crate) probe_at: Option<Timestamp>,
    pub(crate) signature_at: Option<Timestamp>,
    /// A container that never comes up.
    pub(crate) broken: bool,
    /// A Pod with a readiness gate, and without a probe.
    gated: bool,
    /// What the status shows: running, ready, starts.
    shown: Option<(bool, bool, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Program {
    Stub { gpus: Vec<String>, ready: bool, answers: bool },
    Engine(Engine),
    Launcher { instances: BTreeMap<String, Instance>, next: u64, answers: bool },
}

/// An engine process.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) up_at: Timestamp,
    pub(crate) sleeping: bool,
    pub(crate) gpus: Vec<String>,
    /// It answers nothing.
    pub(crate) hung: bool,
    /// It refuses to wake.
    pub(crate) stubborn: bool,
    /// Its container was started anew by the kubelet: nobody asked for it to be awake.
    pub(crate) wild: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) body: Value,
    pub(crate) order: u64,
    /// `None`: its process has ended.
    pub(crate) engine: Option<Engine>,
}

impl Sim {
    pub(crate) fn new(pod: &Value, starts_at: Timestamp) -> Self {
        let labels = &pod["metadata"]["labels"];
        let annotations = &pod["metadata"]["annotations"];
        let program = if !labels["dual-pods.llm-d.ai/launcher-config-name"].is_null() {
            Program::Launcher { instances: BTreeMap::new(), next: 0, answers: true }
        } else if !annotations["dual-pods.llm-d.ai/nominal"].is_null() {
            let gpus = annotations["dual-pods.llm-d.ai/accelerators"].as_str().unwrap_or_default().split(',').map(str::to_owned).collect();
            Program::Engine(Engine { up_at: Timestamp::MAX, sleeping: false, gpus, hung: false, stubborn: false, wild: false })
        } else {
            let gpus = annotations["test/gpus"].as_str().unwrap_or_default();
            let gpus = gpus.split(',').filter(|gpu| !gpu.is_empty()).map(str::to_owned).collect();
            Program::Stub { gpus, ready: false, answers: true }
        };
        Self {
            program,
            starts: 0,
            running: false,
            since: None,
            starts_at: Some(starts_at),
            stops_at: None,
            ready: false,
            probe_at: None,
            signature_at: None,
            broken: false,
            gated: !pod["spec"]["readinessGates"].is_null(),
            shown: None,
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        !self.running
    }

    pub(crate) fn stop_by(&mut self, at: Timestamp) {
        self.starts_at = None;
        if self.running {
            self.stops_at = Some(self.stops_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// What the readiness probe would see now.
    pub(crate) fn healthy(&self, now: Timestamp) -> bool {
        self.running
            && match &self.program {
                Program::Stub { ready, .. } => *ready || self.gated,
                Program::Engine(engine) => now >= engine.up_at && !engine.hung,
                Program::Launcher { answers, .. } => *answers,
            }
    }

    fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        let engine = match &self.program {
            Program::Engine(engine) if self.running => Some(engine.up_at),
            _ => None,
        };
        [self.starts_at.filter(|_| !self.broken), self.stops_at, self.probe_at, self.signature_at, engine]
            .into_iter()
            .flatten()
            .filter(|at| *at > now && *at < Timestamp::MAX)
            .min()
    }
}

impl World {
    /// The next instant at which something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        self.sims.values().filter_map(|sim| sim.next_event(self.now)).min()
    }

    /// Lets everything happen that is due.
    pub(crate) fn settle(&mut self) {
        let uids: Vec<Uid> = self.sims.keys().cloned().collect();
        for uid in uids {
            self.settle_pod(&uid);
        }
        self.check_gpus();
    }

    fn settle_pod(&mut self, uid: &Uid) {
        let (now, pace) = (self.now, self.pace.clone());
        let Some(mut sim) = self.sims.remove(uid) else { return };
        if sim.starts_at.is_some_and(|at| at <= now) && !sim.broken {
            sim.starts_at = None;
            sim.running = true;
            sim.since = Some(now);
            sim.starts += 1;
            match &mut sim.program {
                Program::Stub { ready, .. } => *ready = false,
                Program::Engine(engine) => {
                    engine.up_at = now + pace.engine_start;
                    engine.sleeping = false;
                    engine.wild = sim.starts > 1;
                }
                Program::Launcher { instances, .. } => instances.clear(),
            }
        }
        if sim.stops_at.is_some_and(|at| at <= now) {
            sim.stops_at = None;
            sim.running = false;
            sim.ready = false;
            if let Program::Launcher { instances, .. } = &mut sim.program {
                instances.clear();
            }
        }
        let healthy = sim.healthy(now);
        if sim.gated && sim.running {
            sim.ready = healthy;
        }
        if healthy != sim.ready && sim.running {
            match sim.probe_at {
                Some(at) if at <= now => {
                    sim.ready = healthy;
                    sim.probe_at = None;
                }
                Some(_) => {}
                None => sim.probe_at = Some(now + pace.probe),
            }
        } else {
            sim.probe_at = None;
        }
        let signature = signature(&sim.program);
        self.sims.insert(uid.clone(), sim);
        self.show(uid);
        if pace.notifier {
            self.notify(uid, signature);
        }
        self.collect(uid);
    }

    /// The notifier patches the Pod a little after its instances change.
    fn notify(&mut self, uid: &Uid, signature: Option<String>) {
        let (Some(signature), Some(pod)) = (signature, self.pods.get(uid)) else { return };
        let key = "dual-pods.llm-d.ai/vllm-instance-signature";
        let now = self.now;
        let sim = self.sims.get_mut(uid).unwrap();
        if !sim.running || pod["metadata"]["annotations"][key] == signature.as_str() {
            sim.signature_at = None;
            return;
        }
        match sim.signature_at {
            Some(at) if at <= now => {
                sim.signature_at = None;
                self.edit_uid(uid, |pod| pod["metadata"]["annotations"][key] = json!(signature));
            }
            Some(_) => {}
            None => sim.signature_at = Some(now + std::time::Duration::from_millis(500)),
        }
    }

    /// The kubelet writes the status.
    fn show(&mut self, uid: &Uid) {
        let Some(sim) = self.sims.get_mut(uid) else { return };
        let now_shown = Some((sim.running, sim.ready, sim.starts));
        if std::mem::replace(&mut sim.shown, now_shown) == now_shown {
            return;
        }
        let sim = sim.clone();
        let stamp = self.stamp();
        let since = sim.since.map(|at| Timestamp::from_second(at.as_second()).unwrap().to_string());
        self.edit_uid(uid, |pod| {
            if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
                return;
            }
            let mut status = pod["status"].clone();
            if sim.starts > 0 || sim.running {
                status["phase"] = json!("Running");
                status["podIP"] = json!(format!("10.0.0.{uid}"));
                let state = if sim.running { json!({"running": {"startedAt": since}}) } else { json!({"terminated": {"exitCode": 0}}) };
                status["containerStatuses"] = json!([{
                    "name": "inference-server", "containerID": format!("c://{uid}/{}", sim.starts), "ready": sim.ready,
                    "restartCount": sim.starts.saturating_sub(1), "state": state,
                }]);
            }
            let gate = status["conditions"][2].clone();
            let ready = sim.ready && (!sim.gated || gate["status"] == "True");
            let was = status["conditions"][1]["status"] == "True";
            let changed = if was == ready { status["conditions"][1]["lastTransitionTime"].clone() } else { json!(stamp) };
            let changed = if changed.is_null() { pod["metadata"]["creationTimestamp"].clone() } else { changed };
            let text = if ready { "True" } else { "False" };
            let scheduled = pod["metadata"]["creationTimestamp"].clone();
            status["conditions"] = json!([
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled},
                {"type": "Ready", "status": text, "lastTransitionTime": changed},
            ]);
            if !gate.is_null() {
                status["conditions"].as_array_mut().unwrap().push(gate);
            }
            pod["status"] = status;
        });
    }

    /// The controller sets a readiness gate, and the kubelet follows.
    pub(crate) fn set_gate(&mut self, uid: &Uid, patch: &Value) {
        self.edit_uid(uid, |pod| {
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            conditions.truncate(2);
            conditions.push(patch["status"]["conditions"][0].clone());
        });
        if let Some(sim) = self.sims.get_mut(uid) {
            sim.shown = None;
        }
        self.show(uid);
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.uid_of(name).is_some_and(|uid| self.sims[&uid].running)
    }

    /// The container ends and is started again.
    pub(crate) fn restart(&mut self, name: &str) {
        let uid = self.uid_of(name).unwrap();
        let at = self.now + self.pace.container_start;
        let sim = self.sims.get_mut(&uid).unwrap();
        sim.running = false;
        sim.ready = false;
        sim.starts_at = Some(at);
        if let Program::Launcher { instances, .. } = &mut sim.program {
            instances.clear();
        }
        self.show(&uid);
    }

    /// The container `inference-server` has ended and cannot be started again.
    pub(crate) fn stick(&mut self, name: &str, reason: &str, message: &str) {
        let uid = self.uid_of(name).unwrap();
        let sim = self.sims.get_mut(&uid).unwrap();
        (sim.running, sim.ready, sim.starts_at) = (false, false, None);
        self.show(&uid);
        let waiting = json!({"name": "inference-server", "state": {"waiting": {"reason": reason, "message": message}}});
        self.edit_uid(&uid, |pod| pod["status"]["containerStatuses"] = json!([waiting]));
    }

    /// The kubelet evicts the Pod: terminal, but not deleted.
    pub(crate) fn evict(&mut self, name: &str) {
        let uid = self.uid_of(name).unwrap();
        let sim = self.sims.get_mut(&uid).unwrap();
        sim.running = false;
        sim.ready = false;
        sim.starts_at = None;
        if let Program::Launcher { instances, .. } = &mut sim.program {
            instances.clear();
        }
        self.show(&uid);
        self.edit_uid(&uid, |pod| pod["status"]["phase"] = json!("Failed"));
    }
}

fn signature(program: &Program) -> Option<String> {
    let Program::Launcher { instances, .. } = program else { return None };
    Some(instances.iter().map(|(id, instance)| format!("{id}={};", instance.engine.is_some())).collect())
}
