//! A connected socket sent to another process with the bytes that were read from it (SCM_RIGHTS, see unix(7)).

use super::check_size;
use super::descriptor::own;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};

/// Room for one descriptor, aligned as the kernel's headers are.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 32]);

const FD_SIZE: u32 = size_of::<RawFd>() as u32;

/// Sends `parts` as one packet, with a descriptor, without waiting.
pub fn give(inbox: RawFd, parts: &[IoSlice<'_>], socket: RawFd) -> io::Result<()> {
    let mut control = Control([MaybeUninit::new(0); 32]);
    // SAFETY: all zeros is a valid msghdr; an IoSlice is laid out as an iovec; all of it outlives the call. The control
    // message lies in `control`, which is aligned and large enough for one descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        message.msg_iovlen = parts.len() as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(FD_SIZE) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(FD_SIZE) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(socket);
        libc::sendmsg(inbox, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    check_size(sent).map(drop)
}

/// What an inbox gave.
pub enum Taken {
    /// Nothing is there.
    Nothing,
    Socket(OwnedFd),
    /// A packet whose descriptor there was no room for in this process: it is closed.
    Lost,
}

/// Takes one packet; its bytes are appended to `buffer`, which has room for the longest.
pub fn take(inbox: RawFd, buffer: &mut Vec<u8>) -> Taken {
    let mut control = Control([MaybeUninit::new(0); 32]);
    let spare = buffer.spare_capacity_mut();
    let mut part = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: spare.len(),
    };
    // SAFETY: all zeros is a valid msghdr; the kernel writes at most what the vector's spare memory and `control` hold.
    let (count, socket) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        // Exactly one descriptor: further ones would stay open in this process.
        message.msg_controllen = libc::CMSG_LEN(FD_SIZE) as _;
        let count = libc::recvmsg(inbox, &mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC);
        let header = libc::CMSG_FIRSTHDR(&message);
        let has_socket = count >= 0
            && !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS
            && (*header).cmsg_len as usize >= libc::CMSG_LEN(FD_SIZE) as usize;
        let socket = has_socket.then(|| libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned());
        (count, socket.and_then(|fd| own(fd).ok()))
    };
    match (check_size(count), socket) {
        (Err(_), _) => Taken::Nothing,
        (Ok(count), socket) => {
            // SAFETY: the kernel has initialised `count` bytes behind the old length.
            unsafe { buffer.set_len(buffer.len() + count) };
            socket.map_or(Taken::Lost, Taken::Socket)
        }
    }
}

/// Which socket this is, for all processes that have it open.
pub fn socket_number(fd: RawFd) -> u64 {
    // SAFETY: all zeros is a valid stat, which outlives the call.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &mut found);
        found.st_ino
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn a_socket_arrives_with_its_bytes() {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair");
        let (mut client, server) = UnixStream::pair().expect("a pair");
        client.write_all(b"later").expect("room");
        let mut bytes = Vec::with_capacity(64);
        assert!(matches!(take(receiver.as_raw_fd(), &mut bytes), Taken::Nothing));
        let parts = [IoSlice::new(b"un"), IoSlice::new(b"read")];
        give(sender.as_raw_fd(), &parts, server.as_raw_fd()).expect("room");
        drop(server);
        let Taken::Socket(socket) = take(receiver.as_raw_fd(), &mut bytes) else {
            panic!("no socket")
        };
        assert_eq!(bytes, b"unread");
        let mut stream = UnixStream::from(socket);
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).expect("the rest");
        assert_eq!(&rest, b"later");
    }

    #[test]
    fn more_descriptors_than_one_do_not_stay_open() {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair");
        let (one, other) = UnixStream::pair().expect("a pair");
        let fds = [one.as_raw_fd(), other.as_raw_fd()];
        let mut control = Control([MaybeUninit::new(0); 32]);
        let part = IoSlice::new(b"two");
        // SAFETY: as in `give`, with room for two descriptors.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = std::ptr::from_ref(&part).cast_mut().cast();
            message.msg_iovlen = 1;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(2 * FD_SIZE) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(2 * FD_SIZE) as _;
            libc::CMSG_DATA(header).cast::<[RawFd; 2]>().write_unaligned(fds);
            assert!(libc::sendmsg(sender.as_raw_fd(), &message, 0) > 0);
        }
        let Taken::Socket(socket) = take(receiver.as_raw_fd(), &mut Vec::with_capacity(64)) else {
            panic!("no socket")
        };
        drop((socket, other));
        let mut one = one;
        one.set_nonblocking(true).expect("a socket");
        assert_eq!(one.read(&mut [0; 1]).expect("the end"), 0, "`other` is open nowhere");
    }
}
