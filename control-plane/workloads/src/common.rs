//! What set controllers do alike.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

/// The reference by which `owner` controls what it makes or adopts. It blocks: an owner that is deleted in the
/// foreground stays until this dependent has gone.
pub(crate) fn controlled_by<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&()).map(|o| OwnerReference { block_owner_deletion: Some(true), ..o })
}
