//! A launcher for a requester (3.7.2): one that is there, else one that is starting, else a new one, born bound.

use std::collections::BTreeMap;

use dormouse_apis::fma::LauncherConfig;
use serde_json::Value;

use super::Planner;
use super::launcher_choice::Choice;
use super::seek::not_found;
use super::view::Provider;
use crate::action::{EngineRef, Log, Target, Verb};
use crate::ids::{GpuUuid, InstanceId, join_gpus};
use crate::instance::{self, Wanted};
use crate::state::{IscSpec, Launcher, Lc, Requester};
use crate::write::{self, InstanceRecord};
use crate::{hashes, routing, status, template};

impl<'s> Planner<'s> {
    pub(super) fn seek_launcher(&mut self, requester: &'s Requester, isc: &str, spec: &'s IscSpec, gpus: &[GpuUuid]) {
        let uid = &requester.pod.uid;
        let name = spec.launcher_config.as_str();
        let Some(lc) = self.state.configs.lcs.get(name) else {
            let why = not_found::<LauncherConfig>(name);
            self.problem(uid, format!("failed to get LauncherConfig {name:?}: {why}"));
            return;
        };
        let wanted = instance::wanted(isc, spec, gpus);
        let choice = self.choose(lc, spec, &wanted, gpus);
        let mine = match &choice {
            Choice::Hot(launcher, id) => Some(EngineRef::instance(&launcher.pod.uid, id)),
            _ => None,
        };
        if let Err(blocked) = self.vacant(gpus, mine.as_ref(), uid) {
            self.claim(gpus, uid);
            if let Some(launcher) = choice.launcher() {
                self.reserve(&launcher.pod.uid);
            }
            self.waits(requester, blocked.why);
            return;
        }
        self.claim(gpus, uid);
        match choice {
            Choice::Hot(launcher, id) => self.bind_launcher(requester, launcher, &id, &wanted, spec),
            Choice::Room(launcher) | Choice::Reclaim(launcher) => {
                self.bind_launcher(requester, launcher, &wanted.id, &wanted, spec);
            }
            Choice::Releasing(launcher) => {
                self.reserve(&launcher.pod.uid);
                self.waits(requester, format!("waiting for launcher Pod {:?} to be released", launcher.pod.name));
            }
            Choice::Starting(launcher) => {
                self.reserve(&launcher.pod.uid);
                self.waits(requester, format!("waiting for launcher Pod {:?} to become ready", launcher.pod.name));
            }
            Choice::Coming => self.waits(requester, "waiting for a launcher Pod that is being created".to_owned()),
            Choice::None => self.create_launcher(requester, lc, &wanted, spec),
        }
    }

    fn record_of(id: &InstanceId, wanted: &Wanted, spec: &IscSpec) -> InstanceRecord {
        InstanceRecord { instance: id.clone(), port: wanted.port, config: instance::body_text(&wanted.body), routing: spec.routing.clone() }
    }

    /// Whether the routing metadata can go onto this Pod; if not, the status says why.
    fn routable(&mut self, requester: &'s Requester, spec: &IscSpec, pod: &Value) -> bool {
        let problems = routing::problems(&spec.routing, pod);
        let good = problems.is_empty();
        for problem in problems {
            self.problem(&requester.pod.uid, problem);
        }
        good
    }

    fn bind_launcher(&mut self, requester: &'s Requester, launcher: &'s Launcher, id: &InstanceId, wanted: &Wanted, spec: &IscSpec) {
        self.reserve(&launcher.pod.uid);
        self.chosen.insert(EngineRef::instance(&launcher.pod.uid, id));
        if !self.routable(requester, spec, &launcher.pod.object) {
            return;
        }
        let binding = requester.id();
        let object = write::bind_launcher(&launcher.pod.object, &binding, &Self::record_of(id, wanted, spec));
        let provider = Provider::Launcher(launcher);
        let mut subject = self.subject(Some(&binding), Some(provider));
        subject.instance = Some(id.clone());
        let mut action = self.replace(&launcher.pod, Verb::Bind, object, subject);
        action.key.detail = binding.uid.to_string();
        action.log = self.bound_log("Bound server-providing Pod", provider);
        action.log.fields.push(("instanceID", id.to_string()));
        self.emit(action);
    }

    fn create_launcher(&mut self, requester: &'s Requester, lc: &'s Lc, wanted: &Wanted, spec: &IscSpec) {
        let uid = &requester.pod.uid;
        let built = match &lc.template {
            Ok(built) => built,
            Err(why) => {
                self.problem(uid, format!("LauncherConfig {:?} is malformed: {why}", lc.name));
                return;
            }
        };
        let pod = template::on_node(built, &self.state.node);
        if !self.routable(requester, spec, &pod) {
            return;
        }
        let binding = requester.id();
        let record = Self::record_of(&wanted.id, wanted, spec);
        let object = write::bind_launcher(&pod, &binding, &record);
        let target = Target::NewProvider(uid.clone());
        let mut action = self.create_pod(target, Verb::CreateLauncher, object, Some(&binding), Some(&lc.name));
        action.key.detail = format!("{} {} {}", built.hash, wanted.id, write::routing_text(&spec.routing));
        action.subject.instance = Some(wanted.id.clone());
        let gpus = wanted.body.get("gpu_uuids").and_then(instance::gpu_list).unwrap_or_default();
        action.log = Log {
            done: "Created launcher-based server-providing pod",
            failed: "Failed to create launcher-based server-providing Pod",
            fields: vec![("node", self.state.node.name.clone()), ("gpus", join_gpus(&gpus))],
            ..Log::default()
        };
        *self.creating.entry(lc.name.clone()).or_default() += 1;
        if let Some(failure) = self.state.memory.failures.get(&action.key) {
            if status::is_invalid_pod(&failure.error) {
                let why = format!("the desired launcher-based server-providing {}", failure.error);
                self.problem(uid, why);
                return;
            }
            let why = format!("failed to create launcher-based server-providing Pod: {}", failure.error);
            self.problem(uid, why);
        }
        self.emit(action);
    }

    /// Launchers for requesters that are being created right now, by `LauncherConfig`.
    pub(super) fn launchers_coming(&self) -> BTreeMap<String, u32> {
        let mut coming = self.creating.clone();
        for key in self.state.memory.in_flight.keys() {
            let (Verb::CreateLauncher, Target::NewProvider(uid)) = (key.verb, &key.target) else { continue };
            let isc = self.state.requesters.get(uid).and_then(|requester| requester.kind.isc());
            let spec = isc.and_then(|isc| self.state.configs.iscs.get(isc)).and_then(|isc| isc.spec.as_ref().ok());
            if let Some(spec) = spec {
                *coming.entry(spec.launcher_config.clone()).or_default() += 1;
            }
        }
        coming
    }

    /// The hash that launchers of this `LauncherConfig` on this node carry.
    pub(super) fn config_hash(&self, lc: &Lc) -> Option<String> {
        let built = lc.template.as_ref().ok()?;
        Some(hashes::template_on_node(&built.hash, &self.state.node.name))
    }
}
