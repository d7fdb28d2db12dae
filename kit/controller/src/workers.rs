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

/// Folds each change of a watch into an index and queues what it touches, for as long as there are changes. Tells the queue when
/// the first list is in the index, for [`Queue::after_lists`].
pub async fn follow<K, I, Q>(changes: impl Stream<Item = Change<K>>, index: &Mutex<I>, queue: &Queue<Q>)
where
    I: Index<K, Key = Q>,
    Q: Eq + Hash + Clone,
{
    let mut listed = false;
    each(changes, |change| {
        let first = !listed && matches!(change, Change::Reset(_));
        let touched = change.fold_into(&mut *index.lock().unwrap_or_else(PoisonError::into_inner));
        queue.add_all(touched);
        if first {
            listed = true;
            queue.listed();
        }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::{Backoff, ObjectKey, Objects};

    fn map(name: &str) -> ConfigMap {
        let (name, version) = (Some(name.to_owned()), Some("1".to_owned()));
        ConfigMap { metadata: ObjectMeta { name, resource_version: version, ..ObjectMeta::default() }, ..ConfigMap::default() }
    }

    /// A watch that shows each change so many seconds after the one before.
    fn watch(shown: Vec<(u64, Change<ConfigMap>)>) -> impl Stream<Item = Change<ConfigMap>> {
        stream::iter(shown).then(|(after, change)| async move {
            sleep(Duration::from_secs(after)).await;
            change
        })
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_worked_on_before_each_watch_has_listed() {
        let queue = Queue::new(Backoff::default()).after_lists(2);
        let indexes = [(); 2].map(|()| Mutex::new(Objects::<Arc<ConfigMap>>::default()));
        // Two lists of one watch are one, and a change before the list is none.
        let quick = watch(vec![(1, Change::Reset(vec![map("a")])), (1, Change::Reset(vec![map("a"), map("b")]))]);
        let slow = watch(vec![(3, Change::Apply(map("c"))), (4, Change::Reset(vec![map("c"), map("d")]))]);
        let (begun, worked) = (Instant::now(), Mutex::new(Vec::new()));
        let note = |key: ObjectKey| {
            worked.lock().unwrap().push((key.name, begun.elapsed().as_secs()));
            async { Ok::<_, Infallible>(Requeue::OnChange) }
        };
        queue.add_after(ObjectKey::new("", "due"), Duration::from_secs(1), Reason::Due);
        tokio::select! {
            () = async { tokio::join!(follow(quick, &indexes[0], &queue), follow(slow, &indexes[1], &queue), sleep(Duration::from_secs(9))); } => {}
            () = workers("test", &queue, 3, note) => {}
        }
        let mut worked = worked.into_inner().unwrap();
        worked.sort();
        assert_eq!(worked, ["a", "b", "c", "d", "due"].map(|name| (name.to_owned(), 7)));
    }
}
