//! The frame of every controller of ours.
//!
//! ```text
//! watch ─▶ Change ─▶ Index ─▶ (key, Reason) ─▶ Queue ─▶ workers ─▶ reconcile ─▶ JsonClient ─▶ API
//!                      ▲                                               │  │          ▲
//!                      └──────────── answers to own writes ────────────┘  │        Fence ◀── lease
//!                                                                         └─▶ Recorder ─▶ events
//! ```
//!
//! - [`changes()`] makes of a watch [`Change`]s: apply, delete and an explicit reset after each (re)list, so that a deletion
//!   missed while disconnected cannot leak.
//! - An [`Index`] is state that those three calls keep in step; [`Objects`] is the one that most need. It can be checked against
//!   itself ([`Consistent`]), which debug builds do after each change. [`Versions`] decide what is news: answers to own writes go in
//!   by the same door as what watches show.
//! - A [`Queue`] never hands one key to two [`workers()`] at once and backs off per key. It waits for the first list of each watch
//!   that a decision rests on ([`Queue::after_lists`]). With the key travels why it is there: [`Reason`].
//! - A [`JsonClient`] bounds and counts each call, and asks a [`Fence`] before it. A [`lease`] opens that fence, for programs that
//!   run more than once.
//! - A [`Recorder`] tells what happened to objects as events, folded as client-go folds them.
//! - [`listeners`] show [`metrics`], health and, on a debug port, what the loop sees ([`inspect`]).
//!
//! What to do with a key is the controller's own. `examples/mirror.rs` is a whole one.

mod changes;
mod client;
mod credentials;
mod errors;
mod events;
mod fence;
mod flags;
mod index;
pub mod inspect;
pub mod lease;
pub mod listeners;
pub mod metrics;
mod objects;
mod pods;
mod queue;
mod reason;
mod recent;
mod rest_client;
mod versions;
mod workers;

pub use changes::{Change, changes, each};
pub use client::{At, CallError, JsonClient, Patch};
pub use credentials::{Credentials, NoClient};
pub use errors::{ApiError, already_exists, conflict, gone_is_done, is_another, not_found};
pub use events::{Note, Recorder, Source};
pub use fence::{Fence, Fenced};
pub use flags::KubeFlags;
pub use index::{Consistent, Inconsistent, Index, Touched, same};
pub use objects::{ObjectKey, Objects, Put};
pub use pods::is_ready;
pub use queue::{Backoff, Queue};
pub use reason::{Reason, Reasons};
pub use rest_client::{Counted, Counting, RestClient};
pub use versions::{Versions, version};
pub use workers::{Requeue, follow, workers};
