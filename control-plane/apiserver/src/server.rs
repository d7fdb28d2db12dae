//! The handle that everything else hangs on.

use std::sync::{Arc, PoisonError, RwLock};

use dormouse_store::Store;
use http::{Request, Response};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::node_side::NodeSide;
use crate::registry::{Kind, Registry};
use crate::{Body, Options, Profile, User, auth, kinds, openapi};

/// An API server: store, registry of kinds, options. Cloning it is cheap and shares everything.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    registry: Registry,
    options: Options,
    auth: auth::State,
    openapi: openapi::Cache,
    node_side: RwLock<Option<Arc<dyn NodeSide>>>,
    stopping: CancellationToken,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server with the built-in kinds and, but for the bare profile, the bootstrap objects.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let store = Store::new(dormouse_store::Options { log_events: options.watch_log_events, log_bytes: options.watch_log_bytes });
        let registry = Registry::default();
        registry.add(kinds::builtin());
        let server = Self {
            inner: Arc::new(Inner {
                store,
                registry,
                options,
                auth: auth::State::default(),
                openapi: openapi::Cache::default(),
                node_side: RwLock::default(),
                stopping: CancellationToken::new(),
            }),
        };
        if server.profile() == Profile::Full {
            crate::bootstrap::install(&server);
        }
        server
    }

    /// The one entrance: `user` asks `request`. Never fails; problems are `Status` answers.
    ///
    /// The transport has authenticated (and impersonated); authorization happens here.
    pub async fn handle(&self, request: Request<Body>, user: User) -> Response<Body> {
        crate::handler::handle(self, request, user).await
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The kinds.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The options it was started with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// How much of a cluster it pretends to be.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.options.profile
    }

    /// The time by the server's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.options.clock.now()
    }

    /// Cancelled when the server ends: watches and followed logs end with it.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    /// What authentication and authorization hold.
    #[must_use]
    pub fn auth(&self) -> &auth::State {
        &self.inner.auth
    }

    /// OpenAPI documents that were asked for.
    #[must_use]
    pub fn openapi(&self) -> &openapi::Cache {
        &self.inner.openapi
    }

    /// Serves further kinds: what their rows say joins discovery, OpenAPI and the default roles.
    pub fn add_kinds(&self, rows: impl IntoIterator<Item = Kind>) {
        self.inner.registry.add(rows);
        if self.profile() == Profile::Full {
            crate::bootstrap::make_roles(self);
        }
    }

    /// Names who reaches into Pods; whoever runs the nodes calls it once.
    pub fn set_node_side(&self, nodes: Arc<dyn NodeSide>) {
        *self.inner.node_side.write().unwrap_or_else(PoisonError::into_inner) = Some(nodes);
    }

    /// Who reaches into Pods.
    #[must_use]
    pub fn node_side(&self) -> Option<Arc<dyn NodeSide>> {
        self.inner.node_side.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
