//! Who polls and who runs: the scheduling of app threads.
//!
//! At any time at most one thread is the *poller*. It leaves the role before it runs what it has read, so a fast app needs
//! one thread and no hand-over: poll, run, run, poll. Whoever finds the role free and nothing to run takes it; when all are
//! busy the monitor notices within about a millisecond and polls itself. A thread with nothing to do while another polls
//! parks; parked threads are woken last in, first out, so that the warm ones work.
//!
//! | the role is | a thread with nothing to run | the monitor, a millisecond later |
//! |---|---|---|
//! | nobody's | takes it | wakes a parked thread, or takes it when all are busy |
//! | a thread's | parks | wakes a parked thread if requests wait |
//! | the monitor's | takes it and wakes the monitor out of its wait | - |

use super::reactor::PollSpace;
use super::request::{Request, Token};
use super::{Core, State};
use crate::score;
use crate::sys;
use std::sync::{Condvar, Mutex, PoisonError};

/// A request that has run longer than this is slow, and a role that was free for longer needs somebody (ns).
pub(super) const STALL: u64 = 1_000_000;
/// Share of recent requests (of 1024) that waited, beyond which parked threads are woken as requests arrive.
const MOSTLY: u32 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poller {
    /// Free since (monotonic ns).
    Nobody(u64),
    Thread(usize),
    Monitor,
}

/// The roles of the app threads. Invariant: a thread is running, parked (in `parked`), polling, or on its way between.
pub(super) struct Roles {
    pub poller: Poller,
    pub parked: Vec<usize>,
    running: Vec<Option<(Token, u64)>>,
    busy: usize,
    /// Each thread's CPU clock after its last slow request.
    cpu: Vec<u64>,
    /// How many of the recent requests waited instead of computing: a moving average of 0..=1024.
    waits: u32,
    pub monitor_asleep: bool,
    /// The process computed while the monitor last looked: threads that seem to wait may wait for the interpreter's lock,
    /// and more of them would only fight for it.
    pub computing: bool,
}

/// What an app thread does next.
pub enum Next {
    Run(Box<Request>),
    /// Take part in the world: poll.
    Poll,
    /// Another thread polls: sleep until woken.
    Park,
    /// The worker ends.
    Stop,
}

impl Roles {
    pub fn new(threads: usize) -> Self {
        Self {
            poller: Poller::Nobody(sys::monotonic_ns()),
            parked: Vec::with_capacity(threads),
            running: vec![None; threads],
            busy: 0,
            cpu: vec![0; threads],
            waits: 0,
            monitor_asleep: false,
            computing: false,
        }
    }

    pub fn busy(&self) -> usize {
        self.busy
    }

    /// Token and start of the request that each thread runs.
    pub fn running(&self) -> impl Iterator<Item = Option<(Token, u64)>> + '_ {
        self.running.iter().copied()
    }

    fn begin(&mut self, thread: usize, token: Token, now: u64) {
        self.running[thread] = Some((token, now));
        self.busy += 1;
    }

    /// The thread's request has ended after `duration`. Called by that thread.
    pub fn end(&mut self, thread: usize, duration: u64) {
        self.running[thread] = None;
        self.busy -= 1;
        self.waits -= self.waits / 8;
        if duration > STALL {
            let cpu = sys::thread_cpu_ns();
            let waited = cpu.saturating_sub(self.cpu[thread]) < duration / 2 && !self.computing;
            self.cpu[thread] = cpu;
            self.waits += if waited { 128 } else { 0 };
        }
    }

    /// Recent requests mostly waited: threads are worth waking at once.
    fn mostly_waits(&self) -> bool {
        self.waits > MOSTLY && !self.computing
    }

    /// Some thread has begun a request lately: the queue moves, and that thread will poll when it is empty.
    pub fn is_moving(&self, now: u64) -> bool {
        self.running()
            .flatten()
            .any(|(_, started)| now.saturating_sub(started) <= STALL)
    }
}

impl Core {
    /// What thread `me` does next. Costs one lock; the caller holds the interpreter's lock or not as it likes.
    pub fn next(&self, me: usize, tid: u32) -> Next {
        let mut state = self.lock();
        let state = &mut *state;
        if state.stopping {
            return Next::Stop;
        }
        if let Some(request) = state.queue.pop_front() {
            return Next::Run(self.begin(state, me, tid, request));
        }
        match state.roles.poller {
            Poller::Thread(other) if other != me => {
                state.roles.parked.push(me);
                return Next::Park;
            }
            Poller::Monitor => self.nudge.signal(),
            _ => {}
        }
        state.roles.poller = Poller::Thread(me);
        Next::Poll
    }

    fn begin(&self, state: &mut State, me: usize, tid: u32, mut request: Box<Request>) -> Box<Request> {
        let now = sys::monotonic_ns();
        let roles = &mut state.roles;
        if roles.poller == Poller::Thread(me) {
            roles.poller = Poller::Nobody(now);
        }
        roles.begin(me, request.token, now);
        request.started_ns = now;
        score::set(&self.score.queued, state.queue.len());
        score::set(&self.score.threads_busy, roles.busy);
        score::set(&self.score.in_flight, roles.busy);
        self.score
            .record(me)
            .begin(tid, now, request.method(), request.target());
        if roles.mostly_waits() && (!state.queue.is_empty() || matches!(roles.poller, Poller::Nobody(_))) {
            self.wake_parked(state);
        }
        request
    }

    /// Wakes the thread that parked last; false when none is parked.
    pub(super) fn wake_parked(&self, state: &mut State) -> bool {
        let Some(thread) = state.roles.parked.pop() else {
            return false;
        };
        self.parkers[thread].unpark();
        true
    }

    /// Sees to it that somebody runs what waits in the queue, after it was filled by one who doesn't run requests.
    pub(super) fn find_runner(&self, state: &mut State, leaving: Option<Poller>) {
        if state.queue.is_empty() {
            return;
        }
        let many = if state.roles.mostly_waits() {
            state.queue.len()
        } else {
            1
        };
        let woken = (0..many).take_while(|_| self.wake_parked(state)).count();
        if woken == 0 && leaving != Some(state.roles.poller) {
            self.kick.signal(); // the poller waits in epoll and doesn't know of the request
        }
    }

    /// Polls until there is something to run or to drop. The caller has the poller's role and not the interpreter's lock.
    /// The role is free again afterwards: until the thread has the interpreter's lock back, the monitor may take over.
    pub fn poll_until_work(&self, me: usize, space: &mut PollSpace) {
        loop {
            self.poll(space, -1);
            let mut state = self.lock();
            let work = state.stopping || !state.queue.is_empty() || !state.spent.is_empty();
            if state.roles.poller != Poller::Thread(me) {
                return;
            }
            if work {
                state.roles.poller = Poller::Nobody(sys::monotonic_ns());
                return;
            }
        }
    }

    /// Sleeps until another thread has work for this one.
    pub fn park(&self, me: usize) {
        self.parkers[me].park();
    }
}

/// Where one thread sleeps.
#[derive(Default)]
pub(super) struct Parker {
    woken: Mutex<bool>,
    signal: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = self.signal.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }

    pub fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.notify_one();
    }
}
