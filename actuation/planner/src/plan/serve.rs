//! Bringing a bound pair to serve, and noticing when it no longer can (actuation 3.6).
//!
//! For direct providers: wait until the engine answers → wake → label → relay the Pod's readiness. Instances of launchers: see
//! [`super::serve_instance`].

use super::draft::EngineCall;
use super::emitted::Emitted;
use super::room::Room;
use super::told::{Told, readiness};
use super::view::{Provider, View};
use super::wake::{tell_failed, wake};
use crate::action::{EngineRef, Verb};
use crate::limits;
use crate::memory::FailureClass;
use crate::state::{Direct, Requester};
use crate::write;

/// A live requester and a live direct provider.
pub(super) fn direct(view: View<'_>, room: &Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, direct: &Direct) {
    let subject = view.subject(Some(&requester.id()), Some(Provider::Direct(direct)));
    let (uid, name) = (&requester.pod.uid, &direct.pod.name);
    if !direct.pod.ready {
        readiness::idles(view, told, out, requester, &subject);
        readiness::relay(view, out, requester, false, &subject);
    }
    if let Some(why) = &direct.pod.stuck {
        told.problem(uid, format!("server-providing Pod {name:?}: {why}"));
    } else if direct.pod.in_trouble() {
        let text =
            format!("server-providing Pod {name:?} is not ready after {} restarts; its status and log tell why", direct.pod.restarts);
        told.problem(uid, text);
    }
    let port = match &direct.port {
        Ok(port) => *port,
        Err(why) => {
            told.problem(uid, format!("server-providing Pod {name:?}: {why}"));
            return;
        }
    };
    let Some(ip) = direct.pod.reached_at() else { return };
    let call = EngineCall { engine: EngineRef::direct(&direct.pod.uid), provider: &direct.pod, ip, port, subject };
    tell_failed(view, told, out, requester, &call);
    match view.state.sleep(&call.engine, &direct.pod) {
        None => ask_whether_asleep(view, told, out, requester, &call),
        Some(sleep) if sleep.asleep() => {
            readiness::idles(view, told, out, requester, &call.subject);
            wake(view, room, told, out, requester, &call, &view.direct_gpus(direct));
        }
        Some(_) => {
            if direct.sleeping_label.as_deref() != Some("false") {
                let object = write::sleeping_label(&direct.pod.object, false);
                let mut action = view.replace(&direct.pod, Verb::SetSleepingLabel, object, call.subject.clone());
                action.log.done = "Updated sleeping label on server-providing Pod";
                action.log.fields = vec![("sleeping", "false".to_owned())];
                out.emit(action);
            }
            if direct.pod.ready {
                readiness::serves(view, told, out, requester, &call.subject);
            }
        }
    }
}

/// An engine that does not answer yet is starting. One that refuses to tell will go on refusing: somebody has to change how it is
/// started (gap `a12`).
pub(super) fn ask_whether_asleep(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, call: &EngineCall<'_>) {
    let action = view.read_sleep(call);
    let failure = view.state.memory.failures.get(&action.key).filter(|failure| failure.class == FailureClass::Refused);
    if let Some(failure) = failure {
        let shown = out.wakes.passed(failure.first, limits::REPORT_AFTER);
        let text = format!(
            "the engine of server-providing Pod {:?} does not tell whether it sleeps (vLLM needs --enable-sleep-mode and \
             VLLM_SERVER_DEV_MODE=1): {}",
            call.provider.name, failure.error
        );
        told.note(&requester.pod.uid, text, shown);
    }
    out.emit(action);
}
