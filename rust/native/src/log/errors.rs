//! The error log's lines that the core itself writes: one line a fault, at once, never more than a flood allows.

use super::stamp::offset;
use crate::sys;
use std::fmt::Arguments;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

pub const DEBUG: u8 = 10;
pub const INFO: u8 = 20;
pub const WARNING: u8 = 30;
pub const ERROR: u8 = 40;

/// Lines a second; whoever sends rubbish to fill the disk gets a count instead.
const MOST_PER_SECOND: u32 = 100;

/// Writes `[date] [pid] [LEVEL] message` lines to a descriptor.
pub struct ErrorLog {
    fd: RawFd,
    level: u8,
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
            level,
            window: Mutex::default(),
        }
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
        if level < self.level || self.fd < 0 {
            return;
        }
        let now = sys::realtime_seconds();
        let Some(left_out) = self.admit(now) else { return };
        if left_out > 0 {
            self.write(
                now,
                "WARNING",
                format_args!("{left_out} log lines were left out: too many in a second"),
            );
        }
        self.write(now, name, message);
    }

    /// Whether a line may be written, and how many were left out before it.
    fn admit(&self, now: i64) -> Option<u32> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        if window.second != now {
            left_out = window.left_out;
            *window = Window {
                second: now,
                ..Window::default()
            };
        }
        if window.written >= MOST_PER_SECOND {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(left_out)
    }

    fn write(&self, now: i64, level: &str, message: Arguments<'_>) {
        let t = sys::local_time(now);
        let (sign, hours, minutes) = offset(t.offset);
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
        assert!((0..MOST_PER_SECOND).all(|_| log.admit(1) == Some(0)));
        assert_eq!((log.admit(1), log.admit(1)), (None, None));
        assert_eq!(log.admit(2), Some(2));
        assert_eq!(log.admit(2), Some(0));
    }
}
