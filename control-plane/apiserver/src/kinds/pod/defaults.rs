//! What a Pod has when its author says nothing.

use serde_json::{Value, json};

use crate::kinds::values::{default, is_true, map, map_entry, map_mut, maps, maps_mut, text};
use crate::registry::Object;

/// Defaults of a Pod template.
pub(crate) fn default_template(template: &mut Object) {
    spec(map_entry(template, "spec"));
}

/// Defaults of a Pod's spec, inside a Pod or a template.
pub(super) fn spec(spec: &mut Object) {
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "restartPolicy", "Always");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", json!({}));
    default(spec, "terminationGracePeriodSeconds", 30);
    // The old name of the account's field follows the new one.
    let account = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !account.is_empty() {
        spec.insert("serviceAccountName".to_owned(), account.clone().into());
        spec.insert("serviceAccount".to_owned(), account.into());
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        maps_mut(spec, list).for_each(container);
    }
    for volume in maps_mut(spec, "volumes") {
        self::volume(volume);
    }
    for spread in maps_mut(spec, "topologySpreadConstraints") {
        default(spread, "whenUnsatisfiable", "DoNotSchedule");
    }
}

/// Requests that are not set are the limits; only in Pods, not in templates.
pub(super) fn requests(spec: &mut Object) {
    for list in ["initContainers", "containers"] {
        for container in maps_mut(spec, list) {
            let Some(resources) = map_mut(container, "resources") else { continue };
            let requested = |resource: &str| map(resources, "requests").is_some_and(|r| r.contains_key(resource));
            let limits = map(resources, "limits").into_iter().flatten().filter(|(resource, _)| !requested(resource));
            let missing: Vec<(String, Value)> = limits.map(|(resource, amount)| (resource.clone(), amount.clone())).collect();
            if !missing.is_empty() {
                map_entry(resources, "requests").extend(missing);
            }
        }
    }
}

/// Ports in the network of the node are the node's; only in Pods, not in templates.
pub(super) fn host_ports(spec: &mut Object) {
    if !is_true(spec, "hostNetwork") {
        return;
    }
    for list in ["initContainers", "containers"] {
        for port in maps_mut(spec, list).flat_map(|c| maps_mut(c, "ports")) {
            if let Some(number) = port.get("containerPort").cloned() {
                default(port, "hostPort", number);
            }
        }
    }
}

fn container(container: &mut Object) {
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    let policy = pull_policy(text(container, "image"));
    default(container, "imagePullPolicy", policy);
    for port in maps_mut(container, "ports") {
        default(port, "protocol", "TCP");
    }
    for variable in maps_mut(container, "env") {
        let from = map_mut(variable, "valueFrom");
        if let Some(field) = from.and_then(|f| map_mut(f, "fieldRef")) {
            default(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = map_mut(container, name) else { continue };
        default(probe, "timeoutSeconds", 1);
        default(probe, "periodSeconds", 10);
        default(probe, "successThreshold", 1);
        default(probe, "failureThreshold", 3);
        handler(probe);
    }
    if let Some(lifecycle) = map_mut(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = map_mut(lifecycle, hook) {
                handler(hook);
            }
        }
    }
}

fn handler(handler: &mut Object) {
    if let Some(get) = map_mut(handler, "httpGet") {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
    if let Some(grpc) = map_mut(handler, "grpc") {
        default(grpc, "service", "");
    }
}

/// The newest image is looked for every time, another only once.
fn pull_policy(image: &str) -> &'static str {
    if is_latest(image) { "Always" } else { "IfNotPresent" }
}

/// Whether a reference means the newest image: tag `latest`, or neither tag nor digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or("");
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

fn volume(volume: &mut Object) {
    // A volume without a source is an empty folder.
    if volume.iter().all(|(k, v)| k == "name" || v.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = map_mut(volume, source) {
            default(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = map_mut(volume, "hostPath") {
        default(path, "type", "");
    }
    if let Some(image) = map_mut(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        default(image, "pullPolicy", policy);
    }
    if let Some(downward) = map_mut(volume, "downwardAPI") {
        downward_items(downward);
    }
    if let Some(projected) = map_mut(volume, "projected") {
        for source in maps_mut(projected, "sources") {
            if let Some(token) = map_mut(source, "serviceAccountToken") {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = map_mut(source, "downwardAPI") {
                downward_items(downward);
            }
        }
    }
}

fn downward_items(source: &mut Object) {
    for item in maps_mut(source, "items") {
        if let Some(field) = map_mut(item, "fieldRef") {
            default(field, "apiVersion", "v1");
        }
    }
}

/// Whether a volume of that name is declared.
pub(super) fn has_volume(spec: &Object, name: &str) -> bool {
    maps(spec, "volumes").any(|v| text(v, "name") == name)
}
