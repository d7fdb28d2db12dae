//! The choice of GPUs from the table. PURE: the generator comes in.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Value of an entry of `gpu-allocs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holder {
    #[serde(rename = "NodeName")]
    pub(super) node: String,
    #[serde(rename = "PodUID")]
    pub(super) pod_uid: String,
}

/// Why nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("failed to parse entry for node {node:?} of ConfigMap gpu-map: {why}")]
    Map { node: String, why: String },
    #[error("failed to parse entry for GPU {uuid:?} of ConfigMap gpu-allocs: {why}")]
    Allocs { uuid: String, why: String },
    #[error("this Pod's UID {0:?} is not among the Pods of the namespace")]
    NoSelf(String),
    #[error("fewer than {wanted} GPUs available ([{}]) for node {node:?}", .free.join(" "))]
    TooFew { wanted: usize, free: Vec<String>, node: String },
}

/// What is known when choosing.
pub(super) struct World<'a> {
    /// Data of `gpu-map`.
    pub(super) map: &'a BTreeMap<String, String>,
    /// Data of `gpu-allocs`.
    pub(super) allocs: &'a BTreeMap<String, String>,
    /// UIDs of the namespace's Pods, listed after the table was read: a Pod made in between whose entry is written already
    /// must not look dead.
    pub(super) pods: &'a HashSet<String>,
    pub(super) wish: &'a super::cluster::Wish,
}

/// What to take and the table that says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) uuids: Vec<String>,
    pub(super) allocs: BTreeMap<String, String>,
}

/// Chooses `wish.number` of the node's GPUs that nobody living holds.
pub(super) fn choose(world: &World<'_>, rng: &mut impl Rng) -> Result<Choice, Problem> {
    let wish = world.wish;
    let mut mine: BTreeSet<String> = BTreeSet::new();
    for (node, text) in world.map {
        let gpus: BTreeMap<String, u64> =
            serde_json::from_str(text).map_err(|e| Problem::Map { node: node.clone(), why: e.to_string() })?;
        if *node == wish.node {
            mine.extend(gpus.into_keys());
        }
    }
    if let Some(visible) = visible(wish.visible.as_deref()) {
        mine.retain(|uuid| visible.contains(uuid.as_str()));
    }
    if !world.pods.contains(&wish.pod_uid) {
        return Err(Problem::NoSelf(wish.pod_uid.clone()));
    }
    let mut allocs = BTreeMap::new();
    let (mut used, mut own) = (HashSet::new(), Vec::new());
    for (uuid, text) in world.allocs {
        let holder: Holder = serde_json::from_str(text).map_err(|e| Problem::Allocs { uuid: uuid.clone(), why: e.to_string() })?;
        if holder.node == wish.node {
            if holder.pod_uid == wish.pod_uid {
                // Ours from before a restart: given back now, and taken again if so wished.
                own.push(uuid.clone());
                continue;
            }
            if !world.pods.contains(&holder.pod_uid) {
                continue;
            }
            used.insert(uuid.as_str());
        }
        allocs.insert(uuid.clone(), text.clone());
    }
    let free: Vec<String> = mine.into_iter().filter(|uuid| !used.contains(uuid.as_str())).collect();
    if free.len() < wish.number {
        return Err(Problem::TooFew { wanted: wish.number, free, node: wish.node.clone() });
    }
    let mut uuids = free;
    uuids.shuffle(rng);
    if wish.sticky {
        uuids.sort_by_key(|uuid| !own.contains(uuid));
    }
    uuids.truncate(wish.number);
    let holder = Holder { node: wish.node.clone(), pod_uid: wish.pod_uid.clone() };
    for uuid in &uuids {
        // Two strings always serialise.
        allocs.insert(uuid.clone(), serde_json::to_string(&holder).unwrap_or_default());
    }
    Ok(Choice { uuids, allocs })
}

