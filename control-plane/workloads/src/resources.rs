//! What kinds the server serves, as the collectors need them: everything that can be listed, watched and
//! deleted, custom resources included, asked again when a CustomResourceDefinition changes.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};

/// One collectable resource, keyed by `group/plural`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
}

/// All resources whose objects can own or be owned, by `group/plural`, in their preferred version.
pub(crate) async fn served(client: &Client) -> Result<BTreeMap<String, Served>, kube::Error> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut all = BTreeMap::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let can = |verb| capabilities.supports_operation(verb);
            // core Events and events.k8s.io Events are the same objects.
            if !can(verbs::LIST) || !can(verbs::WATCH) || !can(verbs::DELETE) || resource.group == "events.k8s.io" {
                continue;
            }
            let namespaced = capabilities.scope == Scope::Namespaced;
            all.insert(format!("{}/{}", resource.group, resource.plural), Served { resource, namespaced });
        }
    }
    Ok(all)
}
