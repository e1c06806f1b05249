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
//!
//! Threads come when requests wait for one (growth.rs) and leave when they were parked for `thread_idle`. The core asks for
//! them by number; Python starts them, because they are `threading` threads, and says so with `enter`.

use super::growth::{self, Situation};
use super::reactor::PollSpace;
use super::request::{Request, Token};
use super::sharing::Sharer;
use super::{Core, State};
use crate::score;
use crate::sys;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

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

/// The request that a thread runs.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub token: Token,
    /// `Request::peer`: the request itself is its thread's.
    pub client: sys::Peer,
    /// When it began (monotonic ns).
    pub started: u64,
    /// It has the socket for itself, for as long as it likes: the watch leaves it alone.
    pub detached: bool,
    /// What the watch has done about it: see watch.rs.
    pub watched: Watched,
}

/// How far the watch has gone with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    Not,
    /// It was reported as slow.
    Slow,
    /// It was answered in the app's place, or cut; nothing it says is heard any more.
    TimedOut,
}

/// One place for an app thread.
#[derive(Clone, Default)]
struct Place {
    run: Option<Run>,
    /// Its kernel number and CPU clock; none while there is no thread.
    thread: Option<(u32, sys::CpuClock)>,
    /// Its CPU clock after its last slow request.
    cpu: u64,
    /// Its CPU clock when it was last seen to move, and when that was.
    seen: (u64, u64),
}

/// The roles of the app threads. Invariant: a thread is running, parked (in `parked`), polling, or on its way between.
/// Invariant: a place is in `free`, in `wanted`, being started, or has a thread: `alive + starting + free.len()` is their number.
pub(super) struct Roles {
    pub poller: Poller,
    pub parked: Vec<usize>,
    places: Vec<Place>,
    busy: usize,
    alive: usize,
    /// Threads asked for that have not entered yet.
    starting: usize,
    /// Places without a thread.
    free: Vec<usize>,
    /// Places whose threads Python has not been told to start yet.
    pub wanted: Vec<usize>,
    /// Until when no thread is asked for: the system had none left (monotonic ns).
    barren_until: u64,
    /// Until when long computations are expected: whoever begins a request leaves somebody at the door (monotonic ns).
    pub crowded_until: u64,
    /// How many requests may run at once: see growth.rs. No limit while the CPU is not used up.
    limit: usize,
    /// When the limit was last looked at (monotonic ns).
    limited_ns: u64,
    /// The last look at all clocks: when, how many stood still, the least age of the others.
    seen: (u64, usize, u64),
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
    /// Another thread polls: sleep until woken, or leave after a while.
    Park,
    /// The worker ends.
    Stop,
}

/// Stands for gevent's hub where a thread polls.
const HUB: usize = usize::MAX;
/// Of the requests that began within this time (ns), so many threads are asked whether they want a CPU.
const LATELY: u64 = 100_000_000;
const LOOKED_AT: usize = 8;
/// Between two looks at all clocks (ns): each is a system call.
const SEEN_EVERY: u64 = 4_000_000;
/// Between two looks at the limit (ns): two turns of the interpreter's lock, in which each that waits for it moves.
const LIMIT_EVERY: u64 = 10_000_000;
/// No thread is asked for this long after one could not be started (ns).
const BARREN: u64 = 1_000_000_000;
/// A thread whose CPU clock has stood still for so long waits, and not for the interpreter's lock alone: its turn would have
/// come (ns).
const STILL: u64 = 50_000_000;

impl Roles {
    /// Places for `most` threads; the first `initial` of them are wanted at once.
    pub fn new(initial: usize, most: usize, greenlets: bool) -> Self {
        if greenlets {
            // Places for greenlets; they need nobody to start them, so all of them are there.
            return Self {
                alive: most,
                starting: 0,
                free: Vec::new(),
                wanted: Vec::new(),
                ..Self::new(0, most, false)
            };
        }
        Self {
            poller: Poller::Nobody(sys::monotonic_ns()),
            parked: Vec::with_capacity(most),
            places: vec![Place::default(); most],
            busy: 0,
            alive: 0,
            starting: initial,
            free: (initial..most).rev().collect(),
            wanted: (0..initial).collect(),
            barren_until: 0,
            crowded_until: 0,
            limit: usize::MAX,
            limited_ns: 0,
            seen: (0, 0, u64::MAX),
            waits: 0,
            monitor_asleep: false,
            computing: false,
        }
    }

    pub fn busy(&self) -> usize {
        self.busy
    }

