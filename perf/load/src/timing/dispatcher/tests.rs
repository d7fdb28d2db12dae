//! Phases played under virtual time, against a server that takes as long as it is told.

use super::*;
use crate::arrivals::Pattern;
use crate::timing::{Planned, SECOND, Stop};

const MS: u64 = 1_000_000;

/// What left: when, intended, of which session and turn.
type Sent = (u64, u64, usize, u32);

/// Plays a phase to its end; sessions have so many turns and think so long between them.
fn play(plan: PhasePlan, latency: impl Fn(u64) -> u64, turns: u32, think: u64) -> (Vec<Sent>, Dispatcher) {
    let mut dispatcher = Dispatcher::new(plan, 0, Seed(1));
    let (mut now, mut sent, mut sessions) = (0, Vec::new(), Vec::new());
    let mut flying: BTreeMap<(u64, usize), (SessionId, u32)> = BTreeMap::new();
    loop {
        let next = dispatcher.next(now);
        let (session, turn, intended) = match next {
            Next::Start { intended, due, turns: most, .. } => {
                assert!(intended <= due && due <= now, "{next:?} at {now}");
                sessions.push((0, most.unwrap_or(turns).min(turns)));
                (sessions.len() - 1, 0, intended)
            }
            Next::Continue { session, intended, due } => {
                assert!(intended <= due && due <= now, "{next:?} at {now}");
                (session, sessions[session].0, intended)
            }
            Next::Over => return (sent, dispatcher),
            Next::Wait(until) => {
                let back = flying.first_key_value().map(|((at, _), _)| *at);
                now = until.into_iter().chain(back).min().expect("something to wait for").max(now);
                while let Some(first) = flying.first_entry().filter(|first| first.key().0 <= now) {
                    let at = first.key().0;
                    let (session, turn) = first.remove();
                    let next = (turn + 1 < sessions[session].1).then_some(at + think);
                    dispatcher.returned(Returned { session, at, had_token: false, next });
                }
                continue;
            }
        };
        sessions[session].0 = turn + 1;
        flying.insert((now + latency(sent.len() as u64), sent.len()), (session, turn));
        sent.push((now, intended, session, turn));
    }
}

fn most_at_once(sent: &[Sent], latency: u64) -> usize {
    sent.iter().map(|(at, ..)| sent.iter().filter(|(other, ..)| other <= at && at - other < latency).count()).max().unwrap_or(0)
}

fn constant(rate: f64) -> Load {
    Load::Open { rate: Rate::constant(rate).unwrap(), pattern: Pattern::Constant }
}

#[test]
fn a_closed_loop_keeps_its_places_full() {
    let stop = Stop { requests: Some(40), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(4), stop, ..PhasePlan::new("p", Load::Closed) };
    let (sent, dispatcher) = play(plan, |_| 10 * MS, 1, 0);
    assert_eq!((sent.len(), dispatcher.sent(), dispatcher.missed()), (40, 40, 0));
    // All of the first at once, and each of the others as one comes back.
    assert!(sent.iter().enumerate().all(|(i, (at, ..))| *at == i as u64 / 4 * 10 * MS));
}

/// Case 22: 20 a second offered, two places of 200 ms.
#[test]
fn ticks_without_a_place_are_kept_and_counted() {
    let stop = Stop { requests: Some(40), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(2), stop, ..PhasePlan::new("p", constant(20.0)) };
    let (sent, dispatcher) = play(plan.clone(), |_| 200 * MS, 1, 0);
    assert_eq!((sent.len(), dispatcher.missed(), most_at_once(&sent, 200 * MS)), (40, 38, 2));
    assert!(sent.iter().enumerate().all(|(i, (_, intended, ..))| *intended == (i as u64 + 1) * 50 * MS));
    assert_eq!(sent[39].0, 50 * MS + 19 * 200 * MS + 50 * MS);
    // The peer throws them away.
    let (sent, dispatcher) = play(PhasePlan { drop_late: Some(10 * MS), ..plan }, |_| 200 * MS, 1, 0);
    assert!(sent.iter().all(|(at, intended, ..)| at - intended <= 10 * MS) && dispatcher.missed() > 30);
}

/// Case 23: every turn takes a tick, and turns of running sessions go first.
#[test]
fn the_rate_counts_turns() {
    let stop = Stop { sessions: Some(4), ..Stop::default() };
    let (sent, _) = play(PhasePlan { stop, ..PhasePlan::new("p", constant(10.0)) }, |_| 5 * MS, 5, 0);
    assert_eq!(sent.len(), 20);
    assert!(sent.iter().enumerate().all(|(i, (at, ..))| *at == (i as u64 + 1) * 100 * MS));
    assert_eq!(sent.iter().map(|s| s.2).collect::<Vec<_>>(), [[0; 5], [1; 5], [2; 5], [3; 5]].concat());
}

