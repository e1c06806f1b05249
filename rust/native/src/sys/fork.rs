//! A forked child of this process: an app may fork at any moment (`os.fork`, multiprocessing, a C library).
//!
//! The child has copies of all descriptors. A connection that this process closes would then stay open for its client until
//! the child ends, and the listeners' port would stay taken. So the numbers of the server's descriptors stand in one table,
//! and each forked child puts /dev/null in their place before any other code of it runs (pthread_atfork(3)). The numbers stay
//! taken on purpose: objects that the child has inherited may close them by number, and must not hit a file of its own.
//!
//! The child also knows that it is one: `is_forked_child`. It never polls, serves or writes to a connection.
//!
//! Signals that mean the end of the server's process mean the end of the child: their handlers, which only tell the main
//! thread, are gone in it before any of them can be delivered. `Process.terminate()` of multiprocessing is such a signal.
//!
//! Programs that are executed (`subprocess`, posix_spawn) need none of this: all descriptors are closed on exec.

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::Once;

/// Descriptors beyond this number are not in the table; the kernel's own default limit (fs.nr_open).
const MOST: usize = 1 << 20;
const WORD: usize = u64::BITS as usize;

/// Ends this process without any clean-up.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// One bit for each descriptor of the server. Untouched pages of it cost nothing.
static TABLE: [AtomicU64; MOST / WORD] = [const { AtomicU64::new(0) }; MOST / WORD];
/// Words of `TABLE` that were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
static FORKED: AtomicBool = AtomicBool::new(false);
/// One bit for each signal, from 1 on, whose action is the default one in children.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The signal mask of a thread that forks, as it was before.
    // SAFETY: all zeros is a valid set of signals.
    static MASK: Cell<libc::sigset_t> = const { Cell::new(unsafe { std::mem::zeroed() }) };
}

/// Whether this process was forked off a process that serves, and must not.
pub fn is_forked_child() -> bool {
    FORKED.load(Relaxed)
}

/// This process serves. From here on its children get none of the descriptors in the table.
pub fn watch_forks() {
    static DONE: Once = Once::new();
    FORKED.store(false, Relaxed); // a child of a worker may start a server of its own
                                  // SAFETY: the handler does only what is async-signal-safe. Failing (no memory) leaves children as they would be.
    DONE.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
    });
}

/// Has these signals, of the numbers 1 to 64, do in children what they do in any process.
pub fn default_in_children(signals: &[i32]) {
    let bits = signals.iter().filter(|&&signal| (1..=64).contains(&signal));
    SIGNALS.store(bits.fold(0, |all, &signal| all | 1 << (signal - 1)), Relaxed);
}

/// The numbers in a word of bits, of which the lowest is `first`.
fn numbers(mut bits: u64, first: i32) -> impl Iterator<Item = i32> {
    std::iter::from_fn(move || {
        let bit = (bits != 0).then(|| bits.trailing_zeros() as i32)?;
        bits &= bits - 1;
        Some(first + bit)
    })
}

/// Runs before each fork, in the thread that forks: holds the signals back until `in_parent` and `in_child`.
extern "C" fn before() {
    let signals = SIGNALS.load(Relaxed);
    // SAFETY: all zeros is a valid set of signals; both sets outlive the calls.
    unsafe {
        let mut held: libc::sigset_t = std::mem::zeroed();
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut held);
        for signal in numbers(signals, 1) {
            libc::sigaddset(&mut held, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut mask);
        MASK.set(mask);
    }
}

extern "C" fn in_parent() {
    // SAFETY: the set that `before` has left in this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &MASK.get(), std::ptr::null_mut()) };
}

/// Puts a descriptor that stays open as long as the process into the table.
pub fn keep_from_children(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        TABLE[word].fetch_or(bit, Relaxed);
        USED.fetch_max(word + 1, Relaxed);
    }
}

/// The descriptor is about to be closed, or belongs to the app from here on.
pub fn forget(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        TABLE[word].fetch_and(!bit, Relaxed);
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok().filter(|&fd| fd < MOST)?;
    Some((fd / WORD, 1 << (fd % WORD)))
}

/// Runs in each forked child, before `fork` returns there. No locks, no memory: other threads may have held both.
extern "C" fn in_child() {
    FORKED.store(true, Relaxed);
    // SAFETY: system calls that are async-signal-safe (signal-safety(7)), on numbers that are this process's own.
    unsafe {
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for (index, word) in TABLE.iter().enumerate().take(USED.load(Relaxed)) {
            for fd in numbers(word.swap(0, Relaxed), (index * WORD) as RawFd) {
                if nothing < 0 || dup_over(nothing, fd) < 0 {
                    libc::close(fd);
                }
            }
        }
        if nothing >= 0 {
            libc::close(nothing);
        }
        for signal in numbers(SIGNALS.swap(0, Relaxed), 1) {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &MASK.get(), std::ptr::null_mut());
    }
}

/// Puts the file of `from` in the place of `to`, closed on exec.
unsafe fn dup_over(from: RawFd, to: RawFd) -> RawFd {
    #[cfg(target_os = "linux")]
    // SAFETY: no pointers.
    return unsafe { libc::dup3(from, to, libc::O_CLOEXEC) };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    return unsafe { libc::dup2(from, to) };
}

/// A descriptor that no forked child keeps.
pub struct Private(OwnedFd);

impl From<OwnedFd> for Private {
    fn from(fd: OwnedFd) -> Self {
        keep_from_children(fd.as_raw_fd());
        Self(fd)
    }
}

impl AsRawFd for Private {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Before the number is closed: afterwards it may be another one's already.
        forget(self.0.as_raw_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_forked_child_keeps_no_connection_open() {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        let server = Private::from(OwnedFd::from(server));
        watch_forks();
        let (mut says, told) = UnixStream::pair().expect("a pair");
        // SAFETY: the child only makes system calls, and ends by _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_child = u8::from(is_forked_child());
            // SAFETY: as above.
            unsafe {
                libc::write(told.as_raw_fd(), (&raw const is_child).cast(), 1);
                libc::pause();
                libc::_exit(0);
            }
        }
        let mut word = [0];
        says.read_exact(&mut word).expect("a word");
        assert_eq!(word, [1], "the child knows that it is one");
        assert!(!is_forked_child());
        drop(server);
        let end = client.read(&mut word);
        // SAFETY: our own child.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        assert_eq!(end.expect("the connection's end"), 0);
    }
}
