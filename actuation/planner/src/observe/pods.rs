//! Pods: which of them matter, for which node, and as what (actuation 3.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_apis::names::{DUAL_PODS_CONTROLLER, SERVER_CONTAINER, annotation as key, finalizer, label as label_key, port};
use dormouse_names::annotation::LAST_USED;
use dormouse_names::condition::SERVING;
use dormouse_names::env::CUDA_VISIBLE_DEVICES;
use jiff::Timestamp;
use serde_json::Value;

use super::binding;
use crate::ids::{ContainerId, GpuUuid, InstanceId, Uid};
use crate::json::{annotation, at, has_finalizer, label, list, owned, text, time};
use crate::podspec;
use crate::state::{ContainerInfo, Direct, Gate, Launcher, PodMeta, Requester, RequesterKind, Written};

/// A Pod that matters, and the node it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// A requester that is scheduled, with its node.
    Requester(String, Box<Requester>),
    /// A requester that is not scheduled yet.
    Unscheduled,
    /// A direct provider, with its node.
    Direct(String, Box<Direct>),
    /// A launcher, with its node.
    Launcher(String, Box<Launcher>),
}

/// Reads a Pod; `None` for one that does not matter, or that names no node though it must.
#[must_use]
pub fn pod(object: &Arc<Value>) -> Option<Observed> {
    let pod = object.as_ref();
    let set = |key: &str| annotation(pod, key).filter(|value| !value.is_empty());
    let patch = set(key::SERVER_PATCH).or_else(|| set(key::OLD_SERVER_PATCH));
    if patch.is_some() || set(key::INFERENCE_SERVER_CONFIG).is_some() {
        let node = owned(pod, &["spec", "nodeName"]);
        if node.is_empty() {
            return Some(Observed::Unscheduled);
        }
        return Some(Observed::Requester(node, Box::new(requester(object, patch)?)));
    }
    let binding = binding::binding(pod);
    if label(pod, label_key::LAUNCHER_CONFIG_NAME).is_some() {
        return Some(Observed::Launcher(provider_node(pod)?, Box::new(launcher(object, binding)?)));
    }
    let has_finalizer = has_provider_finalizer(pod);
    if binding.is_some() || set(key::NOMINAL).is_some() || has_finalizer {
        return Some(Observed::Direct(provider_node(pod)?, Box::new(direct(object, binding, has_finalizer)?)));
    }
    None
}

fn requester(object: &Arc<Value>, patch: Option<&str>) -> Option<Requester> {
    let pod = object.as_ref();
    let isc = annotation(pod, key::INFERENCE_SERVER_CONFIG);
    let kind = match (patch, isc) {
        (Some(_), Some(isc)) if !isc.is_empty() => RequesterKind::Contradictory,
        (_, Some(isc)) => RequesterKind::Launcher { isc: isc.to_owned() },
        (patch, None) => RequesterKind::Direct { patch: patch.unwrap_or_default().to_owned() },
    };
    let owned_annotation = |key: &str| annotation(pod, key).map(str::to_owned);
    Some(Requester {
        pod: meta(object)?,
        kind,
        admin_port: admin_port(pod),
        has_finalizer: has_finalizer(pod, finalizer::REQUESTER),
        old_prefix: annotation(pod, key::OLD_SERVER_PATCH).is_some() || annotation(pod, key::OLD_ADMIN_PORT).is_some(),
        gate: gate(pod),
        written: Written {
            status: owned_annotation(key::STATUS),
            old_status: owned_annotation(key::OLD_STATUS),
            accelerators: owned_annotation(key::ACCELERATORS),
            dual: label(pod, label_key::DUAL).map(str::to_owned),
            instance: label(pod, label_key::INSTANCE).map(str::to_owned),
        },
    })
}

