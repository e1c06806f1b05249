//! The watch over requests that take long: in the queue, or in the app. Looked at by the monitor, so it holds whatever the
//! app's threads do. What only Python can do (stacks, log lines with them, new threads) waits as a notice for the worker's
//! main thread.

use super::conn::Phase;
use super::request::Request;
use super::roles::{Run, Watched};
use super::{Core, State};
use crate::log::Entry;
use crate::score::{self, RECORDS};
use crate::sys;
use hostler_wire::http1::parse_head;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

/// Between two looks at the ages of the running requests (ns).
const EVERY: u64 = 50_000_000;
/// A queue whose head has waited for so long, with every thread in a request as old as that, stands still (ns).
const STANDSTILL: u64 = 1_000_000_000;
/// Between two notices of it (ns).
const REMIND: u64 = 30_000_000_000;

/// What the client of a request that timed out reads.
const TIMED_OUT: &str = "request_timeout passed";

/// What the worker's main thread has to say or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A request has run longer than `slow_request`.
    Slow(Runner),
    /// A request has run longer than `request_timeout`; its client has its answer.
    TimedOut(Runner),
    /// Requests wait, and every thread that there may be runs one that waits too.
    Standstill,
    /// The worker has run `max_requests`.
    Worn,
}

/// A running request and its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    pub thread: usize,
    /// The kernel's number of the thread; 0: the event loop's request number `thread`.
    pub tid: u32,
    /// As they were sent, and cut where they are long.
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    /// The client that trusted proxies name, or else the end that its connection speaks for.
    pub client: sys::Peer,
    /// How long it has run (ns).
    pub age: u64,
}

/// A request that waits for a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// As they were sent, and cut where they are long.
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub peer: sys::Peer,
    /// How long it has waited (ns).
    pub age: u64,
}

/// Who answers a request: its thread, or the watch in its place. The first one to say so does.
#[derive(Default)]
pub(super) struct Claim(AtomicU32);

const OPEN: u32 = 0;
const APP: u32 = 1;
const WATCH: u32 = 2;

impl Claim {
    pub fn reset(&self) {
        self.0.store(OPEN, Release);
    }

    /// The app's thread is about to send the first byte; false: the watch has answered.
    pub fn for_app(&self) -> bool {
        match self.0.compare_exchange(OPEN, APP, AcqRel, Acquire) {
            Ok(_) => true,
            Err(owner) => owner == APP,
        }
    }

    /// Whether the first byte of the app's answer is on its way.
    fn is_apps(&self) -> bool {
        self.0.load(Acquire) == APP
    }

    /// The watch is about to answer; false: the app's thread has begun to.
    fn for_watch(&self) -> bool {
        self.0.compare_exchange(OPEN, WATCH, AcqRel, Acquire).is_ok()
    }
}

/// What is to be done about a request that was not done yet.
fn due_of(run: &Run, slow: u64, limit: u64, now: u64) -> Option<Watched> {
    let age = now.saturating_sub(run.started);
    let due = if limit > 0 && age >= limit {
        Watched::TimedOut
    } else if slow > 0 && age >= slow {
        Watched::Slow
    } else {
        Watched::Not
    };
    (due > run.watched && !run.detached).then_some(due)
}

impl Core {
    /// Notices requests that run for too long.
    pub(super) fn watch_requests(&self, state: &mut State, now: u64) {
        if now.saturating_sub(state.watched_ns) < EVERY || !self.settings.watches() {
            return;
        }
        state.watched_ns = now;
        self.watch_runs(state, now);
        let (slow, limit) = (self.settings.slow_request, self.settings.request_timeout);
        let overdue: Vec<(usize, Watched)> = state
            .roles
            .running()
            .filter_map(|(thread, run, _)| Some((thread, due_of(run, slow, limit, now)?)))
            // A response that has begun takes the time that it takes: see `streams` for those of the event loop.
            .filter(|(thread, due)| *due == Watched::TimedOut || !self.claims[*thread].is_apps())
            .collect();
        for (thread, due) in overdue {
            let Some(runner) = self.runner(state, thread, now) else {
                continue;
            };
            if due == Watched::TimedOut {
                self.time_out(state, thread, &runner, now);
                state.notices.push(Notice::TimedOut(runner));
            } else {
                if let Some(run) = state.roles.run_of(thread) {
                    run.watched = due;
                }
                state.notices.push(Notice::Slow(runner));
            }
            self.attention.signal();
        }
    }

