//! What hangs below an object: a name, what is exchanged there, and who answers.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Response;

use super::Verb;
use crate::handler::Call;
use crate::{ApiError, Body};

/// The answer of a subresource, which may have to wait.
pub type Answer<'a> = BoxFuture<'a, Result<Response<Body>, ApiError>>;

/// What answers the requests of a subresource.
pub trait Handler: Send + Sync {
    /// Answers one request. `verb` is one of those that the row lists; the [`Call`] has everything else: method, query,
    /// headers and body, the row, the key of the object, the user.
    fn handle<'a>(&'a self, call: &'a mut Call, verb: Verb) -> Answer<'a>;
}

/// A subresource.
#[derive(Clone)]
pub struct Subresource {
    /// Last part of the path, for instance `status`.
    pub name: String,
    /// Group and version of what is exchanged; `None` when they are the parent's.
    pub group_version: Option<(String, String)>,
    /// Kind of what is exchanged.
    pub kind: String,
    /// Verbs, in discovery's order.
    pub verbs: Vec<Verb>,
    /// Who answers.
    pub handler: Arc<dyn Handler>,
}

impl std::fmt::Debug for Subresource {
    /// What discovery shows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, group_version, kind, verbs, handler: _ } = self;
        f.debug_struct("Subresource")
            .field("name", name)
            .field("group_version", group_version)
            .field("kind", kind)
            .field("verbs", verbs)
            .finish()
    }
}

impl Subresource {
    /// A subresource that exchanges objects of the parent's group and version.
    #[must_use]
    pub fn own(name: &str, kind: &str, verbs: &[Verb], handler: impl Handler + 'static) -> Self {
        Self { name: name.to_owned(), group_version: None, kind: kind.to_owned(), verbs: verbs.to_vec(), handler: Arc::new(handler) }
    }

    /// A subresource that exchanges objects of another group.
    #[must_use]
    pub fn foreign(name: &str, group: &str, version: &str, kind: &str, verbs: &[Verb], handler: impl Handler + 'static) -> Self {
        Self { group_version: Some((group.to_owned(), version.to_owned())), ..Self::own(name, kind, verbs, handler) }
    }
}
