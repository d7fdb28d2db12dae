//! Passing descriptors over a stream socket: one byte per message, the descriptors with it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors of one request: the [`super::RunSpec`], the socket to the plane, standard output, standard error.
pub(super) const COUNT: usize = 4;

/// Sends one request.
pub(super) fn send(socket: impl AsFd, fds: &[BorrowedFd<'_>; COUNT]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(socket, &[IoSlice::new(b"r")], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    if sent == 1 { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one request; `None` at the end of the socket.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(Some(fds))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_message_by_message_and_the_end_is_seen() {
        let (a, b) = UnixStream::pair().unwrap();
        let mut kept = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            send(&a, &[theirs.as_fd(); COUNT]).unwrap();
            kept.push(ours);
        }
        drop(a);
        for mut ours in kept {
            let fds = receive(&b).unwrap().unwrap();
            assert_eq!(fds.len(), COUNT);
            let mut theirs = UnixStream::from(fds.into_iter().next().unwrap());
            ours.write_all(b"x").unwrap();
            let mut byte = [0];
            theirs.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"x");
        }
        assert!(receive(&b).unwrap().is_none());
    }
}
