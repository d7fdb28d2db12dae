//! The loop with real sockets, on loopback.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use dormouse_perf_net::{EventLoop, Listen, Options, Turn, accept, connect, connected, listen, now, read, reset, write};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn event_loop() -> EventLoop {
    EventLoop::new(Options::default()).unwrap()
}

/// Waits until `done` says so of a turn; a test that hangs here is stopped by the deadline.
fn until(event_loop: &mut EventLoop, mut done: impl FnMut(&Turn) -> bool) -> Turn {
    const LIMIT: u64 = 1 << 40;
    let limit = event_loop.set(now() + 10_000_000_000, LIMIT);
    let mut turn = Turn::default();
    loop {
        event_loop.wait(&mut turn).unwrap();
        assert!(turn.due.iter().all(|due| due.token != LIMIT), "nothing came for 10 s");
        if done(&turn) {
            event_loop.cancel(limit);
            return turn;
        }
    }
}

fn pair(event_loop: &mut EventLoop, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = connect(listener.local_addr().unwrap(), None).unwrap();
    event_loop.add(&client, 1).unwrap();
    until(event_loop, |turn| turn.events.iter().any(|e| e.token == 1 && e.writable));
    assert!(connected(&client).unwrap());
    let server = loop {
        if let Some(server) = accept(listener).unwrap() {
            break server;
        }
        thread::yield_now();
    };
    event_loop.add(&server, 2).unwrap();
    (client, server)
}

#[test]
fn bytes_go_both_ways_and_an_end_is_told() {
    let mut event_loop = event_loop();
    let listener = listen(ANY, Listen::default()).unwrap();
    let (client, server) = pair(&mut event_loop, &listener);
    let mut buffer = [0; 16];
    for (from, to, token) in [(&client, &server, 2), (&server, &client, 1)] {
        assert_eq!(read(to, &mut buffer).unwrap(), None);
        assert_eq!(write(from, b"hello").unwrap(), Some(5));
        until(&mut event_loop, |turn| turn.events.iter().any(|e| e.token == token && e.readable));
        assert_eq!(read(to, &mut buffer).unwrap(), Some(5));
        assert_eq!(&buffer[..5], b"hello");
    }
    drop(client);
    until(&mut event_loop, |turn| turn.events.iter().any(|e| e.token == 2 && e.closed));
    assert_eq!(read(&server, &mut buffer).unwrap(), Some(0));
}

#[test]
fn a_full_socket_says_not_now_and_then_when_it_has_room() {
    let mut event_loop = event_loop();
    let listener = listen(ANY, Listen::default()).unwrap();
    let (client, server) = pair(&mut event_loop, &listener);
    let block = vec![7; 1 << 16];
    let mut sent = 0;
    while let Some(n) = write(&client, &block).unwrap() {
        sent += n;
    }
    let mut buffer = vec![0; 1 << 16];
    let (mut got, mut room) = (0, false);
    while got < sent || !room {
        while let Some(n) = read(&server, &mut buffer).unwrap() {
            got += n;
        }
        if got < sent || !room {
            let turn = until(&mut event_loop, |turn| !turn.events.is_empty());
            room |= turn.events.iter().any(|e| e.token == 1 && e.writable);
        }
    }
    assert_eq!(got, sent);
    assert!(write(&client, &block).unwrap().is_some());
}

#[test]
fn a_reset_is_an_error_not_an_end() {
    let mut event_loop = event_loop();
    let listener = listen(ANY, Listen::default()).unwrap();
    let (client, server) = pair(&mut event_loop, &listener);
    reset(server);
    until(&mut event_loop, |turn| turn.events.iter().any(|e| e.token == 1 && e.closed));
    assert!(read(&client, &mut [0; 8]).is_err());
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut event_loop = event_loop();
    let nobody = listen(ANY, Listen::default()).unwrap().local_addr().unwrap();
    let client = connect(nobody, Some(nobody.ip())).unwrap();
    event_loop.add(&client, 1).unwrap();
    until(&mut event_loop, |turn| turn.events.iter().any(|e| e.token == 1 && e.writable));
    assert!(connected(&client).is_err());
}

#[test]
fn two_may_listen_at_one_port_if_both_say_so() {
    let shared = Listen { reuse_port: true, ..Listen::default() };
    let one = listen(ANY, shared).unwrap();
    let address = one.local_addr().unwrap();
    assert!(listen(address, Listen::default()).is_err());
    assert_eq!(listen(address, shared).unwrap().local_addr().unwrap(), address);
}

#[test]
fn deadlines_come_in_order_and_never_early() {
    for spin in [Duration::ZERO, Duration::from_micros(80)] {
        let mut event_loop = EventLoop::new(Options { spin, ..Options::default() }).unwrap();
        let start = now();
        for token in 0..40_u64 {
            // Not in the order in which they come.
            event_loop.set(start + 1_000_000 + (token * 7 % 40) * 150_000, token);
        }
        let gone = event_loop.set(start + 2_000_000, 99);
        assert!(event_loop.cancel(gone) && !event_loop.cancel(gone));
        let (mut turn, mut came) = (Turn::default(), Vec::new());
        while came.len() < 40 {
            event_loop.wait(&mut turn).unwrap();
            assert!(turn.due.iter().all(|due| due.at <= turn.now && turn.now <= now()));
            came.extend(turn.due.iter().copied());
        }
        assert!(came.is_sorted_by_key(|due| due.at), "{came:?}");
        assert!(came.iter().all(|due| due.at == start + 1_000_000 + (due.token * 7 % 40) * 150_000));
    }
}

#[test]
fn another_thread_ends_a_wait() {
    let mut event_loop = event_loop();
    let waker = event_loop.waker();
    let ringer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        waker.wake().unwrap();
    });
    assert!(until(&mut event_loop, |turn| turn.woken).events.is_empty());
    ringer.join().unwrap();
}

#[test]
fn sockets_and_deadlines_are_told_in_one_turn() {
    let mut event_loop = event_loop();
    let listener = listen(ANY, Listen::default()).unwrap();
    let (mut client, _server) = pair(&mut event_loop, &listener);
    client.write_all(b"x").unwrap();
    event_loop.set(now(), 5);
    let (mut read, mut due) = (false, false);
    until(&mut event_loop, |turn| {
        read |= turn.events.iter().any(|e| e.token == 2 && e.readable);
        due |= turn.due.iter().any(|d| d.token == 5);
        read && due
    });
}
