//! Signal handlers, as the kernel has them.

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
