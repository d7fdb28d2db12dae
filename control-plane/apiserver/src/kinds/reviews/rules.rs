//! What may I do in a namespace?

use k8s_openapi::api::authorization::v1::{NonResourceRule, ResourceRule, SelfSubjectRulesReviewSpec, SubjectRulesReviewStatus};
use serde_json::Value;

use super::{review, spec, to_value};
use crate::ApiError;
use crate::registry::{CREATE, Cx, Kind, Object, Right, Role};

pub(crate) fn row() -> Kind {
    Kind {
        rights: const { &[Right::new(Role::BasicUser, CREATE, &[""])] },
        ..review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", rules)
    }
}

fn rules(cx: &Cx<'_>, object: &mut Object) -> Result<Value, ApiError> {
    let spec: SelfSubjectRulesReviewSpec = spec(object)?;
    let namespace = spec.namespace.unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let mut status = SubjectRulesReviewStatus::default();
    for rule in cx.server.auth().rbac().rules(cx.user, &namespace) {
        if rule.non_resource_urls.is_some() {
            status.non_resource_rules.push(NonResourceRule { verbs: rule.verbs, non_resource_urls: rule.non_resource_urls });
        } else {
            status.resource_rules.push(ResourceRule {
                verbs: rule.verbs,
                api_groups: rule.api_groups,
                resources: rule.resources,
                resource_names: rule.resource_names,
            });
        }
    }
    to_value(&status)
}
