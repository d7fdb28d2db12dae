//! A live requester without a provider: what it lacks, and then which provider it gets (3.5, 3.7).

use dormouse_apis::Resource;
use dormouse_apis::fma::InferenceServerConfig;
use dormouse_apis::names::{annotation, path};

use super::Planner;
use crate::action::{DeletePodReason, Target, Verb, base_url};
use crate::ids::GpuUuid;
use crate::limits::later;
use crate::memory::Obs;
use crate::state::{IscSpec, Requester, RequesterKind};

impl<'s> Planner<'s> {
    /// The next step towards a provider.
    pub(super) fn seek(&mut self, requester: &'s Requester) {
        // On a node that is gone nothing is begun; the deletion of its Pods will tell.
        if !self.state.node.exists || self.state.node.deleting {
            return;
        }
        let before = self.plan.actions.len();
        // Nothing serves it, whatever served it before.
        let subject = self.subject(Some(&requester.id()), None);
        self.relay_readiness(requester, false, &subject);
        self.seek_provider(requester);
        let uid = &requester.pod.uid;
        let under_way = self.plan.actions.len() > before || self.state.binding_under_way(uid) || self.is_busy(&Target::Stub(uid.clone()));
        self.record_seeking(requester, under_way);
    }

    fn seek_provider(&mut self, requester: &'s Requester) {
        let uid = &requester.pod.uid;
        if let RequesterKind::Contradictory = requester.kind {
            let (patch, isc) = (annotation::SERVER_PATCH, annotation::INFERENCE_SERVER_CONFIG);
            self.problem(uid, format!("the annotations {patch:?} and {isc:?} exclude each other"));
            return;
        }
        let Some(gpus) = self.gpus_of(requester) else { return };
        match &requester.kind {
            RequesterKind::Direct { patch } => {
                let Some(indices) = self.indices(requester, &gpus) else { return };
                if self.may_have_provider(requester, &gpus) {
                    self.seek_direct(requester, patch, &gpus, &indices);
                }
            }
            RequesterKind::Launcher { isc } => {
                let Some(spec) = self.isc(requester, isc) else { return };
                if self.may_have_provider(requester, &gpus) {
                    self.seek_launcher(requester, isc, spec, &gpus);
                }
            }
            RequesterKind::Contradictory => {}
        }
    }

    /// Everything is known that is needed. Not on a cordoned node, and not while a provider is on its way.
    fn may_have_provider(&mut self, requester: &'s Requester, gpus: &[GpuUuid]) -> bool {
        let uid = &requester.pod.uid;
        if self.state.binding_under_way(uid) {
            self.claim(gpus, uid);
            return false;
        }
        if self.state.node.unschedulable {
            let subject = self.subject(Some(&requester.id()), None);
            let action = self.delete_pod(&requester.pod, DeletePodReason::NodeUnschedulable, subject);
            self.emit(action);
            return false;
        }
        true
    }

    /// The GPUs of a requester, asked for where they are not known.
    fn gpus_of(&mut self, requester: &'s Requester) -> Option<Vec<GpuUuid>> {
        let uid = &requester.pod.uid;
        let Some(ip) = &requester.pod.ip else {
            self.problem(uid, "no IP assigned yet".to_owned());
            return None;
        };
        let port = match &requester.admin_port {
            Ok(port) => *port,
            Err(why) => {
                self.problem(uid, why.clone());
                return None;
            }
        };
        let url = format!("{}{}", base_url(ip, port), path::ACCELERATORS);
        match self.state.stub(requester).map(|stub| &stub.gpus) {
            Some(Obs::Known { value, .. }) if !value.is_empty() => return Some(value.clone()),
            Some(Obs::Known { at, .. }) => {
                self.problem(uid, "the assigned set of GPUs is empty".to_owned());
                let again = later(*at, self.limits.poll_cap);
                if self.now < again {
                    self.wake_at(again);
                    return None;
                }
            }
            Some(Obs::Unknown) | None => self.report_get(requester, Verb::ReadGpus, &url),
        }
        let old_url = format!("{}{}", base_url(ip, port), path::OLD_ACCELERATORS);
        self.emit(self.read_gpus(requester, &url, old_url));
        None
    }

    /// The indices of GPUs on this node, for direct providers.
    fn indices(&mut self, requester: &'s Requester, gpus: &[GpuUuid]) -> Option<Vec<u32>> {
        let map = &self.state.gpu_map;
        if !map.available {
            self.problem(&requester.pod.uid, "GPU map ConfigMap gpu-map is not available".to_owned());
            return None;
        }
        let (mut indices, mut problems) = (Vec::new(), Vec::new());
        for gpu in gpus {
            match map.by_uuid.get(gpu) {
                None => problems.push(format!("UUID {gpu} is not known")),
                Some((node, index)) if *node == self.state.node.name => indices.push(*index),
                Some((node, _)) => problems.push(format!("UUID {gpu} is on Node {node}, not {}", self.state.node.name)),
            }
        }
        if problems.is_empty() {
            return Some(indices);
        }
        problems.sort();
        self.problem(&requester.pod.uid, problems.join("\n"));
        None
    }

    /// The `InferenceServerConfig` of a requester.
    fn isc(&mut self, requester: &'s Requester, name: &str) -> Option<&'s IscSpec> {
        let uid = &requester.pod.uid;
        if name.is_empty() {
            self.problem(uid, format!("empty value for annotation {:?}", annotation::INFERENCE_SERVER_CONFIG));
            return None;
        }
        match self.state.configs.iscs.get(name).map(|isc| &isc.spec) {
            Some(Ok(spec)) => Some(spec),
            Some(Err(why)) => {
                self.problem(uid, format!("failed to configure inference server: {why}"));
                None
            }
            None => {
                let why = not_found::<InferenceServerConfig>(name);
                self.problem(uid, format!("failed to get InferenceServerConfig {name:?}: {why}"));
                None
            }
        }
    }
}

/// The API server's words for an object that does not exist.
pub(super) fn not_found<K: Resource<DynamicType = ()>>(name: &str) -> String {
    format!("{}.{} {name:?} not found", K::kind(&()).to_lowercase(), K::group(&()))
}
