//! A work queue of keys, each with the reasons why.
//!
//! Held: keys ready to be worked on in order of arrival, keys under work, keys that changed while under
//! work, keys due later. Invariants: a key is at most once in `ready`; a key under work is never in
//! `ready`; a key added while under work is worked on again afterwards; reasons of one key are merged while it
//! waits. Failures are counted per key and give the pause of a retry. Where lists are waited for
//! ([`Queue::after_lists`]), no key is handed out before the last of them is in the index.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::QueueCounts;
use crate::{Reason, Reasons};

/// How the pause between retries of one key grows: `base · 2ⁿ`, at most `max`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first pause.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for Backoff {
    /// 5 ms to 20 s, as the peers' controllers.
    fn default() -> Self {
        Self { base: Duration::from_millis(5), max: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// The pause after `failures` failures before this one.
    #[must_use]
    pub fn pause(self, failures: u32) -> Duration {
        self.base.saturating_mul(1_u32 << failures.min(24)).min(self.max)
    }
}

/// The queue; share it behind an `Arc`.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    backoff: Backoff,
    counts: QueueCounts,
}

#[derive(Debug)]
struct State<K> {
    /// First lists that are still to come.
    lists: usize,
    ready: VecDeque<K>,
    /// Why, and since when.
    queued: HashMap<K, (Reasons, Instant)>,
    /// Since when.
    working: HashMap<K, Instant>,
    again: HashMap<K, Reasons>,
    /// Due time and arrival; the second makes the key unique.
    later: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, ((Instant, u64), Reasons)>,
    failures: HashMap<K, u32>,
    arrivals: u64,
}

