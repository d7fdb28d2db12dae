//! Volumes: their names, and that each has one source.

use std::collections::BTreeMap;

use dormouse_machinery::field::FieldError;
use dormouse_machinery::{go, names};

use super::Pod;
use super::sources::SOURCES;
use crate::kinds::values::{At, Must, map, maps, text};
use crate::registry::Object;

/// Checks the volumes; answers those that nothing is wrong with, which are the ones that may be mounted.
pub(super) fn check<'a>(pod: &Pod<'a>, path: &At<'_>, problems: &mut Vec<FieldError>) -> BTreeMap<&'a str, &'a Object> {
    let claimed = |claim: &str| {
        let mut made = maps(pod.spec, "volumes").filter(|v| map(v, "ephemeral").is_some());
        !pod.name.is_empty() && made.any(|v| claim_name(pod, text(v, "name")) == claim)
    };
    let mut sound = BTreeMap::new();
    for (i, volume) in maps(pod.spec, "volumes").enumerate() {
        let (name, path) = (text(volume, "name"), path.index(i));
        let before = problems.len();
        source(pod, volume, &path, problems);
        Must::BeSetAndPass(names::dns1123_label).check(volume, "name", &path.child("name"), problems);
        if sound.contains_key(name) {
            problems.push(FieldError::duplicate(path.child("name"), name));
        }
        if problems.len() == before {
            sound.insert(name, volume);
        }
        if let Some(claim) = map(volume, "persistentVolumeClaim").map(|c| text(c, "claimName")).filter(|c| claimed(c)) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            problems.push(FieldError::invalid(path.child("persistentVolumeClaim.claimName"), claim, why));
        }
    }
    sound
}

/// The claim that is made for a volume.
fn claim_name(pod: &Pod<'_>, volume: &str) -> String {
    format!("{}-{volume}", pod.name)
}

/// One source, and what is wrong with it.
fn source(pod: &Pod<'_>, volume: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut given = SOURCES.iter().filter_map(|source| Some((source, map(volume, source.field)?)));
    let Some((first, object)) = given.next() else {
        problems.push(FieldError::required(path, "must specify a volume type"));
        return;
    };
    let place = path.child(first.place);
    first.rules.check(object, &place, problems);
    if let Some(more) = first.more {
        more(object, &place, problems);
    }
    if first.field == "ephemeral" && !pod.name.is_empty() && !text(volume, "name").is_empty() {
        let name = claim_name(pod, text(volume, "name"));
        for problem in names::dns1123_subdomain(&name) {
            let why = format!("PVC name {}: {problem}", go::quote(&name));
            problems.push(FieldError::invalid(path.child("name"), text(volume, "name"), why));
        }
    }
    for (extra, _) in given {
        problems.push(FieldError::forbidden(path.child(extra.refused), "may not specify more than 1 volume type"));
    }
}
