//! What is written on requesters: status, GPUs, the partner's name, the finalizer (3.9). One write, and none when nothing
//! differs.

use super::Planner;
use super::view::Provider;
use crate::action::Verb;
use crate::ids::{GpuUuid, join_gpus};
use crate::state::{Requester, Written};
use crate::{status, write};

impl<'s> Planner<'s> {
    /// A bound pair of a live requester.
    pub(super) fn record_pair(&mut self, requester: &'s Requester, provider: Provider<'s>) {
        let gpus = match provider.gpus(self.state) {
            gpus if gpus.is_empty() => self.reported_gpus(requester),
            gpus => Some(gpus),
        };
        let written = Written {
            status: Some(self.status_text(requester)),
            accelerators: self.accelerators(requester, gpus),
            dual: Some(provider.pod().name.clone()),
            instance: provider.instance().map(ToString::to_string),
            old_status: None,
        };
        self.write_requester(requester, written, provider.pod().running());
    }

    /// A live requester without a provider. While something is under way for it, an old status is left alone.
    pub(super) fn record_seeking(&mut self, requester: &'s Requester, under_way: bool) {
        let shown = self.plan.problems.get(&requester.pod.uid).is_some_and(|problems| problems.iter().any(|problem| problem.shown));
        let old = &requester.written;
        let quiet = !shown && (under_way || old.status.is_none());
        let written = Written {
            status: if quiet { old.status.clone() } else { Some(self.status_text(requester)) },
            accelerators: if quiet { old.accelerators.clone() } else { self.accelerators(requester, self.reported_gpus(requester)) },
            dual: None,
            instance: None,
            old_status: None,
        };
        self.write_requester(requester, written, false);
    }

    /// A requester that is being deleted or has ended: the finalizer goes when its provider's container no longer runs, or when
    /// it has no provider.
    pub(super) fn record_leaving(&mut self, requester: &'s Requester, provider: Option<Provider<'s>>) {
        let keep = provider.is_some_and(|provider| provider.pod().running());
        if requester.has_finalizer && !keep {
            let written = Written { status: Some(status::text(&[])), ..requester.written.clone() };
            self.write_requester(requester, written, false);
        }
    }

    fn status_text(&self, requester: &Requester) -> String {
        let problems = self.plan.problems.get(&requester.pod.uid);
        let mut errors: Vec<String> =
            problems.into_iter().flatten().filter(|problem| problem.shown).map(|problem| problem.text.clone()).collect();
        errors.sort();
        errors.dedup();
        status::text(&errors)
    }

    pub(super) fn reported_gpus(&self, requester: &Requester) -> Option<Vec<GpuUuid>> {
        self.state.stub(requester).and_then(|stub| stub.gpus.known()).cloned()
    }

    /// Known GPUs, else what stands there, else the empty text.
    fn accelerators(&self, requester: &Requester, gpus: Option<Vec<GpuUuid>>) -> Option<String> {
        let known = gpus.map(|gpus| join_gpus(&gpus));
        Some(known.or_else(|| requester.written.accelerators.clone()).unwrap_or_default())
    }

    fn write_requester(&mut self, requester: &'s Requester, mut written: Written, finalizer: bool) {
        written.old_status = if requester.old_prefix { written.status.clone() } else { requester.written.old_status.clone() };
        // A finalizer cannot be added to what is being deleted.
        let finalizer = finalizer && (requester.pod.deleting.is_none() || requester.has_finalizer);
        if written == requester.written && finalizer == requester.has_finalizer {
            return;
        }
        let object = write::requester(&requester.pod.object, &written, finalizer);
        let subject = self.subject(Some(&requester.id()), None);
        let mut action = self.replace(&requester.pod, Verb::SetRequester, object, subject);
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
        self.emit(action);
    }
}