    pub fn alive(&self) -> usize {
        self.alive
    }

    /// No more threads can be asked for.
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// What each thread runs, and the kernel's number of the thread (of greenlets: their place).
    pub fn running(&self) -> impl Iterator<Item = (usize, &Run, u32)> + '_ {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, place)| {
            let run = place.run.as_ref()?;
            Some((index, run, place.thread.as_ref().map_or(index as u32, |(tid, _)| *tid)))
        })
    }

    pub fn run_of(&mut self, thread: usize) -> Option<&mut Run> {
        self.places[thread].run.as_mut()
    }

    pub fn has_timed_out(&self, thread: usize) -> bool {
        let run = self.places[thread].run.as_ref();
        run.is_some_and(|run| run.watched == Watched::TimedOut)
    }

    fn begin(&mut self, thread: usize, request: &Request, now: u64) {
        self.places[thread].run = Some(Run {
            token: request.token,
            client: request.peer,
            started: now,
            detached: false,
            watched: Watched::Not,
        });
        self.busy += 1;
    }

    /// The numbers that growth is decided from.
    pub fn situation(&mut self, queued: usize, cpus: usize, now: u64) -> Situation {
        let (waiting, youngest) = if self.computing {
            if now.saturating_sub(self.seen.0) >= SEEN_EVERY {
                let (waiting, youngest) = self.still(now, STILL);
                self.seen = (now, waiting, youngest);
            }
            (self.seen.1, self.seen.2)
        } else {
            let ages = self.running().map(|(_, run, _)| now.saturating_sub(run.started));
            (0, ages.min().unwrap_or(u64::MAX))
        };
        Situation {
            queued,
            parked: self.parked.len(),
            coming: self.coming(),
            room: if now < self.barren_until { 0 } else { self.free.len() },
            running: self.busy,
            waiting,
            youngest,
            crowded: now < self.crowded_until,
            computing: self.computing,
            cpus,
        }
    }

    /// Threads that are on their way to the queue. The one that polls is told of it, so it counts.
    fn coming(&self) -> usize {
        self.starting + self.alive - self.busy - self.parked.len()
    }

    /// Looks, now and then, at how many requests may run at once.
    pub fn set_limit(&mut self, cpus: usize, now: u64) {
        if !self.computing || self.busy <= growth::allowed(0, cpus) {
            self.limit = usize::MAX;
        } else if now.saturating_sub(self.limited_ns) >= LIMIT_EVERY {
            self.limited_ns = now;
            let (waiting, _) = self.still(now, LIMIT_EVERY - LIMIT_EVERY / 5);
            self.limit = growth::allowed(waiting, cpus);
        }
    }

    /// Requests that may be begun now.
    pub fn free_to_run(&self) -> usize {
        self.limit.saturating_sub(self.busy)
    }

    /// Whether one of the requests that began lately would go on if it got a CPU: what seems to wait was not let run.
    pub fn is_starved(&self, now: u64) -> bool {
        self.running()
            .filter(|(_, run, _)| now.saturating_sub(run.started) < LATELY)
            .take(LOOKED_AT)
            .any(|(_, _, tid)| sys::wants_cpu(tid))
    }

    /// Lets one more run than the limit allows.
    pub fn let_one_in(&mut self) {
        self.limit = self.limit.max(self.busy + 1);
    }

    /// How many running threads have not moved for so long, and the least age of what the others run. Looks at all their
    /// clocks: ask only when it matters.
    fn still(&mut self, now: u64, since: u64) -> (usize, u64) {
        let (mut count, mut youngest) = (0, u64::MAX);
        for place in &mut self.places {
            let (Some(run), Some((_, clock))) = (&place.run, &place.thread) else {
                continue;
            };
            let cpu = clock.read();
            if cpu != place.seen.0 || run.started > place.seen.1 {
                place.seen = (cpu, now);
            }
            if now.saturating_sub(place.seen.1) >= since {
                count += 1;
            } else {
                youngest = youngest.min(now.saturating_sub(run.started));
            }
        }
        (count, youngest)
    }

    /// Asks for up to `count` more threads.
    fn ask(&mut self, count: usize) {
        for _ in 0..count {
            let Some(place) = self.free.pop() else { return };
            self.wanted.push(place);
            self.starting += 1;
        }
    }

    /// The thread's request has ended after `duration`. Called by that thread.
    pub fn end(&mut self, thread: usize, duration: u64) {
        let place = &mut self.places[thread];
        place.run = None;
        self.busy -= 1;
        self.waits -= self.waits / 8;
        if duration > STALL {
            let cpu = sys::thread_cpu_ns();
            let waited = cpu.saturating_sub(place.cpu) < duration / 2 && !self.computing;
            place.cpu = cpu;
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
            .any(|(_, run, _)| now.saturating_sub(run.started) <= STALL)
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
        if !state.queue.is_empty() && state.roles.free_to_run() == 0 {
            if state.roles.poller == Poller::Thread(me) {
                state.roles.poller = Poller::Nobody(sys::monotonic_ns());
            }
            state.roles.parked.push(me);
            return Next::Park;
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

    /// The next request, for place `me`: a greenlet.
    pub fn take(&self, me: usize) -> Option<Box<Request>> {
        let mut state = self.lock();
        let request = state.queue.pop_front()?;
        Some(self.begin(&mut state, me, me as u32, request))
    }

    /// The hub looks for events without waiting. Returns how many requests are queued then.
    pub fn poll_for_hub(&self, space: &mut PollSpace) -> usize {
        {
            let mut state = self.lock();
            if state.roles.poller == Poller::Monitor {
                self.nudge.signal();
            }
            state.roles.poller = Poller::Nobody(sys::monotonic_ns());
        }
        self.poll(space, 0);
        let mut state = self.lock();
        self.share_out(&mut state, Sharer::Runner, sys::monotonic_ns());
        state.queue.len()
    }

    /// The hub has waited: from here on it may be busy with anything.
    pub fn hub_wakes(&self) {
        let mut state = self.lock();
        if state.roles.poller == Poller::Thread(HUB) {
            state.roles.poller = Poller::Nobody(sys::monotonic_ns());
        }
    }

    /// The hub is about to wait: it is the poller until it calls `poll_for_hub`. Returns how many requests are queued, and
    /// after how many milliseconds the next deadline is to be looked at (-1: there is none).
    pub fn hub_waits(&self) -> (usize, i32) {
        let queued = {
            let mut state = self.lock();
            if state.roles.poller == Poller::Monitor {
                self.nudge.signal();
            }
            state.roles.poller = Poller::Thread(HUB);
            state.queue.len()
        };
        (queued, self.next_deadline(-1))
    }

    fn begin(&self, state: &mut State, me: usize, tid: u32, mut request: Box<Request>) -> Box<Request> {
        let now = sys::monotonic_ns();
        let roles = &mut state.roles;
        if roles.poller == Poller::Thread(me) {
            roles.poller = Poller::Nobody(now);
        }
        roles.begin(me, &request, now);
        request.started_ns = now;
        request.thread = me;
        if self.settings.watches() {
            self.claims[me].reset();
        }
        score::set(&self.score.queued, state.queue.len());
        score::set(&self.score.threads_busy, roles.busy);
        score::set(&self.score.in_flight, roles.busy);
        self.score
            .record(me)
            .begin(tid, now, request.method(), request.target());
        if roles.mostly_waits() {
            // This one will wait too: somebody must poll meanwhile, and run what is queued already.
            if !state.queue.is_empty() || matches!(roles.poller, Poller::Nobody(_)) {
                self.put_to_work(state, 1);
            }
        } else if now < roles.crowded_until && roles.coming() <= 1 && matches!(roles.poller, Poller::Nobody(_)) {
            self.wake_parked(state);
        }
        request
    }

    /// Has `count` more threads take part: parked ones, or else new ones.
    pub(super) fn put_to_work(&self, state: &mut State, count: usize) {
        let woken = (0..count).take_while(|_| self.wake_parked(state)).count();
        let roles = &mut state.roles;
        let asked = roles.wanted.len();
        // One that comes anyway, to take the queue's head or the poller's role, serves as well.
        let missing = if count == 1 && roles.coming() > 0 {
            0
        } else {
            count - woken
        };
        if missing > 0 && sys::monotonic_ns() >= roles.barren_until {
            roles.ask(missing);
        }
        if roles.wanted.len() > asked {
            self.attention.signal();
        }
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
    pub(super) fn find_runner(&self, state: &mut State) {
        if state.queue.is_empty() {
            return;
        }
        let many = if state.roles.mostly_waits() {
            state.queue.len()
        } else {
            1
        };
        let woken = (0..many).take_while(|_| self.wake_parked(state)).count();
        if woken == 0 {
            self.kick.signal(); // the poller waits in epoll and doesn't know of the request
        }
    }

    /// Polls until there is something to run or to drop. The caller has the poller's role and not the interpreter's lock.
    /// The role is free again afterwards: until the thread has the interpreter's lock back, the monitor may take over.
    pub fn poll_until_work(&self, me: usize, space: &mut PollSpace) {
        loop {
            self.poll(space, -1);
            let mut state = self.lock();
            let work = state.stopping || !state.queue.is_empty() || !state.spent.is_empty() || self.visit.load(Relaxed);
            if state.roles.poller != Poller::Thread(me) {
                return;
            }
            if work {
                let now = sys::monotonic_ns();
                self.share_out(&mut state, Sharer::Runner, now);
                state.roles.poller = Poller::Nobody(now);
                return;
            }
        }
    }

    /// Thread `me` is there. Called by it, before anything else.
    pub fn enter(&self, me: usize, tid: u32) {
        let mut state = self.lock();
        let roles = &mut state.roles;
        roles.starting = roles.starting.saturating_sub(1);
        roles.alive += 1;
        roles.places[me] = Place {
            thread: Some((tid, sys::CpuClock::of_this_thread())),
            ..Place::default()
        };
        score::set(&self.score.threads, roles.alive);
    }

    /// Thread `me` goes. Called by it, after everything else.
    pub fn leave(&self, me: usize) {
        let mut state = self.lock();
        let roles = &mut state.roles;
        roles.places[me].thread = None;
        roles.alive -= 1;
        roles.free.push(me);
        score::set(&self.score.threads, roles.alive);
    }

    /// The thread for place `place` could not be started: others are not asked for during a second.
    pub fn not_started(&self, place: usize) {
        let mut state = self.lock();
        let roles = &mut state.roles;
        roles.starting = roles.starting.saturating_sub(1);
        roles.free.push(place);
        roles.barren_until = sys::monotonic_ns() + BARREN;
    }

    /// Sleeps until another thread has work for this one, and polls for it when nobody else does: whoever is woken while
    /// others compute must be at the door at once, and not first wait for the interpreter's lock.
    /// False: there was nothing to do for so long that the thread may leave.
    pub fn park(&self, me: usize, space: &mut PollSpace) -> bool {
        loop {
            if !self.sleep(me) {
                return false;
            }
            let mut state = self.lock();
            if state.stopping || !state.queue.is_empty() || !state.spent.is_empty() || self.visit.load(Relaxed) {
                return true;
            }
            match state.roles.poller {
                Poller::Thread(_) => {
                    state.roles.parked.push(me);
                    continue;
                }
                Poller::Monitor => self.nudge.signal(),
                Poller::Nobody(_) => {}
            }
            state.roles.poller = Poller::Thread(me);
            drop(state);
            self.poll_until_work(me, space);
            return true;
        }
    }

    /// A signal has come, and the main thread, which is the only one that runs requests, is to run its Python handler: it
    /// comes out of its wait, if it is in one.
    pub fn visit_main(&self) {
        self.visit.store(true, Relaxed);
        let mut state = self.lock();
        if state.roles.parked.pop().is_some() {
            self.parkers[0].unpark();
        }
        drop(state);
        self.kick.signal();
    }

    /// Whether the main thread was asked to come since this was called last.
    pub fn is_visited(&self) -> bool {
        self.visit.load(Relaxed) && self.visit.swap(false, Relaxed)
    }

    /// Sleeps until woken; false: to leave, nobody did.
    fn sleep(&self, me: usize) -> bool {
        let Some(idle) = self.settings.thread_idle else {
            return self.parkers[me].park(None);
        };
        loop {
            if self.parkers[me].park(Some(idle)) {
                return true;
            }
            let mut state = self.lock();
            let roles = &mut state.roles;
            let place = roles.parked.iter().position(|&thread| thread == me);
            match place {
                Some(place) if roles.alive > 1 => {
                    roles.parked.remove(place);
                    return false;
                }
                // The last one stays; or somebody has just taken it off the list and wakes it.
                _ => {}
            }
        }
    }
}

/// Where one thread sleeps.
#[derive(Default)]
pub(super) struct Parker {
    woken: Mutex<bool>,
    signal: Condvar,
}

impl Parker {
    /// Waits for `unpark`, at most for `most`; false when that was over.
    fn park(&self, most: Option<Duration>) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = match most {
                None => self.signal.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (woken, out) = self
                        .signal
                        .wait_timeout(woken, most)
                        .unwrap_or_else(PoisonError::into_inner);
                    if out.timed_out() && !*woken {
                        return false;
                    }
                    woken
                }
            };
        }
        *woken = false;
        true
    }

    pub fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.notify_one();
    }
}
