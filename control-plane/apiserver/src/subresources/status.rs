//! `status`: what is observed, written apart from what is wanted.

use futures::FutureExt;
use std::future::ready;

use super::PART;
use crate::handler::{Call, Part, get, not_allowed, patch, put};
use crate::registry::{Answer, Handler, Subresource, Verb};

impl Subresource {
    /// The `status` subresource of `kind`.
    #[must_use]
    pub fn status(kind: &str) -> Self {
        Self::own("status", kind, PART, Status)
    }
}

struct Status;

impl Handler for Status {
    fn handle<'a>(&'a self, call: &'a mut Call, verb: Verb) -> Answer<'a> {
        ready(match verb {
            Verb::Get => get(call),
            Verb::Update => put(call, Part::Status),
            Verb::Patch => patch(call, Part::Status),
            _ => Err(not_allowed()),
        })
        .boxed()
    }
}
