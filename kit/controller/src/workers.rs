//! The loops around an index and a queue: watches feed the index, what they touch is queued, workers reconcile.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use futures::future::join_all;

use crate::{Change, Index, Queue, Reason, each};

/// When a key is to be worked on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// When something changes.
    OnChange,
    /// After this time at the latest.
    After(Duration),
}

/// Folds each change of a watch into an index and queues what it touches, for as long as there are changes.
pub async fn follow<K, I, Q>(changes: impl Stream<Item = Change<K>>, index: &Mutex<I>, queue: &Queue<Q>)
where
    I: Index<K, Key = Q>,
    Q: Eq + Hash + Clone,
{
    each(changes, |change| {
        let touched = change.fold_into(&mut *index.lock().unwrap_or_else(PoisonError::into_inner));
        queue.add_all(touched);
    })
    .await;
}

/// Works on keys with `n` workers until dropped. A failure is logged here, once, and retried with back-off.
pub async fn workers<Q, E, F, Fut>(name: &'static str, queue: &Queue<Q>, n: usize, reconcile: F)
where
    Q: Eq + Hash + Clone + Debug,
    E: Display,
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<Requeue, E>>,
{
    let worker = || async {
        loop {
            let (key, why) = queue.next().await;
            tracing::trace!(controller = name, ?key, %why, "reconcile");
            match reconcile(key.clone()).await {
                Ok(Requeue::OnChange) => queue.done(&key),
                Ok(Requeue::After(pause)) => {
                    queue.done(&key);
                    queue.add_after(key, pause, Reason::Due);
                }
                Err(error) => {
                    let retry_in = queue.failed(&key);
                    tracing::warn!(controller = name, ?key, %why, %error, ?retry_in, "reconcile failed");
                }
            }
        }
    };
    join_all((0..n).map(|_| worker())).await;
}
