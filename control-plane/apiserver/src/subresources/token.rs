//! `token` of ServiceAccounts: makes a token that is bound to the account and, when asked, to a Pod, Secret or Node.

use futures::FutureExt;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use std::future::ready;

use crate::auth::token::{Bound, BoundObject, Claims, ISSUER};
use crate::handler::{Call, codec};
use crate::registry::{Answer, Handler, Subresource, Verb};
use crate::status::Cause;
use crate::{ApiError, ApiServer, auth};

/// Kubernetes' limits and default, in seconds.
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
const DEFAULT: i64 = 60 * 60;

impl Subresource {
    /// The `token` subresource.
    pub(crate) fn token() -> Self {
        Self::foreign("token", "authentication.k8s.io", "v1", "TokenRequest", Verb::CREATE, Token)
    }
}

struct Token;

impl Handler for Token {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        let answer = codec::foreign(call, "authentication.k8s.io/v1", "TokenRequest")
            .and_then(|body| request(&call.server, &call.namespace, &call.info.name, Value::Object(body)));
        ready(answer.map(|token| call.answer(StatusCode::CREATED, &token))).boxed()
    }
}

/// Answers a TokenRequest for an account: 404 for an account that is not there, 400, 409 or 422 for a request that asks for
/// what cannot be.
fn request(server: &ApiServer, namespace: &str, account: &str, body: Value) -> Result<Value, ApiError> {
    let mut request: TokenRequest =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(format!("the TokenRequest cannot be read: {error}")))?;
    let not_found = || ApiError::not_found("", "serviceaccounts", account);
    let uid = auth::uid_of(server, "serviceaccounts", namespace, account).ok_or_else(not_found)?;
    for (what, given, own) in [("name", &request.metadata.name, account), ("namespace", &request.metadata.namespace, namespace)] {
        if given.as_deref().is_some_and(|given| !given.is_empty() && given != own) {
            return Err(ApiError::bad_request(format!("the {what} of the provided object does not match the {what} sent on the request")));
        }
    }

    let mut spec = request.spec.take().unwrap_or_default();
    let seconds = spec.expiration_seconds.unwrap_or(DEFAULT);
    check_duration(seconds)?;
    let audiences = spec.audiences.take().filter(|a| !a.is_empty()).unwrap_or_else(|| vec![ISSUER.to_owned()]);
    spec.audiences = Some(audiences.clone());
    spec.expiration_seconds = Some(seconds);

    let mut kubernetes =
        Bound { namespace: namespace.to_owned(), serviceaccount: BoundObject { name: account.to_owned(), uid }, ..Bound::default() };
    if let Some(reference) = &spec.bound_object_ref {
        bind(server, reference, account, &mut kubernetes)?;
    }

    let now = server.now().as_second();
    let claims = Claims {
        aud: audiences,
        exp: now + seconds,
        iat: now,
        iss: ISSUER.to_owned(),
        jti: uuid::Uuid::new_v4().to_string(),
        sub: format!("system:serviceaccount:{namespace}:{account}"),
        nbf: now,
        kubernetes,
    };
    let key = server.auth().token_key().ok_or_else(|| ApiError::internal("the server has no key for tokens"))?;
    let token = key.sign(&claims).map_err(ApiError::internal)?;
    let expires = Timestamp::from_second(claims.exp).map_err(ApiError::internal)?;
    request.status = Some(TokenRequestStatus { expiration_timestamp: Some(Time(expires)), token: Some(token) });
    request.spec = Some(spec);
    request.metadata.name = Some(account.to_owned());
    request.metadata.namespace = Some(namespace.to_owned());
    let created = Timestamp::from_second(now).map_err(ApiError::internal)?;
    request.metadata.creation_timestamp = Some(Time(created));
    serde_json::to_value(request).map_err(ApiError::internal)
}

fn check_duration(seconds: i64) -> Result<(), ApiError> {
    let problem = if seconds < SHORTEST {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {seconds}: {problem}"),
        field: "spec.expirationSeconds".to_owned(),
    };
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", vec![cause]))
}

/// Writes the bound object into the claims, after making sure that it is there and the one that is meant.
fn bind(server: &ApiServer, reference: &BoundObjectReference, account: &str, bound: &mut Bound) -> Result<(), ApiError> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (kind, version, name) = (text(&reference.kind), text(&reference.api_version), text(&reference.name));
    let namespace = bound.namespace.clone();
    let find = |plural: &str, namespace: &str| {
        let object = auth::object(server, plural, namespace, &name).ok_or_else(|| ApiError::not_found("", plural, &name))?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        match reference.uid.as_deref() {
            Some(asked) if !asked.is_empty() && asked != uid => Err(ApiError::conflict(
                "",
                plural,
                &name,
                format_args!(
                    "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been deleted and then recreated"
                ),
            )),
            _ => Ok((object, BoundObject { name: name.clone(), uid })),
        }
    };
    match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => {
            let (pod, found) = find("pods", &namespace)?;
            if pod["spec"]["serviceAccountName"].as_str().unwrap_or("default") != account {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            bound.pod = Some(found);
            if let Some(node) = pod["spec"]["nodeName"].as_str() {
                let uid = auth::uid_of(server, "nodes", "", node).unwrap_or_default();
                bound.node = Some(BoundObject { name: node.to_owned(), uid });
            }
        }
        ("v1", "Secret") => bound.secret = Some(find("secrets", &namespace)?.1),
        ("v1", "Node") => bound.node = Some(find("nodes", "")?.1),
        _ => {
            let version = if version.is_empty() { String::new() } else { format!("{version}, Kind=") };
            return Err(ApiError::bad_request(format!("cannot bind token to object of type {version}{kind}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_bounded() {
        assert!(check_duration(600).is_ok());
        assert!(check_duration(1 << 32).is_ok());
        let error = check_duration(599).unwrap_err();
        assert_eq!(
            error.message,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"
        );
        assert!(check_duration((1 << 32) + 1).is_err());
    }
}