/// The UUIDs that the variable lets through; none for all.
fn visible(value: Option<&str>) -> Option<HashSet<&str>> {
    match value.map(str::trim) {
        None | Some("" | "all") => None,
        Some("void" | "none") => Some(HashSet::new()),
        Some(list) => Some(list.split(',').map(str::trim).filter(|e| !e.is_empty()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::cluster::Wish;
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn held(node: &str, uid: &str) -> String {
        format!(r#"{{"NodeName":"{node}","PodUID":"{uid}"}}"#)
    }

    fn wish(number: usize) -> Wish {
        Wish { node: "n1".into(), pod_uid: "me".into(), number, visible: None, sticky: false }
    }

    fn run(wish: &Wish, allocs: &[(&str, &str)], seed: u64) -> Result<Choice, Problem> {
        let gpus = map(&[("n1", r#"{"A":0,"B":1,"C":2}"#), ("n2", r#"{"D":0}"#)]);
        let pods = ["me", "other"].map(str::to_owned).into();
        choose(&World { map: &gpus, allocs: &map(allocs), pods: &pods, wish }, &mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn living_holders_keep_theirs_dead_ones_lose_theirs() {
        let (other, dead, elsewhere) = (held("n1", "other"), held("n1", "gone"), held("n2", "gone"));
        let table = [("A", other.as_str()), ("B", dead.as_str()), ("D", elsewhere.as_str())];
        let two = run(&wish(2), &table, 1).unwrap();
        assert_eq!(BTreeSet::from_iter(&two.uuids), BTreeSet::from([&"B".to_owned(), &"C".to_owned()]));
        assert_eq!(two.allocs["A"], other);
        assert_eq!(two.allocs["B"], held("n1", "me"));
        assert_eq!(two.allocs["D"], elsewhere, "other nodes are none of our business");
        let error = run(&wish(3), &table, 1).unwrap_err().to_string();
        assert_eq!(error, r#"fewer than 3 GPUs available ([B C]) for node "n1""#);
    }

    #[test]
    fn own_entries_of_before_a_restart_do_not_leak() {
        let me = held("n1", "me");
        let table = [("A", me.as_str()), ("B", me.as_str())];
        for seed in 0..20 {
            let one = run(&wish(1), &table, seed).unwrap();
            assert_eq!(one.allocs.len(), 1, "only what was chosen is held");
            let sticky = run(&Wish { sticky: true, ..wish(2) }, &table, seed).unwrap();
            assert_eq!(BTreeSet::from_iter(sticky.uuids), BTreeSet::from(["A".to_owned(), "B".to_owned()]));
        }
    }

    #[test]
    fn the_choice_is_random_and_repeatable() {
        let picks: BTreeSet<String> = (0..50).map(|seed| run(&wish(1), &[], seed).unwrap().uuids.remove(0)).collect();
        assert_eq!(picks.len(), 3);
        assert_eq!(run(&wish(2), &[], 7), run(&wish(2), &[], 7));
    }

    #[test]
    fn the_variable_filters() {
        let with = |v: &str| run(&Wish { visible: Some(v.to_owned()), ..wish(1) }, &[], 1);
        assert_eq!(with(" B , nope").unwrap().uuids, ["B"]);
        assert!(with("none").is_err() && with("void").is_err());
        assert!(with("all").is_ok() && with("").is_ok());
    }

    #[test]
    fn bad_tables_are_refused_even_for_other_nodes() {
        let pods = ["me".to_owned()].into();
        let (w, mut rng) = (wish(1), StdRng::seed_from_u64(1));
        let bad = map(&[("n1", r#"{"A":0}"#), ("n9", "x")]);
        assert!(
            matches!(choose(&World { map: &bad, allocs: &map(&[]), pods: &pods, wish: &w }, &mut rng), Err(Problem::Map { node, .. }) if node == "n9")
        );
        let good = map(&[("n1", r#"{"A":0}"#)]);
        let extra = map(&[("Z", r#"{"NodeName":"n2","PodUID":"x","more":1}"#)]);
        assert!(matches!(choose(&World { map: &good, allocs: &extra, pods: &pods, wish: &w }, &mut rng), Err(Problem::Allocs { .. })));
        assert!(matches!(
            choose(&World { map: &good, allocs: &map(&[]), pods: &HashSet::new(), wish: &w }, &mut rng),
            Err(Problem::NoSelf(_))
        ));
    }
}
