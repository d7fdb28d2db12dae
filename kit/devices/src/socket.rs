//! Abstract Unix sockets: names without a file, so that nothing stays behind when a process is killed. Linux only.

use std::io;

/// The name without its leading `@`; empty and overlong names are refused.
fn bare(name: &str) -> io::Result<&str> {
    let bare = name.strip_prefix('@').unwrap_or(name);
    // 108 bytes of the kernel's address less the leading zero.
    if bare.is_empty() || bare.len() > 107 || bare.contains('\0') {
        let why = format!("{name:?} is no name for an abstract socket (1 to 107 bytes, no NUL)");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(bare)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::{bare, io};

    pub(crate) fn listen(name: &str) -> io::Result<tokio::net::UnixListener> {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(bare(name)?)?)?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }

    pub(crate) fn connect(name: &str) -> io::Result<tokio::net::UnixStream> {
        // Connecting to a local socket does not wait: it is refused or queued at once.
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(bare(name)?)?)?;
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{bare, io};

    fn unsupported<T>(name: &str) -> io::Result<T> {
        bare(name)?;
        Err(io::Error::new(io::ErrorKind::Unsupported, "abstract sockets exist on Linux only"))
    }

    pub(crate) fn listen(name: &str) -> io::Result<tokio::net::UnixListener> {
        unsupported(name)
    }

    pub(crate) fn connect(name: &str) -> io::Result<tokio::net::UnixStream> {
        unsupported(name)
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{connect, listen};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{connect, listen};
