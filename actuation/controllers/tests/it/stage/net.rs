//! An own loopback network, claimed as planes claim theirs, so that tests and planes never collide.

use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Network `127.A.0.0/16`.
pub(crate) struct Net {
    number: u8,
    next: AtomicU16,
    _claim: UnixListener,
}

impl Net {
    /// The highest number that nobody has: planes take the lowest.
    pub(crate) fn take() -> Self {
        let claim = |number: u8| UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("dormouse-net-{number}")).unwrap());
        let (number, claim) = (16..=250).rev().find_map(|n| Some((n, claim(n).ok()?))).expect("a free loopback network");
        Self { number, next: AtomicU16::new(0x0102), _claim: claim }
    }

    /// An address that nobody had.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let [high, low] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(127, self.number, high, low)
    }
}
