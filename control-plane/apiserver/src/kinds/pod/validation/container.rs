//! Containers, those that run first among them.

use std::collections::BTreeSet;

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::Value;

use super::{Pod, env, handlers, mounts, resources, security};
use crate::kinds::values::{At, Must, Rules, invalid, list, map, maps, text};
use crate::registry::Object;

const CONTAINERS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/#using-pods",
    rows: &[("name", Must::BeSetAndPass(names::dns1123_label)), ("image", Must::BeSet(""))],
};

const MESSAGES: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/",
    rows: &[("terminationMessagePolicy", Must::BeOneOf(&["File", "FallbackToLogsOnError"]))],
};

const IMAGES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy",
    rows: &[("imagePullPolicy", Must::BeOneOf(&["Always", "IfNotPresent", "Never"]))],
};

const PORTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/configuration/overview/",
    rows: &[("hostPort", Must::BE_A_PORT), ("protocol", Must::BeOneOf(&["SCTP", "TCP", "UDP"]))],
};

const RESTARTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy",
    rows: &[("restartPolicy", Must::BeOneOf(&["Always", "Never", "OnFailure"]))],
};

const RESTART_RULES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy",
    rows: &[("action", Must::BeOneOf(&["Restart", "RestartAllContainers"]))],
};

const EXIT_CODES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy",
    rows: &[("operator", Must::BeOneOf(&["In", "NotIn"]))],
};

/// Restart rules of a container, and exit codes of one of them.
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

/// All containers.
pub(super) fn check(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if list(pod.spec, "containers").is_empty() {
        problems.push(FieldError::required(path.child("containers"), ""));
    }
    let mut seen = BTreeSet::new();
    for (i, container) in maps(pod.spec, "containers").enumerate() {
        let path = path.element("containers", i);
        common(pod, container, &path, problems);
        if !seen.insert(text(container, "name")) {
            problems.push(FieldError::duplicate(path.child("name"), text(container, "name")));
        }
        handlers::lifecycle(pod, container, &path, problems);
        handlers::probes(pod, container, &path, problems);
        restart(container, &path, problems);
    }
    let mut host_ports = BTreeSet::new();
    for (i, container) in maps(pod.spec, "containers").enumerate() {
        host_port(container, &mut host_ports, &path.element("containers", i), problems);
    }
    for (i, container) in maps(pod.spec, "initContainers").enumerate() {
        let first = path.element("initContainers", 0);
        let path = path.element("initContainers", i);
        common(pod, container, &path, problems);
        restart(container, &path, problems);
        let name = text(container, "name");
        if !seen.insert(name) && !name.is_empty() {
            problems.push(FieldError::duplicate(path.child("name"), name));
        }
        // They run one by one, so each has the host's ports for itself. Kubernetes then names the first one.
        host_port(container, &mut BTreeSet::new(), &first, problems);
        if text(container, "restartPolicy") == "Always" {
            handlers::lifecycle(pod, container, &path, problems);
            handlers::probes(pod, container, &path, problems);
        } else {
            ends(container, &path, problems);
        }
    }
}

/// What all containers have in common.
fn common(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    CONTAINERS.check(container, path, problems);
    MESSAGES.check(container, path, problems);
    ports(container, &path.child("ports"), problems);
    env::check(container, path, problems);
    env::check_from(container, path, problems);
    mounts::check(pod, container, path, problems);
    mounts::devices(pod, container, path, problems);
    IMAGES.check(container, path, problems);
    if let Some(wanted) = map(container, "resources") {
        resources::of_container(pod, wanted, &path.child("resources"), problems);
    }
    resize(pod, container, &path.child("resizePolicy"), problems);
    security::of_container(pod, container, &path.child("securityContext"), problems);
}

fn ports(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, port) in maps(container, "ports").enumerate() {
        let (name, path) = (text(port, "name"), path.index(i));
        if !name.is_empty() {
            let before = problems.len();
            invalid(name, names::port_name, &path.child("name"), problems);
            if problems.len() == before && !seen.insert(name) {
                problems.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        match port.get("containerPort").and_then(Value::as_i64).unwrap_or(0) {
            0 => problems.push(FieldError::required(path.child("containerPort"), "")),
            _ => Must::BE_A_PORT.check(port, "containerPort", &path.child("containerPort"), problems),
        }
        PORTS.check(port, &path, problems);
    }
}

/// A port of the host can be had once for each protocol and address.
fn host_port(container: &Object, taken: &mut BTreeSet<String>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, port) in maps(container, "ports").enumerate() {
        let Some(number) = port.get("hostPort").and_then(Value::as_i64).filter(|n| *n != 0) else { continue };
        let port = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
        if taken.contains(&port) {
            problems.push(FieldError::duplicate(path.element("ports", i).child("hostPort"), port));
        } else {
            taken.insert(port);
        }
    }
}

/// Whether the container runs again when it has ended.
fn restart(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    RESTARTS.check(container, path, problems);
    let rules = list(container, "restartPolicyRules");
    if !rules.is_empty() && text(container, "restartPolicy").is_empty() {
        problems.push(FieldError::required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used"));
    }
    if rules.len() > MOST_RULES {
        problems.push(FieldError::too_many(path.child("restartPolicyRules"), rules.len(), MOST_RULES));
    }
    for (i, rule) in maps(container, "restartPolicyRules").enumerate() {
        let path = path.element("restartPolicyRules", i);
        RESTART_RULES.check(rule, &path, problems);
        let path = path.child("exitCodes");
        let Some(codes) = map(rule, "exitCodes") else {
            problems.push(FieldError::required(path, "must be specified"));
            continue;
        };
        EXIT_CODES.check(codes, &path, problems);
        let count = list(codes, "values").len();
        if count > MOST_CODES {
            problems.push(FieldError::too_many(path.child("values"), count, MOST_CODES));
        }
    }
}

/// A container that runs to its end before the others has nothing that keeps it up:
/// <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#detailed-behavior>
fn ends(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        Must::BeAbsent("may not be set for init containers without restartPolicy=Always").check(
            container,
            field,
            &path.child(field),
            problems,
        );
    }
    for (i, policy) in maps(container, "resizePolicy").enumerate().filter(|(_, p)| text(p, "restartPolicy") == "RestartContainer") {
        let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
        let path = path.element("resizePolicy", i);
        problems.push(FieldError::invalid(path.child("restartPolicy"), text(policy, "restartPolicy"), why));
    }
}

/// What a change of resources does to a running container. Kubernetes names the list:
/// <https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/>
fn resize(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, policy) in maps(container, "resizePolicy").enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if !seen.insert(resource) {
            problems.push(FieldError::duplicate(path.index(i), resource));
        }
        for (value, allowed) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            match value {
                "" => problems.push(FieldError::required(path, "")),
                _ if !allowed.contains(&value) => problems.push(FieldError::not_supported(path, value, &allowed)),
                _ => {}
            }
        }
        if text(pod.spec, "restartPolicy") == "Never" && restart != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            problems.push(FieldError::invalid(path, restart, why));
        }
    }
}

/// Only of Pods: spaces around the name of an image.
pub(super) fn images(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for kind in ["containers", "initContainers"] {
        for (i, container) in maps(spec, kind).enumerate() {
            padded(text(container, "image"), &path.element(kind, i), problems);
        }
    }
}

/// Reports an image with spaces around its name; `path` is the container's.
pub(super) fn padded(image: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if image.trim() != image {
        problems.push(FieldError::invalid(path.child("image"), image, "must not have leading or trailing whitespace"));
    }
}
