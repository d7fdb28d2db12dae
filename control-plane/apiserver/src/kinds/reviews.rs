//! Reviews: kinds that answer questions and are kept nowhere. The answers are in [`crate::auth::reviews`].

use super::row;
use crate::registry::{Kind, Plain, Schema, Verb};

pub(super) fn rows() -> Vec<Kind> {
    let review = |group: &str, kind: &str, plural: &str, namespaced: bool| Kind {
        namespaced,
        verbs: Verb::CREATE.to_vec(),
        is_virtual: true,
        schema: Schema::Builtin,
        ..row(group, "v1", kind, plural, Plain)
    };
    let authorization = "authorization.k8s.io";
    let authentication = "authentication.k8s.io";
    vec![
        review(authentication, "TokenReview", "tokenreviews", false),
        review(authentication, "SelfSubjectReview", "selfsubjectreviews", false),
        review(authorization, "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
        review(authorization, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
        review(authorization, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
        review(authorization, "SubjectAccessReview", "subjectaccessreviews", false),
    ]
}
