//! Reviews: kinds that are kept nowhere, whose creation answers a question about users and their rights.

pub(super) mod access;
pub(super) mod identity;
pub(super) mod rules;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::typed;
use crate::ApiError;
use crate::object::meta_mut;
use crate::registry::{Cx, Kind, Object, Strategy, Verb};

/// A row that only answers. `status` makes the answer out of the question.
fn review(group: &str, kind: &str, plural: &str, status: Status) -> Kind {
    Kind { namespaced: false, verbs: Verb::CREATE.to_vec(), is_virtual: true, ..typed(group, "v1", kind, plural, Review { status }) }
}

/// Makes the status of a review.
type Status = fn(&Cx<'_>, &mut Object) -> Result<Value, ApiError>;

struct Review {
    status: Status,
}

impl Strategy for Review {
    fn answer(&self, cx: &Cx<'_>, mut object: Object) -> Result<Object, ApiError> {
        let status = (self.status)(cx, &mut object)?;
        object.insert("status".to_owned(), status);
        meta_mut(&mut object).entry("creationTimestamp").or_insert(Value::Null);
        Ok(object)
    }
}

/// The `spec` as its type; an absent one is empty.
fn spec<T: DeserializeOwned>(object: &Object) -> Result<T, ApiError> {
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(spec).map_err(|error| ApiError::bad_request(format!("the spec of the review cannot be read: {error}")))
}

fn to_value(status: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(status).map_err(ApiError::internal)
}
