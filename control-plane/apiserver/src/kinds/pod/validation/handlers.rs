//! Probes and hooks: what is done to a container, and when.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::Value;

use super::Pod;
use crate::kinds::values::{At, Must, Rules, int, list, map, maps, text};
use crate::registry::Object;

/// What may be done, in the order in which it is looked for: the first one counts.
const ACTIONS: &[(&str, Action)] = &[("exec", exec), ("httpGet", http_get), ("tcpSocket", tcp_socket), ("grpc", grpc), ("sleep", sleep)];
type Action = fn(&Pod<'_>, &Object, &At<'_>, &mut Vec<FieldError>);

const PROBES: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes",
    rows: &[
        ("initialDelaySeconds", Must::NotBeNegative),
        ("timeoutSeconds", Must::NotBeNegative),
        ("periodSeconds", Must::NotBeNegative),
        ("successThreshold", Must::NotBeNegative),
        ("failureThreshold", Must::NotBeNegative),
        ("terminationGracePeriodSeconds", Must::BePositive),
    ],
};

const HTTP: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes",
    rows: &[("scheme", Must::BeOneOf(&["HTTP", "HTTPS"])), ("protocol", Must::BeOneOf(&["HTTP1", "HTTP2"]))],
};

const GRPC: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#define-a-grpc-liveness-probe",
    rows: &[("mode", Must::BeOneOf(&["Plaintext", "TLS"]))],
};

/// Signals of Linux as `kill -l` names them, sorted.
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The probes of a container that may have some.
pub(super) fn probes(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = map(container, name) else { continue };
        let path = path.child(name);
        handler(pod, probe, &path, problems);
        PROBES.check(probe, &path, problems);
        if name == "readinessProbe" {
            if let Some(n) = int(probe, "terminationGracePeriodSeconds") {
                let why = "must not be set for readinessProbes";
                problems.push(FieldError::invalid(path.child("terminationGracePeriodSeconds"), n, why));
            }
        } else if let Some(n) = int(probe, "successThreshold").filter(|n| *n != 1) {
            problems.push(FieldError::invalid(path.child("successThreshold"), n, "must be 1"));
        }
    }
}

/// The hooks of a container that may have some, and the signal that ends it:
/// <https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/>
pub(super) fn lifecycle(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(lifecycle) = map(container, "lifecycle") else { return };
    let path = path.child("lifecycle");
    for hook in ["postStart", "preStop"] {
        if let Some(hooked) = map(lifecycle, hook) {
            handler(pod, hooked, &path.child(hook), problems);
        }
    }
    if lifecycle.get("stopSignal").is_some_and(|v| !v.is_null()) {
        let path = path.child("stopSignal");
        match pod.os() {
            None => problems.push(FieldError::forbidden(path, "may not be set for containers with empty `spec.os.name`")),
            Some("windows") => Must::BeOneOf(&["SIGKILL", "SIGTERM"]).check(lifecycle, "stopSignal", &path, problems),
            Some("linux") => Must::BeOneOf(SIGNALS).check(lifecycle, "stopSignal", &path, problems),
            Some(_) => {}
        }
    }
}

fn handler(pod: &Pod<'_>, handler: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut given = ACTIONS.iter().filter_map(|(name, action)| Some((name, action, map(handler, name)?)));
    match given.next() {
        Some((name, action, object)) => action(pod, object, &path.child(name), problems),
        None => problems.push(FieldError::required(path, "must specify a handler type")),
    }
    for (extra, ..) in given {
        problems.push(FieldError::forbidden(path.child(extra), "may not specify more than 1 handler type"));
    }
}

fn exec(_: &Pod<'_>, exec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if list(exec, "command").is_empty() {
        problems.push(FieldError::required(path.child("command"), ""));
    }
}

fn http_get(_: &Pod<'_>, get: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    Must::BeSet("").check(get, "path", &path.child("path"), problems);
    port(get.get("port"), &path.child("port"), problems);
    HTTP.check(get, path, problems);
    for header in maps(get, "httpHeaders").map(|h| text(h, "name")) {
        if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            problems.push(FieldError::invalid(path.child("httpHeaders"), header, why));
        }
    }
    if text(get, "protocol") == "HTTP2" {
        if text(get, "scheme") != "HTTP" {
            problems.push(FieldError::invalid(path.child("protocol"), "HTTP2", "is only supported with HTTP (H2C)"));
        } else if !text(get, "host").is_empty() {
            let why = "must be empty when `protocol` is \"HTTP2\"";
            problems.push(FieldError::invalid(path.child("host"), text(get, "host"), why));
        }
    }
}

fn tcp_socket(_: &Pod<'_>, socket: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    port(socket.get("port"), &path.child("port"), problems);
}

fn grpc(_: &Pod<'_>, grpc: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    port(grpc.get("port"), &path.child("port"), problems);
    GRPC.check(grpc, path, problems);
}

/// Sleep must end within the time that the Pod has to end.
fn sleep(pod: &Pod<'_>, sleep: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (seconds, grace) = (int(sleep, "seconds").unwrap_or(0), pod.grace());
    if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        problems.push(FieldError::invalid(path, seconds, why));
    }
}

/// A port's number, or its name in the container.
fn port(port: Option<&Value>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if let Some(Value::String(name)) = port {
        problems.extend(names::port_name(name).into_iter().map(|why| FieldError::invalid(path, name.as_str(), why)));
        return;
    }
    let number = port.and_then(Value::as_i64).unwrap_or(0);
    if !(1..=65535).contains(&number) {
        problems.push(FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_are_sorted() {
        assert!(super::SIGNALS.is_sorted());
    }
}
