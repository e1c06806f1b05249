//! Signal handlers, as the kernel has them, and the stack that they run on.

use super::check;
use std::io;
use std::ptr;

/// The address of a signal's handler; 0: the default action, 1: it is ignored (sigaction(2)).
pub fn signal_handler(signal: i32) -> io::Result<usize> {
    // SAFETY: all zeros is a valid sigaction, which outlives the call and is only written to.
    unsafe {
        let mut found: libc::sigaction = std::mem::zeroed();
        check(libc::sigaction(signal, ptr::null(), &mut found))?;
        Ok(found.sa_sigaction)
    }
}

/// What a dozen handlers need that interrupt each other: of each, the registers (up to 11 KB on x86-64) and its frames.
/// Only what is used takes memory.
const SIGNAL_STACK: usize = 256 * 1024;

/// Gives the calling thread's signal handlers a stack that a burst of signals does not overflow.
///
/// The interpreter's handlers run on the alternate stack where there is one, and faulthandler makes one with room for
/// four of them (17 KB). Signals that come together interrupt each other: six were enough to end a worker.
pub fn widen_signal_stack() -> io::Result<()> {
    // SAFETY: a new mapping, which is never given back: the thread's handlers use it until the process ends.
    let bottom = unsafe {
        libc::mmap(
            ptr::null_mut(),
            SIGNAL_STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if bottom == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t {
        ss_sp: bottom,
        ss_flags: 0,
        ss_size: SIGNAL_STACK,
    };
    // SAFETY: the stack is mapped, and outlives the call and the thread.
    check(unsafe { libc::sigaltstack(&stack, ptr::null_mut()) }).map(drop)
}
