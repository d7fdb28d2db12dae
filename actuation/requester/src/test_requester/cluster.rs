//! The shared table on the API server.

use std::collections::HashSet;

use dormouse_apis::names::{GPU_ALLOCS, GPU_MAP};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rand::Rng;

use super::allocate::{self, Problem, World};

/// Field managers may be so long.
const MAX_MANAGER: usize = 128;

/// What is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) node: String,
    pub(super) pod_uid: String,
    pub(super) number: usize,
    /// `NVIDIA_VISIBLE_DEVICES`.
    pub(super) visible: Option<String>,
    /// Prefers the GPUs it had before.
    pub(super) sticky: bool,
}

/// Why an attempt failed; another may succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error("failed to {what}: {source}")]
    Api { what: &'static str, source: kube::Error },
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// The table of one namespace.
pub(super) struct Table {
    maps: Api<ConfigMap>,
    pods: Api<Pod>,
    params: PostParams,
}

impl Table {
    pub(super) fn new(client: Client, namespace: &str, manager: &str) -> Self {
        let end = manager.floor_char_boundary(MAX_MANAGER);
        let params = PostParams { field_manager: Some(manager[..end].to_owned()), ..PostParams::default() };
        Self { maps: Api::namespaced(client.clone(), namespace), pods: Api::namespaced(client, namespace), params }
    }

    /// One attempt: reads everything, chooses, writes under the resourceVersion it read.
    pub(super) async fn attempt(&self, wish: &Wish, rng: &mut impl Rng) -> Result<Vec<String>, AttemptError> {
        let failed = |what| move |source| AttemptError::Api { what, source };
        let map = self.maps.get(GPU_MAP).await.map_err(failed("read ConfigMap gpu-map"))?;
        let mut table = match self.maps.get_opt(GPU_ALLOCS).await.map_err(failed("read ConfigMap gpu-allocs"))? {
            Some(table) => table,
            None => {
                let metadata = ObjectMeta { name: Some(GPU_ALLOCS.to_owned()), ..ObjectMeta::default() };
                let empty = ConfigMap { metadata, ..ConfigMap::default() };
                self.maps.create(&self.params, &empty).await.map_err(failed("create ConfigMap gpu-allocs"))?
            }
        };
        // After the table: whoever has written it is among these Pods, or gone.
        let pods = self.pods.list_metadata(&ListParams::default()).await.map_err(failed("list Pods"))?;
        let pods: HashSet<String> = pods.items.into_iter().filter_map(|p| p.metadata.uid).collect();
        let (gpus, allocs) = (map.data.unwrap_or_default(), table.data.take().unwrap_or_default());
        let choice = allocate::choose(&World { map: &gpus, allocs: &allocs, pods: &pods, wish }, rng)?;
        table.data = Some(choice.allocs);
        self.maps.replace(GPU_ALLOCS, &self.params, &table).await.map_err(failed("update ConfigMap gpu-allocs"))?;
        Ok(choice.uuids)
    }
}
