//! Lines gathered in memory and written in batches by a thread of their own, so that no request waits for a disk or pipe.

use super::errors::{line, ErrorLog};
use crate::sys;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A line waits at most this long.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// A batch this large is written without waiting.
const BATCH: usize = 128 * 1024;
/// With this much waiting (the reader of a pipe has stopped) lines are dropped and counted.
const MOST: usize = 8 * 1024 * 1024;
/// Who ends waits this long for the last lines: a reader that has stopped must not keep the worker.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Bytes that were put here, and that have left for the file since. Invariant: `gone <= come`.
    come: u64,
    gone: u64,
    /// Lines that found no room.
    dropped: u64,
    /// The thread waits for a first line.
    asleep: bool,
    /// Somebody waits for the batch.
    hurry: bool,
    closing: bool,
}

struct Shared {
    fd: RawFd,
    buffer: Mutex<Buffer>,
    /// For the thread: there is something to do.
    changed: Condvar,
    /// For those who wait for it: a batch has gone.
    settled: Condvar,
    kind: Kind,
}

/// Whose lines they are.
enum Kind {
    /// Requests': they wait for others, and what goes wrong is said in the error log.
    Access(Arc<ErrorLog>),
    /// Faults': each is written at once, and what goes wrong can be said nowhere.
    Errors,
}

/// A log's writer.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread that writes the access log. Must be called after the fork.
    pub fn start(fd: RawFd, errors: Arc<ErrorLog>) -> std::io::Result<Self> {
        Self::spawn(fd, Kind::Access(errors), "hostler-log")
    }

    /// Starts the thread that writes the error log.
    pub(super) fn of_errors(fd: RawFd) -> std::io::Result<Self> {
        Self::spawn(fd, Kind::Errors, "hostler-errors")
    }

    fn spawn(fd: RawFd, kind: Kind, name: &str) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            fd,
            buffer: Mutex::default(),
            changed: Condvar::new(),
            settled: Condvar::new(),
            kind,
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .stack_size(128 * 1024)
            .spawn(move || theirs.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Adds one line (with its line end).
    pub fn put(&self, line: &[u8]) {
        let mut buffer = self.shared.buffer();
        if buffer.bytes.len() + line.len() > MOST {
            buffer.dropped += 1;
            return;
        }
        let before = buffer.bytes.len();
        buffer.bytes.extend_from_slice(line);
        buffer.come += line.len() as u64;
        let full = before < BATCH && buffer.bytes.len() >= BATCH;
        if buffer.asleep || full {
            buffer.asleep = false;
            drop(buffer);
            self.shared.changed.notify_one();
        }
    }

    /// Waits until what has gathered is written. False: the log's reader (of a pipe) does not take it in time.
    pub fn flush(&self) -> bool {
        let mut buffer = self.shared.buffer();
        let all = buffer.come;
        buffer.hurry = true;
        self.shared.changed.notify_one();
        let due = Instant::now() + PATIENCE;
        while buffer.gone < all {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waiting = all - buffer.gone;
                drop(buffer);
                if let Kind::Access(errors) = &self.shared.kind {
                    errors.error(format_args!(
                        "{waiting} bytes of the access log are not waited for: its reader is too slow"
                    ));
                }
                return false;
            }
            buffer = self
                .shared
                .settled
                .wait_timeout(buffer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Writes the rest and ends the thread, unless the reader keeps it.
    pub fn close(&self) {
        self.shared.buffer().closing = true;
        if self.flush() {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut batch = Vec::new();
        while let Some(dropped) = self.gather(&mut batch) {
            self.write(&batch, dropped);
            self.buffer().gone += batch.len() as u64;
            self.settled.notify_all();
            batch.clear();
            if batch.capacity() > 4 * BATCH {
                batch = Vec::new();
            }
        }
    }

    /// Waits for a first line, then for a full batch, the time or somebody in a hurry, and takes what there is. The
    /// number of lines that were dropped meanwhile; none at the end.
    fn gather(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut buffer = self.buffer();
        while buffer.bytes.is_empty() && !buffer.closing {
            buffer.asleep = true;
            buffer = self.changed.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        if buffer.bytes.is_empty() {
            return None;
        }
        let due = match self.kind {
            Kind::Access(_) => Instant::now() + FLUSH_AFTER,
            Kind::Errors => Instant::now(),
        };
        while buffer.bytes.len() < BATCH && !buffer.closing && !buffer.hurry {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            buffer = self
                .changed
                .wait_timeout(buffer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        buffer.hurry = false;
        std::mem::swap(&mut buffer.bytes, batch);
        Some(std::mem::take(&mut buffer.dropped))
    }

    fn write(&self, batch: &[u8], dropped: u64) {
        let result = sys::append(self.fd, batch);
        match &self.kind {
            Kind::Access(errors) => {
                if let Err(error) = result {
                    errors.error(format_args!(
                        "the access log cannot be written, lines are lost: {error}"
                    ));
                }
                if dropped > 0 {
                    errors.error(format_args!(
                        "{dropped} access log lines were dropped: the log's reader is too slow"
                    ));
                }
            }
            Kind::Errors if dropped > 0 => {
                let message = format_args!("{dropped} log lines were left out: the log's reader is too slow");
                let _ = sys::append(self.fd, line(sys::realtime_seconds(), "WARNING", message).as_bytes());
            }
            Kind::Errors => {}
        }
    }
}
