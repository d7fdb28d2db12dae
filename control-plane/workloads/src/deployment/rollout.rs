//! PURE: how many replicas each set of a Deployment is to have next.
//!
//! Two ways: [`rollout`] moves replicas from old sets to the new one, within the bounds of the strategy; [`scale`] shares a
//! changed total among the sets as they are, also while the Deployment is paused. Both follow kube-controller-manager.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DeploymentSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What the decisions know of one ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetFacts {
    pub(super) name: String,
    /// Replicas it is asked for.
    pub(super) wanted: i32,
    /// Pods it has, those that are ending included.
    pub(super) actual: i32,
    pub(super) available: i32,
    /// Runs the current template.
    pub(super) new: bool,
    /// Annotation `desired-replicas`: the Deployment's replicas when it was scaled last.
    pub(super) desired: Option<i32>,
    /// Annotation `max-replicas`: those with the surge.
    pub(super) most: Option<i32>,
}

/// How a Deployment replaces Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Recreate,
    Rolling { surge: i32, unavailable: i32 },
}

impl Strategy {
    pub(super) fn of(spec: &DeploymentSpec) -> Self {
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
            return Self::Recreate;
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let wanted = spec.replicas.unwrap_or(1);
        let surge = portion(rolling.and_then(|r| r.max_surge.as_ref()), wanted, true);
        let unavailable = portion(rolling.and_then(|r| r.max_unavailable.as_ref()), wanted, false);
        // Both nought would never move.
        Self::Rolling { surge, unavailable: if surge == 0 && unavailable == 0 { 1 } else { unavailable } }
    }

    /// Pods beyond the wanted number that there may be for a time.
    pub(super) fn surge(self) -> i32 {
        if let Self::Rolling { surge, .. } = self { surge } else { 0 }
    }

    /// Of `wanted`, the Pods that may be missing while the Deployment counts as available.
    pub(super) fn unavailable(self, wanted: i32) -> i32 {
        if let Self::Rolling { unavailable, .. } = self { unavailable.min(wanted) } else { 0 }
    }
}

/// A number or a percentage of `total`; absent means 25 %.
fn portion(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    let percent = |p: i64| {
        let n = i64::from(total).saturating_mul(p);
        i32::try_from(if up { n.saturating_add(99) / 100 } else { n / 100 }).unwrap_or(i32::MAX)
    };
    match value {
        Some(IntOrString::Int(n)) => (*n).max(0),
        Some(IntOrString::String(s)) => s.trim_end_matches('%').parse().map_or(0, percent),
        None => percent(25),
    }
}

/// Replicas that sets are to ask for, by name; those not named stay as they are.
pub(super) type Next = BTreeMap<String, i32>;

/// What a new set is to begin with beside these, which come oldest first; `None`: not yet.
pub(super) fn first_replicas(wanted: i32, strategy: Strategy, old: &[SetFacts]) -> Option<i32> {
    match strategy {
        // All that was is gone before something new begins.
        Strategy::Recreate => old.iter().all(|s| s.wanted == 0 && s.actual == 0).then_some(wanted),
        Strategy::Rolling { surge, .. } => {
            let total: i32 = old.iter().map(|s| s.wanted).sum();
            Some((wanted + surge - total).clamp(0, wanted))
        }
    }
}

/// The next step of a roll-out. Old sets come oldest first.
pub(super) fn rollout(wanted: i32, strategy: Strategy, sets: &[SetFacts]) -> Next {
    let mut next = Next::new();
    let old: Vec<&SetFacts> = sets.iter().filter(|s| !s.new).collect();
    let new = sets.iter().find(|s| s.new);
    match (strategy, new) {
        (Strategy::Recreate, new) => {
            for set in old.iter().filter(|s| s.wanted > 0) {
                next.insert(set.name.clone(), 0);
            }
            if let Some(new) = new
                && old.iter().all(|s| s.actual == 0 && s.wanted == 0)
                && new.wanted != wanted
            {
                next.insert(new.name.clone(), wanted);
            }
        }
        (Strategy::Rolling { .. }, None) => {}
        (Strategy::Rolling { surge, unavailable }, Some(new)) => {
            let total: i32 = sets.iter().map(|s| s.wanted).sum();
            let mut new_wanted = new.wanted;
            if new.wanted > wanted {
                new_wanted = wanted;
            } else if new.wanted < wanted {
                new_wanted += (wanted + surge - total).max(0).min(wanted - new.wanted);
            }
            if new_wanted != new.wanted {
                next.insert(new.name.clone(), new_wanted);
            }
            // What may go: everything above the least that must be available, Pods of the new set that are not up yet counted as needed.
            let new_missing = (new.wanted - new.available).max(0);
            let mut may_go = (total - (wanted - unavailable) - new_missing).max(0);
            // Pods that are not available serve nobody: they go first and cost nothing.
            for set in &old {
                let sick = (set.wanted - set.available).max(0).min(may_go).min(set.wanted);
                if sick > 0 {
                    next.insert(set.name.clone(), set.wanted - sick);
                    may_go -= sick;
                }
            }
            let available: i32 = sets.iter().map(|s| s.available).sum();
            let mut spare = (available - (wanted - unavailable)).max(0).min(may_go);
            for set in &old {
                let left = next.get(&set.name).copied().unwrap_or(set.wanted);
                let go = left.min(spare);
                if go > 0 {
                    next.insert(set.name.clone(), left - go);
                    spare -= go;
                }
            }
        }
    }
    next
}

