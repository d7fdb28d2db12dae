//! Writes the rules of aggregated ClusterRoles into them, so that who reads such a role sees what it grants.
//!
//! The authoriser does not need this: its index aggregates by itself. Called after every change of a ClusterRole; what is
//! written calls it again, and it ends when everything stands as it should. Calls that overtake each other correct each
//! other in the same way.

use http::Method;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::json;

use super::GROUP;
use crate::ApiServer;

/// Makes stored rules equal to effective ones.
pub(super) fn settle(server: &ApiServer) {
    for (name, rules) in server.auth().rbac().aggregates() {
        let Some(role) = crate::auth::object(server, &format!("clusterroles.{GROUP}"), "", &name) else { continue };
        let stored: Option<Vec<PolicyRule>> = serde_json::from_value(role["rules"].clone()).ok();
        if stored.as_ref() != Some(&rules) {
            let path = format!("/apis/{GROUP}/v1/clusterroles/{name}");
            crate::bootstrap::ask(server, Method::PATCH, &path, "application/merge-patch+json", &json!({"rules": rules}));
        }
    }
}
