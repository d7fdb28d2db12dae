//! One resource: its objects in order, its log, and who waits for news.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::log::Log;
use crate::store::Shared;
use crate::{Draft, Event, EventKind, Expired, Meta, Stored, Watcher};

/// The key of an object: `namespace/name`, or the name alone. Lists are in the order of their bytes.
#[must_use]
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        return name.to_owned();
    }
    let mut key = String::with_capacity(namespace.len() + 1 + name.len());
    key.push_str(namespace);
    key.push('/');
    key.push_str(name);
    key
}

/// A wanted change of one object.
#[derive(Debug)]
pub enum Change {
    /// Nothing may be there yet.
    Create(Draft),
    /// The object must be there at this revision.
    Update(Draft, u64),
    /// The object must be there at this revision.
    Delete(u64),
}

/// A change that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A create found an object.
    #[error("the object exists already")]
    Exists,
    /// An update or delete found none.
    #[error("there is no such object")]
    Missing,
    /// An update or delete found another revision.
    #[error("the object has changed")]
    Stale,
}

/// A change that happened.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The object after it; after a delete its last content with the delete's revision.
    pub object: Arc<Stored>,
    /// The object before it.
    pub previous: Option<Arc<Stored>>,
}

/// What to list.
#[derive(Default)]
pub struct Query<'a> {
    /// Only this namespace.
    pub namespace: Option<&'a str>,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// Only so many objects.
    pub limit: Option<usize>,
    /// As it was at this revision.
    pub at: Option<u64>,
    /// Only objects whose index pleases.
    #[allow(clippy::type_complexity, reason = "a name would hide that it is a plain predicate")]
    pub filter: Option<&'a (dyn Fn(&Meta) -> bool + 'a)>,
}

/// Answer to a [`Query`].
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects in order of key.
    pub items: Vec<Arc<Stored>>,
    /// The revision at which the list is true.
    pub revision: u64,
    /// Key of the last object, when the limit cut the list.
    pub more: Option<String>,
    /// Objects behind the cut, filtered ones included.
    pub remaining: usize,
}

struct State {
    objects: BTreeMap<String, Arc<Stored>>,
    log: Log,
}

