//! Leases.

use dormouse_machinery::field::FieldError;

use super::typed;
use super::values::{At, map, not_negative, positive};
use crate::registry::{ALL, Column, Cx, Kind, Object, Right, Role, Strategy};
use crate::table::read::text;

pub(super) fn row() -> Kind {
    Kind {
        create_on_update: true,
        unconditional_update: false,
        columns: vec![
            Column::name(),
            Column::string("Holder", "Who holds the lease.", |o, _| text(o, &["spec", "holderIdentity"]).into()),
            Column::age(),
        ],
        rights: const { &[Right::new(Role::Edit, ALL, &[""]), Right::node(&["create", "delete", "get", "patch", "update"], &[""])] },
        ..typed("coordination.k8s.io", "v1", "Lease", "leases", Leases)
    }
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
