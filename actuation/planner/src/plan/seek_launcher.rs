//! A launcher for a requester (actuation 3.7.2): one that is there, else one that is starting, else a new one, born bound.

use dormouse_apis::fma::LauncherConfig;
use serde_json::Value;

use super::choice::{self, Choice, Want};
use super::emitted::Emitted;
use super::room::Room;
use super::seek::not_found;
use super::told::Told;
use super::view::{Provider, View};
use crate::action::{EngineRef, Log, Target, Verb};
use crate::ids::{GpuUuid, InstanceId, join_gpus};
use crate::instance::{self, Wanted};
use crate::state::{IscSpec, Launcher, Requester};
use crate::write::{self, InstanceRecord};
use crate::{routing, template};

/// A live requester that wants an instance of this `InferenceServerConfig` on these GPUs.
pub(super) fn seek(
    view: View<'_>,
    room: &mut Room,
    told: &mut Told,
    out: &mut Emitted<'_>,
    requester: &Requester,
    (isc, spec): (&str, &IscSpec),
    gpus: &[GpuUuid],
) {
    let uid = &requester.pod.uid;
    let name = spec.launcher_config.as_str();
    let Some(lc) = view.state.configs.lcs.get(name) else {
        let why = not_found::<LauncherConfig>(name);
        told.problem(uid, format!("failed to get LauncherConfig {name:?}: {why}"));
        return;
    };
    let wanted = instance::wanted(isc, spec, gpus);
    let want = Want { lc, spec, gpus, instance: &wanted };
    let choice = choice::launcher(view, room, &out.busy, &mut out.wakes, want);
    let mine = match &choice {
        Choice::Hot(launcher, id) => Some(EngineRef::instance(&launcher.pod.uid, id)),
        _ => None,
    };
    let vacant = room.vacant(view, gpus, mine.as_ref(), uid);
    room.claim(gpus, uid);
    if let Err(why) = vacant {
        if let Some(launcher) = choice.launcher() {
            room.reserve(&launcher.pod.uid);
        }
        told.waits(&mut out.wakes, requester, why);
        return;
    }
    match choice {
        Choice::Hot(launcher, id) => bind(view, room, told, out, requester, (launcher, id), want),
        Choice::Warm(launcher) => bind(view, room, told, out, requester, (launcher, &wanted.id), want),
        Choice::Releasing(launcher) => {
            room.reserve(&launcher.pod.uid);
            told.waits(&mut out.wakes, requester, format!("waiting for launcher Pod {:?} to be released", launcher.pod.name));
        }
        Choice::Starting(launcher) => {
            room.reserve(&launcher.pod.uid);
            told.waits(&mut out.wakes, requester, format!("waiting for launcher Pod {:?} to become ready", launcher.pod.name));
        }
        Choice::Coming => told.waits(&mut out.wakes, requester, "waiting for a launcher Pod that is being created".to_owned()),
        Choice::None => create(view, room, told, out, requester, want),
    }
}

fn record_of(id: &InstanceId, wanted: &Wanted, spec: &IscSpec) -> InstanceRecord {
    InstanceRecord { instance: id.clone(), port: wanted.port, config: instance::body_text(&wanted.body), routing: spec.routing.clone() }
}

/// Whether the routing metadata can go onto this Pod; if not, the status says why.
fn routable(told: &mut Told, requester: &Requester, spec: &IscSpec, pod: &Value) -> bool {
    let problems = routing::problems(&spec.routing, pod);
    let good = problems.is_empty();
    for problem in problems {
        told.problem(&requester.pod.uid, problem);
    }
    good
}

fn bind(
    view: View<'_>,
    room: &mut Room,
    told: &mut Told,
    out: &mut Emitted<'_>,
    requester: &Requester,
    (launcher, id): (&Launcher, &InstanceId),
    want: Want<'_>,
) {
    room.choose(EngineRef::instance(&launcher.pod.uid, id));
    if !routable(told, requester, want.spec, &launcher.pod.object) {
        return;
    }
    let binding = requester.id();
    let object = write::bind_launcher(&launcher.pod.object, &binding, &record_of(id, want.instance, want.spec));
    let provider = Provider::Launcher(launcher);
    let mut subject = view.subject(Some(&binding), Some(provider));
    subject.instance = Some(id.clone());
    let mut action = view.replace(&launcher.pod, Verb::Bind, object, subject);
    action.key.detail = binding.uid.to_string();
    action.log = view.bound_log("Bound server-providing Pod", provider);
    action.log.fields.push(("instanceID", id.to_string()));
    out.emit(action);
}

fn create(view: View<'_>, room: &mut Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, want: Want<'_>) {
    let uid = &requester.pod.uid;
    let Want { lc, spec, gpus, instance } = want;
    let built = match &lc.template {
        Ok(built) => built,
        Err(why) => {
            told.problem(uid, format!("LauncherConfig {:?} is malformed: {why}", lc.name));
            return;
        }
    };
    let pod = template::on_node(built, &view.state.node);
    if !routable(told, requester, spec, &pod) {
        return;
    }
    let binding = requester.id();
    let object = write::bind_launcher(&pod, &binding, &record_of(&instance.id, instance, spec));
    let target = Target::NewProvider(uid.clone());
    let mut action = view.create_pod(target, Verb::CreateLauncher, object, Some(&binding), Some(&lc.name));
    action.key.detail = format!("{} {} {}", built.hash, instance.id, write::routing_text(&spec.routing));
    action.subject.instance = Some(instance.id.clone());
    action.log = Log {
        done: "Created launcher-based server-providing pod",
        failed: "Failed to create launcher-based server-providing Pod",
        fields: vec![("node", view.state.node.name.clone()), ("gpus", join_gpus(gpus))],
        ..Log::default()
    };
    room.creates_launcher(&lc.name);
    if told.failed_create(view, uid, &action.key, ("the desired launcher-based server-providing", "launcher-based server-providing Pod")) {
        return;
    }
    out.emit(action);
}
