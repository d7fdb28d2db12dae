//! What is written on requesters: status, GPUs, the partner's name, the finalizer (actuation 3.9). One write, and none when nothing
//! differs.

use super::Told;
use crate::action::Verb;
use crate::ids::{GpuUuid, join_gpus};
use crate::plan::emitted::Emitted;
use crate::plan::view::{Provider, View};
use crate::state::{Requester, Written};
use crate::{status, write};

/// A bound pair of a live requester.
pub(in crate::plan) fn pair(view: View<'_>, told: &Told, out: &mut Emitted<'_>, requester: &Requester, provider: Provider<'_>) {
    let bound = provider.gpus(view);
    let gpus = if bound.is_empty() { view.reported_gpus(requester) } else { Some(&bound) };
    let written = Written {
        status: Some(status::text(&told.shown(&requester.pod.uid))),
        accelerators: Some(accelerators(requester, gpus)),
        dual: Some(provider.pod().name.clone()),
        instance: provider.instance().map(ToString::to_string),
        old_status: None,
    };
    put(view, out, requester, written, provider.pod().running());
}

/// A live requester without a provider. While something is under way for it, an old status is left alone.
pub(in crate::plan) fn seeking(view: View<'_>, told: &Told, out: &mut Emitted<'_>, requester: &Requester, under_way: bool) {
    let shown = told.shown(&requester.pod.uid);
    let old = &requester.written;
    let quiet = shown.is_empty() && (under_way || old.status.is_none());
    let (status, accelerators) = if quiet {
        (old.status.clone(), old.accelerators.clone())
    } else {
        (Some(status::text(&shown)), Some(accelerators(requester, view.reported_gpus(requester))))
    };
    put(view, out, requester, Written { status, accelerators, ..Written::default() }, false);
}

/// A requester that is being deleted or has ended: the finalizer goes when its provider's container no longer runs, or when it has
/// no provider.
pub(in crate::plan) fn leaving(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, provider: Option<Provider<'_>>) {
    let keep = provider.is_some_and(|provider| provider.pod().running());
    if requester.has_finalizer && !keep {
        let written = Written { status: Some(status::text(&[])), ..requester.written.clone() };
        put(view, out, requester, written, false);
    }
}

/// Known GPUs, else what stands there, else the empty text.
fn accelerators(requester: &Requester, gpus: Option<&Vec<GpuUuid>>) -> String {
    let known = gpus.map(|gpus| join_gpus(gpus));
    known.or_else(|| requester.written.accelerators.clone()).unwrap_or_default()
}

fn put(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, mut written: Written, finalizer: bool) {
    written.old_status = if requester.old_prefix { written.status.clone() } else { requester.written.old_status.clone() };
    // A finalizer cannot be added to what is being deleted.
    let finalizer = finalizer && (requester.pod.deleting.is_none() || requester.has_finalizer);
    if written == requester.written && finalizer == requester.has_finalizer {
        return;
    }
    let object = write::requester(&requester.pod.object, &written, finalizer);
    let subject = view.subject(Some(&requester.id()), None);
    let mut action = view.replace(&requester.pod, Verb::SetRequester, object, subject);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    action.log.done = "Set status/finalizers";
    action.log.failed = "Failed to set status/finalizers";
    action.log.fields = vec![
        ("serverRequestingPod", requester.pod.name.clone()),
        ("status", text(&written.status)),
        ("accelerators", text(&written.accelerators)),
        ("boundName", text(&written.dual)),
        ("instanceID", text(&written.instance)),
        ("finalizerAdded", (finalizer && !requester.has_finalizer).to_string()),
        ("finalizerRemoved", (!finalizer && requester.has_finalizer).to_string()),
    ];
    out.emit(action);
}
