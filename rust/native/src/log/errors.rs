//! The error log's lines that the core itself writes: one line a fault, never more than a flood allows. A thread of its own
//! writes them at once: where a line is made the core's lock may be held, and a disk or a reader that has stopped must not
//! stop the worker.

use super::escape::printable;
use super::stamp::offset;
use super::writer::Writer;
use crate::sys;
use std::fmt::Arguments;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

pub const DEBUG: u8 = 10;
pub const INFO: u8 = 20;
pub const WARNING: u8 = 30;
pub const ERROR: u8 = 40;

/// Lines a second; whoever sends rubbish to fill the disk gets a count instead.
const MOST_PER_SECOND: u32 = 100;

/// Writes `[date] [pid] [LEVEL] message` lines to a descriptor, each message escaped: text from outside may be in it.
pub struct ErrorLog {
    fd: RawFd,
    level: AtomicU8,
    /// Invariant: `written <= MOST_PER_SECOND`.
    window: Mutex<Window>,
    /// Started with the first line: most workers write none. None: there is no thread for it.
    writer: OnceLock<Option<Writer>>,
}

#[derive(Default)]
struct Window {
    second: i64,
    written: u32,
    left_out: u32,
}

impl ErrorLog {
    pub fn new(fd: RawFd, level: u8) -> Self {
        Self {
            fd,
            level: AtomicU8::new(level),
            window: Mutex::default(),
            writer: OnceLock::new(),
        }
    }

    /// Writes lines from this level on, from now on.
    pub fn set_level(&self, level: u8) {
        self.level.store(level, Relaxed);
    }

    pub fn debug(&self, message: Arguments<'_>) {
        self.line(DEBUG, "DEBUG", message);
    }

    pub fn warning(&self, message: Arguments<'_>) {
        self.line(WARNING, "WARNING", message);
    }

    pub fn error(&self, message: Arguments<'_>) {
        self.line(ERROR, "ERROR", message);
    }

    fn line(&self, level: u8, name: &str, message: Arguments<'_>) {
        if level < self.level.load(Relaxed) || self.fd < 0 {
            return;
        }
        let now = sys::realtime_seconds();
        let Some(left_out) = self.admit(now) else {
            return;
        };
        if left_out > 0 {
            self.put(
                now,
                "WARNING",
                format_args!("{left_out} log lines were left out: too many in a second"),
            );
        }
        self.put(now, name, message);
    }

    /// Whether a line may be written, and how many were left out before it.
    fn admit(&self, now: i64) -> Option<u32> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != now {
            window.second = now;
            window.written = 0;
        }
        if window.written >= MOST_PER_SECOND {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    fn put(&self, now: i64, level: &str, message: Arguments<'_>) {
        let text = line(now, level, message);
        let writer = self.writer.get_or_init(|| Writer::of_errors(self.fd).ok());
        match writer {
            Some(writer) => writer.put(text.as_bytes()),
            None => drop(sys::append(self.fd, text.as_bytes())),
        }
    }

    /// Waits until what there is has been written, for a moment.
    pub fn flush(&self) {
        if let Some(Some(writer)) = self.writer.get() {
            writer.flush();
        }
    }
}

/// One line of the log.
pub(super) fn line(now: i64, level: &str, message: Arguments<'_>) -> String {
    let t = sys::local_time(now);
    let (sign, hours, minutes) = offset(t.offset);
    let message = printable(&message.to_string());
    format!(
        "[{:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{hours:02}{minutes:02}] [{}] [{level}] {message}\n",
        t.year,
        t.month + 1,
        t.day,
        t.hour,
        t.minute,
        t.second,
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let log = ErrorLog::new(-1, DEBUG);
        assert!((0..MOST_PER_SECOND).all(|_| log.admit(1) == Some(0)));
        assert_eq!((log.admit(1), log.admit(1)), (None, None));
        assert_eq!(log.admit(2), Some(2));
        assert_eq!(log.admit(2), Some(0));
    }

    #[test]
    fn a_log_whose_reader_has_stopped_keeps_nothing_waiting() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let log = ErrorLog::new(writer.as_raw_fd(), DEBUG);
        let long = "x".repeat(8192);
        for _ in 0..MOST_PER_SECOND / 2 {
            log.error(format_args!("{long}")); // far more than a pipe holds: this would block for ever
        }
        let mut first = [0; 8192];
        reader.read_exact(&mut first).expect("the first line");
        assert!(first.ends_with(b"xxx"));
    }
}
