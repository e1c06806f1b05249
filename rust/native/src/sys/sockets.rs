//! Stream sockets: accepting, and bytes in and out without ever blocking.

use super::descriptor::own;
use super::{check, check_size};
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{OwnedFd, RawFd};

/// Bytes of a file that are read and sent at once where the kernel does not copy them.
const COPY: usize = 64 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Ip(IpAddr, u16),
    Unix,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip), port) => write!(f, "{ip}:{port}"),
            Self::Ip(IpAddr::V6(ip), port) => write!(f, "[{ip}]:{port}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}

fn peer_from(address: &libc::sockaddr_storage) -> Peer {
    let pointer: *const libc::sockaddr_storage = address;
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in lies here; a storage is large and aligned enough.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            Peer::Ip(
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into(),
                u16::from_be(v4.sin_port),
            )
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            // An IPv4 client of a dual-stack listener is an IPv4 client to the app.
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            Peer::Ip(ip, u16::from_be(v6.sin6_port))
        }
        _ => Peer::Unix,
    }
}

fn empty_address() -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeros is a valid sockaddr_storage (family AF_UNSPEC).
    (
        unsafe { std::mem::zeroed() },
        size_of::<libc::sockaddr_storage>() as libc::socklen_t,
    )
}

/// Why a listener gave no connection.
#[derive(Debug)]
pub enum NoConnection {
    /// None waits.
    Empty,
    /// The one that waited has gone; ask again (accept(2): network errors count for that connection alone).
    Lost,
    /// The process or the system is out of descriptors or memory.
    Exhausted(io::Error),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => Self::Exhausted(error),
            Some(libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::EPERM) => Self::Lost,
            _ => Self::Empty,
        }
    }
}

/// Takes one connection from a listener: non-blocking, closed on exec.
pub fn accept(listener: RawFd) -> Result<(OwnedFd, Peer), NoConnection> {
    let (mut address, mut length) = empty_address();
    // SAFETY: address and length are valid and describe each other.
    let fd = check(unsafe {
        libc::accept4(
            listener,
            (&raw mut address).cast(),
            &mut length,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    })?;
    Ok((own(fd)?, peer_from(&address)))
}

/// The peer's address of a connected socket.
pub fn peer_of(fd: RawFd) -> Peer {
    let (mut address, mut length) = empty_address();
    // SAFETY: address and length are valid and describe each other.
    unsafe { libc::getpeername(fd, (&raw mut address).cast(), &mut length) };
    peer_from(&address)
}

/// Appends what is there, at most the spare capacity of `buffer` and `most` bytes. `Ok(0)`: the peer sends no more.
pub fn recv(fd: RawFd, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let room = spare.len().min(most);
    debug_assert!(room > 0, "recv without room would look like the end of the stream");
    // SAFETY: the kernel writes at most `room` bytes into the vector's own spare memory.
    let count = check_size(unsafe { libc::recv(fd, spare.as_mut_ptr().cast(), room, libc::MSG_DONTWAIT) })?;
    // SAFETY: `count` bytes behind the old length have just been initialised.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Whether a byte is there to be read, without taking it. `Ok(false)`: the peer sends no more.
pub fn has_more(fd: RawFd) -> io::Result<bool> {
    let mut byte = 0u8;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: the kernel writes at most one byte, into `byte`.
    let count = check_size(unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, flags) })?;
    Ok(count > 0)
}

/// Bytes that have come and were not read (FIONREAD, ioctl_tcp(2)); 0 where the system does not tell.
pub fn waiting(fd: RawFd) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int, into `count`.
    let result = unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) };
    match result {
        0 => count.max(0) as u64,
        _ => 0,
    }
}

/// Reads and forgets up to 64 KB. `Ok(0)`: the peer sends no more.
#[inline(never)] // its array must not widen the stacks of those who call it: each thread would touch it
pub fn discard(fd: RawFd) -> io::Result<usize> {
    let mut bin = [MaybeUninit::<u8>::uninit(); 2048];
    let mut total = 0;
    while total < 65536 {
        // SAFETY: the kernel writes at most the array's size.
        let count = check_size(unsafe { libc::recv(fd, bin.as_mut_ptr().cast(), bin.len(), libc::MSG_DONTWAIT) });
        match count {
            Ok(count) if count == bin.len() => total += count,
            Ok(count) => return Ok(total + count),
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(total)
}

const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// Sends what the socket takes of `bytes`.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice is valid for the call.
    check_size(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS) })
}

