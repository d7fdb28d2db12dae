//! What a Pod's operating system rules out: <https://kubernetes.io/docs/concepts/workloads/pods/#pod-os>

use dormouse_machinery::field::FieldError;

use super::{Pod, containers};
use crate::kinds::values::{At, Must, Rules, map};

const NO: Must = Must::BeAbsent("cannot be set for a windows pod");
const PAGE: &str = "https://kubernetes.io/docs/concepts/windows/intro/#compatibility-v1-pod";

const CONTEXTS_OF_PODS: Rules = Rules {
    page: PAGE,
    rows: &[
        ("appArmorProfile", NO),
        ("seLinuxOptions", NO),
        ("seccompProfile", NO),
        ("fsGroup", NO),
        ("fsGroupChangePolicy", NO),
        ("sysctls", NO),
        ("runAsUser", NO),
        ("runAsGroup", NO),
        ("supplementalGroups", NO),
        ("supplementalGroupsPolicy", NO),
        ("seLinuxChangePolicy", NO),
    ],
};

const PODS: Rules = Rules { page: PAGE, rows: &[("hostUsers", NO), ("hostPID", NO), ("hostIPC", NO), ("shareProcessNamespace", NO)] };

const CONTEXTS: Rules = Rules {
    page: PAGE,
    rows: &[
        ("appArmorProfile", NO),
        ("seLinuxOptions", NO),
        ("seccompProfile", NO),
        ("capabilities", NO),
        ("readOnlyRootFilesystem", NO),
        ("privileged", NO),
        ("allowPrivilegeEscalation", NO),
        ("procMount", NO),
        ("runAsUser", NO),
        ("runAsGroup", NO),
    ],
};

/// What may not stand in a Pod of Linux, wherever there is a context.
const ON_LINUX: Rules = Rules { page: PAGE, rows: &[("windowsOptions", Must::BeAbsent("windows options cannot be set for a linux pod"))] };

const SYSTEMS: &[&str] = &["linux", "windows"];

/// The system of the Pod, and what it rules out.
pub(super) fn check(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(os) = pod.os() else { return };
    let (of_pods, of_containers) = match os {
        "" => return problems.push(FieldError::required(path.child("os.name"), "")),
        "linux" => (&ON_LINUX, &ON_LINUX),
        "windows" => (&CONTEXTS_OF_PODS, &CONTEXTS),
        other => return problems.push(FieldError::not_supported(path.child("os"), other, SYSTEMS)),
    };
    if let Some(context) = map(pod.spec, "securityContext") {
        of_pods.check(context, &path.child("securityContext"), problems);
    }
    if os == "windows" {
        PODS.check(pod.spec, path, problems);
    }
    for (kind, i, container) in containers(pod.spec) {
        if let Some(context) = map(container, "securityContext") {
            of_containers.check(context, &path.element(kind, i).child("securityContext"), problems);
        }
    }
}
