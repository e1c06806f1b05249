//! A connected socket sent to another process with the bytes that were read from it (SCM_RIGHTS, see unix(7)), and
//! perhaps with a file that holds more of them.

use super::check_size;
use super::descriptor::own;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Descriptors in one packet at most: a socket, and two files.
const MOST: usize = 3;
const FD_SIZE: usize = size_of::<RawFd>();

/// Room for `MOST` descriptors, aligned as the kernel's headers are.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 32]);

// SAFETY: pure arithmetic.
const _: () = assert!(unsafe { libc::CMSG_SPACE((MOST * FD_SIZE) as u32) } as usize <= size_of::<Control>());

/// Sends `parts` as one packet, with a socket and perhaps some files, without waiting.
pub fn give(
    inbox: RawFd,
    parts: &[IoSlice<'_>],
    socket: RawFd,
    files: [Option<BorrowedFd<'_>>; MOST - 1],
) -> io::Result<()> {
    let mut control = Control([MaybeUninit::new(0); 32]);
    let mut fds = [socket; MOST];
    let mut count = 1;
    for file in files.into_iter().flatten() {
        fds[count] = file.as_raw_fd();
        count += 1;
    }
    let size = count * FD_SIZE;
    // SAFETY: all zeros is a valid msghdr; an IoSlice is laid out as an iovec; all of it outlives the call. The control
    // message lies in `control`, which is aligned and large enough for `MOST` descriptors.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        message.msg_iovlen = parts.len() as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size as u32) as _;
        std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size);
        libc::sendmsg(inbox, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    check_size(sent).map(drop)
}

/// The files of a packet, in their order.
pub type Files = [Option<OwnedFd>; MOST - 1];

/// What an inbox gave.
pub enum Taken {
    /// Nothing is there.
    Nothing,
    /// A socket, and the files that came with it.
    Socket(OwnedFd, Files),
    /// A packet whose descriptors there was no room for in this process: they are closed.
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
    let (count, fds) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        // Exactly so many descriptors: further ones would stay open in this process.
        message.msg_controllen = libc::CMSG_LEN((MOST * FD_SIZE) as u32) as _;
        let count = libc::recvmsg(inbox, &mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC);
        let header = libc::CMSG_FIRSTHDR(&message);
        let has_fds = count >= 0
            && !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS;
        let mut fds = [const { None }; MOST];
        if has_fds {
            let size = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let first = libc::CMSG_DATA(header).cast::<RawFd>();
            for (place, fd) in fds.iter_mut().enumerate().take(size / FD_SIZE) {
                *fd = own(first.add(place).read_unaligned()).ok();
            }
        }
        // The last ones may have found no room: half a packet is none.
        let is_cut = message.msg_flags & libc::MSG_CTRUNC != 0;
        (count, if is_cut { [const { None }; MOST] } else { fds })
    };
    match (check_size(count), fds) {
        (Err(_), _) => Taken::Nothing,
        (Ok(count), [socket, files @ ..]) => {
            // SAFETY: the kernel has initialised `count` bytes behind the old length.
            unsafe { buffer.set_len(buffer.len() + count) };
            socket.map_or(Taken::Lost, |socket| Taken::Socket(socket, files))
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
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn a_packet_carries_a_file_beside_its_socket() {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair");
        let (_client, server) = UnixStream::pair().expect("a pair");
        let file = crate::sys::memory_file().expect("a file");
        crate::sys::write_all_at(&file, b"a long body", 0).expect("room");
        let parts = [IoSlice::new(b"head")];
        give(
            sender.as_raw_fd(),
            &parts,
            server.as_raw_fd(),
            [Some(file.as_fd()), None],
        )
        .expect("room");
        drop(file);
        let mut bytes = Vec::with_capacity(64);
        let Taken::Socket(_, [Some(file), None]) = take(receiver.as_raw_fd(), &mut bytes) else {
            panic!("no file")
        };
        let mut body = Vec::new();
        assert_eq!(crate::sys::read_at(&file, &mut body, 64, 0).expect("a body"), 11);
        assert_eq!((&bytes[..], &body[..]), (&b"head"[..], &b"a long body"[..]));
    }

    #[test]
    fn a_socket_arrives_with_its_bytes() {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair");
        let (mut client, server) = UnixStream::pair().expect("a pair");
        client.write_all(b"later").expect("room");
        let mut bytes = Vec::with_capacity(64);
        assert!(matches!(take(receiver.as_raw_fd(), &mut bytes), Taken::Nothing));
        let parts = [IoSlice::new(b"un"), IoSlice::new(b"read")];
        give(sender.as_raw_fd(), &parts, server.as_raw_fd(), [None, None]).expect("room");
        drop(server);
        let Taken::Socket(socket, [None, None]) = take(receiver.as_raw_fd(), &mut bytes) else {
            panic!("no socket")
        };
        assert_eq!(bytes, b"unread");
        let mut stream = UnixStream::from(socket);
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).expect("the rest");
        assert_eq!(&rest, b"later");
    }

    #[test]
    fn more_descriptors_than_there_is_room_for_do_not_stay_open() {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair");
        let (one, other) = UnixStream::pair().expect("a pair");
        let fds = [one.as_raw_fd(), other.as_raw_fd(), one.as_raw_fd(), other.as_raw_fd()];
        assert!(fds.len() > MOST);
        let size = (fds.len() * FD_SIZE) as u32;
        let mut control = Control([MaybeUninit::new(0); 32]);
        let part = IoSlice::new(b"four");
        // SAFETY: as in `give`, with room for four descriptors.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = std::ptr::from_ref(&part).cast_mut().cast();
            message.msg_iovlen = 1;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            assert!(libc::CMSG_SPACE(size) as usize <= size_of::<Control>());
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<[RawFd; 4]>().write_unaligned(fds);
            assert!(libc::sendmsg(sender.as_raw_fd(), &message, 0) > 0);
        }
        let taken = take(receiver.as_raw_fd(), &mut Vec::with_capacity(64));
        assert!(matches!(taken, Taken::Lost));
        drop(other);
        let mut one = one;
        one.set_nonblocking(true).expect("a socket");
        assert_eq!(one.read(&mut [0; 1]).expect("the end"), 0, "`other` is open nowhere");
    }
}
