//! The one way in which a new descriptor of the kernel becomes ours: never as a standard stream.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Standard input, output and error are below it.
const FIRST: RawFd = 3;

/// Takes ownership of a descriptor that a system call has just returned.
///
/// An app may have closed a standard stream; the kernel gives the lowest free number, so a client's connection would
/// become what logs and tracebacks are written to. It is moved, and its number filled with /dev/null, so that the next
/// one does not get it even for a moment.
pub(super) fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the caller has the descriptor from a system call, and nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    move_up(fd)
}

#[cold]
fn move_up(low: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the new descriptor is ours.
    let high = unsafe {
        let copy = check(libc::fcntl(low.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST))?;
        OwnedFd::from_raw_fd(copy)
    };
    // SAFETY: a C string; dup2 closes what was there, and the number then belongs to the process as its standard stream.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null < 0 {
            return Ok(high); // dropping `low` frees its number again
        }
        libc::dup2(null, low.as_raw_fd());
        std::mem::forget(low);
        if null >= FIRST {
            libc::close(null);
        }
    }
    Ok(high)
}
