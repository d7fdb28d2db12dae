//! Who holds a TCP port of this machine: errors name the program, not just the number.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// The process that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process, when we may look: ID and command name.
    pub process: Option<(u32, String)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, name)) => write!(f, "{name} (process {pid}, on {})", self.address),
            None => write!(f, "a process of another user (on {})", self.address),
        }
    }
}

/// Who would keep us from binding `port` at `ip`: a listener on that very address, or on the wildcard.
/// `ip` `None` asks for any address, as a program that binds the wildcard must.
#[must_use]
pub fn holder(ip: Option<IpAddr>, port: u16) -> Option<Holder> {
    let mut listeners = listeners("/proc/net/tcp");
    listeners.extend(self::listeners("/proc/net/tcp6"));
    let clash = |a: &SocketAddr| a.port() == port && (a.ip().is_unspecified() || ip.is_none_or(|ip| ip == a.ip() || ip.is_unspecified()));
    let (address, inode) = listeners.into_iter().find(|(a, _)| clash(a))?;
    Some(Holder { address, process: owner(inode) })
}

/// Who listens on `port` at all addresses of this machine, so that no address of ours could use it.
///
/// Asked for free where nobody does, which is the usual answer: the kernel takes milliseconds to print its table of sockets,
/// and a bind that succeeds proves as much. It never listens, so that two who ask at once do not see each other.
#[must_use]
pub fn wildcard_holder(port: u16) -> Option<Holder> {
    // An address that nobody listens on by itself: only a wildcard listener is in its way.
    let address = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 254), port));
    let free = TcpSocket::new_v4().and_then(|socket| socket.set_reuseaddr(true).and_then(|()| socket.bind(address)));
    if free.is_ok() { None } else { holder(Some(address.ip()), port) }
}

/// Listening sockets with their inodes. Lines look like `sl local rem st … inode …` with hexadecimal addresses.
fn listeners(file: &str) -> Vec<(SocketAddr, u64)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let listening = *fields.get(3)? == "0A";
        let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
        listening.then_some((address, fields.get(9)?.parse().ok()?))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The kernel prints addresses as words in host order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> =
        (0..hex.len()).step_by(8).map(|i| u32::from_str_radix(hex.get(i..i + 8)?, 16).ok().map(u32::to_ne_bytes)).collect();
    match words?.as_slice() {
        [v4] => Some(IpAddr::from(*v4)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            Some(IpAddr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

fn owner(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|f| fs::read_link(f.path()).is_ok_and(|l| l.to_str() == Some(&wanted))) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_and_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let holder = holder(Some(at.ip()), at.port()).unwrap();
        assert_eq!(holder.address, at);
        assert_eq!(holder.process.as_ref().unwrap().0, std::process::id());
        assert!(holder.to_string().contains(&format!("process {}", std::process::id())));
        assert_eq!(super::holder(Some("127.0.0.2".parse().unwrap()), at.port()), None);
        assert_eq!(wildcard_holder(at.port()), None);
    }

    #[test]
    fn only_a_listener_on_all_addresses_is_in_everyones_way() {
        for all in ["0.0.0.0:0", "[::]:0"] {
            // A machine without IPv6 has no second case.
            let Ok(listener) = std::net::TcpListener::bind(all) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(wildcard_holder(port).unwrap().process.unwrap().0, std::process::id(), "{all}");
            drop(listener);
            assert_eq!(wildcard_holder(port), None, "{all}");
        }
    }
}