/// Whether the total was changed since a set with Pods was scaled last: then it is shared out before anything rolls on.
pub(super) fn was_scaled(wanted: i32, sets: &[SetFacts]) -> bool {
    sets.iter().filter(|s| s.wanted > 0).any(|s| s.desired.is_some_and(|desired| desired != wanted))
}

/// Shares `wanted` among the sets as they are; `known` is how many Pods the status had. Sets come oldest first.
///
/// A set whose number stays is named all the same when it takes part: its annotations are to say the new total.
pub(super) fn scale(wanted: i32, strategy: Strategy, sets: &[SetFacts], known: i32) -> Next {
    let active: Vec<&SetFacts> = sets.iter().filter(|s| s.wanted > 0).collect();
    let new = sets.iter().find(|s| s.new);
    let only = match active[..] {
        [] => new.or(sets.last()),
        [one] => Some(one),
        _ => None,
    };
    if let Some(set) = only {
        let told = set.wanted == wanted && set.desired.is_none_or(|desired| desired == wanted);
        return if told { Next::new() } else { [(set.name.clone(), wanted)].into() };
    }
    if new.is_some_and(|new| new.wanted == wanted && new.desired == Some(wanted) && new.available == wanted) {
        return active.iter().filter(|s| !s.new).map(|s| (s.name.clone(), 0)).collect();
    }
    let Strategy::Rolling { surge, .. } = strategy else { return Next::new() };
    let allowed = if wanted > 0 { wanted + surge } else { 0 };
    let to_add = allowed - active.iter().map(|s| s.wanted).sum::<i32>();
    let mut ranked: Vec<(usize, &SetFacts)> = active.iter().copied().enumerate().collect();
    // The largest first; of equals the newer gets more and the older loses more.
    let age = |place: usize| if to_add > 0 { Reverse(place) } else { Reverse(usize::MAX - place) };
    ranked.sort_by_key(|(place, set)| (Reverse(set.wanted), age(*place)));
    let mut added = 0;
    let mut next: Vec<(&SetFacts, i32)> = Vec::new();
    for (_, set) in ranked {
        let left = to_add - added;
        let share = share(set, wanted, allowed, known);
        let share = if to_add == 0 || left == 0 {
            0
        } else if to_add > 0 {
            share.min(left)
        } else {
            share.max(left)
        };
        added += share;
        next.push((set, set.wanted + share));
    }
    if let Some((_, largest)) = next.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    next.into_iter().map(|(set, n)| (set.name.clone(), n)).collect()
}

