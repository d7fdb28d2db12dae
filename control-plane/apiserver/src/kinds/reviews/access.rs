//! May somebody do something? Asked about anyone, about anyone in one namespace, and about oneself.

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use serde_json::Value;

use super::{review, spec, to_value};
use crate::auth::rbac::Action;
use crate::registry::{CREATE, Cx, Kind, Object, Right, Role};
use crate::status::Cause;
use crate::{ApiError, User};

const GROUP: &str = "authorization.k8s.io";

/// About anyone.
pub(crate) fn row() -> Kind {
    Kind {
        rights: const { &[Right::new(Role::AuthDelegator, CREATE, &[""]), Right::node(CREATE, &[""])] },
        ..review(GROUP, "SubjectAccessReview", "subjectaccessreviews", |cx, object| access(cx, object, None))
    }
}

/// About anyone in one namespace.
pub(crate) fn local_row() -> Kind {
    let kind = "LocalSubjectAccessReview";
    Kind {
        namespaced: true,
        rights: const { &[Right::new(Role::Admin, CREATE, &[""]), Right::node(CREATE, &[""])] },
        ..review(GROUP, kind, "localsubjectaccessreviews", |cx, object| access(cx, object, Some(cx.namespace)))
    }
}

/// About oneself.
pub(crate) fn self_row() -> Kind {
    Kind {
        rights: const { &[Right::new(Role::BasicUser, CREATE, &[""])] },
        ..review(GROUP, "SelfSubjectAccessReview", "selfsubjectaccessreviews", |cx, object| own_access(cx, object))
    }
}

fn access(cx: &Cx<'_>, object: &Object, namespace: Option<&str>) -> Result<Value, ApiError> {
    let spec: SubjectAccessReviewSpec = spec(object)?;
    let mut causes = check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref());
    let name = spec.user.unwrap_or_default();
    let groups = spec.groups.unwrap_or_default();
    if name.is_empty() && groups.is_empty() {
        causes.push(invalid("spec.user", "\"\"", "at least one of user or group must be specified"));
    }
    if let Some(namespace) = namespace {
        let asked = spec.resource_attributes.as_ref().and_then(|a| a.namespace.as_deref()).unwrap_or_default();
        if asked != namespace {
            causes.push(invalid(
                "spec.resourceAttributes.namespace",
                &format!("{asked:?}"),
                &format!("must match metadata.namespace: {namespace}"),
            ));
        }
        if spec.non_resource_attributes.is_some() {
            causes.push(invalid("spec.nonResourceAttributes", "{}", "disallowed on this kind of request"));
        }
    }
    refuse(cx, causes)?;
    let extra = spec.extra.unwrap_or_default().into_iter().collect();
    let user = User { name, groups, uid: spec.uid.unwrap_or_default(), extra };
    decide(cx, &user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref())
}

fn own_access(cx: &Cx<'_>, object: &Object) -> Result<Value, ApiError> {
    let spec: SelfSubjectAccessReviewSpec = spec(object)?;
    refuse(cx, check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()))?;
    decide(cx, cx.user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref())
}

fn check_attributes(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>) -> Vec<Cause> {
    match (resource, path) {
        (Some(_), Some(_)) => {
            vec![invalid("spec.nonResourceAttributes", "{}", "cannot be specified in combination with resourceAttributes")]
        }
        (None, None) => {
            vec![invalid("spec.resourceAttributes", "null", "exactly one of nonResourceAttributes or resourceAttributes must be specified")]
        }
        _ => Vec::new(),
    }
}

fn invalid(field: &str, value: &str, problem: &str) -> Cause {
    Cause { reason: "FieldValueInvalid".to_owned(), message: format!("Invalid value: {value}: {problem}"), field: field.to_owned() }
}

fn refuse(cx: &Cx<'_>, causes: Vec<Cause>) -> Result<(), ApiError> {
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(&cx.kind.group, &cx.kind.kind, "", causes)) }
}

fn decide(
    cx: &Cx<'_>,
    user: &User,
    resource: Option<&ResourceAttributes>,
    path: Option<&NonResourceAttributes>,
) -> Result<Value, ApiError> {
    fn text(field: &Option<String>) -> &str {
        field.as_deref().unwrap_or_default()
    }
    let action = match (resource, path) {
        (Some(a), _) => Action::Resource {
            verb: text(&a.verb),
            group: text(&a.group),
            resource: text(&a.resource),
            subresource: text(&a.subresource),
            namespace: text(&a.namespace),
            name: text(&a.name),
        },
        (None, Some(a)) => Action::Path { verb: text(&a.verb), path: text(&a.path) },
        (None, None) => return Err(ApiError::bad_request("the review asks nothing")),
    };
    let decision = cx.server.auth().rbac().decide(user, &action);
    to_value(&SubjectAccessReviewStatus {
        allowed: decision.allowed,
        reason: (!decision.reason.is_empty()).then_some(decision.reason),
        ..SubjectAccessReviewStatus::default()
    })
}
