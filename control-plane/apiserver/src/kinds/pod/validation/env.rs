//! Variables of the environment, and fields of the Pod that become one or a file.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;

use super::{Pod, containers, paths};
use crate::kinds::values::{At, Must, Rules, invalid, map, maps, text};
use crate::registry::Object;

/// Fields of a Pod that may become a variable.
const VARIABLE_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a Pod that may become a file.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields that are known although nothing may refer to them.
const OTHER_FIELDS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "spec.terminationGracePeriodSeconds", "status.phase"];

/// Amounts that may become a variable or file; those of huge pages beside them.
const AMOUNTS: &[&str] =
    &["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

const UNITS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

const KEYS: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/inject-data-application/distribute-credentials-secure/",
    rows: &[("key", Must::BeSetAndPass(names::config_map_key))],
};

const WHOLE: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/",
    rows: &[("name", Must::BeSetAndPass(prefix_of_a_name))],
};

const FILES: Rules = Rules {
    page: "https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/",
    rows: &[
        ("key", Must::BeSetAndPass(variable)),
        ("volumeName", Must::BeSetAndPass(names::dns1123_label)),
        ("path", Must::BeSetAndPass(paths::no_back_steps)),
    ],
};

/// Kubernetes takes the names of whole maps as if more could follow.
fn prefix_of_a_name(name: &str) -> Vec<String> {
    crate::validate::dns_subdomain(name, true)
}

/// Nearly every name is one that a variable may have.
fn variable(name: &str) -> Vec<String> {
    let fits = name.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=');
    let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
    (!fits).then(|| why.to_owned()).into_iter().collect()
}

/// Variables one by one.
pub(super) fn check(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, entry) in maps(container, "env").enumerate() {
        let path = path.element("env", i);
        Must::BeSetAndPass(variable).check(entry, "name", &path.child("name"), problems);
        if let Some(from) = map(entry, "valueFrom") {
            value_from(from, !text(entry, "value").is_empty(), &path.child("valueFrom"), problems);
        }
    }
}

fn value_from(from: &Object, has_value: bool, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut sources = 0;
    let mut given = |kind: &str| {
        let source = map(from, kind);
        sources += usize::from(source.is_some());
        source
    };
    if let Some(source) = given("fieldRef") {
        field(source, VARIABLE_FIELDS, &path.child("fieldRef"), problems);
    }
    if let Some(source) = given("resourceFieldRef") {
        resource(source, false, &path.child("resourceFieldRef"), problems);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(source) = given(kind) {
            let path = path.child(kind);
            invalid(text(source, "name"), names::dns1123_subdomain, &path.child("name"), problems);
            KEYS.check(source, &path, problems);
        }
    }
    if let Some(source) = given("fileKeyRef") {
        FILES.check(source, &path.child("fileKeyRef"), problems);
    }
    let why = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    problems.push(FieldError::invalid(path, "", why));
}

/// Whole maps of variables. Kubernetes names the list, not the element, where it must have one source.
pub(super) fn check_from(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let list = path.child("envFrom");
    for (i, entry) in maps(container, "envFrom").enumerate() {
        let path = list.index(i);
        Must::Pass(variable).check(entry, "prefix", &path.child("prefix"), problems);
        let mut sources = 0;
        for kind in ["configMapRef", "secretRef"] {
            if let Some(source) = map(entry, kind) {
                sources += 1;
                WHOLE.check(source, &path.child(kind), problems);
            }
        }
        let why = match sources {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        problems.push(FieldError::invalid(list, "", why));
    }
}

/// The path before `['` and the key up to `']`.
fn subscript(field: &str) -> Option<(&str, &str)> {
    field.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// A field of the Pod: <https://kubernetes.io/docs/concepts/workloads/pods/downward-api/>
pub(super) fn field(reference: &Object, allowed: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (version, wanted) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    for (field, value) in [("apiVersion", version), ("fieldPath", wanted)] {
        if value.is_empty() {
            problems.push(FieldError::required(path.child(field), ""));
            return;
        }
    }
    let unknown = |why: String| FieldError::invalid(path.child("fieldPath"), wanted, format!("error converting fieldPath: {why}"));
    if version != "v1" {
        problems.push(unknown(format!("unsupported pod version: {version}")));
        return;
    }
    match subscript(wanted) {
        Some(("metadata.labels", key)) => invalid(key, names::qualified_name, path, problems),
        Some(("metadata.annotations", key)) => invalid(&key.to_lowercase(), names::qualified_name, path, problems),
        Some(_) => problems.push(unknown(format!("field label does not support subscript: {wanted}"))),
        None => {
            // The name that Pods had for it before their first version.
            let plain = if wanted == "spec.host" { "spec.nodeName" } else { wanted };
            let known = [VARIABLE_FIELDS, VOLUME_FIELDS, OTHER_FIELDS].iter().any(|fields| fields.contains(&plain));
            if !known {
                problems.push(unknown(format!("field label not supported: {wanted}")));
            } else if !allowed.contains(&plain) {
                problems.push(FieldError::not_supported(path.child("fieldPath"), plain, allowed));
            }
        }
    }
}

/// An amount of a container.
pub(super) fn resource(reference: &Object, in_volume: bool, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let resource = text(reference, "resource");
    let huge = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume && text(reference, "containerName").is_empty() {
        problems.push(FieldError::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        problems.push(FieldError::required(path.child("resource"), ""));
    } else if !AMOUNTS.contains(&resource) && !huge {
        problems.push(FieldError::not_supported(path.child("resource"), resource, AMOUNTS));
    }
    let divisor = text(reference, "divisor");
    if Quantity::parse(divisor).is_ok_and(|d| !d.is_zero()) {
        let what = match resource {
            "limits.cpu" | "requests.cpu" => "cpu",
            "limits.memory" | "requests.memory" => "memory",
            "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
            _ if huge => "hugepages",
            _ => return,
        };
        let (fits, listed) = match what {
            "cpu" => (matches!(divisor, "1m" | "1"), "1m and 1".to_owned()),
            _ => (UNITS.contains(&divisor), UNITS.join(", ")),
        };
        if !fits {
            let why = format!("only divisor's values {listed} are supported with the {what} resource");
            problems.push(FieldError::invalid(path.child("divisor"), resource, why));
        }
    }
}

/// Files of variables lie in volumes that begin empty.
pub(super) fn files(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (kind, i, container) in containers(pod.spec) {
        for (k, entry) in maps(container, "env").enumerate() {
            let Some(file) = map(entry, "valueFrom").and_then(|from| map(from, "fileKeyRef")) else { continue };
            let name = text(file, "volumeName");
            let path = path.element(kind, i);
            let path = path.element("env", k);
            let path = path.child("valueFrom.fileKeyRef.volumeName");
            match maps(pod.spec, "volumes").find(|v| text(v, "name") == name) {
                None => problems.push(FieldError::not_found(path, name)),
                Some(volume) if map(volume, "emptyDir").is_none() => {
                    problems.push(FieldError::invalid(path, name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
}
