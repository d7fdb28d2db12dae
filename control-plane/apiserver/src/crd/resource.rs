//! The rules of every custom resource: its schema.

use std::sync::Arc;

use dormouse_machinery::field::FieldError;
use http::StatusCode;
use serde_json::Value;

use super::{CompiledVersion, emptied};
use crate::ApiError;
use crate::object::{finalizers, is_deleting};
use crate::registry::{Cx, Object, Strategy};
use crate::status::Details;

pub(super) struct CustomResource {
    pub(super) version: Arc<CompiledVersion>,
}

impl CustomResource {
    fn check(&self, object: &Object, problems: &mut Vec<FieldError>) {
        let errors = self.version.schema.validate(&Value::Object(object.clone()));
        problems.extend(errors);
        problems.extend(self.version.schema.unchecked_rules(problems));
    }

    /// Calls `change` with the object as the value that the schema wants.
    fn as_value(object: &mut Object, change: impl FnOnce(&mut Value)) {
        let mut value = Value::Object(std::mem::take(object));
        change(&mut value);
        if let Value::Object(changed) = value {
            *object = changed;
        }
    }
}

impl Strategy for CustomResource {
    fn default(&self, object: &mut Object) {
        Self::as_value(object, |value| self.version.schema.default(value));
    }

    fn refuse_create(&self, cx: &Cx<'_>) -> Result<(), ApiError> {
        if self.version.terminating {
            let why = "create not allowed while custom resource definition is terminating";
            let details = Details::of(&cx.kind.group, &cx.kind.plural, "");
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", why).with_details(details));
        }
        Ok(())
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        self.check(object, problems);
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, _: &Object, problems: &mut Vec<FieldError>) {
        self.check(object, problems);
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, removed: bool) {
        if removed || (is_deleting(object) && finalizers(object).is_empty()) {
            emptied(cx.server, &self.version.definition);
        }
    }

    fn converts(&self) -> bool {
        self.version.reread
    }

    fn to_row(&self, object: &mut Object) {
        object.insert("apiVersion".to_owned(), self.version.api_version.clone().into());
        // The defaults of the version that is asked for never come in by reading.
        Self::as_value(object, |value| {
            self.version.stored.default(value);
            self.version.schema.prune(value);
        });
    }

    fn to_storage(&self, object: &mut Object) {
        object.insert("apiVersion".to_owned(), self.version.storage_version.clone().into());
    }
}
