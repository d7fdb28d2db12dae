//! Actions in full: URLs, preconditions, time-outs, log messages (actuation 3.12, D.3). Nothing is decided here.

use dormouse_apis::names::{path, port};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::view::{Provider, View};
use crate::action::{
    Action, ActionKey, DeleteInstanceReason, DeletePodReason, Do, EngineRef, EventSpec, Level, Log, Owner, PodRef, Subject, Target, Verb,
    base_url,
};
use crate::ids::{InstanceId, Uid, join_gpus};
use crate::limits::{SLEEP_LEVEL, timeout};
use crate::state::{Binding, Launcher, PodMeta, Requester};
use crate::write;

/// An engine that can be called: where it is and on whose behalf.
#[derive(Clone, Debug)]
pub(super) struct EngineCall<'s> {
    pub(super) engine: EngineRef,
    pub(super) provider: &'s PodMeta,
    pub(super) ip: &'s str,
    pub(super) port: u16,
    pub(super) subject: Subject,
}

impl View<'_> {
    pub(super) fn pod_ref(self, pod: &PodMeta) -> PodRef {
        PodRef { namespace: self.state.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone(), rv: pod.rv.clone() }
    }

    fn action(self, target: Target, verb: Verb, what: Do, subject: Subject) -> Action {
        Action {
            key: ActionKey { target, verb, detail: String::new() },
            owner: Owner::DualPods,
            what,
            container: None,
            timeout: timeout::API,
            subject,
            log: Log::default(),
            event: None,
        }
    }

    pub(super) fn read_gpus(self, requester: &Requester, url: &str, old_url: String) -> Action {
        let what = Do::ReadGpus { requester: self.pod_ref(&requester.pod), url: url.to_owned(), old_url };
        let mut action =
            self.action(Target::Stub(requester.pod.uid.clone()), Verb::ReadGpus, what, self.subject(Some(&requester.id()), None));
        action.container = requester.pod.container.id.clone();
        action.timeout = timeout::QUERY;
        // The field `gpuUUIDs` is the answer: the executor adds it.
        action.log = Log { done: "Found GPUs", level: Level::Debug, ..Log::default() };
        action
    }

    pub(super) fn read_gpu_memory(self, requester: &Requester, url: &str) -> Action {
        let what = Do::ReadGpuMemory { requester: self.pod_ref(&requester.pod), url: url.to_owned() };
        let mut action =
            self.action(Target::Stub(requester.pod.uid.clone()), Verb::ReadGpuMemory, what, self.subject(Some(&requester.id()), None));
        action.container = requester.pod.container.id.clone();
        action.timeout = timeout::QUERY;
        action
    }

    pub(super) fn relay(self, requester: &Requester, ip: &str, port: u16, ready: bool, subject: Subject) -> Action {
        let route = if ready { path::BECOME_READY } else { path::BECOME_UNREADY };
        let url = format!("{}{route}", base_url(ip, port));
        let fields = vec![
            ("readiness", ready.to_string()),
            ("url", url.clone()),
            ("requesterCreateTime", requester.pod.created.to_string()),
            ("name", requester.pod.name.clone()),
        ];
        let what = Do::Relay { requester: self.pod_ref(&requester.pod), url, ready, first: None };
        let mut action = self.action(Target::Stub(requester.pod.uid.clone()), Verb::Relay, what, subject);
        action.key.detail = if ready { "ready".to_owned() } else { "unready".to_owned() };
        action.container = requester.pod.container.id.clone();
        action.timeout = timeout::QUERY;
        action.log = Log { done: "Successfully relayed the readiness", failed: "Failed to relay the readiness", fields, ..Log::default() };
        action
    }

    pub(super) fn list_instances(self, launcher: &Launcher, ip: &str) -> Action {
        let url = format!("{}{}", base_url(ip, port::LAUNCHER), path::INSTANCES);
        let what = Do::ListInstances { launcher: self.pod_ref(&launcher.pod), url };
        let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
        let mut action = self.action(Target::Launcher(launcher.pod.uid.clone()), Verb::ListInstances, what, subject);
        action.owner = Owner::Each;
        action.container = launcher.pod.container.id.clone();
        action.timeout = timeout::QUERY;
        action.log = Log { done: "Synced launcher instances", fields: vec![("launcherPod", launcher.pod.name.clone())], ..Log::default() };
        action
    }

    pub(super) fn read_sleep(self, call: &EngineCall<'_>) -> Action {
        let base_url = base_url(call.ip, call.port);
        let what = Do::ReadSleep { engine: call.engine.clone(), provider: self.pod_ref(call.provider), base_url };
        let mut action = self.engine_action(call, Verb::ReadSleep, what);
        action.timeout = timeout::QUERY;
        // The field `isSleeping` is the answer: the executor adds it.
        action.log = Log { done: "Determined whether provider is sleeping", ..Log::default() };
        action
    }

    pub(super) fn put_to_sleep(self, call: &EngineCall<'_>) -> Action {
        let base_url = base_url(call.ip, call.port);
        let fields = vec![("endpoint", base_url.trim_start_matches("http://").to_owned())];
        let provider = self.pod_ref(call.provider);
        let what = Do::Sleep { engine: call.engine.clone(), provider, base_url, level: SLEEP_LEVEL };
        let mut action = self.engine_action(call, Verb::Sleep, what);
        action.timeout = timeout::SLEEP_OR_WAKE;
        action.log =
            Log { done: "Put inference server to sleep", failed: "Failed to put inference server to sleep", fields, ..Log::default() };
        action
    }

    pub(super) fn wake_up(self, call: &EngineCall<'_>, description: &str) -> Action {
        let base_url = base_url(call.ip, call.port);
        let fields = vec![("endpoint", base_url.trim_start_matches("http://").to_owned()), ("description", description.to_owned())];
        let what = Do::Wake { engine: call.engine.clone(), provider: self.pod_ref(call.provider), base_url };
        let mut action = self.engine_action(call, Verb::Wake, what);
        action.timeout = timeout::SLEEP_OR_WAKE;
        action.log = Log { done: "Woke inference server", failed: "Failed to wake inference server", fields, ..Log::default() };
        action
    }

    fn engine_action(self, call: &EngineCall<'_>, verb: Verb, what: Do) -> Action {
        let mut action = self.action(Target::Engine(call.engine.clone()), verb, what, call.subject.clone());
        action.container = call.provider.container.id.clone();
        action
    }

    pub(super) fn create_instance(self, launcher: &Launcher, id: &InstanceId, body: &Value, ip: &str, subject: Subject) -> Action {
        let engine = EngineRef::instance(&launcher.pod.uid, id);
        let url = instance_url(ip, id);
        let fields = vec![("instance_id", id.to_string()), ("launcherPod", launcher.pod.name.clone())];
        let provider = self.pod_ref(&launcher.pod);
        let what = Do::CreateInstance { engine: engine.clone(), launcher: provider, url, body: body.clone() };
        let mut action = self.action(Target::Engine(engine), Verb::CreateInstance, what, subject);
        action.container = launcher.pod.container.id.clone();
        action.timeout = timeout::INSTANCE;
        action.log = Log { done: "Created vLLM instance", failed: "Failed to create vLLM instance", fields, ..Log::default() };
        action
    }

    pub(super) fn delete_instance(
        self,
        launcher: &Launcher,
        id: &InstanceId,
        ip: &str,
        reason: DeleteInstanceReason,
        subject: Subject,
    ) -> Action {
        let engine = EngineRef::instance(&launcher.pod.uid, id);
        let what = Do::DeleteInstance {
            engine: engine.clone(),
            launcher: self.pod_ref(&launcher.pod),
            url: instance_url(ip, id),
            reason,
            for_requester: None,
        };
        let mut action = self.action(Target::Engine(engine), Verb::DeleteInstance, what, Subject { instance: Some(id.clone()), ..subject });
        action.container = launcher.pod.container.id.clone();
        action.timeout = timeout::INSTANCE;
        let fields = vec![("launcherPod", launcher.pod.name.clone()), ("instanceID", id.to_string()), ("reason", format!("{reason:?}"))];
        action.log = Log { done: instance_log(reason), failed: instance_log_failed(reason), fields, ..Log::default() };
        action.log.gone = action.log.done;
        action
    }

    /// A PUT of a whole Pod.
    pub(super) fn replace(self, pod: &PodMeta, verb: Verb, object: Value, subject: Subject) -> Action {
        let what = Do::ReplacePod { pod: self.pod_ref(pod), object };
        self.action(Target::Pod(pod.uid.clone()), verb, what, subject)
    }

    pub(super) fn delete_pod(self, pod: &PodMeta, reason: DeletePodReason, subject: Subject) -> Action {
        let what = Do::DeletePod { pod: self.pod_ref(pod), reason, for_requester: None };
        let mut action = self.action(Target::Pod(pod.uid.clone()), Verb::DeletePod, what, subject);
        action.log = pod_log(reason);
        action.log.fields.push(("name", pod.name.clone()));
        action.log.fields.push(("resourceVersion", pod.rv.clone()));
        action
    }

    pub(super) fn create_pod(self, target: Target, verb: Verb, object: Value, binding: Option<&Binding>, lc: Option<&str>) -> Action {
        let what = Do::CreatePod { object, binding: binding.cloned(), lc: lc.map(str::to_owned) };
        self.action(target, verb, what, self.subject(binding, None))
    }

    pub(super) fn patch_pod(self, pod: &PodMeta, verb: Verb, patch: Value) -> Action {
        let what = Do::PatchPod { pod: self.pod_ref(pod), patch };
        let subject = Subject { provider: Some(pod.name.clone()), ..Subject::default() };
        self.action(Target::Pod(pod.uid.clone()), verb, what, subject)
    }

    pub(super) fn set_serving(self, requester: &Requester, serving: bool, subject: Subject) -> Action {
        let patch = write::serving(&requester.pod.uid, serving, self.now);
        let what = Do::PatchPodStatus { pod: self.pod_ref(&requester.pod), patch };
        let verb = if serving { Verb::SetServing } else { Verb::UnsetServing };
        let mut action = self.action(Target::Pod(requester.pod.uid.clone()), verb, what, subject);
        let fields = vec![("name", requester.pod.name.clone()), ("serving", serving.to_string())];
        action.log = Log { done: "Set the readiness gate", failed: "Failed to set the readiness gate", fields, ..Log::default() };
        action
    }

    pub(super) fn event(self, pod: &PodMeta, reason: &'static str, message: String) -> Option<EventSpec> {
        Some(EventSpec { pod: self.pod_ref(pod), reason, message })
    }

    pub(super) fn bound_log(self, done: &'static str, provider: Provider<'_>) -> Log {
        let gpus = join_gpus(&provider.gpus(self));
        let mut fields = vec![("name", provider.pod().name.clone()), ("node", self.state.node.name.clone()), ("gpus", gpus)];
        if let Some(instance) = provider.instance() {
            fields.push(("instanceID", instance.to_string()));
        }
        Log { done, fields, ..Log::default() }
    }
}

