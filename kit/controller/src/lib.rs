//! The frame of every controller of ours: an *index* fed by watches, a keyed *queue*, a loop that plans
//! and executes.
//!
//! A watch becomes [`Change`]s: apply, delete and an explicit reset after each (re)list, so that a
//! deletion missed while disconnected cannot leak. Keys go through a [`Queue`] that never hands one key
//! to two workers at once and backs off per key. What to do with a key is the controller's own.

mod changes;
mod credentials;
mod errors;
mod flags;
mod queue;
mod workers;

pub use changes::{Change, changes, each};
pub use credentials::{Credentials, NoClient};
pub use errors::{conflict, gone_is_done, not_found};
pub use flags::{KlogFlags, KubeFlags, duration};
pub use queue::{Backoff, Queue};
pub use workers::{Outcome, workers};
