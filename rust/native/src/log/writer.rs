//! Lines gathered in memory and written in batches by a thread of their own, so that no request waits for a disk or pipe.

use super::errors::ErrorLog;
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

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Lines that found no room.
    dropped: u64,
    /// The thread waits for a first line.
    asleep: bool,
    closing: bool,
}

struct Shared {
    fd: RawFd,
    buffer: Mutex<Buffer>,
    changed: Condvar,
    /// Held while a batch is written: batches keep their order.
    writing: Mutex<Vec<u8>>,
    errors: Arc<ErrorLog>,
}

/// The access log's writer.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the writing thread. Must be called after the fork.
    pub fn start(fd: RawFd, errors: Arc<ErrorLog>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            fd,
            buffer: Mutex::default(),
            changed: Condvar::new(),
            writing: Mutex::default(),
            errors,
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ostler-log".into())
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
        let full = before < BATCH && buffer.bytes.len() >= BATCH;
        if buffer.asleep || full {
            buffer.asleep = false;
            drop(buffer);
            self.shared.changed.notify_one();
        }
    }

    /// Writes what has gathered, now.
    pub fn flush(&self) {
        self.shared.write_batch();
    }

    /// Writes the rest and ends the thread.
    pub fn close(&self) {
        self.shared.buffer().closing = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.flush();
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while self.gather() {
            self.write_batch();
        }
    }

    /// Waits for a first line, then for a full batch or the time; false at the end.
    fn gather(&self) -> bool {
        let mut buffer = self.buffer();
        while buffer.bytes.is_empty() && !buffer.closing {
            buffer.asleep = true;
            buffer = self.changed.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        let due = Instant::now() + FLUSH_AFTER;
        while buffer.bytes.len() < BATCH && !buffer.closing {
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
        !buffer.closing
    }

    fn write_batch(&self) {
        let mut batch = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = {
            let mut buffer = self.buffer();
            std::mem::swap(&mut buffer.bytes, &mut batch);
            std::mem::take(&mut buffer.dropped)
        };
        if let Err(error) = sys::append(self.fd, &batch) {
            self.errors.error(format_args!(
                "the access log cannot be written, lines are lost: {error}"
            ));
        }
        if dropped > 0 {
            self.errors.error(format_args!(
                "{dropped} access log lines were dropped: the log's reader is too slow"
            ));
        }
        batch.clear();
        if batch.capacity() > 4 * BATCH {
            *batch = Vec::new();
        }
    }
}