/// The objects of one resource.
pub struct Table {
    name: String,
    shared: Arc<Shared>,
    state: RwLock<State>,
    /// Carries the revision of the table's last commit.
    news: watch::Sender<u64>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Table {
    pub(crate) fn new(name: &str, shared: Arc<Shared>, floor: u64) -> Self {
        let log = Log::new(floor, shared.options.log_events, shared.options.log_bytes);
        let state = RwLock::new(State { objects: BTreeMap::new(), log });
        Self { name: name.to_owned(), shared, state, news: watch::Sender::new(floor) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store's revision: everything in this table up to it can be seen.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let _hold = self.read();
        self.shared.revision()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object under a [`key`].
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Stored>> {
        self.read().objects.get(key).cloned()
    }

    /// Makes one change, or none.
    ///
    /// # Errors
    /// When the precondition of the change does not hold.
    pub fn commit(&self, key: &str, change: Change) -> Result<Committed, CommitError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let present = state.objects.get(key);
        let step = match (change, present) {
            (Change::Create(draft), None) => Step::Put(draft, None),
            (Change::Create(_), Some(_)) => return Err(CommitError::Exists),
            (_, None) => return Err(CommitError::Missing),
            (Change::Update(_, expected) | Change::Delete(expected), Some(old)) if old.revision() != expected => {
                return Err(CommitError::Stale);
            }
            (Change::Update(draft, _), Some(old)) => Step::Put(draft, Some(Arc::clone(old))),
            (Change::Delete(_), Some(old)) => Step::Remove(Arc::clone(old)),
        };
        let (kind, previous) = match &step {
            Step::Put(_, None) => (EventKind::Added, None),
            Step::Put(_, Some(old)) => (EventKind::Modified, Some(Arc::clone(old))),
            Step::Remove(old) => (EventKind::Deleted, Some(Arc::clone(old))),
        };
        let object = self.shared.next(|revision| {
            Arc::new(match step {
                Step::Put(draft, _) => draft.seal(revision),
                Step::Remove(old) => old.tombstone(revision),
            })
        });
        match kind {
            EventKind::Added => drop(state.objects.insert(key.to_owned(), Arc::clone(&object))),
            EventKind::Modified => {
                if let Some(slot) = state.objects.get_mut(key) {
                    *slot = Arc::clone(&object);
                }
            }
            EventKind::Deleted => drop(state.objects.remove(key)),
        }
        state.log.push(Arc::new(Event { kind, object: Arc::clone(&object), previous: previous.clone() }));
        drop(state);
        // Two commits may arrive here in the other order; the news never goes back.
        let revision = object.revision();
        self.news.send_if_modified(|seen| {
            let newer = revision > *seen;
            *seen = revision.max(*seen);
            newer
        });
        Ok(Committed { object, previous })
    }

    /// Lists objects.
    ///
    /// # Errors
    /// [`Expired`] when the asked revision is forgotten.
    pub fn list(&self, query: &Query<'_>) -> Result<Listing, Expired> {
        let state = self.read();
        let now = self.shared.revision();
        let Some(at) = query.at.filter(|at| *at < now) else {
            return Ok(select(&state.objects, query, now));
        };
        // Back to `at`: of each key that changed since, the state before its first change.
        let mut undo: HashMap<String, Option<Arc<Stored>>> = HashMap::new();
        let Some(events) = state.log.after(at) else {
            return Err(Expired { asked: at, floor: state.log.floor(), now });
        };
        for event in events {
            let meta = event.object.meta();
            undo.entry(key(&meta.namespace, &meta.name)).or_insert_with(|| event.previous.clone());
        }
        let mut then: BTreeMap<String, Arc<Stored>> =
            state.objects.iter().filter(|(k, _)| !undo.contains_key(*k)).map(|(k, v)| (k.clone(), Arc::clone(v))).collect();
        drop(state);
        then.extend(undo.into_iter().filter_map(|(k, v)| Some((k, v?))));
        Ok(select(&then, query, at))
    }

    /// The list of now and a watcher of everything after it, in one step.
    ///
    /// # Errors
    /// Never for a query of now; as [`Table::list`] otherwise.
    pub fn list_and_watch(self: &Arc<Self>, query: &Query<'_>) -> Result<(Listing, Watcher), Expired> {
        let listing = self.list(query)?;
        let watcher = Watcher::new(Arc::clone(self), listing.revision, self.news.subscribe());
        Ok((listing, watcher))
    }

    /// A watcher of what happens after `revision`.
    ///
    /// # Errors
    /// [`Expired`] when something after `revision` is forgotten.
    pub fn watch(self: &Arc<Self>, revision: u64) -> Result<Watcher, Expired> {
        // Subscribed first: what is committed from here on wakes the watcher.
        let news = self.news.subscribe();
        let state = self.read();
        if revision < state.log.floor() {
            return Err(Expired { asked: revision, floor: state.log.floor(), now: self.shared.revision() });
        }
        Ok(Watcher::new(Arc::clone(self), revision, news))
    }

    /// Events after `revision` (at most `max`) and the revision up to which they are complete.
    pub(crate) fn events(&self, revision: u64, max: usize) -> Result<(Vec<Arc<Event>>, u64), Expired> {
        let state = self.read();
        let now = self.shared.revision();
        let Some(events) = state.log.after(revision) else {
            return Err(Expired { asked: revision, floor: state.log.floor(), now });
        };
        let events: Vec<Arc<Event>> = events.take(max).cloned().collect();
        let complete = if events.len() == max { events.last().map_or(revision, |e| e.revision()) } else { now.max(revision) };
        Ok((events, complete))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that log and objects tell the same story; for tests and doctors.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let state = self.read();
        let Some(events) = state.log.after(state.log.floor()) else { return false };
        let mut last: HashMap<String, &Arc<Event>> = HashMap::new();
        let mut revision = state.log.floor();
        for event in events {
            if event.revision() <= revision {
                return false;
            }
            revision = event.revision();
            last.insert(key(&event.object.meta().namespace, &event.object.meta().name), event);
        }
        let newest = last.iter().all(|(k, event)| match state.objects.get(k) {
            Some(object) => event.kind != EventKind::Deleted && object.revision() == event.revision(),
            None => event.kind == EventKind::Deleted,
        });
        newest && state.objects.iter().all(|(k, v)| *k == key(&v.meta().namespace, &v.meta().name)) && revision <= self.shared.revision()
    }
}

/// A change whose precondition holds.
enum Step {
    Put(Draft, Option<Arc<Stored>>),
    Remove(Arc<Stored>),
}

/// Applies a query to the objects of one moment.
fn select(objects: &BTreeMap<String, Arc<Stored>>, query: &Query<'_>, revision: u64) -> Listing {
    // All keys of a namespace lie between `ns/` and `ns0` ('0' follows '/').
    let bounds = query.namespace.filter(|n| !n.is_empty()).map(|n| (format!("{n}/"), format!("{n}0")));
    let low = match (query.after, bounds.as_ref().map(|(low, _)| low.as_str())) {
        (Some(after), Some(low)) if after < low => Bound::Included(low),
        (Some(after), _) => Bound::Excluded(after),
        (None, Some(low)) => Bound::Included(low),
        (None, None) => Bound::Unbounded,
    };
    let high = bounds.as_ref().map_or(Bound::Unbounded, |(_, high)| Bound::Excluded(high.as_str()));
    if let (Bound::Included(l) | Bound::Excluded(l), Bound::Excluded(h)) = (low, high)
        && l >= h
    {
        return Listing { revision, ..Listing::default() };
    }
    let mut listing = Listing { revision, ..Listing::default() };
    let mut range = objects.range::<str, _>((low, high));
    for object in range.by_ref().map(|(_, object)| object) {
        if !query.filter.is_none_or(|f| f(object.meta())) {
            continue;
        }
        if query.limit.is_some_and(|limit| listing.items.len() == limit) {
            // One more would have fitted: the page ends at the one before.
            let rest = range.count();
            listing.remaining = rest + 1;
            listing.more = listing.items.last().map(|o| self::key(&o.meta().namespace, &o.meta().name));
            break;
        }
        listing.items.push(Arc::clone(object));
    }
    listing
}

#[cfg(test)]
mod tests;