/// Sends what the socket takes of the parts, one after the other, in one call.
pub fn send_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeros is a valid msghdr; an IoSlice is laid out as an iovec; they outlive the call, which only reads them.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: as above.
    check_size(unsafe { libc::sendmsg(fd, &message, SEND_FLAGS) })
}

/// Sends `bytes` and holds a part-filled packet back for what follows at once (a file).
pub fn send_before_more(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let flags = SEND_FLAGS | libc::MSG_MORE;
    #[cfg(not(target_os = "linux"))]
    let flags = SEND_FLAGS;
    // SAFETY: the slice is valid for the call.
    check_size(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Breaks a TCP connection at once with a reset (connect(2): AF_UNSPEC dissolves it): the client of a response without a
/// length learns that it was cut. It does not matter which other processes have the socket open. False: it is no TCP
/// socket.
pub fn reset(fd: RawFd) -> bool {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        // SAFETY: all zeros is a valid sockaddr.
        ..unsafe { std::mem::zeroed() }
    };
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the values outlive the calls. With SO_LINGER a close resets too, where the connect is not understood.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
        libc::connect(fd, &raw const nobody, size_of::<libc::sockaddr>() as libc::socklen_t) == 0
    }
}

/// Copies file bytes from `offset` into the socket inside the kernel, at most `most`.
/// `Ok(0)`: the file has no more bytes there, or none that can be read. Errors are the socket's.
pub fn send_file(fd: RawFd, file: RawFd, offset: u64, most: u64) -> io::Result<usize> {
    let mut position = offset as libc::off_t;
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(1 << 30);
    // SAFETY: `position` outlives the call.
    match check_size(unsafe { libc::sendfile(fd, file, &mut position, count) }) {
        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            send_copy(fd, file, offset, count)
        }
        result => result,
    }
}

/// As `send_file`, for what the kernel does not copy: not each file system can do it (EINVAL, sendfile(2)), and a file's
/// error looks like one of the socket. Reading and sending apart tell the two from each other.
#[cold]
fn send_copy(fd: RawFd, file: RawFd, offset: u64, most: usize) -> io::Result<usize> {
    let mut bytes = Vec::new();
    match super::read_at(&file, &mut bytes, most.min(COPY), offset) {
        Ok(count) if count > 0 => send(fd, &bytes),
        _ => Ok(0),
    }
}

/// Makes reads and writes wait.
pub fn set_blocking(fd: RawFd) {
    // SAFETY: no pointers. Failing leaves it as it was, which the owner sees.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags & !libc::O_NONBLOCK);
    }
}

/// Says "no more from here" and leaves reading open.
pub fn shutdown_write(fd: RawFd) {
    // SAFETY: no pointers. An error means the connection is already gone, which is as good.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Ends both directions: whoever writes to the socket from now on learns that nobody reads.
pub fn shutdown_both(fd: RawFd) {
    // SAFETY: as above.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_the_kernel_does_not_copy_is_read_and_sent() {
        let mut file = super::super::temporary_file("/tmp").expect("a file");
        file.write_all(b"0123456789").expect("room");
        let (ours, mut client) = UnixStream::pair().expect("sockets");
        let fd = ours.as_raw_fd();
        // SAFETY: no pointers. sendfile() refuses to append (EINVAL); to send() the flag means nothing.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_APPEND) }, 0);
        assert_eq!(send_file(fd, file.as_raw_fd(), 2, 5).expect("sent"), 5);
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).expect("what was sent");
        assert_eq!(&bytes, b"23456");
        assert_eq!(send_file(fd, file.as_raw_fd(), 10, 5).expect("the end"), 0);
        assert_eq!(send_file(fd, -1, 0, 5).expect("no file"), 0);
        drop(client);
        let error = send_file(fd, file.as_raw_fd(), 0, 5).expect_err("nobody takes it");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