/// Case 25: one to ten in three seconds.
#[test]
fn a_ramp_lets_one_more_in_at_a_time() {
    let stop = Stop { duration: Some(5 * SECOND), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(10), concurrency_ramp: Some(3 * SECOND), stop, ..PhasePlan::new("p", Load::Closed) };
    let (sent, _) = play(plan, |_| 200 * MS, 1, 0);
    let before = |t: u64| sent.iter().copied().filter(|(at, ..)| *at <= t).collect::<Vec<_>>();
    assert_eq!(most_at_once(&before(800 * MS), 200 * MS), 3);
    assert_eq!(most_at_once(&sent, 200 * MS), 10);
    assert!((170..=182).contains(&sent.len()), "{}", sent.len());
    assert!(sent.iter().all(|(at, ..)| *at < 5 * SECOND));
}

#[test]
fn a_schedule_waits_for_no_answer_but_its_own() {
    let at = |ms: u64| Planned { at: ms * MS, ..Planned::default() };
    let plan = PhasePlan::new("p", Load::Schedule([at(0), at(250), at(250), at(900)].into()));
    let (sent, dispatcher) = play(plan.clone(), |_| 300 * MS, 2, 10 * MS);
    assert_eq!(sent.iter().map(|s| s.0 / MS).collect::<Vec<_>>(), [0, 250, 250, 310, 560, 560, 900, 1210]);
    assert_eq!(dispatcher.missed(), 0);
    // With a place for one, what could not leave is late, and counted.
    let (sent, dispatcher) = play(PhasePlan { concurrency: Some(1), ..plan }, |_| 300 * MS, 1, 0);
    assert_eq!(sent.iter().map(|s| (s.0 / MS, s.1 / MS)).collect::<Vec<_>>(), [(0, 0), (300, 250), (600, 250), (900, 900)]);
    assert_eq!(dispatcher.missed(), 2);
}

#[test]
fn users_keep_their_rate_and_never_overlap_themselves() {
    let stop = Stop { duration: Some(60 * SECOND), ..Stop::default() };
    let load = Load::Users { users: 8, rate: 4.0, turns: 20.0 };
    let (sent, _) = play(PhasePlan { stop, ..PhasePlan::new("p", load) }, |_| 30 * MS, 20, 1970 * MS);
    let per_second = sent.len() as f64 / 60.0;
    assert!((3.8..=4.2).contains(&per_second), "{per_second}");
}

#[test]
fn nothing_leaves_behind_the_end_and_it_ends_when_all_is_back() {
    let stop = Stop { duration: Some(100 * MS), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(2), stop, grace: Some(50 * MS), ..PhasePlan::new("p", Load::Closed) };
    let mut dispatcher = Dispatcher::new(plan, 1000, Seed(1));
    assert_eq!(dispatcher.last_moment(), Some(1000 + 150 * MS));
    assert!(matches!(dispatcher.next(1000), Next::Start { intended: 1000, .. }));
    assert!(matches!(dispatcher.next(1000), Next::Start { .. }));
    assert_eq!(dispatcher.next(1000), Next::Wait(Some(1000 + 100 * MS)));
    dispatcher.returned(Returned { session: 0, at: 1000 + 99 * MS, had_token: true, next: Some(1000 + 99 * MS) });
    assert_eq!(dispatcher.next(1000 + 100 * MS), Next::Wait(None));
    dispatcher.returned(Returned { session: 1, at: 1000 + 120 * MS, had_token: true, next: None });
    assert_eq!(dispatcher.next(1000 + 120 * MS), Next::Over);
}

#[test]
fn a_place_for_the_first_token_is_free_with_it() {
    let plan = PhasePlan { concurrency: Some(4), prefill: Some(1), ..PhasePlan::new("p", Load::Closed) };
    let mut dispatcher = Dispatcher::new(plan, 0, Seed(1));
    assert!(matches!(dispatcher.next(0), Next::Start { .. }));
    assert_eq!(dispatcher.next(0), Next::Wait(None));
    dispatcher.first_token(5);
    assert_eq!(dispatcher.next(5), Next::Start { intended: 5, due: 5, turns: None, user: None });
    assert_eq!(dispatcher.next(5), Next::Wait(None));
    dispatcher.returned(Returned { session: 0, at: 9, had_token: true, next: None });
    assert_eq!(dispatcher.next(9), Next::Wait(None), "the second one's token has not come");
    dispatcher.returned(Returned { session: 1, at: 10, had_token: false, next: None });
    assert!(matches!(dispatcher.next(10), Next::Start { .. }));
}