/// What a set gains or loses when the most that there may be grows or shrinks in proportion.
fn share(set: &SetFacts, wanted: i32, allowed: i32, known: i32) -> i32 {
    if wanted == 0 {
        return -set.wanted;
    }
    let before = set.most.filter(|most| *most > 0).unwrap_or(known);
    if before == 0 {
        return 0;
    }
    let size = f64::from(set.wanted) * f64::from(allowed) / f64::from(before);
    #[allow(clippy::cast_possible_truncation, reason = "bounded by the total of replicas")]
    let size = size.round() as i32;
    size - set.wanted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Strategy;
    use super::*;

    fn set(name: &str, wanted: i32, available: i32, new: bool) -> SetFacts {
        SetFacts { name: name.into(), wanted, actual: wanted, available, new, desired: None, most: None }
    }

    fn scaled(name: &str, wanted: i32, new: bool, desired: i32, most: i32) -> SetFacts {
        SetFacts { desired: Some(desired), most: Some(most), ..set(name, wanted, wanted, new) }
    }

    fn next(pairs: &[(&str, i32)]) -> Next {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    #[test]
    fn recreate_waits_for_the_old_pods_to_be_gone() {
        assert_eq!(rollout(2, Strategy::Recreate, &[set("old", 2, 2, false)]), next(&[("old", 0)]));
        let mut leaving = set("old", 0, 0, false);
        leaving.actual = 1;
        assert!(rollout(2, Strategy::Recreate, &[leaving.clone(), set("new", 0, 0, true)]).is_empty());
        assert_eq!(first_replicas(2, Strategy::Recreate, &[leaving]), None);
        assert_eq!(first_replicas(2, Strategy::Recreate, &[set("old", 0, 0, false)]), Some(2));
        assert_eq!(rollout(2, Strategy::Recreate, &[set("old", 0, 0, false), set("new", 0, 0, true)]), next(&[("new", 2)]));
    }

    #[test]
    fn percentages_round_up_for_surge_and_down_for_unavailable() {
        let percent = Some(IntOrString::String("25%".into()));
        assert_eq!((portion(percent.as_ref(), 5, true), portion(percent.as_ref(), 5, false), portion(None, 1, true)), (2, 1, 1));
    }

    /// The example of the Kubernetes page on Deployments: 10 replicas, maxSurge 3, maxUnavailable 2, scaled to 15 in a roll-out.
    #[test]
    fn scaling_in_a_rollout_is_proportional() {
        let rolling = Strategy::Rolling { surge: 3, unavailable: 2 };
        let sets = [scaled("old", 8, false, 10, 13), scaled("new", 5, true, 10, 13)];
        assert!(was_scaled(15, &sets) && !was_scaled(10, &sets));
        assert_eq!(scale(15, rolling, &sets, 13), next(&[("old", 11), ("new", 7)]));
        assert_eq!(scale(5, rolling, &sets, 13), next(&[("old", 5), ("new", 3)]));
        assert_eq!(scale(0, rolling, &sets, 13), next(&[("old", 0), ("new", 0)]));
    }

    #[test]
    fn one_set_takes_all_and_a_full_new_one_ends_the_old() {
        let rolling = Strategy::Rolling { surge: 1, unavailable: 0 };
        assert_eq!(scale(5, rolling, &[scaled("a", 2, true, 2, 3)], 2), next(&[("a", 5)]));
        assert_eq!(scale(3, rolling, &[set("a", 0, 0, false), set("b", 0, 0, false)], 0), next(&[("b", 3)]));
        assert_eq!(scale(2, rolling, &[scaled("old", 1, false, 2, 3), scaled("new", 2, true, 2, 3)], 3), next(&[("old", 0)]));
    }

    proptest! {
        /// What is shared out is exactly what there may be, and nobody gets less than nothing.
        #[test]
        fn shares_add_up(wanted in 1_i32..30, surge in 0_i32..5, sizes in prop::collection::vec(1_i32..20, 2..5), most in 1_i32..60) {
            let sets: Vec<SetFacts> = sizes.iter().enumerate().map(|(i, n)| SetFacts {
                available: 0, ..scaled(&format!("s{i}"), *n, i + 1 == sizes.len(), 999, most)
            }).collect();
            let next = scale(wanted, Strategy::Rolling { surge, unavailable: 1 }, &sets, 0);
            prop_assert_eq!(next.len(), sets.len());
            prop_assert!(next.values().all(|n| *n >= 0));
            let total: i32 = next.values().sum();
            prop_assert!(total >= wanted + surge && (total == wanted + surge || next.values().any(|n| *n == 0)));
        }

        /// Whatever the start, a rollout ends with all Pods new, and on the way neither bound is crossed.
        #[test]
        fn a_rollout_ends_and_keeps_its_bounds(wanted in 0_i32..12, surge in 0_i32..4, unavailable in 0_i32..4, old in 0_i32..12) {
            prop_assume!(surge + unavailable > 0);
            let strategy = Strategy::Rolling { surge, unavailable };
            let mut sets = vec![set("old", old.min(wanted), old.min(wanted), false), set("new", 0, 0, true)];
            for _ in 0..100 {
                let next = rollout(wanted, strategy, &sets);
                if next.is_empty() && sets.iter().all(|s| s.available == s.wanted) {
                    break;
                }
                for s in &mut sets {
                    if let Some(n) = next.get(&s.name) {
                        s.wanted = *n;
                        s.available = s.available.min(*n);
                    }
                }
                let total: i32 = sets.iter().map(|s| s.wanted).sum();
                let available: i32 = sets.iter().map(|s| s.available).sum();
                prop_assert!(total <= wanted + surge);
                prop_assert!(available >= (wanted - unavailable).min(old.min(wanted)));
                // One new Pod becomes available at a time.
                if let Some(s) = sets.iter_mut().find(|s| s.available < s.wanted) {
                    s.available += 1;
                }
            }
            prop_assert_eq!((sets[0].wanted, sets[1].wanted), (0, wanted));
        }
    }
}
