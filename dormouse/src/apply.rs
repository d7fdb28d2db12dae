//! Putting objects of any kind onto a cluster.

use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

/// Makes an object; one that exists is left as it is. A kind whose definition was just made may take a moment.
///
/// # Errors
/// When the server refuses it.
pub(crate) async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.clone().ok_or_else(|| anyhow!("an object without a kind"))?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(ns) => Api::namespaced_with(client.clone(), ns, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut pause = Duration::from_millis(2);
    loop {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(()),
            // The path of a new kind is 404 until its definition is established.
            Err(kube::Error::Api(status)) if status.code == 404 && pause < Duration::from_secs(1) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot create {} {}", types.kind, object.name_any())),
        }
    }
}
