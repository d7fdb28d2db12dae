use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::object::tests::draft;
use crate::{Options, Store};

fn names(listing: &Listing) -> Vec<String> {
    listing.items.iter().map(|o| key(&o.meta().namespace, &o.meta().name)).collect()
}

fn filled(names: &[(&str, &str)]) -> (Store, Arc<Table>) {
    filled_with(Options::default(), names)
}

fn filled_with(options: Options, names: &[(&str, &str)]) -> (Store, Arc<Table>) {
    let store = Store::new(options);
    let table = store.table("t");
    for (namespace, name) in names {
        table.commit(&key(namespace, name), Change::Create(draft(namespace, name, "0"))).unwrap();
    }
    (store, table)
}

#[test]
fn preconditions_hold_or_nothing_happens() {
    let (store, table) = filled(&[("n", "a")]);
    let before = store.revision();
    assert!(matches!(table.commit("n/a", Change::Create(draft("n", "a", "1"))), Err(CommitError::Exists)));
    assert!(matches!(table.commit("n/b", Change::Delete(1)), Err(CommitError::Missing)));
    assert!(matches!(table.commit("n/a", Change::Update(draft("n", "a", "1"), before - 1)), Err(CommitError::Stale)));
    assert_eq!(store.revision(), before);
    let done = table.commit("n/a", Change::Update(draft("n", "a", "1"), before)).unwrap();
    assert_eq!((done.object.revision(), done.previous.map(|p| p.revision())), (before + 1, Some(before)));
}

#[test]
fn namespaces_do_not_leak_into_each_other() {
    let (_, table) = filled(&[("a", "x"), ("a-b", "x"), ("a.b", "y"), ("b", "x"), ("a", "y")]);
    let list = |namespace| names(&table.list(&Query { namespace: Some(namespace), ..Query::default() }).unwrap());
    assert_eq!(list("a"), ["a/x", "a/y"]);
    assert_eq!(list("a-b"), ["a-b/x"]);
    assert_eq!(list("none"), Vec::<String>::new());
    assert_eq!(names(&table.list(&Query::default()).unwrap()).len(), 5);
    let query = Query { namespace: Some("a"), after: Some("b/x"), ..Query::default() };
    assert!(table.list(&query).unwrap().items.is_empty());
}

#[test]
fn pages_follow_each_other_at_one_revision() {
    let four = [("n", "a"), ("n", "b"), ("n", "c"), ("n", "d")];
    let (_, table) = filled_with(Options { log_events: 2, ..Options::default() }, &four);
    let first = table.list(&Query { limit: Some(2), ..Query::default() }).unwrap();
    assert_eq!((names(&first), first.more.as_deref(), first.remaining), (vec!["n/a".into(), "n/b".into()], Some("n/b"), 2));
    let c = table.get("n/c").unwrap();
    table.commit("n/c", Change::Delete(c.revision())).unwrap();
    table.commit("n/e", Change::Create(draft("n", "e", "0"))).unwrap();
    let second = table.list(&Query { limit: Some(2), after: first.more.as_deref(), at: Some(first.revision), ..Query::default() }).unwrap();
    assert_eq!((names(&second), second.more, second.revision), (vec!["n/c".into(), "n/d".into()], None, first.revision));
    table.commit("n/f", Change::Create(draft("n", "f", "0"))).unwrap();
    assert!(table.list(&Query { at: Some(first.revision), ..Query::default() }).is_err());
}

#[tokio::test]
async fn a_watcher_sees_every_commit_once_and_slow_ones_expire() {
    let store = Store::new(Options { log_events: 3, log_bytes: 1 << 20 });
    let table = store.table("t");
    let mut fast = table.watch(store.revision()).unwrap();
    let mut slow = table.watch(store.revision()).unwrap();
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(fast.next().await.unwrap().events.iter().map(|e| e.revision()));
        }
        seen
    });
    let first = store.revision() + 1;
    for i in 0..5 {
        table.commit(&format!("o{i}"), Change::Create(draft("", &format!("o{i}"), "0"))).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.await.unwrap(), (first..first + 5).collect::<Vec<_>>());
    let expired = slow.next().await.unwrap_err();
    assert_eq!((expired.asked, expired.floor), (first - 1, first + 1));
    assert!(table.watch(1).is_err());
}

#[test]
fn a_large_object_does_not_empty_the_log_for_ever() {
    let store = Store::new(Options { log_events: 100, log_bytes: 10 });
    let table = store.table("t");
    table.commit("a", Change::Create(draft("", "a", &"x".repeat(100)))).unwrap();
    assert!(table.watch(store.revision() - 1).is_ok());
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8),
    Remove(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![2 => (0_u8..6).prop_map(Act::Put), 1 => (0_u8..6).prop_map(Act::Remove)]
}

proptest! {
    /// Against a model that keeps every state: past lists are the past, replayed events lead to the present.
    #[test]
    fn history_is_true(acts in proptest::collection::vec(act(), 1..60), limit in 1_usize..20) {
        let store = Store::new(Options { log_events: limit, log_bytes: 1 << 20 });
        let table = store.table("t");
        let mut states: Vec<(u64, BTreeMap<String, u64>)> = vec![(store.revision(), BTreeMap::new())];
        for act in acts {
            let mut now = states.last().unwrap().1.clone();
            let revision = store.revision() + 1;
            match act {
                Act::Put(n) => {
                    let name = format!("o{n}");
                    let change = match now.get(&name) {
                        Some(at) => Change::Update(draft("", &name, "c"), *at),
                        None => Change::Create(draft("", &name, "c")),
                    };
                    table.commit(&name, change).unwrap();
                    now.insert(name, revision);
                }
                Act::Remove(n) => {
                    let name = format!("o{n}");
                    let Some(at) = now.remove(&name) else { continue };
                    table.commit(&name, Change::Delete(at)).unwrap();
                }
            }
            states.push((revision, now));
            prop_assert!(table.is_consistent());
        }
        let present = states.last().unwrap().1.clone();
        for (revision, state) in &states {
            let Ok(listing) = table.list(&Query { at: Some(*revision), ..Query::default() }) else {
                prop_assert!(table.watch(*revision).is_err());
                continue;
            };
            let listed: BTreeMap<String, u64> = listing.items.iter().map(|o| (o.meta().name.to_string(), o.revision())).collect();
            prop_assert_eq!(&listed, state);
            let mut replayed = listed;
            for event in table.watch(*revision).unwrap().poll_now().unwrap().events {
                let name = event.object.meta().name.to_string();
                match event.kind {
                    EventKind::Deleted => prop_assert!(replayed.remove(&name).is_some()),
                    EventKind::Added => prop_assert!(replayed.insert(name, event.revision()).is_none()),
                    EventKind::Modified => prop_assert!(replayed.insert(name, event.revision()).is_some()),
                }
            }
            prop_assert_eq!(&replayed, &present);
        }
    }
}
