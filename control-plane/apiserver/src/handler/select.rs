//! Selectors against the index of a table.

use std::borrow::Cow;

use dormouse_machinery::selector::{FieldSelector, Selector};
use dormouse_store::Meta;

use crate::ApiError;
use crate::registry::Kind;

use super::params::ListParams;

/// Which objects a list or watch wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: Selector,
    fields: FieldSelector,
    namespace: Option<String>,
    /// Labels that the kind's field values stand under, in the order of [`Meta::fields`].
    known: Vec<String>,
}

impl Selection {
    pub(crate) fn parse(kind: &Kind, params: &ListParams) -> Result<Self, ApiError> {
        let labels = Selector::parse(&params.label_selector).map_err(|e| ApiError::bad_request(e.to_string()))?;
        let fields = FieldSelector::parse(&params.field_selector).map_err(|e| ApiError::bad_request(e.to_string()))?;
        let known: Vec<String> = kind.fields.iter().map(|f| f.label.clone()).collect();
        for requirement in fields.requirements() {
            let field = requirement.field.as_str();
            if !matches!(field, "metadata.name" | "metadata.namespace") && !known.iter().any(|k| k == field) {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
        }
        Ok(Self { labels, fields, namespace: None, known })
    }

    /// Only objects of this namespace (all of them when it is empty).
    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        self
    }

    /// Only the object of this name (any when it is empty).
    pub(crate) fn named(mut self, name: &str) -> Self {
        if !name.is_empty() {
            let mut requirements = self.fields.requirements().to_vec();
            requirements.push(dormouse_machinery::selector::FieldRequirement {
                field: "metadata.name".to_owned(),
                negated: false,
                value: name.to_owned(),
            });
            self.fields = FieldSelector::new(requirements);
        }
        self
    }

    /// Whether everything in the namespace is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, meta: &Meta) -> bool {
        self.namespace.as_deref().is_none_or(|n| n == &*meta.namespace)
            && (self.labels.is_everything() || self.labels.matches_with(|key| meta.label(key)))
            && (self.fields.is_everything()
                || self.fields.matches(|field| match field {
                    "metadata.name" => Some(Cow::Borrowed(&*meta.name)),
                    "metadata.namespace" => Some(Cow::Borrowed(&*meta.namespace)),
                    other => {
                        let at = self.known.iter().position(|k| k == other)?;
                        meta.fields.get(at).map(|v| Cow::Borrowed(&**v))
                    }
                }))
    }
}
