//! Leases.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;

use super::typed;
use super::values::{At, Must, Rules, invalid, map, text as member};
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

const LEASES: Rules = Rules {
    page: "https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/",
    rows: &[("leaseDurationSeconds", Must::BePositive), ("leaseTransitions", Must::NotBeNegative)],
};

/// Ways to choose a holder that Kubernetes itself knows: <https://kubernetes.io/docs/concepts/cluster-administration/coordinated-leader-election/>
const STRATEGIES: &[&str] = &["OldestEmulationVersion"];

struct Leases;

impl Strategy for Leases {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let Some(spec) = map(object, "spec") else { return };
        let path = At::Path("spec");
        LEASES.check(spec, &path, problems);
        let strategy = member(spec, "strategy");
        if !strategy.is_empty() {
            // Kubernetes names it twice.
            let path = path.child("strategy.strategy");
            if strategy.contains('/') {
                invalid(strategy, names::qualified_name, &path, problems);
            } else if !STRATEGIES.contains(&strategy) {
                problems.push(FieldError::not_supported(path, strategy, STRATEGIES));
            }
        } else if !member(spec, "preferredHolder").is_empty() {
            problems.push(FieldError::forbidden(path.child("preferredHolder"), "may only be specified if `strategy` is defined"));
        }
    }
}
