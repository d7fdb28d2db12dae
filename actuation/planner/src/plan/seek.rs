//! A live requester without a provider: what it lacks, and then which provider it gets (actuation 3.5, 3.7).

use dormouse_apis::Resource;
use dormouse_apis::fma::InferenceServerConfig;
use dormouse_apis::names::{annotation, path};

use super::emitted::Emitted;
use super::room::Room;
use super::told::{Told, readiness, written};
use super::view::View;
use super::{seek_direct, seek_launcher};
use crate::action::{DeletePodReason, Target, Verb, base_url};
use crate::ids::{GpuUuid, Uid};
use crate::limits::{self, POLL_CAP, later};
use crate::memory::Obs;
use crate::state::{IscSpec, Requester, RequesterKind};

/// The next step towards a provider.
pub(super) fn seek(view: View<'_>, room: &mut Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester) {
    if view.state.node.is_gone() {
        return;
    }
    let before = out.count();
    // Nothing serves it, whatever served it before.
    let subject = view.subject(Some(&requester.id()), None);
    readiness::idles(view, told, out, requester, &subject);
    readiness::relay(view, out, requester, false, &subject);
    seek_provider(view, room, told, out, requester);
    let uid = &requester.pod.uid;
    let under_way = out.count() > before || view.binding_under_way(uid) || out.busy.contains(&Target::Stub(uid.clone()));
    written::seeking(view, told, out, requester, under_way);
}

fn seek_provider(view: View<'_>, room: &mut Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester) {
    let uid = &requester.pod.uid;
    if let RequesterKind::Contradictory = requester.kind {
        let (patch, isc) = (annotation::SERVER_PATCH, annotation::INFERENCE_SERVER_CONFIG);
        told.problem(uid, format!("the annotations {patch:?} and {isc:?} exclude each other"));
        return;
    }
    let Some(gpus) = gpus_of(view, told, out, requester) else { return };
    match &requester.kind {
        RequesterKind::Direct { patch } => {
            let Some(indices) = indices(view, told, uid, gpus) else { return };
            if may_have_provider(view, room, out, requester, gpus) {
                seek_direct::seek(view, room, told, out, requester, patch, (gpus, &indices));
            }
        }
        RequesterKind::Launcher { isc } => {
            let Some(spec) = isc_spec(view, told, uid, isc) else { return };
            if may_have_provider(view, room, out, requester, gpus) {
                seek_launcher::seek(view, room, told, out, requester, (isc, spec), gpus);
            }
        }
        RequesterKind::Contradictory => {}
    }
}

/// Everything is known that is needed. Not on a cordoned node, and not while a provider is on its way.
fn may_have_provider(view: View<'_>, room: &mut Room, out: &mut Emitted<'_>, requester: &Requester, gpus: &[GpuUuid]) -> bool {
    let uid = &requester.pod.uid;
    if view.binding_under_way(uid) {
        room.claim(gpus, uid);
        return false;
    }
    if view.state.node.unschedulable {
        let subject = view.subject(Some(&requester.id()), None);
        out.emit(view.delete_pod(&requester.pod, DeletePodReason::NodeUnschedulable, subject));
        return false;
    }
    true
}

/// The GPUs of a requester, asked for where they are not known.
fn gpus_of<'s>(view: View<'s>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester) -> Option<&'s [GpuUuid]> {
    let uid = &requester.pod.uid;
    let Some(ip) = &requester.pod.ip else {
        // Its kubelet is about to say: what is written meanwhile is only in its way.
        let shown = out.wakes.passed(requester.pod.scheduled.unwrap_or(requester.pod.created), limits::REPORT_WITHOUT_IP);
        told.note(uid, "no IP assigned yet".to_owned(), shown);
        return None;
    };
    let port = match &requester.admin_port {
        Ok(port) => *port,
        Err(why) => {
            told.problem(uid, why.clone());
            return None;
        }
    };
    let url = format!("{}{}", base_url(ip, port), path::ACCELERATORS);
    match view.state.stub(requester).map(|stub| &stub.gpus) {
        Some(Obs::Known { value, .. }) if !value.is_empty() => return Some(value),
        Some(Obs::Known { at, .. }) => {
            told.problem(uid, "the assigned set of GPUs is empty".to_owned());
            if !out.wakes.reached(later(*at, POLL_CAP)) {
                return None;
            }
        }
        Some(Obs::Unknown) | None => told.failing_get(view, &mut out.wakes, requester, Verb::ReadGpus, &url),
    }
    let old_url = format!("{}{}", base_url(ip, port), path::OLD_ACCELERATORS);
    out.emit(view.read_gpus(requester, &url, old_url));
    None
}

/// The indices of GPUs on this node, for direct providers.
fn indices(view: View<'_>, told: &mut Told, requester: &Uid, gpus: &[GpuUuid]) -> Option<Vec<u32>> {
    let (map, here) = (&view.state.gpu_map, &view.state.node.name);
    if !map.available {
        told.problem(requester, "GPU map ConfigMap gpu-map is not available".to_owned());
        return None;
    }
    let (mut indices, mut problems) = (Vec::new(), Vec::new());
    for gpu in gpus {
        match map.by_uuid.get(gpu) {
            None => problems.push(format!("UUID {gpu} is not known")),
            Some((node, index)) if node == here => indices.push(*index),
            Some((node, _)) => problems.push(format!("UUID {gpu} is on Node {node}, not {here}")),
        }
    }
    if problems.is_empty() {
        return Some(indices);
    }
    problems.sort();
    told.problem(requester, problems.join("\n"));
    None
}

/// The `InferenceServerConfig` of a requester.
fn isc_spec<'s>(view: View<'s>, told: &mut Told, requester: &Uid, name: &str) -> Option<&'s IscSpec> {
    if name.is_empty() {
        told.problem(requester, format!("empty value for annotation {:?}", annotation::INFERENCE_SERVER_CONFIG));
        return None;
    }
    match view.state.configs.iscs.get(name).map(|isc| &isc.spec) {
        Some(Ok(spec)) => Some(spec),
        Some(Err(why)) => {
            told.problem(requester, format!("failed to configure inference server: {why}"));
            None
        }
        None => {
            let why = not_found::<InferenceServerConfig>(name);
            told.problem(requester, format!("failed to get InferenceServerConfig {name:?}: {why}"));
            None
        }
    }
}

/// The API server's words for an object that does not exist.
pub(super) fn not_found<K: Resource<DynamicType = ()>>(name: &str) -> String {
    format!("{}.{} {name:?} not found", K::kind(&()).to_lowercase(), K::group(&()))
}