/// Adds for whom room is made, so that it is counted with that requester's actuation.
pub(super) fn for_requester(mut action: Action, requester: &Uid) -> Action {
    if let Do::DeleteInstance { for_requester, .. } | Do::DeletePod { for_requester, .. } = &mut action.what {
        *for_requester = Some(requester.clone());
    }
    action
}

/// What is written as it is in a path segment: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn instance_url(ip: &str, id: &InstanceId) -> String {
    format!("{}{}/{}", base_url(ip, port::LAUNCHER), path::INSTANCES, utf8_percent_encode(id.as_str(), SEGMENT))
}

fn instance_log(reason: DeleteInstanceReason) -> &'static str {
    match reason {
        DeleteInstanceReason::Stopped => "Deleted stopped instance from launcher during sync",
        DeleteInstanceReason::Obsolete => "Deleted obsolete sleeping instance",
        DeleteInstanceReason::NoPort => "Ensured vLLM instance absent because it reports no usable port",
        DeleteInstanceReason::PortConflict | DeleteInstanceReason::Capacity => "Ensured vLLM instance absent to reclaim launcher capacity",
        DeleteInstanceReason::SleeperLimit => "Ensured vLLM instance absent to respect sleeper-limit",
        DeleteInstanceReason::WillNotSleep => "Ensured vLLM instance absent because it could not be put to sleep",
        DeleteInstanceReason::WillNotWake => "Ensured vLLM instance absent because it could not be woken",
        DeleteInstanceReason::NeverStarted => "Ensured vLLM instance absent because it did not start in time",
        DeleteInstanceReason::Unreadable => "Ensured vLLM instance absent because the binding of its launcher cannot be read",
    }
}

