//! The end of a process whose parent has gone, whatever its threads do: a signal handler and a timer of the kernel.

use super::check;
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, Ordering::SeqCst};

/// The line whose other end is the parent's; -1: none is watched.
static LINE: AtomicI32 = AtomicI32::new(-1);
/// How long the process has once it is closed (ms), and the timer that kills it then.
static DELAY: AtomicI64 = AtomicI64::new(0);
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());

/// Kills this process `delay` milliseconds after the other end of `line` has closed. The kernel must be told to send
/// `signal` when something happens on the line (`F_SETSIG`, `O_ASYNC`); the other end may also say something, which is
/// no reason to end.
///
/// No thread and no GIL is needed for it: native code that keeps the GIL cannot keep a port. What can still run until
/// the timer rings does so.
pub fn kill_when_closed(line: RawFd, signal: i32, delay: u64) -> io::Result<()> {
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: all zeros is a valid sigevent, and both places outlive the call. A timer ends with its process, and is not
    // inherited by a fork: there `timer_settime` fails, and nothing happens.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        check(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer))?;
    }
    DELAY.store(i64::try_from(delay).unwrap_or(i64::MAX), SeqCst);
    TIMER.store(timer, SeqCst);
    LINE.store(line, SeqCst);
    // SAFETY: all zeros is a valid sigaction; the handler has the type that is asked for without SA_SIGINFO, and calls
    // nothing that is not async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(signal, &action, ptr::null_mut()))?;
    }
    look(); // it may have closed before
    Ok(())
}

extern "C" fn on_signal(_signal: libc::c_int) {
    // SAFETY: the calling thread's own errno, which the interrupted code must find as it was.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    look();
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Starts the timer when the line is closed. poll and timer_settime are async-signal-safe (signal-safety(7)).
fn look() {
    let mut fds = [libc::pollfd {
        fd: LINE.load(SeqCst),
        events: 0,
        revents: 0,
    }];
    // SAFETY: an array of one valid pollfd.
    let is_closed = unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) } > 0 && fds[0].revents & libc::POLLHUP != 0;
    if !is_closed {
        return;
    }
    let delay = DELAY.load(SeqCst);
    // SAFETY: all zeros is a valid itimerspec, which outlives the call; the timer is one that timer_create has made.
    unsafe {
        let mut due: libc::itimerspec = std::mem::zeroed();
        due.it_value.tv_sec = delay / 1000;
        due.it_value.tv_nsec = delay % 1000 * 1_000_000;
        libc::timer_settime(TIMER.load(SeqCst), 0, &due, ptr::null_mut());
    }
}
