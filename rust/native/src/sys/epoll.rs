//! Readiness: one epoll set, and descriptors that wake whoever waits on it.

use super::descriptor::own;
use super::{check, check_size, Private};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// There is something to read, or the peer has closed its side.
pub const READABLE: u32 = libc::EPOLLIN as u32;
/// The socket takes bytes again.
pub const WRITABLE: u32 = libc::EPOLLOUT as u32;
/// The peer has closed its side (reported apart from what there is to read).
pub const PEER_CLOSED: u32 = libc::EPOLLRDHUP as u32;
/// Both directions are shut (always reported).
pub const HANGUP: u32 = libc::EPOLLHUP as u32;
/// The connection broke (always reported).
pub const ERROR: u32 = libc::EPOLLERR as u32;

/// One readiness event: what is ready, and the number given at registration.
pub type Event = libc::epoll_event;

/// A level-triggered epoll set.
pub struct Epoll(Private);

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        Ok(Self(
            own(check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?)?.into(),
        ))
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        let mut event = Event { events, u64: key };
        // SAFETY: `event` outlives the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }

    pub fn add(&self, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, key)
    }

    /// Adds a listener that other processes wait on too: one of them is woken per connection, not all.
    pub fn add_shared(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, READABLE | libc::EPOLLEXCLUSIVE as u32, key)
    }

    pub fn modify(&self, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, key)
    }

    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Waits up to `timeout` milliseconds (-1: without end) and returns how many events were written.
    pub fn wait(&self, events: &mut [Event], timeout: i32) -> usize {
        // SAFETY: the kernel writes at most `events.len()` entries.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                timeout,
            )
        };
        usize::try_from(count).unwrap_or(0) // EINTR: nothing happened
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor that is readable from `signal` until `clear`.
pub struct Wake(OwnedFd);

impl Wake {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Self(own(fd)?))
    }

    pub fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer has the eight bytes that an eventfd takes. Failing means the counter is full: readable.
        let _ = check_size(unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) });
    }

    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer has the eight bytes that an eventfd gives. Failing means it was clear.
        let _ = check_size(unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) });
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Whether the descriptor is readable now.
pub fn is_readable(fd: RawFd) -> bool {
    let mut fds = [libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: an array of one valid pollfd.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) > 0 }
}

/// Waits until either descriptor is readable or `timeout` milliseconds have passed.
pub fn wait_either(first: RawFd, second: RawFd, timeout: i32) {
    let mut fds = [first, second].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: an array of two valid pollfd. EINTR and time-outs look alike to the caller, who checks its state.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, timeout) };
}
