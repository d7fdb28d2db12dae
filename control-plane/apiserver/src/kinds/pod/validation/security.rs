//! As whom containers run, and what they may do: <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>

use std::collections::BTreeSet;

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::{Pod, paths};
use crate::kinds::values::{At, Must, Rules, invalid, is_true, list, map, maps, text, texts};
use crate::registry::Object;

const PODS: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod",
    rows: &[
        ("fsGroup", Must::BE_AN_ID),
        ("runAsUser", Must::BE_AN_ID),
        ("runAsGroup", Must::BE_AN_ID),
        ("fsGroupChangePolicy", Must::BeOneOf(&["Always", "OnRootMismatch"])),
        ("supplementalGroupsPolicy", Must::BeOneOf(&["Merge", "Strict"])),
        ("seLinuxChangePolicy", Must::BeOneOf(&["MountOption", "Recursive"])),
    ],
};

const CONTAINERS: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-container",
    rows: &[("runAsUser", Must::BE_AN_ID), ("runAsGroup", Must::BE_AN_ID), ("procMount", Must::BeOneOf(&["Default", "Unmasked"]))],
};

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
/// `PATH_MAX` without the end.
const LONGEST_PROFILE: usize = 4095;
const LONGEST_SYSCTL: usize = 253;

/// The context of the Pod.
pub(super) fn of_pod(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let share = is_true(pod.spec, "shareProcessNamespace") && is_true(pod.spec, "hostPID");
    if let Some(context) = map(pod.spec, "securityContext") {
        let path = path.child("securityContext");
        PODS.check(context, &path, problems);
        for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
            if let Some(group) = group.as_i64().filter(|g| !(0..=0x7fff_ffff).contains(g)) {
                let why = "must be between 0 and 2147483647, inclusive";
                problems.push(FieldError::invalid(path.element("supplementalGroups", i), group, why));
            }
        }
        sysctls(pod, context, &path, problems);
        seccomp(map(context, "seccompProfile"), &path.child("seccompProfile"), problems);
        apparmor(map(context, "appArmorProfile"), &path.child("appArmorProfile"), problems);
    }
    if share {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        problems.push(FieldError::invalid(path.child("shareProcessNamespace"), true, why));
    }
}

/// The context of a container.
pub(super) fn of_container(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(context) = map(container, "securityContext") else { return };
    CONTAINERS.check(context, path, problems);
    if pod.host_users() && text(context, "procMount") == "Unmasked" {
        problems.push(FieldError::invalid(path.child("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`"));
    }
    seccomp(map(context, "seccompProfile"), &path.child("seccompProfile"), problems);
    if context.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let refuse = |why: &str| FieldError::invalid(path, Value::Object(context.clone()), why);
        if is_true(context, "privileged") {
            problems.push(refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
        }
        if map(context, "capabilities").is_some_and(|c| texts(c, "add").any(|name| name == "CAP_SYS_ADMIN")) {
            problems.push(refuse("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
        }
    }
    apparmor(map(context, "appArmorProfile"), &path.child("appArmorProfile"), problems);
}

/// Calls of the kernel that are left: <https://kubernetes.io/docs/tutorials/security/seccomp/>
fn seccomp(profile: Option<&Object>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(profile) = profile else { return };
    match text(profile, "type") {
        "" => problems.push(FieldError::required(path.child("type"), "type is required when seccompProfile is set")),
        kind if !PROFILES.contains(&kind) => problems.push(FieldError::not_supported(path.child("type"), kind, PROFILES)),
        _ => {}
    }
    let (path, file) = (path.child("localhostProfile"), profile.get("localhostProfile").and_then(Value::as_str));
    match (text(profile, "type"), file) {
        ("Localhost", None) => problems.push(FieldError::required(path, "must be set when seccomp type is Localhost")),
        ("Localhost", Some(file)) => invalid(file, paths::descending, &path, problems),
        (_, Some(_)) => {
            let why = "can only be set when seccomp type is Localhost";
            problems.push(FieldError::invalid(path, Value::Object(profile.clone()), why));
        }
        (_, None) => {}
    }
}

/// <https://kubernetes.io/docs/tutorials/security/apparmor/>
fn apparmor(profile: Option<&Object>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(profile) = profile else { return };
    let (place, name) = (path.child("localhostProfile"), profile.get("localhostProfile").and_then(Value::as_str));
    match (text(profile, "type"), name) {
        ("Localhost", Some(name)) if name.trim() != name => {
            problems.push(FieldError::invalid(place, name, "must not be padded with whitespace"));
        }
        ("Localhost", None | Some("")) => problems.push(FieldError::required(place, "must be set when AppArmor type is Localhost")),
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            problems.push(FieldError::invalid(place, name, "can only be set when AppArmor type is Localhost"));
        }
        ("Localhost" | "RuntimeDefault" | "Unconfined", _) => {}
        ("", _) => problems.push(FieldError::required(path.child("type"), "type is required when appArmorProfile is set")),
        (kind, _) => problems.push(FieldError::not_supported(path.child("type"), kind, PROFILES)),
    }
    if text(profile, "type") == "Localhost" && name.is_some_and(|n| n.len() > LONGEST_PROFILE) {
        problems.push(FieldError::too_long(place, LONGEST_PROFILE));
    }
}

/// Settings of the kernel: <https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/>
fn sysctls(pod: &Pod<'_>, context: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, sysctl) in maps(context, "sysctls").enumerate() {
        let (name, path) = (text(sysctl, "name"), path.element("sysctls", i));
        let path = path.child("name");
        if name.is_empty() {
            problems.push(FieldError::required(path, ""));
        } else if !is_sysctl(name) {
            let why =
                "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            problems.push(FieldError::invalid(path, name, why));
        } else if seen.contains(name) {
            problems.push(FieldError::duplicate(path, name));
        }
        seen.insert(name);
        let dotted = name.replace('/', ".");
        let shared = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix)) || dotted == "kernel.sem";
        if is_true(pod.spec, "hostNetwork") && dotted.starts_with("net.") {
            problems.push(FieldError::invalid(path, name, "may not be specified when 'hostNetwork' is true"));
        } else if is_true(pod.spec, "hostIPC") && shared {
            problems.push(FieldError::invalid(path, name, "may not be specified when 'hostIPC' is true"));
        }
    }
}

/// Parts of small letters, digits, dashes and underscores between dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(|b| is_end(Some(b)) || matches!(b, b'-' | b'_'))
    };
    name.len() <= LONGEST_SYSCTL && name.split(['.', '/']).all(is_part)
}
