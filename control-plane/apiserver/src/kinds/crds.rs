//! CustomResourceDefinitions: rows that make rows.

use super::{row, texts};
use crate::registry::{Generation, Kind, Plain, Subresource};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        short_names: texts(&["crd", "crds"]),
        categories: texts(&["api-extensions"]),
        subresources: vec![Subresource::status("CustomResourceDefinition")],
        generation: Generation::Spec,
        unconditional_update: false,
        ..row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", Plain)
    }]
}
