//! Namespaces. One that is deleted becomes `Terminating` and stays until its content is gone and the
//! controller has taken the finalizer out of `spec`.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::{Value, json};

use super::values::{self, At, invalid, list, map, map_entry, standard_finalizer, standard_finalizers, text};
use super::{fields, texts, typed};
use crate::object::is_deleting;
use crate::registry::{Column, Cx, Kind, Object, Right, Strategy, Subresource, Verb};
use crate::table::read;
use crate::{ApiError, Profile, validate};

pub(super) fn row() -> Kind {
    Kind {
        namespaced: false,
        short_names: texts(&["ns"]),
        verbs: Verb::ALL.iter().copied().filter(|v| *v != Verb::DeleteCollection).collect(),
        subresources: vec![Subresource::finalize("Namespace"), Subresource::status("Namespace")],
        fields: fields(&["status.phase"]),
        columns: vec![
            Column::name(),
            Column::string("Status", "The status of the namespace", |o, _| read::text(o, &["status", "phase"]).into()),
            Column::age(),
        ],
        rights: const { &[Right::view(&["", "status"])] },
        ..typed("", "v1", "Namespace", "namespaces", Namespaces)
    }
}

struct Namespaces;

impl Strategy for Namespaces {
    fn default(&self, object: &mut Object) {
        // Every namespace can be selected by its name.
        let name = crate::object::meta_str(object, "name").to_owned();
        if name.is_empty() {
            return;
        }
        let metadata = crate::object::meta_mut(object);
        map_entry(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }

    fn prepare_create(&self, _: &Cx<'_>, object: &mut Object) {
        object.insert("status".to_owned(), json!({"phase": "Active"}));
        let spec = map_entry(object, "spec");
        let mut finalizers = list(spec, "finalizers").to_vec();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        spec.insert("finalizers".to_owned(), finalizers.into());
        // A generated name has come after the defaults.
        self.default(object);
    }

    fn prepare_update(&self, _: &Cx<'_>, object: &mut Object, old: &Object) {
        // Only the `finalize` subresource writes the spec.
        match old.get("spec") {
            Some(spec) => drop(object.insert("spec".to_owned(), spec.clone())),
            None => drop(object.remove("spec")),
        }
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        standard_finalizers(object, problems);
        let path = At::Path("spec.finalizers");
        for finalizer in map(object, "spec").into_iter().flat_map(|s| values::texts(s, "finalizers")) {
            invalid(finalizer, names::qualified_name, &path, problems);
            standard_finalizer(finalizer, &path, problems);
        }
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, _: &Object, problems: &mut Vec<FieldError>) {
        let phase = map(object, "status").map_or("", |s| text(s, "phase"));
        let (wanted, why) = if is_deleting(object) {
            ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
        } else {
            ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
        };
        if phase != wanted {
            problems.push(FieldError::invalid("status.Phase", phase, why));
        }
    }

    fn validate_name(&self, name: &str, generate_prefix: bool) -> Vec<String> {
        validate::dns_label(name, generate_prefix)
    }

    fn refuse_delete(&self, _: &Cx<'_>, object: &Object) -> Result<(), ApiError> {
        let name = crate::object::meta_str(object, "name");
        if matches!(name, "default" | "kube-system" | "kube-public") {
            return Err(ApiError::forbidden("", "namespaces", name, "this namespace may not be deleted"));
        }
        Ok(())
    }

    fn on_delete(&self, _: &Cx<'_>, object: &mut Object) {
        map_entry(object, "status").insert("phase".to_owned(), "Terminating".into());
    }

    fn held(&self, object: &Object) -> bool {
        object.get("spec").and_then(Value::as_object).is_some_and(|s| !list(s, "finalizers").is_empty())
    }

    fn after_commit(&self, cx: &Cx<'_>, object: &Object, removed: bool) {
        if !removed && !is_deleting(object) && cx.server.profile() == Profile::Full {
            super::serviceaccounts::ensure(cx, crate::object::meta_str(object, "name"));
        }
    }
}
