//! Files in volumes: from ConfigMaps, Secrets, the Pod itself, and several of them in one volume.

use std::collections::BTreeSet;

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::sources::MODE;
use super::{env, paths};
use crate::kinds::values::{At, Must, Rules, label_selector, map, maps, text};
use crate::registry::Object;

const ITEMS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/volumes/#configmap",
    rows: &[("key", Must::BeSet("")), ("path", Must::BeSetAndPass(paths::not_reserved)), ("mode", MODE), ("user", Must::BE_AN_ID)],
};

const TOKENS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken",
    rows: &[
        ("expirationSeconds", Must::BeWithin(600, i64::MAX, "may not specify a duration less than 10 minutes")),
        ("expirationSeconds", Must::BeWithin(i64::MIN, 1 << 32, "may not specify a duration larger than 2^32 seconds")),
    ],
};

const BUNDLES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/projected-volumes/#clustertrustbundle",
    rows: &[("path", Must::BeSetAndPass(paths::not_reserved)), ("user", Must::BE_AN_ID)],
};

const CERTIFICATES: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/storage/projected-volumes/#podcertificate",
    rows: &[
        ("user", Must::BE_AN_ID),
        ("keyType", Must::BeOneOf(&["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"])),
        ("maxExpirationSeconds", Must::BeWithin(3600, i64::MAX, "if provided, maxExpirationSeconds must be >= 3600")),
        ("credentialBundlePath", Must::Pass(paths::not_reserved)),
        ("keyPath", Must::Pass(paths::not_reserved)),
        ("certificateChainPath", Must::Pass(paths::not_reserved)),
    ],
};

/// Keys that become files.
pub(super) fn items(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, item) in maps(source, "items").enumerate() {
        ITEMS.check(item, &path.element("items", i), problems);
    }
}

/// Fields of the Pod that become files. Kubernetes names the place of a file without its index.
pub(super) fn downward_files(source: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for file in maps(source, "items") {
        Must::BeSetAndPass(paths::not_reserved).check(file, "path", &path.child("path"), problems);
        match (map(file, "fieldRef"), map(file, "resourceFieldRef")) {
            (Some(field), resource) => {
                env::field(field, env::VOLUME_FIELDS, &path.child("fieldRef"), problems);
                if resource.is_some() {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    problems.push(FieldError::invalid(path, "resource", why));
                }
            }
            (None, Some(resource)) => env::resource(resource, true, &path.child("resourceFieldRef"), problems),
            (None, None) => problems.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required")),
        }
        MODE.check(file, "mode", &path.child("mode"), problems);
        Must::BE_AN_ID.check(file, "user", &path.child("user"), problems);
    }
}

/// Several sources in one volume, whose files must not collide.
pub(super) fn sources(volume: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut files = BTreeSet::new();
    for (i, source) in maps(volume, "sources").enumerate() {
        let place = path.element("sources", i);
        for kind in ["secret", "configMap"] {
            let Some(object) = map(source, kind) else { continue };
            let place = place.child(kind);
            Must::BeSet("").check(object, "name", &place.child("name"), problems);
            items(object, &place, problems);
            for file in maps(object, "items").map(|item| text(item, "path")) {
                collision(&mut files, file, text(object, "name"), path, problems);
            }
        }
        if let Some(object) = map(source, "downwardAPI") {
            downward_files(object, &place.child("downwardAPI"), problems);
            for file in maps(object, "items").map(|item| text(item, "path")) {
                collision(&mut files, file, file, path, problems);
            }
        }
        if let Some(token) = map(source, "serviceAccountToken") {
            let place = place.child("serviceAccountToken");
            TOKENS.check(token, &place, problems);
            // The path's place is the volume's.
            Must::BeSetAndPass(paths::not_reserved).check(token, "path", &path.child("path"), problems);
            Must::BE_AN_ID.check(token, "user", &place.child("user"), problems);
        }
        if let Some(bundle) = map(source, "clusterTrustBundle") {
            trust_bundle(bundle, &place.child("clusterTrustBundle"), problems);
            collision(&mut files, text(bundle, "path"), text(bundle, "path"), path, problems);
        }
        if let Some(certificate) = map(source, "podCertificate") {
            let place = place.child("podCertificate");
            CERTIFICATES.check(certificate, &place, problems);
            let given = ["credentialBundlePath", "keyPath", "certificateChainPath"].map(|field| text(certificate, field));
            if given.iter().all(|file| file.is_empty()) {
                let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
                problems.push(FieldError::required(place, why));
            }
            for file in given {
                collision(&mut files, file, file, path, problems);
            }
        }
        if source.values().filter(|v| !v.is_null()).count() > 1 {
            problems.push(FieldError::forbidden(place, "may not specify more than 1 volume type per source"));
        }
    }
}

fn collision<'a>(files: &mut BTreeSet<&'a str>, file: &'a str, shown: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if !file.is_empty() && !files.insert(file) {
        problems.push(FieldError::invalid(path, shown, "conflicting duplicate paths"));
    }
}

fn trust_bundle(bundle: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let given = |field: &str| bundle.get(field).filter(|v| !v.is_null());
    match (given("name"), given("signerName")) {
        (Some(_), Some(_)) => {
            let value = Value::Object(bundle.clone());
            problems.push(FieldError::invalid(path, value, "only one of name and signerName may be used"));
        }
        (None, None) => problems.push(FieldError::required(path, "either name or signerName must be specified")),
        (Some(_), None) => {
            Must::BeSet("must be a valid object name").check(bundle, "name", &path.child("name"), problems);
            if let Some(selector) = given("labelSelector") {
                let why = "labelSelector must be unset if name is specified";
                problems.push(FieldError::invalid(path.child("labelSelector"), selector.clone(), why));
            }
        }
        (None, Some(_)) => {
            Must::BeSet("must be a valid signer name").check(bundle, "signerName", &path.child("signerName"), problems);
            label_selector(map(bundle, "labelSelector"), &path.child("labelSelector"), problems);
        }
    }
    BUNDLES.check(bundle, path, problems);
}
