//! A watch as a stream of changes that cannot leak deletions.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// One change of a watched collection.
#[derive(Debug, Clone)]
pub enum Change<K> {
    /// The object is new or has changed.
    Apply(K),
    /// The object is gone; what it last was.
    Delete(K),
    /// This is everything there is; whatever else was known is gone. The first change of every stream.
    Reset(Vec<K>),
}

/// Follows a collection for ever. Errors are logged once each and retried with a growing pause of
/// 20 ms to 5 s. A resource that the server does not serve is an empty collection until it does.
pub fn changes<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    collect(watcher::watcher(api, config))
}

/// Hands each item of a stream to `f`, for as long as there are any.
pub async fn each<T>(stream: impl Stream<Item = T>, mut f: impl FnMut(T)) {
    let mut stream = std::pin::pin!(stream);
    while let Some(item) = stream.next().await {
        f(item);
    }
}

/// What the fold carries: the events still to come, the objects of a list under way, failures in a row.
struct State<S, K> {
    events: S,
    listing: Vec<K>,
    failures: u32,
    /// The server does not serve the resource, and that was said.
    unserved: bool,
}

fn unserved(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

fn collect<K: Send + 'static>(events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send) -> impl Stream<Item = Change<K>> + Send {
    let state = State { events: Box::pin(events), listing: Vec::new(), failures: 0, unserved: false };
    stream::unfold(state, |mut state| async move {
        loop {
            match state.events.next().await? {
                Ok(event) => {
                    state.failures = 0;
                    // A list that begins proves nothing yet.
                    state.unserved &= matches!(event, Event::Init);
                    match event {
                        Event::Init => state.listing.clear(),
                        Event::InitApply(object) => state.listing.push(object),
                        Event::InitDone => {
                            let all = std::mem::take(&mut state.listing);
                            return Some((Change::Reset(all), state));
                        }
                        Event::Apply(object) => return Some((Change::Apply(object), state)),
                        Event::Delete(object) => return Some((Change::Delete(object), state)),
                    }
                }
                Err(error) if unserved(&error) && !state.unserved => {
                    state.unserved = true;
                    return Some((Change::Reset(Vec::new()), state));
                }
                Err(error) => {
                    let pause = Duration::from_millis(20).saturating_mul(1 << state.failures.min(8)).min(Duration::from_secs(5));
                    state.failures = state.failures.saturating_add(1);
                    // One failure in a row is ordinary: a server closes watches now and then.
                    if state.failures > 1 && !state.unserved {
                        tracing::warn!(%error, retry_in = ?pause, "watch failed");
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    })
}
