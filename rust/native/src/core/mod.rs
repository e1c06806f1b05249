//! The core of one worker, without Python: connections, the run queue, who polls, who runs.
//!
//! One lock (`Core::state`) guards the connections, the queue and the roles. It is taken per event and per request, never
//! across a wait, a log write or Python code. A request in flight is owned by its app thread, which reads its bytes and
//! writes to its socket without the lock; the reactor neither reads nor closes that socket meanwhile.

mod balance;
mod conn;
mod drain;
mod envelope;
mod event_loop;
mod exchange;
mod finish;
mod flush;
mod gather;
mod growth;
mod handover;
mod health;
mod in_flight;
mod late;
mod metrics;
mod monitor;
mod monitor_loop;
mod mounts;
mod outbox;
mod output;
mod pace;
mod porter;
mod proxies;
mod reactor;
mod receive;
mod refuse;
mod request;
mod roles;
mod sharing;
mod stream;
mod timers;
mod transfer;
mod upload;
mod watch;
mod websocket;

pub use balance::Balance;
pub use event_loop::{News, Turn};
pub use exchange::{Exchange, FilePart, Finished, HeadError, Owner, Room};
pub use flush::After;
pub use mounts::{spelled, Mount};
pub use outbox::{Letter, Outbox};
pub use output::{Piece, Shared};
pub use pace::Rules;
pub use proxies::Asked;
pub use reactor::PollSpace;
pub use request::{Body, Request, Token};
pub use roles::Next;
pub use stream::Part;
pub use watch::{Notice, Runner, Waiter};
pub use websocket::Ending;

use crate::log::{AccessLog, ErrorLog, Writer};
use crate::score::Score;
use crate::settings::Settings;
use crate::sys::{self, Epoll, Wake};
use conn::Conn;
use roles::{Parker, Roles};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A descriptor that gives connections.
pub struct Listener {
    pub fd: RawFd,
    pub unix: bool,
    /// Only probes are answered here: see health.rs.
    pub admin: bool,
}

/// Requests kept for reuse while the worker is busy.
const SPARE_REQUESTS: usize = 256;

/// What the lock guards.
pub(crate) struct State {
    conns: Slab<Conn>,
    next_generation: u32,
    queue: VecDeque<Box<Request>>,
    /// Requests for the event loop.
    loop_queue: VecDeque<Box<Request>>,
    /// Connections with news for it.
    loop_ready: Vec<Token>,
    /// It is here, and looks at both before it goes.
    in_turn: bool,
    /// It was signalled, and has not come yet.
    loop_woken: bool,
    /// Requests that it answers.
    runs: Slab<roles::Run>,
    /// Boxed: requests move between connection, queue and thread as one pointer.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Request>>,
    wheel: timers::Wheel,
    due: Vec<u64>,
    /// Shared pieces that were sent; a thread with the interpreter's lock drops them.
    spent: Vec<Box<dyn Shared>>,
    roles: Roles,
    /// For the worker's main thread: see watch.rs.
    notices: Vec<Notice>,
    /// The notice that the worker has run `max_requests` was given.
    worn: bool,
    /// When the running requests' ages were last looked at, and a standstill was last noticed (monotonic ns).
    watched_ns: u64,
    reminded_ns: u64,
    /// Connections whose requests were ended in the app's place and whose threads have not let go of them.
    abandoned: usize,
    balancing: sharing::Balancing,
    draining: bool,
    stopping: bool,
    /// Until when no response is written to a file: the disk has refused one (monotonic ns).
    spill_after: u64,
    /// Until when no connection is accepted: the process is out of descriptors (monotonic ns; 0: accepting).
    accept_after: u64,
}

/// One worker's core.
pub struct Core {
    pub settings: Settings,
    pub listeners: Vec<Listener>,
    pub errors: Arc<ErrorLog>,
    pub access: Option<(AccessLog, Writer)>,
    pub score: Score,
    epoll: Epoll,
    /// Wakes whoever waits in epoll.
    kick: Wake,
    /// Wakes the event loop.
    pub loop_wake: Wake,
    /// How often the loop has come by.
    turns: AtomicUsize,
    /// The kernel's number of its thread.
    loop_tid: AtomicU32,
    /// Wakes the monitor out of its own wait.
    nudge: Wake,
    /// Readable when the worker's main thread has threads to start or notices to read.
    pub attention: Wake,
    /// Readable when a drain is complete.
    pub drained: Wake,
    state: Mutex<State>,
    /// The monitor sleeps here while nothing is in flight.
    monitor_wake: Condvar,
    /// App threads wait here for room in an output or for a late body.
    progress: Condvar,
    parkers: Vec<Parker>,
    /// Who answers the request of each thread; used where there is a `request_timeout`.
    claims: Vec<watch::Claim>,
    /// Read without the lock when a response decides about keep-alive.
    draining: AtomicBool,
    /// Pollers that are taking connections from a listener.
    accepting: AtomicUsize,
    porter: porter::Porter,
    /// What all responses hold in memory.
    ledger: Arc<output::Ledger>,
    /// See `handover::family`.
    family: u32,
    /// Processors that this process may use.
    processors: usize,
    /// Threads that are taking connections from an inbox.
    taking: AtomicUsize,
    /// Nothing is taken from inboxes any more.
    has_stopped: AtomicBool,
    /// Something that siblings were promised is to be looked after.
    owes: AtomicBool,
    /// Spent pieces wait (a hint that saves taking the lock).
    has_spent: AtomicBool,
    /// The interpreter's main thread, which runs requests, is to run Python code: see `visit_main`.
    visit: AtomicBool,
}

