//! Reviews: objects that are never kept, whose creation answers a question about users and their rights.

use k8s_openapi::api::authentication::v1::{SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, NonResourceRule, ResourceAttributes, ResourceRule, SelfSubjectAccessReviewSpec, SelfSubjectRulesReviewSpec,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus, SubjectRulesReviewStatus,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::authenticate::{user_of, verify};
use super::rbac::Action;
use super::token::ISSUER;
use crate::registry::{Cx, Object};
use crate::status::Cause;
use crate::{ApiError, User};

/// Answers a review: the object with its `status`.
///
/// # Errors
/// 400 and 422 for a review that asks nothing or two things; 404 for a kind that is no review.
pub fn create(cx: &Cx<'_>, mut object: Object) -> Result<Object, ApiError> {
    let status = match cx.kind.kind.as_str() {
        "SubjectAccessReview" => access(cx, &object, None)?,
        "LocalSubjectAccessReview" => access(cx, &object, Some(cx.namespace))?,
        "SelfSubjectAccessReview" => own_access(cx, &object)?,
        "SelfSubjectRulesReview" => own_rules(cx, &object)?,
        "SelfSubjectReview" => to_value(&SelfSubjectReviewStatus { user_info: Some(user_info(cx.user)) })?,
        "TokenReview" => token(cx, &object)?,
        _ => return Err(ApiError::no_such_resource()),
    };
    object.insert("status".to_owned(), status);
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.entry("creationTimestamp").or_insert(Value::Null);
        if cx.kind.kind == "SelfSubjectReview" {
            metadata.insert("creationTimestamp".to_owned(), json!(cx.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        }
    }
    Ok(object)
}

/// The `spec` as its type; an absent one is empty.
fn spec<T: DeserializeOwned>(object: &Object) -> Result<T, ApiError> {
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(spec).map_err(|error| ApiError::bad_request(format!("the spec of the review cannot be read: {error}")))
}

fn to_value(status: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(status).map_err(ApiError::internal)
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

fn own_rules(cx: &Cx<'_>, object: &Object) -> Result<Value, ApiError> {
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

fn token(cx: &Cx<'_>, object: &Object) -> Result<Value, ApiError> {
    let review: TokenReview = serde_json::from_value(Value::Object(object.clone()))
        .map_err(|error| ApiError::bad_request(format!("the TokenReview cannot be read: {error}")))?;
    let token = review.spec.token;
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = review.spec.audiences.filter(|a| !a.is_empty()).unwrap_or_else(|| vec![ISSUER.to_owned()]);
    let status = match verify(cx.server, &token, &audiences) {
        Ok(claims) => TokenReviewStatus {
            authenticated: Some(true),
            audiences: claims.audiences(&audiences).ok(),
            user: Some(user_info(&user_of(&claims))),
            error: None,
        },
        Err(error) => TokenReviewStatus { error: Some(format!("[{error}]")), ..TokenReviewStatus::default() },
    };
    let mut status = to_value(&status)?;
    // Kubernetes prints an empty user; clients look into it without asking.
    if let Some(status) = status.as_object_mut() {
        status.entry("user").or_insert_with(|| json!({}));
    }
    Ok(status)
}

fn user_info(user: &User) -> UserInfo {
    UserInfo {
        username: Some(user.name.clone()),
        uid: (!user.uid.is_empty()).then(|| user.uid.clone()),
        groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
        extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
    }
}