fn gate(pod: &Value) -> Option<Gate> {
    list(pod, &["spec", "readinessGates"]).iter().find(|gate| text(gate, &["conditionType"]) == Some(SERVING))?;
    let conditions = list(pod, &["status", "conditions"]);
    let open = conditions.iter().any(|c| text(c, &["type"]) == Some(SERVING) && text(c, &["status"]) == Some("True"));
    let probe = |key: &str| podspec::container(pod).and_then(|c| at(c, &[key])).is_some_and(|probe| !probe.is_null());
    Some(Gate { open, beside_probe: probe("readinessProbe") || probe("startupProbe") })
}

fn admin_port(pod: &Value) -> Result<u16, String> {
    let value = [key::ADMIN_PORT, key::OLD_ADMIN_PORT].iter().find_map(|key| annotation(pod, key).filter(|value| !value.is_empty()));
    match value {
        None => Ok(port::SPI),
        Some(value) => match value.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(format!("annotation \"{}\" is {value:?}, which is not a port number", key::ADMIN_PORT)),
        },
    }
}

fn direct(object: &Arc<Value>, binding: Option<crate::state::Binding>, has_finalizer: bool) -> Option<Direct> {
    let pod = object.as_ref();
    let meta = meta(object)?;
    Some(Direct {
        binding,
        has_finalizer,
        nominal: annotation(pod, key::NOMINAL).unwrap_or_default().to_owned(),
        gpus: split(annotation(pod, key::ACCELERATORS)).map(GpuUuid::from).collect(),
        indices: split(visible_devices(pod)).filter_map(|index| index.parse().ok()).collect(),
        port: podspec::engine_port(pod),
        sleeping_label: label(pod, label_key::SLEEPING).map(str::to_owned),
        last_used: direct_last_used(pod, meta.created),
        pod: meta,
    })
}