impl Core {
    pub fn new(settings: Settings, listeners: Vec<Listener>, score: Score) -> io::Result<Self> {
        let errors = Arc::new(ErrorLog::new(settings.error_log_fd, settings.log_level));
        let access = if settings.access_log_fd < 0 {
            None
        } else {
            let log = AccessLog::compile(&settings.access_log_format)
                .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
            Some((log, Writer::start(settings.access_log_fd, Arc::clone(&errors))?))
        };
        let epoll = Epoll::new()?;
        let kick = Wake::new()?;
        epoll.add(kick.as_raw_fd(), sys::READABLE, reactor::KICK)?;
        let parkers = (0..settings.threads).map(|_| Parker::default()).collect();
        let claims = (0..settings.threads).map(|_| watch::Claim::default()).collect();
        let attention = Wake::new()?;
        attention.signal(); // the first threads are wanted
        keep_from_children(&listeners, &settings);
        Ok(Self {
            family: handover::family(&listeners),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            taking: AtomicUsize::new(0),
            has_stopped: AtomicBool::new(false),
            porter: porter::Porter::default(),
            ledger: Arc::new(output::Ledger::of(score.own())),
            owes: AtomicBool::new(false),
            listeners,
            errors,
            access,
            score,
            epoll,
            kick,
            loop_wake: Wake::new()?,
            turns: AtomicUsize::new(0),
            loop_tid: AtomicU32::new(0),
            nudge: Wake::new()?,
            attention,
            drained: Wake::new()?,
            state: Mutex::new(State::new(&settings)),
            monitor_wake: Condvar::new(),
            progress: Condvar::new(),
            parkers,
            claims,
            draining: AtomicBool::new(false),
            accepting: AtomicUsize::new(0),
            has_spent: AtomicBool::new(false),
            visit: AtomicBool::new(false),
            settings,
        })
    }

    /// Starts accepting, and taking connections from siblings.
    pub fn open(&self) -> io::Result<()> {
        self.listen()?;
        self.open_inbox()
    }

    fn listen(&self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            self.epoll.add_shared(listener.fd, reactor::LISTENER | index as u64)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.lock().conns.len()
    }

    /// Whether a drain has begun: responses say `Connection: close`.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Pieces that were sent and wait to be dropped by a holder of the interpreter's lock.
    pub fn take_spent(&self) -> Vec<Box<dyn Shared>> {
        if !self.has_spent.load(Relaxed) {
            return Vec::new();
        }
        self.has_spent.store(false, Relaxed);
        std::mem::take(&mut self.lock().spent)
    }

    /// Says so when a drain has nothing left to do but to wait for threads that nobody answers for.
    fn signal_if_drained(&self, state: &State) {
        if state.draining && state.conns.len() == state.abandoned {
            self.drained.signal();
        }
    }
}

/// What a forked child of the worker must not have: it would keep the port, and take what is meant for others.
fn keep_from_children(listeners: &[Listener], settings: &Settings) {
    sys::watch_forks();
    for listener in listeners {
        sys::keep_from_children(listener.fd);
    }
    for &(take, give) in &settings.inboxes {
        sys::keep_from_children(take);
        sys::keep_from_children(give);
    }
}

impl State {
    fn new(settings: &Settings) -> Self {
        Self {
            conns: Slab::new(),
            next_generation: 0,
            queue: VecDeque::new(),
            loop_queue: VecDeque::new(),
            loop_ready: Vec::new(),
            in_turn: false,
            loop_woken: false,
            runs: Slab::new(),
            spare: Vec::new(),
            wheel: timers::Wheel::new(sys::monotonic_ns()),
            due: Vec::new(),
            spent: Vec::new(),
            roles: Roles::new(settings.initial_threads, settings.threads, settings.greenlets),
            notices: Vec::new(),
            worn: false,
            watched_ns: 0,
            reminded_ns: 0,
            abandoned: 0,
            balancing: sharing::Balancing::default(),
            draining: false,
            stopping: false,
            spill_after: 0,
            accept_after: 0,
        }
    }

    /// The connection, unless its place was given to another one meanwhile.
    fn conn(&mut self, token: Token) -> Option<&mut Conn> {
        self.conns
            .get_mut(token.index as usize)
            .filter(|conn| conn.generation == token.generation)
    }

    /// Requests that wait for an app thread, or for the event loop.
    fn queue_of(&mut self, on_loop: bool) -> &mut VecDeque<Box<Request>> {
        match on_loop {
            true => &mut self.loop_queue,
            false => &mut self.queue,
        }
    }

    /// How long the first of the requests that wait has waited (ns).
    fn oldest_wait(&self, now: u64) -> u64 {
        [&self.queue, &self.loop_queue]
            .into_iter()
            .filter_map(|queue| Some(now.saturating_sub(queue.front()?.queued_ns)))
            .max()
            .unwrap_or(0)
    }

    fn spare_request(&mut self) -> Box<Request> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut request: Box<Request>) {
        if self.spare.len() < SPARE_REQUESTS {
            request.clear();
            self.spare.push(request);
        }
    }

    /// Sets the deadline of the connection at `index`.
    fn set_deadline(&mut self, index: usize, due: timers::Tick) {
        let conn = &mut self.conns[index];
        let key = Token {
            index: index as u32,
            generation: conn.generation,
        }
        .key();
        self.wheel.set(&mut conn.deadline, due, key);
    }
}
