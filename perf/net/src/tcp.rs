//! Sockets that never block: listening, connecting, and reads and writes whose "not now" is a value.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType, sockopt};

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Connections that may wait to be accepted; the system has a limit of its own.
    pub backlog: i32,
    /// Let other sockets listen at the same port. Linux then spreads connections over them; macOS does not.
    pub reuse_port: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self { backlog: 4096, reuse_port: false }
    }
}

/// A socket that is set not to block and not to outlive an exec, on every system.
fn socket(address: SocketAddr) -> io::Result<rustix::fd::OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    #[cfg(target_os = "linux")]
    let socket = net::socket_with(family, SocketType::STREAM, net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK, None)?;
    #[cfg(not(target_os = "linux"))]
    let socket = {
        let socket = net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        socket
    };
    Ok(socket)
}

/// Listens at an address; port 0 is any.
///
/// # Errors
/// What the system says: the address is taken, not ours, not permitted.
pub fn listen(address: SocketAddr, options: Listen) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if options.reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, options.backlog)?;
    Ok(TcpListener::from(socket))
}

/// The next connection, if there is one, not blocking and without Nagle's delay.
///
/// # Errors
/// What the system says; that there are no descriptors left is one of them, and then the connection is still there.
pub fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        #[cfg(target_os = "linux")]
        let accepted = net::accept_with(listener, net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK)
            .map(TcpStream::from)
            .map_err(io::Error::from);
        #[cfg(not(target_os = "linux"))]
        let accepted = listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream));
        match accepted {
            // A peer that has gone again makes this fail on some systems; the connection is dead then, not the listener.
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(Some(stream));
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(None),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
}

/// Begins to connect, from a source address if one is given, without Nagle's delay. The first `writable` event says that it is
/// decided; [`connected`] then says how.
///
/// # Errors
/// What the system says at once: no route, no port left, no descriptor left.
pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = socket(to)?;
    if let Some(from) = from {
        net::bind(&socket, &SocketAddr::new(from, 0))?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the connection stands; `false` while it is not decided.
///
/// # Errors
/// Why it does not stand.
pub fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads what is there: `None` when nothing is, `Some(0)` at the end.
///
/// # Errors
/// The connection is broken.
#[inline]
pub fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    not_now(|| stream.read(buffer))
}

/// Writes what there is room for: `None` when there is none.
///
/// # Errors
/// The connection is broken.
#[inline]
pub fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    not_now(|| stream.write(bytes))
}

#[inline]
fn not_now(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(n) => return Ok(Some(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends a connection with a reset instead of an end: what was written and not yet taken is lost.
pub fn reset(stream: TcpStream) {
    // If it cannot be set the connection is closed all the same, only politely.
    let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    drop(stream);
}

/// Raises the limit on open files to what this user may have, and says what it is now; `None` is no limit.
pub fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // macOS refuses "no limit" here; then the old one stays.
    if limit.current == limit.maximum || setrlimit(Resource::Nofile, wanted).is_err() { limit.current } else { limit.maximum }
}

/// Asks that sleeps of this thread end when they should, not up to 50 µs later. Only Linux has that.
pub fn sharpen_timers() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}
