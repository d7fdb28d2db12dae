//! Pods that keep apart: <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>

use dormouse_machinery::field::FieldError;

use super::affinity;
use crate::kinds::values::{At, Must, Rules, int, label_selector, map, maps, text};
use crate::registry::Object;

const POLICIES: Must = Must::BeOneOf(&["Honor", "Ignore"]);
const COUNT: Must = Must::BeWithin(1, i64::MAX, "must be greater than zero");

const CONSTRAINTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#spread-constraint-definition",
    rows: &[
        ("maxSkew", COUNT),
        ("topologyKey", Must::BeSet("can not be empty")),
        ("whenUnsatisfiable", Must::BeOneOf(&["DoNotSchedule", "ScheduleAnyway"])),
        ("minDomains", COUNT),
        ("nodeAffinityPolicy", POLICIES),
        ("nodeTaintsPolicy", POLICIES),
    ],
};

/// All constraints.
pub(super) fn check(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let all = || maps(spec, "topologySpreadConstraints");
    let kind = |c: &Object| (text(c, "topologyKey").to_owned(), text(c, "whenUnsatisfiable").to_owned());
    for (i, constraint) in all().enumerate() {
        let path = path.element("topologySpreadConstraints", i);
        CONSTRAINTS.check(constraint, &path, problems);
        let (key, otherwise) = kind(constraint);
        if all().skip(i + 1).any(|later| kind(later) == kind(constraint)) {
            let place = path.child("{topologyKey, whenUnsatisfiable}");
            problems.push(FieldError::duplicate(place, format!("{{{key}, {otherwise}}}")));
        }
        if let Some(least) = int(constraint, "minDomains").filter(|_| otherwise != "DoNotSchedule") {
            let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}");
            problems.push(FieldError::invalid(path.child("minDomains"), least, why));
        }
        affinity::label_keys(constraint, &path, problems);
        label_selector(map(constraint, "labelSelector"), &path.child("labelSelector"), problems);
    }
}