    /// The same for requests on the event loop. Those that time out are given up when their stacks have been read.
    fn watch_runs(&self, state: &mut State, now: u64) {
        let (slow, limit) = (self.settings.slow_request, self.settings.request_timeout);
        let overdue: Vec<(usize, Watched)> = state
            .runs
            .iter()
            .filter_map(|(number, run)| Some((number, due_of(run, slow, limit, now)?)))
            .collect();
        for (number, due) in overdue {
            let Some(run) = state.runs.get_mut(number) else {
                continue;
            };
            run.watched = due;
            let Some(runner) = self.runner_on_loop(state, number, now) else {
                continue;
            };
            state.notices.push(match due {
                Watched::TimedOut => Notice::TimedOut(runner),
                _ => Notice::Slow(runner),
            });
            self.attention.signal();
        }
    }

    /// Has the loop answer a request in its app's place, and end its task.
    pub fn give_up(&self, number: usize) {
        let mut state = self.lock();
        let Some(run) = state.runs.get(number).filter(|run| run.watched == Watched::TimedOut) else {
            return;
        };
        let token = run.token;
        score::add(&self.score.timeouts, 1);
        if let Some(conn) = state.conn(token) {
            conn.timed_out = true;
            self.tell_loop(&mut state, token.index as usize);
        }
    }

    /// A request on the event loop, in words.
    fn runner_on_loop(&self, state: &State, number: usize, now: u64) -> Option<Runner> {
        let run = state.runs.get(number)?;
        let (method, target) = match number < RECORDS {
            true => self.score.record(number).request(),
            false => (b"?".to_vec(), b"?".to_vec()),
        };
        Some(Runner {
            thread: number,
            tid: 0,
            method,
            target,
            client: run.client,
            age: now.saturating_sub(run.started),
        })
    }

    /// The request of a thread, in words.
    fn runner(&self, state: &State, thread: usize, now: u64) -> Option<Runner> {
        let (_, run, tid) = state.roles.running().find(|(index, _, _)| *index == thread)?;
        let (method, target) = self.score.record(thread).request();
        Some(Runner {
            thread,
            tid,
            method,
            target,
            client: run.client,
            age: now.saturating_sub(run.started),
        })
    }

    /// All running requests.
    pub fn runners(&self) -> Vec<Runner> {
        let now = sys::monotonic_ns();
        let state = self.lock();
        let threads: Vec<usize> = state.roles.running().map(|(thread, _, _)| thread).collect();
        threads
            .into_iter()
            .filter_map(|thread| self.runner(&state, thread, now))
            .chain(
                state
                    .runs
                    .iter()
                    .filter_map(|(number, _)| self.runner_on_loop(&state, number, now)),
            )
            .collect()
    }

