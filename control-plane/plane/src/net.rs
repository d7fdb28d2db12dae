//! The addresses of a plane.
//!
//! Plane A of a machine uses `127.A.0.0/16`: node n is `127.A.n.1`, its Pods `127.A.n.m`. Planes are told
//! apart by an abstract socket `dormouse-net-A` that the owner keeps bound: no file stays behind, and the
//! claim ends with the process.

use std::io;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// The numbers a plane may have. Below are what people bind by hand, above what the kernel keeps.
const NUMBERS: std::ops::RangeInclusive<u8> = 16..=250;

/// A claimed number; given back when dropped.
#[derive(Debug)]
pub struct NetClaim {
    number: u8,
    _socket: UnixListener,
}

impl NetClaim {
    /// Claims the lowest number that nobody has.
    ///
    /// # Errors
    /// When all are taken, or abstract sockets cannot be bound at all.
    pub fn take() -> io::Result<Self> {
        for number in NUMBERS {
            let name = SocketAddr::from_abstract_name(format!("dormouse-net-{number}"))?;
            match UnixListener::bind_addr(&name) {
                Ok(socket) => return Ok(Self { number, _socket: socket }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        let text = format!("all {} loopback networks are taken by other planes; end one with `dormouse down`", NUMBERS.count());
        Err(io::Error::new(io::ErrorKind::AddrInUse, text))
    }

    /// The plane's number, A.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The address of node `n`, counted from 1.
    #[must_use]
    pub fn node(&self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.number, n, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_planes_never_share_a_number() {
        let (a, b) = (NetClaim::take().unwrap(), NetClaim::take().unwrap());
        assert_ne!(a.number(), b.number());
        assert_eq!(a.node(2), Ipv4Addr::new(127, a.number(), 2, 1));
    }
}
