//! What a Pod may not be, and what of it may not change.
//!
//! What needs nothing but the members of one structure is a table ([`Rules`]); what looks further is a small function beside it.
//! Everything that is wrong is reported, in the order in which Kubernetes reports it, and at the places that it names: a few
//! of those are odd (a list's name without the index) and stay so, since clients know them.

mod affinity;
mod container;
mod env;
mod handlers;
mod mounts;
mod network;
mod paths;
mod projected;
mod resources;
mod security;
mod sources;
mod spread;
mod status;
mod tolerations;
mod update;
mod volumes;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::Value;

use crate::kinds::values::{At, Must, Rules, go_struct, int, invalid, is_true, list, map, maps, standard_finalizers, text};
use crate::registry::{Cx, Object};
use crate::validate;

pub(super) use affinity::{PREFERRED, REQUIRED};
pub(crate) use resources::{amount, amounts};
pub(super) use status::status;
pub(super) use update::update;

/// Marks the image of a Pod that a node runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

const POLICIES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
    rows: &[
        ("restartPolicy", Must::BeOneOf(&["Always", "OnFailure", "Never"])),
        ("dnsPolicy", Must::BeOneOf(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])),
    ],
};

const NAMES: Rules = Rules {
    page: "https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/",
    rows: &[
        ("serviceAccountName", Must::Pass(names::dns1123_subdomain)),
        ("nodeName", Must::Pass(names::dns1123_subdomain)),
        ("activeDeadlineSeconds", Must::BeWithin(1, 0x7fff_ffff, "must be between 1 and 2147483647, inclusive")),
        ("hostname", Must::Pass(names::dns1123_label)),
        ("subdomain", Must::Pass(names::dns1123_label)),
    ],
};

const CLASSES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",
    rows: &[
        ("priorityClassName", Must::Pass(names::dns1123_subdomain)),
        ("runtimeClassName", Must::Pass(names::dns1123_subdomain)),
        ("preemptionPolicy", Must::BeOneOf(&["PreemptLowerPriority", "Never"])),
    ],
};

/// Only of Pods: in a template it may still be put right.
const PODS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
    rows: &[("terminationGracePeriodSeconds", Must::NotBeNegative)],
};

/// A spec, and what its parts need to know of the whole.
struct Pod<'a> {
    spec: &'a Object,
    /// Name of the Pod; empty in a template, which has none.
    name: &'a str,
    /// Whether it is a Pod and no template.
    is_pod: bool,
    /// The volumes that nothing is wrong with.
    volumes: BTreeMap<&'a str, &'a Object>,
    /// Names of the claims for devices.
    claims: BTreeSet<&'a str>,
}

impl<'a> Pod<'a> {
    fn new(spec: &'a Object, pod: Option<&'a Object>) -> Self {
        let claims = maps(spec, "resourceClaims").map(|c| text(c, "name")).filter(|n| !n.is_empty()).collect();
        let name = pod.map_or("", |pod| crate::object::meta_str(pod, "name"));
        Self { spec, name, is_pod: pod.is_some(), volumes: BTreeMap::new(), claims }
    }

    fn grace(&self) -> Option<i64> {
        int(self.spec, "terminationGracePeriodSeconds")
    }

    fn os(&self) -> Option<&'a str> {
        map(self.spec, "os").map(|os| text(os, "name"))
    }

    /// Whether users in the Pod are those of the host; they are unless it says no.
    fn host_users(&self) -> bool {
        self.spec.get("hostUsers").and_then(Value::as_bool) != Some(false)
    }
}

/// The containers with their places, in the order in which Kubernetes visits them.
fn containers(spec: &Object) -> impl Iterator<Item = (&'static str, usize, &Object)> {
    ["initContainers", "containers"].into_iter().flat_map(|kind| maps(spec, kind).enumerate().map(move |(i, c)| (kind, i, c)))
}

