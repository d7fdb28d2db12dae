//! Where a container sees volumes.

use std::collections::BTreeSet;

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::{Pod, paths};
use crate::kinds::values::{At, Must, Rules, is_true, map, maps, text, texts};
use crate::registry::Object;

const OPTIONS: &[&str] = &["nodev", "noexec", "nosuid"];

/// Kubernetes reports these at the list, without the index.
const MOUNTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath",
    rows: &[
        ("subPath", Must::Pass(paths::descending)),
        ("subPathExpr", Must::Pass(paths::descending)),
        ("mountPropagation", Must::BeOneOf(&["Bidirectional", "HostToContainer", "None"])),
        ("recursiveReadOnly", Must::BeOneOf(&["Disabled", "Enabled", "IfPossible"])),
    ],
};

/// Volumes as folders.
pub(super) fn check(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let list = path.child("volumeMounts");
    let mut places = BTreeSet::new();
    for (i, mount) in maps(container, "volumeMounts").enumerate() {
        let path = list.index(i);
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        Must::BeSet("").check(mount, "name", &path.child("name"), problems);
        if !pod.volumes.contains_key(name) {
            problems.push(FieldError::not_found(path.child("name"), name));
        }
        Must::BeSet("").check(mount, "mountPath", &path.child("mountPath"), problems);
        if !places.insert(place) {
            problems.push(FieldError::invalid(path.child("mountPath"), place, "must be unique"));
        }
        if maps(container, "volumeDevices").any(|d| text(d, "name") == name) {
            problems.push(FieldError::invalid(path.child("name"), name, "must not already exist in volumeDevices"));
        }
        if maps(container, "volumeDevices").any(|d| text(d, "devicePath") == place) {
            problems.push(FieldError::invalid(path.child("mountPath"), place, "must not already exist as a path in volumeDevices"));
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            problems.push(FieldError::invalid(path.child("subPathExpr"), text(mount, "subPathExpr"), why));
        }
        MOUNTS.check(mount, &list, problems);
        propagation(container, mount, &list, problems);
        options(pod, mount, &path.child("bindMountOptions"), problems);
    }
}

/// Whether mounts of the container show on the host and the other way, and whether reading alone goes all the way down.
fn propagation(container: &Object, mount: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let way = text(mount, "mountPropagation");
    let privileged = map(container, "securityContext").is_some_and(|s| is_true(s, "privileged"));
    if way == "Bidirectional" && !privileged {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        problems.push(FieldError::forbidden(path.child("mountPropagation"), why));
    }
    if matches!(text(mount, "recursiveReadOnly"), "Enabled" | "IfPossible") {
        let path = path.child("recursiveReadOnly");
        if !is_true(mount, "readOnly") {
            problems.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
        }
        if !matches!(way, "" | "None") {
            problems.push(FieldError::forbidden(path, "may only be specified when mountPropagation is None or not specified"));
        }
    }
}

fn options(pod: &Pod<'_>, mount: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (i, option) in texts(mount, "bindMountOptions").enumerate() {
        if !OPTIONS.contains(&option) {
            problems.push(FieldError::not_supported(path.index(i), option, OPTIONS));
        }
        if !seen.insert(option) {
            problems.push(FieldError::duplicate(path.index(i), option));
        }
    }
    if !seen.is_empty() && pod.volumes.get(text(mount, "name")).is_some_and(|v| map(v, "image").is_some()) {
        let given = mount.get("bindMountOptions").cloned().unwrap_or(Value::Null);
        problems.push(FieldError::invalid(path, given, "bindMountOptions may not be used with image volumes"));
    }
}

/// Volumes as devices: <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#raw-block-volume-support>
pub(super) fn devices(pod: &Pod<'_>, container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in maps(container, "volumeDevices").enumerate() {
        let path = path.element("volumeDevices", i);
        let (name, place) = (text(device, "name"), text(device, "devicePath"));
        let (at_name, at_place) = (path.child("name"), path.child("devicePath"));
        Must::BeSet("").check(device, "name", &at_name, problems);
        if !name.is_empty() && !names.insert(name) {
            problems.push(FieldError::invalid(at_name, name, "must be unique"));
        }
        match pod.volumes.get(name) {
            None => problems.push(FieldError::not_found(at_name, name)),
            Some(volume) if map(volume, "persistentVolumeClaim").or(map(volume, "ephemeral")).is_none() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                problems.push(FieldError::invalid(at_name, name, why));
            }
            Some(_) => {}
        }
        Must::BeSet("").check(device, "devicePath", &at_place, problems);
        if places.contains(place) {
            problems.push(FieldError::invalid(at_place, place, "must be unique"));
        }
        if paths::no_back_steps(place).is_empty() {
            places.insert(place);
        } else {
            problems.push(FieldError::invalid(at_place, place, "can not contain backsteps ('..')"));
        }
        if maps(container, "volumeMounts").any(|m| text(m, "name") == name) {
            problems.push(FieldError::invalid(at_name, name, "must not already exist in volumeMounts"));
        }
        if maps(container, "volumeMounts").any(|m| text(m, "mountPath") == place) {
            problems.push(FieldError::invalid(at_place, place, "must not already exist as a path in volumeMounts"));
        }
    }
}