    /// The requests at the head of the queue, at most `most`.
    pub fn waiters(&self, most: usize) -> Vec<Waiter> {
        let now = sys::monotonic_ns();
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(200)].to_vec();
        let state = self.lock();
        let queue = state.queue.iter().chain(&state.loop_queue).take(most);
        queue
            .map(|request| Waiter {
                method: shown(request.method()),
                target: shown(request.target()),
                peer: request.peer,
                age: now.saturating_sub(request.queued_ns),
            })
            .collect()
    }

    /// Ends a request in its app's place: 504 when nothing was sent, else the connection is cut. Its socket stays open until
    /// its thread lets go of it.
    fn time_out(&self, state: &mut State, thread: usize, runner: &Runner, now: u64) {
        let Some(run) = state.roles.run_of(thread) else { return };
        run.watched = Watched::TimedOut;
        let token = run.token;
        // It is there: no connection is closed while its request runs.
        let conn = &mut state.conns[token.index as usize];
        let fd = conn.socket.as_raw_fd();
        let answered = self.claims[thread].for_watch();
        if answered {
            let _ = sys::send(fd, &self.answer(504, TIMED_OUT)); // a client that is gone needs no answer
        }
        conn.gone = true;
        conn.keep_alive = false;
        self.watch(conn, token.index as usize, None);
        if answered {
            sys::shutdown_write(fd);
        } else {
            sys::shutdown_both(fd);
        }
        state.abandoned += 1;
        score::add(&self.score.timeouts, 1);
        self.score.finished(if answered { 504 } else { 499 }, runner.age);
        self.log_timeout(runner, answered, now);
        self.progress.notify_all();
        self.signal_if_drained(state);
    }

    fn log_timeout(&self, runner: &Runner, answered: bool, now: u64) {
        // The request itself is its thread's; what the scoreboard knows of it makes the line.
        let mut request = Request::default();
        for part in [
            &runner.method,
            &b" "[..],
            &runner.target,
            b" HTTP/1.1\r\nHost: -\r\n\r\n",
        ] {
            request.buffer.extend_from_slice(part);
        }
        let is_read = parse_head(&request.buffer, &self.settings.limits, &mut request.head);
        self.put_entry(&Entry {
            request: is_read.is_ok_and(|whole| whole).then_some(&request),
            peer: runner.client,
            status: if answered { 504 } else { 499 },
            bytes: if answered { TIMED_OUT.len() as u64 + 1 } else { 0 },
            head: b"",
            duration_ns: runner.age.min(now),
            queue_ns: 0,
            variables: &[],
        });
    }

    /// Answers 503 to requests that have waited for a thread for too long, and notices a standstill.
    pub(super) fn shed(&self, state: &mut State, now: u64) {
        self.shed_for_loop(state, now);
        let Some(front) = state.queue.front() else { return };
        let age = now.saturating_sub(front.queued_ns);
        if age >= STANDSTILL {
            self.notice_standstill(state, now);
        }
        let limit = self.settings.queue_timeout;
        if limit == 0 || age < limit {
            return;
        }
        while state
            .queue
            .front()
            .is_some_and(|request| now.saturating_sub(request.queued_ns) >= limit)
        {
            if let Some(request) = state.queue.pop_front() {
                let threads = state.roles.alive();
                let s = if threads == 1 { "" } else { "s" };
                let reason = format!("queue_timeout passed while every app thread was busy ({threads} thread{s})");
                self.refuse_queued(state, request, &reason, now);
            }
        }
        score::set(&self.score.queued, state.queue.len());
    }

    /// The same for requests that wait for the event loop, which some code blocks.
    fn shed_for_loop(&self, state: &mut State, now: u64) {
        let limit = self.settings.queue_timeout;
        let is_late = |request: &Request| limit > 0 && now.saturating_sub(request.queued_ns) >= limit;
        while state.loop_queue.front().is_some_and(|request| is_late(request)) {
            let Some(request) = state.loop_queue.pop_front() else {
                return;
            };
            self.refuse_queued(
                state,
                request,
                "queue_timeout passed while the event loop was blocked",
                now,
            );
        }
    }

    /// Answers 503 to a request that has not begun and was taken out of its queue.
    pub(super) fn refuse_queued(&self, state: &mut State, request: Box<Request>, reason: &str, now: u64) {
        let token = request.token;
        let index = token.index as usize;
        let Some(conn) = state.conn(token).filter(|conn| conn.phase == Phase::InFlight) else {
            return state.give_back(request);
        };
        conn.on_loop = false;
        let gone = conn.gone;
        conn.incoming = Some(request);
        match gone {
            true => self.close(state, index),
            false => self.refuse(state, index, 503, reason, now),
        }
    }

    fn notice_standstill(&self, state: &mut State, now: u64) {
        let roles = &state.roles;
        let reminded = state.reminded_ns != 0 && now.saturating_sub(state.reminded_ns) < REMIND;
        let mut youngest = roles.running().map(|(_, run, _)| now.saturating_sub(run.started));
        if reminded || !roles.is_full() || !roles.parked.is_empty() || !youngest.all(|age| age >= STANDSTILL) {
            return;
        }
        state.reminded_ns = now;
        state.notices.push(Notice::Standstill);
        self.attention.signal();
    }

    /// What there is to say or do, taken once.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    /// Threads to be started, by number, taken once.
    pub fn take_wanted(&self) -> Vec<usize> {
        self.attention.clear();
        std::mem::take(&mut self.lock().roles.wanted)
    }
}