impl<K: Eq + Hash + Clone> Queue<K> {
    /// An empty queue that counts nothing that anybody sees.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self::counted(backoff, QueueCounts::default())
    }

    /// An empty queue that counts what passes.
    #[must_use]
    pub fn counted(backoff: Backoff, counts: QueueCounts) -> Self {
        let state = State {
            lists: 0,
            ready: VecDeque::new(),
            queued: HashMap::new(),
            working: HashMap::new(),
            again: HashMap::new(),
            later: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            arrivals: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), backoff, counts }
    }

    /// Hands out nothing before so many watches have listed all there is, as [`follow`](crate::follow) says of each: until then
    /// what an index does not hold may be there all the same, and who counts would make it anew.
    #[must_use]
    pub fn after_lists(mut self, watches: usize) -> Self {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).lists = watches;
        self
    }

    /// The first list of a watch is in the index.
    pub(crate) fn listed(&self) {
        let mut s = self.lock();
        s.lists = s.lists.saturating_sub(1);
        drop(s);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for work on `key` as soon as possible.
    pub fn add(&self, key: K, reason: Reason) {
        self.add_all([(key, reason)]);
    }

    /// Asks for work on each of these.
    pub fn add_all(&self, touched: impl IntoIterator<Item = (K, Reason)>) {
        let mut s = self.lock();
        for (key, reason) in touched {
            self.counts.enqueued(reason);
            s.add(key, reason.into());
        }
        self.counts.depth(s.ready.len());
        drop(s);
        self.changed.notify_one();
    }

    /// Asks for work on `key` after `pause`, unless an earlier time is set already.
    pub fn add_after(&self, key: K, pause: Duration, reason: Reason) {
        if pause.is_zero() {
            return self.add(key, reason);
        }
        let mut s = self.lock();
        let at = Instant::now() + pause;
        let mut reasons = Reasons::from(reason);
        match s.due.get_mut(&key) {
            Some(((earlier, _), known)) if *earlier <= at => return known.merge(reason),
            Some((old, known)) => {
                reasons.merge(*known);
                let old = *old;
                s.later.remove(&old);
            }
            None => {}
        }
        self.counts.enqueued(reason);
        s.arrivals += 1;
        let slot = (at, s.arrivals);
        s.later.insert(slot, key.clone());
        s.due.insert(key, (slot, reasons));
        drop(s);
        self.changed.notify_one();
    }

    /// The next key to work on, and why; waits for one. Each must be given back with [`Queue::done`] or [`Queue::failed`].
    pub async fn next(&self) -> (K, Reasons) {
        loop {
            let notified = self.changed.notified();
            let wake = {
                let mut s = self.lock();
                s.promote(Instant::now());
                if s.lists == 0
                    && let Some(key) = s.ready.pop_front()
                {
                    let now = Instant::now();
                    let (reasons, since) = s.queued.remove(&key).unwrap_or((Reasons::default(), now));
                    s.working.insert(key.clone(), now);
                    self.counts.depth(s.ready.len());
                    self.counts.waited(now.saturating_duration_since(since));
                    let more = !s.ready.is_empty();
                    drop(s);
                    if more {
                        self.changed.notify_one();
                    }
                    return (key, reasons);
                }
                s.later.keys().next().map(|(at, _)| *at)
            };
            match wake {
                Some(at) => {
                    tokio::select! { () = notified => {}, () = tokio::time::sleep_until(at) => {} }
                }
                None => notified.await,
            }
        }
    }

    /// The work on `key` is done; its failures are forgotten.
    pub fn done(&self, key: &K) {
        let mut s = self.lock();
        s.failures.remove(key);
        self.counts.worked(s.release(key));
        drop(s);
        self.changed.notify_one();
    }

    /// The work on `key` failed; it comes again after a pause, which is returned.
    pub fn failed(&self, key: &K) -> Duration {
        let mut s = self.lock();
        let failures = s.failures.entry(key.clone()).or_insert(0);
        let pause = self.backoff.pause(*failures);
        *failures = failures.saturating_add(1);
        self.counts.worked(s.release(key));
        drop(s);
        self.counts.retried();
        self.add_after(key.clone(), pause, Reason::Retried);
        pause
    }

    /// Keys waiting, those due later included.
    #[must_use]
    pub fn len(&self) -> usize {
        let s = self.lock();
        s.ready.len() + s.later.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn add(&mut self, key: K, reasons: Reasons) {
        if self.working.contains_key(&key) {
            self.again.entry(key).or_default().merge(reasons);
        } else if let Some((known, _)) = self.queued.get_mut(&key) {
            known.merge(reasons);
        } else {
            self.queued.insert(key.clone(), (reasons, Instant::now()));
            self.ready.push_back(key);
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            let reasons = self.due.remove(&key).map(|(_, reasons)| reasons).unwrap_or_default();
            self.add(key, reasons);
        }
    }

    /// Gives a key back; how long it was worked on.
    fn release(&mut self, key: &K) -> Duration {
        let since = self.working.remove(key);
        if let Some(reasons) = self.again.remove(key) {
            self.add(key.clone(), reasons);
        }
        since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once() {
        let q = Queue::new(Backoff::default());
        q.add("a", Reason::Listed);
        q.add("a", Reason::Changed);
        let (key, why) = q.next().await;
        assert_eq!((key, why.to_string().as_str()), ("a", "listed+changed"));
        q.add("a", Reason::Related);
        assert!(tokio::time::timeout(Duration::from_secs(1), q.next()).await.is_err());
        q.done(&"a");
        assert_eq!(q.next().await, ("a", Reason::Related.into()));
        q.done(&"a");
        assert!(q.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_an_earlier_time_wins() {
        let q = Queue::new(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(4) });
        q.add("a", Reason::Changed);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (key, _) = q.next().await;
            seen.push(q.failed(&key).as_secs());
        }
        assert_eq!(seen, [1, 2, 4, 4]);
        let start = Instant::now();
        q.add_after("a", Duration::from_secs(60), Reason::Due);
        let (key, why) = q.next().await;
        assert_eq!((key, why.to_string().as_str()), ("a", "due+retried"));
        assert_eq!(start.elapsed().as_secs(), 4);
    }
}