fn split(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn visible_devices(pod: &Value) -> Option<&str> {
    let container = podspec::container(pod)?;
    list(container, &["env"]).iter().find(|var| text(var, &["name"]) == Some(CUDA_VISIBLE_DEVICES)).and_then(|var| text(var, &["value"]))
}

/// Our own mark, else the time of the controller's last effective write (actuation 3.11.2), else the creation.
fn direct_last_used(pod: &Value, created: Timestamp) -> Timestamp {
    if let Some(stamp) = annotation(pod, LAST_USED).and_then(|text| text.parse().ok()) {
        return stamp;
    }
    list(pod, &["metadata", "managedFields"])
        .iter()
        .find(|entry| text(entry, &["manager"]) == Some(DUAL_PODS_CONTROLLER))
        .and_then(|entry| time(entry, &["time"]))
        .unwrap_or(created)
}

fn launcher(object: &Arc<Value>, binding: Option<crate::state::Binding>) -> Option<Launcher> {
    let pod = object.as_ref();
    let owned_annotation = |key: &str| annotation(pod, key).map(str::to_owned);
    Some(Launcher {
        pod: meta(object)?,
        recorded: if binding.is_some() { binding::recorded(pod) } else { Err("not bound".to_owned()) },
        binding,
        has_finalizer: has_provider_finalizer(pod),
        lc: label(pod, label_key::LAUNCHER_CONFIG_NAME).unwrap_or_default().to_owned(),
        template_hash: owned_annotation(key::LAUNCHER_TEMPLATE_HASH),
        config_hash: owned_annotation(key::LAUNCHER_CONFIG_HASH),
        signature: owned_annotation(key::VLLM_INSTANCE_SIGNATURE),
        stuck_label: label(pod, label_key::LAUNCHER_STUCK) == Some("true"),
        sleeping_label: label(pod, label_key::SLEEPING).map(str::to_owned),
        last_used: launcher_last_used(pod),
    })
}

fn launcher_last_used(pod: &Value) -> BTreeMap<InstanceId, Timestamp> {
    let stamps: BTreeMap<String, String> = annotation(pod, LAST_USED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    stamps.into_iter().filter_map(|(id, stamp)| Some((InstanceId(id), stamp.parse().ok()?))).collect()
}

fn has_provider_finalizer(pod: &Value) -> bool {
    has_finalizer(pod, finalizer::PROVIDER) || has_finalizer(pod, finalizer::OLD_PROVIDER)
}

/// The node that a provider runs on or is meant for; known before it is scheduled.
fn provider_node(pod: &Value) -> Option<String> {
    [
        text(pod, &["spec", "nodeName"]),
        label(pod, label_key::NODE_NAME),
        text(pod, &["spec", "nodeSelector", label_key::HOSTNAME]),
        pinned_by_affinity(pod),
    ]
    .into_iter()
    .flatten()
    .find(|node| !node.is_empty())
    .map(str::to_owned)
}

fn pinned_by_affinity(pod: &Value) -> Option<&str> {
    let required = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let term = list(pod, &required).first()?;
    let field = list(term, &["matchFields"]).iter().find(|field| text(field, &["key"]) == Some("metadata.name"))?;
    list(field, &["values"]).first()?.as_str()
}

fn meta(object: &Arc<Value>) -> Option<PodMeta> {
    let pod = object.as_ref();
    let created = time(pod, &["metadata", "creationTimestamp"]).unwrap_or(Timestamp::UNIX_EPOCH);
    let condition = |kind: &str| list(pod, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == Some(kind));
    let holds = |condition: Option<&Value>| condition.is_some_and(|c| text(c, &["status"]) == Some("True"));
    let changed = |condition: Option<&Value>| condition.and_then(|c| time(c, &["lastTransitionTime"]));
    let (ready, scheduled) = (condition("Ready"), condition("PodScheduled"));
    let containers = list(pod, &["status", "containerStatuses"]);
    let status = containers.iter().find(|status| text(status, &["name"]) == Some(SERVER_CONTAINER));
    Some(PodMeta {
        name: text(pod, &["metadata", "name"])?.to_owned(),
        uid: Uid::from(text(pod, &["metadata", "uid"])?),
        rv: owned(pod, &["metadata", "resourceVersion"]),
        created,
        deleting: time(pod, &["metadata", "deletionTimestamp"]),
        terminal: matches!(text(pod, &["status", "phase"]), Some("Succeeded" | "Failed")),
        ip: text(pod, &["status", "podIP"]).filter(|ip| !ip.is_empty()).map(str::to_owned),
        ready: holds(ready),
        ready_changed: changed(ready).unwrap_or(created),
        scheduled: if holds(scheduled) { Some(changed(scheduled).unwrap_or(created)) } else { None },
        restarts: containers.iter().filter_map(|status| at(status, &["restartCount"])?.as_u64()).sum(),
        stuck: containers.iter().find_map(stuck),
        container: status.map_or_else(ContainerInfo::default, |status| container_info(status, created)),
        object: Arc::clone(object),
    })
}

/// The kubelet's reasons that somebody has to do something about. `CrashLoopBackOff` is not among them: restarts tell that.
const STUCK: [&str; 8] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What keeps a container from starting.
fn stuck(status: &Value) -> Option<String> {
    let waiting = at(status, &["state", "waiting"])?;
    let reason = text(waiting, &["reason"]).filter(|reason| STUCK.contains(reason))?;
    let container = text(status, &["name"]).unwrap_or_default();
    let message = text(waiting, &["message"]).map(|message| format!(": {message}")).unwrap_or_default();
    Some(format!("container {container:?} does not start: {reason}{message}"))
}

fn container_info(status: &Value, created: Timestamp) -> ContainerInfo {
    let running = at(status, &["state", "running"]);
    ContainerInfo {
        id: text(status, &["containerID"]).filter(|id| !id.is_empty()).map(ContainerId::from),
        running_since: running.map(|running| time(running, &["startedAt"]).unwrap_or(created)),
        ready: at(status, &["ready"]).and_then(Value::as_bool).unwrap_or(false),
    }
}
