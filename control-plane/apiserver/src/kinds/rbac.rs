//! Roles and bindings. Their rules stand with the authoriser.

use super::row;
use crate::auth::rbac::{GROUP, RbacStrategy};
use crate::registry::Kind;

pub(super) fn rows() -> Vec<Kind> {
    let rbac = |kind: &str, plural: &str, namespaced: bool| Kind { namespaced, ..row(GROUP, "v1", kind, plural, RbacStrategy) };
    vec![
        rbac("ClusterRoleBinding", "clusterrolebindings", false),
        rbac("ClusterRole", "clusterroles", false),
        rbac("RoleBinding", "rolebindings", true),
        rbac("Role", "roles", true),
    ]
}
