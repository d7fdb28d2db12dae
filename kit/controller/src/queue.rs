//! A work queue of keys.
//!
//! Held: keys ready to be worked on in order of arrival, keys under work, keys that changed while under
//! work, keys due later. Invariants: a key is at most once in `ready`; a key under work is never in
//! `ready`; a key added while under work is worked on again afterwards. Failures are counted per key and
//! give the pause of a retry.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

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
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    working: HashSet<K>,
    again: HashSet<K>,
    /// Due time and arrival; the second makes the key unique.
    later: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    arrivals: u64,
}

impl<K: Eq + Hash + Clone> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            queued: HashSet::new(),
            working: HashSet::new(),
            again: HashSet::new(),
            later: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            arrivals: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), backoff }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for work on `key` as soon as possible.
    pub fn add(&self, key: K) {
        let mut s = self.lock();
        s.add(key);
        drop(s);
        self.changed.notify_one();
    }

    /// Asks for work on `key` after `pause`, unless an earlier time is set already.
    pub fn add_after(&self, key: K, pause: Duration) {
        if pause.is_zero() {
            return self.add(key);
        }
        let mut s = self.lock();
        let at = Instant::now() + pause;
        match s.due.get(&key).copied() {
            Some((earlier, _)) if earlier <= at => return,
            Some(old) => {
                s.later.remove(&old);
            }
            None => {}
        }
        s.arrivals += 1;
        let slot = (at, s.arrivals);
        s.later.insert(slot, key.clone());
        s.due.insert(key, slot);
        drop(s);
        self.changed.notify_one();
    }

    /// The next key to work on; waits for one. Each must be given back with [`Queue::done`] or [`Queue::failed`].
    pub async fn next(&self) -> K {
        loop {
            let notified = self.changed.notified();
            let wake = {
                let mut s = self.lock();
                s.promote(Instant::now());
                if let Some(key) = s.ready.pop_front() {
                    s.queued.remove(&key);
                    s.working.insert(key.clone());
                    let more = !s.ready.is_empty();
                    drop(s);
                    if more {
                        self.changed.notify_one();
                    }
                    return key;
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
        s.release(key);
        drop(s);
        self.changed.notify_one();
    }

    /// The work on `key` failed; it comes again after a pause, which is returned.
    pub fn failed(&self, key: &K) -> Duration {
        let mut s = self.lock();
        let failures = s.failures.entry(key.clone()).or_insert(0);
        let pause = self.backoff.pause(*failures);
        *failures = failures.saturating_add(1);
        s.release(key);
        drop(s);
        self.add_after(key.clone(), pause);
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
    fn add(&mut self, key: K) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }

    fn release(&mut self, key: &K) {
        self.working.remove(key);
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once() {
        let q = Queue::new(Backoff::default());
        q.add("a");
        q.add("a");
        assert_eq!(q.next().await, "a");
        q.add("a");
        assert!(tokio::time::timeout(Duration::from_secs(1), q.next()).await.is_err());
        q.done(&"a");
        assert_eq!(q.next().await, "a");
        q.done(&"a");
        assert!(q.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_an_earlier_time_wins() {
        let q = Queue::new(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(4) });
        q.add("a");
        let mut seen = Vec::new();
        for _ in 0..4 {
            let key = q.next().await;
            seen.push(q.failed(&key).as_secs());
        }
        assert_eq!(seen, [1, 2, 4, 4]);
        let start = Instant::now();
        q.add_after("a", Duration::from_secs(60));
        assert_eq!(q.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 4);
    }
}
