//! The porter: one native thread for what may wait for a disk, so that neither the poller nor the core's lock ever does.
//!
//! A job is taken out of a connection's state, done without the lock, and its result put back. Meanwhile the connection may
//! have ended: its token tells. The thread starts with the first job, and is not waited for at the end: a disk that has
//! stopped must not keep the worker.

use super::gather::{Parcel, Written};
use super::output::Bundle;
use super::request::Token;
use super::{Core, State};
use crate::sys;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};

/// What is to be done.
pub(super) enum Job {
    /// Body bytes of a connection go into a file.
    Store(Token, Parcel),
    /// Response bytes that wait in memory go into a file.
    Spill(Token, Bundle),
    /// So many bytes of a file, from an offset, are brought into memory.
    Fetch(Token, Arc<File>, u64, u64),
    /// The metrics are gathered, some of them from /proc.
    Page(Token),
}

/// What was done.
enum Done {
    Stored(Token, io::Result<Written>),
    Spilled(Token, Bundle, io::Result<()>),
    Fetched(Token),
    Page(Token, String),
}

impl Job {
    fn run(self, core: &Core) -> Done {
        match self {
            Self::Store(token, parcel) => Done::Stored(token, parcel.write(&core.settings.temp_dir)),
            Self::Spill(token, mut bundle) => {
                let result = bundle.write(&core.settings.temp_dir);
                Done::Spilled(token, bundle, result)
            }
            Self::Fetch(token, file, offset, count) => {
                // What fails here fails again where it is sent, which ends the response.
                let _ = sys::read_at(&*file, &mut Vec::new(), count as usize, offset);
                Done::Fetched(token)
            }
            Self::Page(token) => Done::Page(token, core.metrics()),
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    has_thread: bool,
    is_over: bool,
}

/// The way to the thread.
#[derive(Default)]
pub(super) struct Porter {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Who the thread works for; not set: jobs are done at once by whoever has them (tests).
    home: OnceLock<Weak<Core>>,
}

impl Core {
    /// From here on jobs may be done by a thread of their own.
    pub fn employ_porter(self: &Arc<Self>) {
        let _ = self.porter.home.set(Arc::downgrade(self));
    }

    /// Has a job done. Without a thread it is done when this returns.
    pub(super) fn submit(&self, state: &mut State, job: Job) {
        if let Some(job) = self.hand_to_porter(job) {
            let done = job.run(self);
            self.put_back(state, done);
        }
    }

    /// Returns the job when there is no thread for it.
    fn hand_to_porter(&self, job: Job) -> Option<Job> {
        let Some(core) = self.porter.home.get().and_then(Weak::upgrade) else {
            return Some(job);
        };
        let mut queue = self.porter.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.has_thread {
            let thread = std::thread::Builder::new()
                .name("hostler-porter".into())
                .stack_size(128 * 1024);
            if thread.spawn(move || core.carry()).is_err() {
                return Some(job);
            }
            queue.has_thread = true;
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.porter.wake.notify_one();
        None
    }

    /// The thread's body; returns after `dismiss_porter`.
    fn carry(&self) {
        while let Some(job) = self.next_job() {
            let done = job.run(self);
            let mut state = self.lock();
            self.put_back(&mut state, done);
            self.find_runner(&mut state);
            drop(state);
            self.kick.signal(); // deadlines have changed behind the back of the thread that polls
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut queue = self.porter.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.is_over {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self.porter.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The worker ends.
    pub(super) fn dismiss_porter(&self) {
        self.porter.queue.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.porter.wake.notify_all();
    }

    fn put_back(&self, state: &mut State, done: Done) {
        match done {
            Done::Stored(token, result) => self.body_is_stored(state, token, result),
            Done::Spilled(token, bundle, result) => self.output_is_spilled(state, token, bundle, result),
            Done::Fetched(token) => self.go_on_sending(state, token),
            Done::Page(token, text) => self.page_is_ready(state, token, &text),
        }
    }
}
