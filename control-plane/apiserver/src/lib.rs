//! A Kubernetes API server as a library: one generic handler over a registry of kinds.
//!
//! [`ApiServer`] is a cheap handle. A request enters by [`ApiServer::handle`] with the [`User`] who makes it,
//! whatever brought it: the HTTPS listener in [`serve`] (which authenticates) or the in-process client of
//! [`ApiServer::client`]. From there: [`RequestInfo`] reads the path, [`auth`] decides, the handler in
//! `handler/` does what the verb says for the row of the [`registry`], the store keeps it.
//!
//! | Module | Idea |
//! |---|---|
//! | [`request`], [`status`] | what is asked, and errors as clients see them |
//! | [`registry`], `kinds/`, `subresources/` | one row per kind and one per subresource, with everything that belongs to it |
//! | [`node_side`] | what only the node of a Pod can answer |
//! | `handler/` | the verbs, written once |
//! | [`crd`] | rows that come and go with CustomResourceDefinitions |
//! | [`auth`] | authentication, RBAC, reviews, tokens |
//! | [`discovery`], [`openapi`], [`table`] | what the server says about itself, and printed answers |
//! | [`serve`], [`bootstrap`] | HTTPS, certificates, kubeconfig; the first objects |
//! | [`client`] | `kube::Client` without sockets |

pub mod auth;
pub mod bootstrap;
pub mod client;
pub mod crd;
pub mod discovery;
mod handler;
mod kinds;
pub mod node_side;
pub mod object;
pub mod openapi;
mod options;
pub mod registry;
pub mod request;
pub mod serve;
mod server;
pub mod status;
mod subresources;
pub mod table;
pub mod validate;

pub use axum::body::Body;
pub use handler::Call;
pub use options::{Options, Profile};
pub use request::{RequestInfo, User};
pub use server::ApiServer;
pub use status::ApiError;

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