fn instance_log_failed(reason: DeleteInstanceReason) -> &'static str {
    match reason {
        DeleteInstanceReason::Stopped => "Failed to delete stopped instance from launcher during sync",
        _ => "Failed to delete vLLM instance",
    }
}

fn pod_log(reason: DeletePodReason) -> Log {
    let gone_requester = "The server-requesting Pod is already gone";
    let gone_provider = "Server-providing Pod was concurrently deleted";
    let (done, gone, failed) = match reason {
        DeletePodReason::ProviderGone => (
            "Requested deletion of server-requesting Pod because of deletion of server-providing Pod",
            gone_requester,
            "Failed to delete server-requesting Pod",
        ),
        DeletePodReason::InstanceDead => (
            "Requested deletion of server-requesting Pod because bound instance stopped",
            gone_requester,
            "Failed to delete server-requesting Pod",
        ),
        DeletePodReason::OutdatedRouting => (
            "Requested deletion of server-requesting Pod because of outdated routing metadata",
            gone_requester,
            "Failed to delete server-requesting Pod",
        ),
        DeletePodReason::NodeUnschedulable => {
            ("Deleted server-requesting Pod on unschedulable Node", gone_requester, "Failed to delete server-requesting Pod")
        }
        DeletePodReason::Trouble => (
            "Deleted server-providing Pod because it is in trouble",
            "Troubled server-providing Pod was concurrently deleted",
            "Failed to delete troubled server-providing Pod",
        ),
        DeletePodReason::Terminal => {
            ("Deleted server-providing Pod because it has ended", gone_provider, "Failed to delete server-providing Pod")
        }
        DeletePodReason::WillNotSleep => {
            ("Deleted server-providing Pod because it could not be put to sleep", gone_provider, "Failed to delete server-providing Pod")
        }
        DeletePodReason::NeverStarted => {
            ("Deleted server-providing Pod because it never started", gone_provider, "Failed to delete server-providing Pod")
        }
        DeletePodReason::SleeperLimit => (
            "Deleted server-providing Pod with sleeping server, to respect sleeper-limit",
            gone_provider,
            "Failed to delete server-providing Pod",
        ),
        DeletePodReason::Stale => {
            ("Deleted stale launcher pod", "Stale launcher pod already deleted", "Failed to delete stale launcher pod")
        }
        DeletePodReason::Excess => {
            ("Deleted excess launcher pod", "Excess launcher pod already deleted", "Failed to delete excess launcher pod")
        }
    };
    Log { done, gone, failed, ..Log::default() }
}
