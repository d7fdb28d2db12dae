//! A lease: of several processes that could do the work, one does.
//!
//! The lease is an object of `coordination.k8s.io/v1` under the rules of client-go, so that our programs and the peers' can
//! stand in for each other: 15 s long, given up 10 s after the last renewal, tried every 2 s. [`candidate`] decides (pure);
//! the keeper in [`keeper`] carries out. Whoever leads gets a [`Fence`](crate::Fence), which is open until the renew deadline of
//! the last confirmed renewal, counted from before it was sent. Others wait the full 15 s from when they see a
//! renewal, so that no call of the old leader can begin, or go on, when the new one begins.
//!
//! ```text
//! candidate.step(news, now) ─▶ read │ write │ wait │ stop ─▶ keeper ─▶ news
//!                                                             │
//!                                    fence ◀── until when ────┘──▶ leading │ lost
//! ```

mod candidate;
mod keeper;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use keeper::{Campaign, Ended, Leader};

/// Times of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// So long others wait after a renewal before they take over.
    pub duration: Duration,
    /// So long after its last renewal a leader begins nothing more.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    /// 15 s, 10 s, 2 s, as client-go.
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// Who takes a lease: the UID of the Pod that the program runs in, handed in by who reads the environment; else a random name.
#[must_use]
pub fn identity(pod_uid: Option<&str>) -> String {
    pod_uid.filter(|uid| !uid.is_empty()).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}
