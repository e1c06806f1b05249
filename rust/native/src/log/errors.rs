//! The error log's lines that the core itself writes: one line a fault, at once, never more than a flood allows.

use super::escape::printable;
use super::stamp::offset;
use crate::sys;
use std::fmt::Arguments;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

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
        // Never waits: these lines are written where everybody else would wait too.
        let Some(left_out) = self.admit(now, sys::takes_a_line(self.fd)) else {
            return;
        };
        if left_out > 0 {
            let reason = "too many in a second, or the log's reader is too slow";
            self.write(
                now,
                "WARNING",
                format_args!("{left_out} log lines were left out: {reason}"),
            );
        }
        self.write(now, name, message);
    }

    /// Whether a line may be written, and how many were left out before it.
    fn admit(&self, now: i64, is_ready: bool) -> Option<u32> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != now {
            window.second = now;
            window.written = 0;
        }
        if !is_ready || window.written >= MOST_PER_SECOND {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    fn write(&self, now: i64, level: &str, message: Arguments<'_>) {
        let t = sys::local_time(now);
        let (sign, hours, minutes) = offset(t.offset);
        let message = printable(&message.to_string());
        let text = format!(
            "[{:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{hours:02}{minutes:02}] [{}] [{level}] {message}\n",
            t.year,
            t.month + 1,
            t.day,
            t.hour,
            t.minute,
            t.second,
            std::process::id()
        );
        let _ = sys::append(self.fd, text.as_bytes()); // a log that cannot be written cannot say so either
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let log = ErrorLog::new(-1, DEBUG);
        assert!((0..MOST_PER_SECOND).all(|_| log.admit(1, true) == Some(0)));
        assert_eq!((log.admit(1, true), log.admit(1, true)), (None, None));
        assert_eq!(log.admit(2, true), Some(2));
        assert_eq!(log.admit(2, true), Some(0));
    }

    #[test]
    fn a_log_that_would_block_is_not_waited_for() {
        let log = ErrorLog::new(-1, DEBUG);
        assert_eq!((log.admit(1, false), log.admit(2, false)), (None, None));
        assert_eq!(log.admit(2, true), Some(2));
    }
}
