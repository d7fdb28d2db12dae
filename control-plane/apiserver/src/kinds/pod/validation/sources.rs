//! What volumes are made of, as one table.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;
use serde_json::Value;

use super::{paths, projected};
use crate::kinds::values::{At, Must, Rules, label_selector, list, map, text, texts};
use crate::registry::Object;
use crate::validate;

/// A source of volumes.
pub(super) struct Source {
    pub(super) field: &'static str,
    /// The place that its problems are reported at: nearly always the field.
    pub(super) place: &'static str,
    /// The place that a second source is refused at: nearly always the field.
    pub(super) refused: &'static str,
    pub(super) rules: Rules,
    pub(super) more: Option<Check>,
}

/// What of a source is no matter of single members.
type Check = fn(&Object, &At<'_>, &mut Vec<FieldError>);

const PAGE: &str = "https://kubernetes.io/docs/concepts/storage/volumes/";
const REFERENCE: &str = "https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/";
/// How files may be read and written.
pub(super) const MODE: Must = Must::BeWithin(0, 0o777, "must be a number between 0 and 0777 (octal), both inclusive");
/// Zero is the whole disk, and allowed, whatever the text says.
const PARTITION: Must = Must::BeWithin(0, 255, "must be between 1 and 255, inclusive");
const PULL: Must = Must::BeOneOf(&["Always", "IfNotPresent", "Never"]);
const SET: Must = Must::BeSet("");

const fn source(field: &'static str, rows: &'static [(&'static str, Must)], more: Option<Check>) -> Source {
    Source { field, place: field, refused: field, rules: Rules { page: PAGE, rows }, more }
}

/// A source that lives on for old manifests, or with a driver of its own.
const fn other(field: &'static str, rows: &'static [(&'static str, Must)], more: Option<Check>) -> Source {
    Source { rules: Rules { page: REFERENCE, rows }, ..source(field, &[], more) }
}

const HOST_PATHS: &[&str] = &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// The sources, in the order in which they are looked for: the first one counts.
pub(super) const SOURCES: &[Source] = &[
    source("emptyDir", &[], Some(empty_dir)),
    source("hostPath", &[("path", Must::BeSetAndPass(paths::no_back_steps))], Some(host_path)),
    other("gitRepo", &[("repository", SET), ("directory", Must::Pass(paths::descending))], None),
    Source { place: "persistentDisk", ..other("gcePersistentDisk", &[("pdName", SET), ("partition", PARTITION)], None) },
    other("awsElasticBlockStore", &[("volumeID", SET), ("partition", PARTITION)], None),
    source("secret", &[("secretName", SET), ("defaultMode", MODE), ("defaultUser", Must::BE_AN_ID)], Some(projected::items)),
    source("nfs", &[("server", SET), ("path", SET)], Some(nfs)),
    source(
        "iscsi",
        &[("targetPortal", SET), ("iqn", SET), ("lun", Must::BeWithin(0, 255, "must be between 0 and 255, inclusive"))],
        Some(iscsi),
    ),
    other("glusterfs", &[("endpoints", SET), ("path", SET)], None),
    other("flocker", &[], Some(flocker)),
    source("persistentVolumeClaim", &[("claimName", SET)], None),
    other("rbd", &[("monitors", SET), ("image", SET)], None),
    other("cinder", &[("volumeID", SET)], Some(secret_reference)),
    Source { refused: "cephFS", ..other("cephfs", &[("monitors", SET)], None) },
    other("quobyte", &[("registry", Must::BeSet("must be a host:port pair or multiple pairs separated by commas")), ("volume", SET)], None),
    Source {
        refused: "downwarAPI",
        ..source("downwardAPI", &[("defaultMode", MODE), ("defaultUser", Must::BE_AN_ID)], Some(projected::downward_files))
    },
    source("fc", &[], Some(fibre_channel)),
    other("flexVolume", &[("driver", SET)], None),
    source("configMap", &[("name", SET), ("defaultMode", MODE), ("defaultUser", Must::BE_AN_ID)], Some(projected::items)),
    other("azureFile", &[("secretName", SET), ("shareName", SET)], None),
    other("vsphereVolume", &[("volumePath", SET)], None),
    other("photonPersistentDisk", &[("pdID", SET)], None),
    other("portworxVolume", &[("volumeID", SET)], None),
    other(
        "azureDisk",
        &[
            ("diskName", SET),
            ("diskURI", SET),
            ("cachingMode", Must::BeOneOf(&["None", "ReadOnly", "ReadWrite"])),
            ("kind", Must::BeOneOf(&["Dedicated", "Managed", "Shared"])),
        ],
        None,
    ),
    other(
        "storageos",
        &[("volumeName", Must::BeSetAndPass(names::dns1123_label)), ("volumeNamespace", Must::Pass(names::dns1123_label))],
        Some(secret_reference),
    ),
    source("projected", &[("defaultMode", MODE), ("defaultUser", Must::BE_AN_ID)], Some(projected::sources)),
    other("scaleIO", &[("gateway", SET), ("system", SET), ("volumeName", SET)], None),
    source("csi", &[("driver", Must::BeSetAndPass(driver))], Some(csi)),
    source("ephemeral", &[], Some(ephemeral)),
    source("image", &[("reference", SET), ("pullPolicy", PULL)], None),
];

fn empty_dir(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let limit = source.get("sizeLimit").and_then(Value::as_str).and_then(|q| Quantity::parse(q).ok());
    if limit.is_some_and(|limit| limit.sign() < 0) {
        problems.push(FieldError::forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"));
    }
}

fn host_path(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    // Without a path nothing more is said.
    if !text(source, "path").is_empty() {
        Must::BeOneOf(HOST_PATHS).check(source, "type", &path.child("type"), problems);
    }
}

fn nfs(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    crate::kinds::values::invalid(text(source, "path"), paths::absolute, &path.child("path"), problems);
}

fn iscsi(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let is = |field: &str| crate::kinds::values::is_true(source, field);
    if (is("chapAuthDiscovery") || is("chapAuthSession")) && map(source, "secretRef").is_none() {
        problems.push(FieldError::required(path.child("secretRef"), ""));
    }
}

fn flocker(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    match (text(source, "datasetName"), text(source, "datasetUUID")) {
        ("", "") => problems.push(FieldError::required(path, "one of datasetName and datasetUUID is required")),
        (name, uuid) if !name.is_empty() && !uuid.is_empty() => {
            problems.push(FieldError::invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"));
        }
        (name, _) if name.contains('/') => problems.push(FieldError::invalid(path.child("datasetName"), name, "must not contain '/'")),
        _ => {}
    }
}

fn fibre_channel(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (targets, ids) = (list(source, "targetWWNs"), list(source, "wwids"));
    if targets.is_empty() && ids.is_empty() {
        problems.push(FieldError::required(path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"));
    }
    if !targets.is_empty() {
        if !ids.is_empty() {
            let why = "targetWWNs and wwids can not be specified simultaneously";
            problems.push(FieldError::invalid(path.child("targetWWNs"), Value::from(targets), why));
        }
        if source.get("lun").is_none_or(Value::is_null) {
            problems.push(FieldError::required(path.child("lun"), "lun is required if targetWWNs is specified"));
        }
        Must::BeWithin(0, 255, "must be between 0 and 255, inclusive").check(source, "lun", &path.child("lun"), problems);
    }
}

fn secret_reference(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if map(source, "secretRef").is_some_and(|secret| text(secret, "name").is_empty()) {
        problems.push(FieldError::required(path.child("secretRef.name"), ""));
    }
}

/// Names of drivers are names in DNS, of any case.
fn driver(name: &str) -> Vec<String> {
    names::dns1123_subdomain(&name.to_lowercase())
}

fn csi(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if text(source, "driver").len() > names::LABEL_MAX {
        problems.push(FieldError::too_long(path.child("driver"), names::LABEL_MAX));
    }
    if let Some(secret) = map(source, "nodePublishSecretRef") {
        match text(secret, "name") {
            "" => problems.push(FieldError::required(path.child("nodePublishSecretRef.name"), "")),
            name => crate::kinds::values::invalid(name, names::dns1123_subdomain, &path.child("name"), problems),
        }
    }
}

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const CLAIMS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#persistentvolumeclaims",
    rows: &[("storageClassName", Must::Pass(names::dns1123_subdomain)), ("volumeMode", Must::BeOneOf(&["Block", "Filesystem"]))],
};

/// A claim that is made for the volume: its template may have labels and annotations, and says how much of what.
fn ephemeral(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = map(source, "volumeClaimTemplate") else {
        problems.push(FieldError::required(path, ""));
        return;
    };
    let empty = Object::new();
    let (metadata, spec) = (map(template, "metadata").unwrap_or(&empty), map(template, "spec").unwrap_or(&empty));
    let at = path.child("metadata");
    validate::annotations(metadata.get("annotations"), &at.child("annotations"), problems);
    validate::labels(metadata.get("labels"), &at.child("labels"), problems);
    for (field, _) in metadata.iter().filter(|(field, v)| !matches!(field.as_str(), "labels" | "annotations") && !v.is_null()) {
        problems.push(FieldError::forbidden(at.child(field), "cannot be set"));
    }
    let path = path.child("spec");
    if list(spec, "accessModes").is_empty() {
        problems.push(FieldError::required(path.child("accessModes"), "at least 1 access mode is required"));
    }
    label_selector(map(spec, "selector"), &path.child("selector"), problems);
    for mode in texts(spec, "accessModes").filter(|mode| !ACCESS_MODES.contains(mode)) {
        problems.push(FieldError::not_supported(path.child("accessModes"), mode, ACCESS_MODES));
    }
    if list(spec, "accessModes").len() > 1 && texts(spec, "accessModes").any(|mode| mode == "ReadWriteOncePod") {
        problems.push(FieldError::forbidden(path.child("accessModes"), "may not use ReadWriteOncePod with other access modes"));
    }
    let storage = map(spec, "resources").and_then(|r| map(r, "requests")).map_or("", |r| text(r, "storage"));
    let place = path.child("resources");
    match Quantity::parse(storage) {
        Err(_) => problems.push(FieldError::required(place.key("storage"), "")),
        Ok(amount) if amount.sign() <= 0 => {
            problems.push(FieldError::invalid(place.key("storage"), storage, "must be greater than zero"));
        }
        Ok(_) => {}
    }
    CLAIMS.check(spec, &path, problems);
}
