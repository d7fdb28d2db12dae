//! Examples of each rule, and a model: several candidates over one lease, with answers that are late or lost, processes that
//! are stopped, in any order; at no time may two begin calls.

use std::convert::Infallible;
use std::time::Duration;

use dormouse_runtime::monotonic::BootClock;
use dormouse_runtime::{CancellationToken, clock};
use jiff::Timestamp;
use kube::client::Body;
use proptest::prelude::*;

use super::candidate::{Action, Candidate, News, Now, Record};
use super::{Campaign, Ended, Timing};
use crate::JsonClient;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(boot: Duration) -> Now {
    let wall = Timestamp::from_second(1_000).unwrap() + jiff::SignedDuration::try_from(boot).unwrap();
    Now { boot, wall }
}

fn candidate(name: &str) -> Candidate {
    Candidate::new(name.into(), Timing::default())
}

fn stored(record: Record, version: u64) -> Record {
    Record { version: version.to_string(), ..record }
}

fn written(action: Action) -> Record {
    let Action::Write(record) = action else { panic!("{action:?}") };
    record
}

/// A leader whose record has the version 1, confirmed at 0 s.
fn leader(name: &str) -> (Candidate, Record) {
    let mut c = candidate(name);
    assert_eq!(c.step(News::Woke, at(s(0))), Action::Read);
    let record = stored(written(c.step(News::Read(None), at(s(0)))), 1);
    assert_eq!(c.step(News::Written(record.clone()), at(s(1))), Action::Wait(s(2)));
    (c, record)
}

#[test]
fn the_first_makes_the_lease_and_renews_it() {
    let (mut c, record) = leader("a");
    assert_eq!((record.holder.as_str(), record.transitions, record.duration), ("a", 0, s(15)));
    assert_eq!(c.leads_until(), Some(s(10)), "counted from before it was sent");
    let renewal = written(c.step(News::Woke, at(s(3))));
    assert_eq!((renewal.version.as_str(), renewal.transitions, renewal.acquired), ("1", 0, record.acquired));
    assert_eq!(renewal.renewed, Some(at(s(3)).wall));
    c.step(News::Written(stored(renewal, 2)), at(s(4)));
    assert_eq!(c.leads_until(), Some(s(13)));
}

#[test]
fn another_waits_the_duration_from_when_it_saw_a_renewal() {
    let (_, record) = leader("a");
    let mut b = candidate("b");
    assert!(matches!(b.step(News::Read(Some(record.clone())), at(s(100))), Action::Wait(_)));
    assert!(matches!(b.step(News::Read(Some(record.clone())), at(s(114))), Action::Wait(_)));
    let renewed = stored(record.clone(), 2);
    assert!(matches!(b.step(News::Read(Some(renewed.clone())), at(s(115))), Action::Wait(_)), "it was renewed");
    let mine = written(b.step(News::Read(Some(renewed)), at(s(130))));
    assert_eq!((mine.holder.as_str(), mine.transitions, mine.version.as_str()), ("b", 1, "2"));
    assert_ne!(mine.acquired, record.acquired);
    assert_eq!(b.leads_until(), None, "asked for is not had");
}

#[test]
fn a_leader_stops_at_the_deadline_whatever_the_news() {
    for news in [News::Woke, News::Failed, News::Refused, News::Written(leader("a").1)] {
        let (mut c, _) = leader("a");
        assert_eq!(c.step(news, at(s(10))), Action::Stop);
        assert_eq!((c.leads_until(), c.release(at(s(10)))), (None, None));
    }
    let (mut c, _) = leader("a");
    assert_eq!(c.step(News::Failed, at(s(9))), Action::Wait(s(1)), "it waits no longer than that");
}

#[test]
fn an_answer_that_comes_after_its_own_deadline_confirms_nothing() {
    let mut c = candidate("a");
    let record = stored(written(c.step(News::Read(None), at(s(0)))), 1);
    assert!(matches!(c.step(News::Written(record.clone()), at(s(10))), Action::Wait(_)), "it goes on waiting");
    assert_eq!((c.leads_until(), c.release(at(s(10)))), (None, None));
    // What it has without knowing it need not be waited for.
    assert_eq!(c.step(News::Woke, at(s(12))), Action::Read);
    let renewal = written(c.step(News::Read(Some(record)), at(s(12))));
    assert_eq!((renewal.holder.as_str(), renewal.version.as_str(), renewal.transitions), ("a", "1", 0));
    c.step(News::Written(stored(renewal, 2)), at(s(13)));
    assert_eq!(c.leads_until(), Some(s(22)));
}

#[test]
fn a_leader_that_was_overtaken_stops_and_one_that_overtook_itself_goes_on() {
    let (mut c, record) = leader("a");
    assert_eq!(c.step(News::Refused, at(s(3))), Action::Read);
    // An earlier renewal of its own, whose answer was lost.
    let renewal = written(c.step(News::Read(Some(stored(record.clone(), 2))), at(s(3))));
    assert_eq!((renewal.version.as_str(), renewal.transitions), ("2", 0));
    let foreign = Record { holder: "b".into(), ..stored(record, 3) };
    assert_eq!(c.step(News::Read(Some(foreign)), at(s(4))), Action::Stop);
}

