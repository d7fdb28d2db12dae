//! The loop between queue and reconciler.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::Queue;

/// What came of the work on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more until something changes.
    Done,
    /// Look again after this time at the latest.
    After(Duration),
}

/// Works on keys with `n` workers until dropped. A failure is logged here, once, and retried with back-off.
pub async fn workers<K, E, F, Fut>(name: &'static str, queue: Arc<Queue<K>>, n: usize, reconcile: F)
where
    K: Eq + Hash + Clone + Debug,
    E: Display,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Outcome, E>>,
{
    let worker = || async {
        loop {
            let key = queue.next().await;
            match reconcile(key.clone()).await {
                Ok(Outcome::Done) => queue.done(&key),
                Ok(Outcome::After(pause)) => {
                    queue.done(&key);
                    queue.add_after(key, pause);
                }
                Err(error) => {
                    let retry_in = queue.failed(&key);
                    tracing::warn!(controller = name, ?key, %error, ?retry_in, "reconcile failed");
                }
            }
        }
    };
    join_all((0..n).map(|_| worker())).await;
}
