//! The system calls the core makes, as safe functions that return `io::Result`.
//!
//! Everything above this module is free of `libc`. What is Linux's alone (epoll, eventfd, accept4, sendfile) lies
//! behind names that a kqueue build can offer too: `Epoll`, `Wake`, `accept`, `send_file`.

mod clock;
mod descriptor;
mod epoll;
mod files;
mod fork;
mod inbox;
mod orphan;
mod signals;
mod sockets;

pub use clock::{
    local_time, monotonic_ns, name_thread, process_cpu_ns, realtime_seconds, resident_memory, thread_cpu_ns, thread_id,
    trim_memory, wants_cpu, CpuClock, LocalTime,
};
pub use epoll::{is_readable, wait_either, Epoll, Event, Wake, ERROR, HANGUP, PEER_CLOSED, READABLE, WRITABLE};
pub use files::{
    append, duplicate, file_size, is_in_memory, memory_file, open_file, read_at, temporary_file, write_all_at, FileSize,
};
pub use fork::{default_in_children, exit_now, forget, is_forked_child, keep_from_children, watch_forks, Private};
pub use inbox::{give, socket_number, take, Files, Taken};
pub use orphan::kill_when_closed;
pub use signals::{signal_handler, widen_signal_stack};
pub use sockets::{
    accept, discard, has_more, peer_of, recv, reset, send, send_before_more, send_file, send_parts, set_blocking,
    shutdown_both, shutdown_write, waiting, NoConnection, Peer,
};

use std::io;

/// The result of a call that returns -1 on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The result of a call that returns a byte count or -1.
fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