#[test]
fn a_lease_that_was_released_is_free_at_once() {
    let (mut c, _) = leader("a");
    let free = c.release(at(s(5))).unwrap();
    assert_eq!((free.holder.as_str(), free.version.as_str(), c.leads_until()), ("", "1", None));
    let mine = written(candidate("b").step(News::Read(Some(stored(free, 2))), at(s(6))));
    assert_eq!((mine.holder.as_str(), mine.transitions), ("b", 1));
}

#[test]
fn who_comes_back_under_its_own_name_need_not_wait() {
    let (_, record) = leader("pod-uid");
    let mine = written(candidate("pod-uid").step(News::Read(Some(record.clone())), at(s(2))));
    assert_eq!((mine.transitions, mine.acquired), (0, record.acquired));
}

#[tokio::test]
async fn a_lease_that_nobody_keeps_is_lost() {
    dormouse_runtime::tls::install_provider();
    let silent = tower::service_fn(|_: http::Request<Body>| std::future::pending::<Result<http::Response<Body>, Infallible>>());
    let client = JsonClient::from(kube::Client::new(silent, "ns"));
    let campaign = Campaign {
        namespace: "ns".into(),
        name: "l".into(),
        identity: "a".into(),
        timing: Timing::default(),
        clock: clock::system(),
        boot: BootClock::new(|| panic!("the keeper panics")),
    };
    let ended = campaign.run(&client, CancellationToken::new(), |_| async { panic!("nobody leads") }).await;
    assert_eq!(ended, Ended::Lost);
}

#[test]
fn those_who_wait_spread_their_attempts() {
    let (_, record) = leader("a");
    let mut b = candidate("b");
    let waits: Vec<Duration> = (0..20)
        .map(|_| match b.step(News::Read(Some(record.clone())), at(s(1))) {
            Action::Wait(wait) => wait,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(waits.iter().all(|w| *w >= s(2) && *w <= Duration::from_millis(4_400)), "{waits:?}");
    assert!(waits.iter().collect::<std::collections::HashSet<_>>().len() > 10);
}

/// What a call under way is about.
#[derive(Debug, Clone)]
enum Call {
    Read,
    Write(Record),
}

/// One process of the model.
#[derive(Debug)]
struct Process {
    candidate: Candidate,
    call: Option<Call>,
    /// When its next news are due: the call reaches the server, the answer reaches it, or the wait is over.
    due: Duration,
    answer: Option<News>,
}

/// Random times, as the test case says.
struct Chance(std::vec::IntoIter<u16>);

impl Chance {
    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(u64::from(self.0.next().unwrap_or(7)) * most / u64::from(u16::MAX))
    }

    fn happens(&mut self, percent: u16) -> bool {
        self.0.next().unwrap_or(u16::MAX) % 100 < percent
    }
}

/// Runs three candidates for a while; the first moment at which two may begin calls, and how often leadership changed.
fn run(chances: Vec<u16>) -> Result<i32, String> {
    let mut chance = Chance(chances.into_iter());
    let mut lease: Option<Record> = None;
    let mut version = 0_u64;
    let names = ["a", "b", "c"];
    let mut all: Vec<Process> = names
        .iter()
        .map(|name| Process { candidate: candidate(name), call: None, due: chance.millis(3_000), answer: Some(News::Woke) })
        .collect();
    while !chance.0.as_slice().is_empty() {
        let Some(next) = (0..all.len()).min_by_key(|i| all[*i].due) else { break };
        let now = all[next].due;
        let process = &mut all[next];
        if let Some(call) = process.call.take() {
            // The call reaches the server now, unless it is lost; so may its answer be.
            let lost = chance.happens(10);
            let answer = match call {
                _ if lost => News::Failed,
                Call::Read => News::Read(lease.clone()),
                Call::Write(record) if record.version == lease.as_ref().map_or("", |l| l.version.as_str()) => {
                    version += 1;
                    lease = Some(stored(record, version));
                    lease.clone().map_or(News::Failed, News::Written)
                }
                Call::Write(_) => News::Refused,
            };
            process.answer = Some(if chance.happens(10) { News::Failed } else { answer });
            process.due = now + chance.millis(2_000);
        } else {
            let news = process.answer.take().unwrap_or(News::Woke);
            match process.candidate.step(news, at(now)) {
                Action::Read => (process.call, process.due) = (Some(Call::Read), now + chance.millis(2_000)),
                Action::Write(record) => (process.call, process.due) = (Some(Call::Write(record)), now + chance.millis(4_000)),
                Action::Wait(wait) => process.due = now + wait,
                // It ends, and is started anew.
                Action::Stop => {
                    process.candidate = candidate(&format!("{}{version}", names[next]));
                    process.due = now + chance.millis(5_000);
                }
            }
            // Stopped for a while, at any point.
            if chance.happens(5) {
                process.due += chance.millis(40_000);
            }
        }
        let open: Vec<usize> = (0..all.len()).filter(|i| all[*i].candidate.leads_until().is_some_and(|until| now < until)).collect();
        if open.len() > 1 {
            return Err(format!("at {now:?} {open:?} may begin calls: {all:#?}"));
        }
    }
    Ok(lease.map_or(0, |l| l.transitions))
}

proptest! {
    #[test]
    fn never_may_two_begin_calls(chances in prop::collection::vec(any::<u16>(), 50..600)) {
        run(chances).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn the_model_sees_leaders_come_and_go() {
    let mut seed = 1_u32;
    let chances = (0..20_000).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as u16
    });
    assert!(run(chances.collect()).unwrap() > 20);
}
