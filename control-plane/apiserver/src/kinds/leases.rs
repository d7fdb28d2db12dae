//! Leases.

use dormouse_machinery::field::FieldError;

use super::row;
use super::values::{At, map, not_negative, positive};
use crate::registry::{Cx, Kind, Object, Strategy};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind { create_on_update: true, unconditional_update: false, ..row("coordination.k8s.io", "v1", "Lease", "leases", Leases) }]
}

struct Leases;

impl Strategy for Leases {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        if let Some(spec) = map(object, "spec") {
            positive(spec, "leaseDurationSeconds", &At::Path("spec"), problems);
            not_negative(spec, "leaseTransitions", &At::Path("spec"), problems);
        }
    }
}
