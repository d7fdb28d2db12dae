//! Who is the holder of a token, and who am I?

use k8s_openapi::api::authentication::v1::{SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo};
use serde_json::{Value, json};

use super::{review, to_value};
use crate::auth::token::ISSUER;
use crate::auth::{user_of, verify};
use crate::object::{set_meta, time};
use crate::registry::{CREATE, Cx, Kind, Object, Right, Role};
use crate::{ApiError, User};

const GROUP: &str = "authentication.k8s.io";

/// Whose token is it?
pub(crate) fn token_row() -> Kind {
    Kind {
        rights: const { &[Right::new(Role::AuthDelegator, CREATE, &[""]), Right::node(CREATE, &[""])] },
        ..review(GROUP, "TokenReview", "tokenreviews", token)
    }
}

/// Who am I?
pub(crate) fn self_row() -> Kind {
    Kind {
        rights: const { &[Right::new(Role::BasicUser, CREATE, &[""])] },
        ..review(GROUP, "SelfSubjectReview", "selfsubjectreviews", own)
    }
}

fn own(cx: &Cx<'_>, object: &mut Object) -> Result<Value, ApiError> {
    set_meta(object, "creationTimestamp", Some(time(cx.now).into()));
    to_value(&SelfSubjectReviewStatus { user_info: Some(user_info(cx.user)) })
}

fn token(cx: &Cx<'_>, object: &mut Object) -> Result<Value, ApiError> {
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
