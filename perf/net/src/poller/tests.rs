//! The same for every system's poller that can be built here.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{Event, Sleep};
use crate::now;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (client, server)
}

macro_rules! of_each_system {
    ($($system:ident: $poller:ty),*) => { $(mod $system {
        use super::*;

        fn poll(poller: &mut $poller, for_ns: u64) -> (Vec<Event>, bool) {
            let (mut events, now) = (Vec::new(), now());
            let woken = poller.poll(&mut Default::default(), &mut events, Sleep::Until(now + for_ns), now).unwrap();
            (events, woken)
        }

        #[test]
        fn an_event_comes_once_for_each_change() {
            let (mut client, mut server) = pair();
            let mut poller = <$poller>::new(8).unwrap();
            poller.add(&server, 7).unwrap();
            let (events, _) = poll(&mut poller, 1_000_000_000);
            assert_eq!(events, [Event { token: 7, readable: false, writable: true, closed: false }]);
            assert_eq!(poll(&mut poller, 1_000_000), (vec![], false));
            for _ in 0..2 {
                client.write_all(b"x").unwrap();
                let (events, _) = poll(&mut poller, 1_000_000_000);
                assert!(events.len() == 1 && events[0].readable && !events[0].closed, "{events:?}");
                assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
                assert_eq!(poll(&mut poller, 1_000_000), (vec![], false));
            }
            drop(client);
            let (events, _) = poll(&mut poller, 1_000_000_000);
            assert!(events.len() == 1 && events[0].readable && events[0].closed, "{events:?}");
            poller.remove(&server).unwrap();
            assert_eq!(poll(&mut poller, 1_000_000), (vec![], false));
        }

        #[test]
        fn rings_before_a_wait_are_one() {
            let mut poller = <$poller>::new(8).unwrap();
            let waker = poller.waker();
            for _ in 0..2 {
                waker.wake().unwrap();
                waker.wake().unwrap();
                assert_eq!(poll(&mut poller, 1_000_000_000), (vec![], true));
                assert_eq!(poll(&mut poller, 1_000_000), (vec![], false));
            }
        }

        #[test]
        fn a_later_wait_is_not_cut_short_for_ever_by_an_earlier_one() {
            let mut poller = <$poller>::new(8).unwrap();
            poller.waker().wake().unwrap();
            // Ends by the bell, long before the time that it set.
            assert_eq!(poll(&mut poller, 2_000_000), (vec![], true));
            let (start, end) = (now(), now() + 20_000_000);
            let mut polls = 0;
            while now() < end {
                poller.poll(&mut Default::default(), &mut Vec::new(), Sleep::Until(end), now()).unwrap();
                polls += 1;
            }
            assert!(now() - start >= 20_000_000);
            assert!(polls < 30, "{polls} polls");
        }
    })* };
}

#[cfg(target_os = "linux")]
of_each_system!(linux: crate::poller::epoll::Poller);
of_each_system!(elsewhere: crate::poller::other::Poller);
