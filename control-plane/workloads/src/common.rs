//! What set controllers do alike: owner references and events.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt};

/// The reference by which `owner` controls what it makes or adopts. It blocks: an owner that is deleted in the
/// foreground stays until this dependent has gone.
pub(crate) fn controlled_by<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&()).map(|o| OwnerReference { block_owner_deletion: Some(true), ..o })
}

/// Records an event; nothing depends on whether that works. `related` is the object it was done to: events that
/// differ in it are not counted as one.
pub(crate) async fn tell<K: Resource<DynamicType = ()>>(
    recorder: &Recorder,
    about: &K,
    related: Option<&impl Resource<DynamicType = ()>>,
    type_: EventType,
    reason: &str,
    mut note: String,
) {
    note.truncate(note.floor_char_boundary(1_000));
    let secondary = related.map(|r| r.object_ref(&()));
    let event = Event { type_, reason: reason.into(), note: Some(note), action: "Reconcile".into(), secondary };
    if let Err(error) = recorder.publish(&event, &about.object_ref(&())).await {
        tracing::debug!(about = about.name_any(), %error, "cannot record an event");
    }
}