/// Problems of a Pod.
pub(super) fn pod(_: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
    standard_finalizers(object, problems);
    let path = At::Path("spec");
    let Some(spec) = map(object, "spec") else {
        problems.push(FieldError::required(path, ""));
        return;
    };
    annotations(crate::object::meta(object, "annotations"), spec, &At::Path("metadata.annotations"), problems);
    self::spec(Pod::new(spec, Some(object)), &path, problems);
    tokens(spec, &path, problems);
    PODS.check(spec, &path, problems);
    container::images(spec, &path, problems);
    if !list(spec, "ephemeralContainers").is_empty() {
        problems.push(FieldError::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
        problems.push(FieldError::forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared"));
    }
}

/// Problems of a Pod template.
pub(crate) fn validate_template(_: &Cx<'_>, template: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let empty = Object::new();
    let (metadata, spec) = (map(template, "metadata").unwrap_or(&empty), map(template, "spec").unwrap_or(&empty));
    validate::labels(metadata.get("labels"), &path.child("labels"), problems);
    validate::annotations(metadata.get("annotations"), &path.child("annotations"), problems);
    annotations(metadata.get("annotations"), spec, &path.child("annotations"), problems);
    let path = path.child("spec");
    self::spec(Pod::new(spec, None), &path, problems);
    if !list(spec, "ephemeralContainers").is_empty() {
        problems.push(FieldError::forbidden(path.child("ephemeralContainers"), "ephemeral containers not allowed in pod template"));
    }
}

/// Annotations that mean something to Pods.
fn annotations(annotations: Option<&Value>, spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(annotations) = annotations.and_then(Value::as_object) else { return };
    if annotations.contains_key(MIRROR) && text(spec, "nodeName").is_empty() {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        problems.push(FieldError::invalid(path.key(MIRROR), text(annotations, MIRROR), why));
    }
    let cost = text(annotations, DELETION_COST);
    // As a number prints: neither a plus nor zeros in front.
    if annotations.contains_key(DELETION_COST) && cost.parse::<i32>().ok().is_none_or(|n| n.to_string() != cost) {
        problems.push(FieldError::invalid(path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
}

fn spec(mut pod: Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let spec = pod.spec;
    pod.volumes = volumes::check(&pod, &path.child("volumes"), problems);
    claims(spec, path, problems);
    container::check(&pod, path, problems);
    if let Some(resources) = map(spec, "resources") {
        resources::of_pod(&pod, resources, &path.child("resources"), problems);
    }
    network::host_ports(&pod, path, problems);
    POLICIES.check(spec, path, problems);
    validate::labels(spec.get("nodeSelector"), &path.child("nodeSelector"), problems);
    security::of_pod(&pod, path, problems);
    affinity::check(spec, &path.child("affinity"), problems);
    network::dns(spec, &path.child("dnsConfig"), problems);
    for (i, gate) in maps(spec, "readinessGates").enumerate() {
        let path = path.element("readinessGates", i);
        invalid(text(gate, "conditionType"), names::qualified_name, &path.child("conditionType"), problems);
    }
    gates(spec, path, problems);
    spread::check(spec, path, problems);
    host_users(&pod, path, problems);
    network::host_name(spec, &path.child("hostnameOverride"), problems);
    NAMES.check(spec, path, problems);
    for (i, toleration) in maps(spec, "tolerations").enumerate() {
        tolerations::check(toleration, &path.element("tolerations", i), problems);
    }
    network::host_aliases(spec, path, problems);
    CLASSES.check(spec, path, problems);
    if let Some(overhead) = map(spec, "overhead") {
        resources::overhead(overhead, &path.child("overhead"), problems);
    }
    windows::check(&pod, path, problems);
    if let Some(group) = map(spec, "schedulingGroup") {
        let path = path.child("schedulingGroup");
        match group.get("podGroupName") {
            None | Some(Value::Null) => {
                problems.push(FieldError::invalid(path.child("podGroupName"), Value::Null, "must specify one of: `podGroupName`"));
            }
            Some(_) => invalid(text(group, "podGroupName"), names::dns1123_subdomain, &path.child("podGroupName"), problems),
        }
    }
    env::files(&pod, path, problems);
}

/// Gates that keep a Pod from being scheduled: <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>
fn gates(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, gate) in maps(spec, "schedulingGates").enumerate() {
        let (name, path) = (text(gate, "name"), path.element("schedulingGates", i));
        invalid(name, names::qualified_name, &path, problems);
        if !seen.insert(name) {
            problems.push(FieldError::duplicate(path, name));
        }
    }
}

/// Tokens in volumes are the account's, so there must be one.
fn tokens(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if !text(spec, "serviceAccountName").is_empty() {
        return;
    }
    for (i, volume) in maps(spec, "volumes").enumerate() {
        let sources = map(volume, "projected").into_iter().flat_map(|p| maps(p, "sources")).enumerate();
        for (k, _) in sources.filter(|(_, source)| map(source, "serviceAccountToken").is_some()) {
            let path = path.element("volumes", i);
            let path = path.child("projected");
            let path = path.element("sources", k);
            let why = "must not be specified when serviceAccountName is not set";
            problems.push(FieldError::forbidden(path.child("serviceAccountToken"), why));
        }
    }
}

/// Users of its own do not go with other things of the host: <https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/>
fn host_users(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if pod.host_users() {
        return;
    }
    let why = "when `hostUsers` is false";
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if is_true(pod.spec, field) {
            problems.push(FieldError::forbidden(path.child(shown), why));
        }
    }
    for (kind, i, _) in containers(pod.spec).filter(|(.., c)| !list(c, "volumeDevices").is_empty()) {
        problems.push(FieldError::forbidden(path.element(kind, i).child("volumeDevices"), why));
    }
}

/// Claims for devices: <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>
fn claims(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    const SHOWN: &[(&str, &str, &str)] = &[
        ("Name", "name", "\"\""),
        ("ResourceClaimName", "resourceClaimName", "null"),
        ("ResourceClaimTemplateName", "resourceClaimTemplateName", "null"),
    ];
    let mut seen = BTreeSet::new();
    for (i, claim) in maps(spec, "resourceClaims").enumerate() {
        let (name, path) = (text(claim, "name"), path.element("resourceClaims", i));
        match name {
            "" => problems.push(FieldError::required(path.child("name"), "")),
            _ if !seen.insert(name) => problems.push(FieldError::duplicate(path.child("name"), name)),
            _ => invalid(name, names::dns1123_label, &path.child("name"), problems),
        }
        let from = |field: &str| claim.get(field).is_some_and(|v| !v.is_null());
        let why = match (from("resourceClaimName"), from("resourceClaimTemplateName")) {
            (true, true) => Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            (false, false) => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => None,
        };
        problems.extend(why.map(|why| FieldError::invalid(path, go_struct(claim, SHOWN), why)));
        for field in ["resourceClaimName", "resourceClaimTemplateName"].into_iter().filter(|f| from(f)) {
            invalid(text(claim, field), names::dns1123_subdomain, &path.child(field), problems);
        }
    }
}
