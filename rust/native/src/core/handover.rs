//! Connections handed to siblings and taken from them, between two requests: a descriptor and the bytes that were read.
//!
//! Each worker has an inbox, a pair of packet sockets that the arbiter made before the first fork; all workers have all
//! of them, so nobody's end closes one. What was put into an inbox is counted as *promised* to its worker until that has
//! taken it. Nothing is lost on the way:
//!
//! * A worker that leaves shuts its slot before it looks into its inbox for the last time; who puts something in looks at
//!   the slot afterwards, and takes it back when that was shut meanwhile.
//! * What a worker has not taken in time (it is stopped, say) the giver takes back; the worker gets nothing more until it
//!   comes by.
//! * What a dead worker has left the arbiter gives to the others.

use super::balance::{self, Balance, Load};
use super::conn::{Conn, Phase};
use super::request::{Body, Request};
use super::timers::tick_after;
use super::{Core, State};
use crate::score::{self, DEAF, OPEN, SHUT};
use crate::sys::{self, Peer, Taken};
use std::io::IoSlice;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The longest that is handed over with a connection; the default buffers of unix sockets hold some of these.
const LONGEST: usize = 48 * 1024;
/// Connections taken from an inbox before other events have their turn.
const TAKES: usize = 32;
/// After so many hand-overs a request waits where it is.
const HOPS: u8 = 3;
/// A request that would wait for less is not worth a hand-over (ns); neither is looking for an idle sibling more often.
const WORTH: u64 = 300_000;
const LOOK: u64 = 100_000;
/// A request has waited for so long while none has ended: nothing moves here (ns).
const STUCK: u64 = 20_000_000;
/// How often an answered connection may go to somebody who has served less (ns).
const REST: u64 = 2_000_000;
/// What has not been taken after this is taken back (ns).
const PATIENCE: u64 = 100_000_000;

/// Who looks for somebody else to run what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharer {
    /// Who runs requests, and will run the first of these next.
    Runner,
    /// The monitor, while they are busy.
    Monitor,
}

/// What the balancing of one worker remembers.
#[derive(Default)]
pub(super) struct Balancing {
    /// Memory for the siblings' numbers.
    loads: Vec<Load>,
    /// When somebody idle was last looked for, and an answered connection last given away (monotonic ns).
    looked: u64,
    rested: u64,
    /// How long a request keeps the others waiting: a moving average (ns).
    pace: u64,
    /// When a request last ended (monotonic ns).
    pub ended: u64,
    /// The loop's turn: when it took its requests, and how many.
    turn: (u64, u64),
    /// Who was given something since anybody looked whether they still take it.
    to_check: Vec<usize>,
    /// What was promised to whom: the slot, when, and how many it had taken then.
    owed: Vec<(usize, u64, u64)>,
    chance: u64,
}

impl Balancing {
    /// A request has ended that took so long.
    pub fn ends(&mut self, duration: u64, now: u64) {
        self.ended = now;
        self.pace = self.pace - self.pace / 8 + duration / 8;
    }

    /// The loop begins a turn with so many requests.
    pub fn begin_turn(&mut self, count: usize, now: u64) {
        self.turn = (now, count as u64);
    }

    pub fn end_turn(&mut self, now: u64) {
        let (began, count) = std::mem::take(&mut self.turn);
        if let Some(each) = now.saturating_sub(began).checked_div(count) {
            self.pace = self.pace - self.pace / 8 + each / 8;
        }
    }

    /// A number below `most`, by chance.
    fn chance(&mut self, most: usize, now: u64) -> usize {
        self.chance = (self.chance ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) | 1;
        (self.chance >> 33) as usize % most
    }
}

/// What is said of a connection on its way.
struct Envelope {
    listener: u8,
    introduced: bool,
    hops: u8,
    family: u32,
    served: u32,
    /// As in `Conn`.
    since: u64,
    /// When its request was read whole, where there is one (monotonic ns, the same in all processes).
    waits_since: u64,
    origin: Peer,
    peer: Peer,
}

const PEER: usize = 19;
const ENVELOPE: usize = 3 + 4 + 4 + 8 + 8 + 2 * PEER;

fn pack_peer(peer: Peer) -> [u8; PEER] {
    let mut packed = [0; PEER];
    let (kind, port) = match peer {
        Peer::Unix => (0, 0),
        Peer::Ip(IpAddr::V4(ip), port) => {
            packed[1..5].copy_from_slice(&ip.octets());
            (4, port)
        }
        Peer::Ip(IpAddr::V6(ip), port) => {
            packed[1..17].copy_from_slice(&ip.octets());
            (6, port)
        }
    };
    packed[0] = kind;
    packed[17..].copy_from_slice(&port.to_ne_bytes());
    packed
}

/// Takes `N` bytes off the front.
fn front<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn read_peer(bytes: &mut &[u8]) -> Option<Peer> {
    let [kind] = front(bytes)?;
    let address: [u8; 16] = front(bytes)?;
    let port = u16::from_ne_bytes(front(bytes)?);
    Some(match kind {
        4 => Peer::Ip(IpAddr::from([address[0], address[1], address[2], address[3]]), port),
        6 => Peer::Ip(IpAddr::from(address), port),
        _ => Peer::Unix,
    })
}

impl Envelope {
    fn of(conn: &Conn, family: u32, waits_since: u64) -> Self {
        Self {
            listener: conn.listener,
            introduced: conn.introduced,
            hops: conn.hops,
            family,
            served: conn.served,
            since: conn.since,
            waits_since,
            origin: conn.origin,
            peer: conn.peer,
        }
    }

    fn pack(&self) -> [u8; ENVELOPE] {
        let mut packed = [0; ENVELOPE];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            packed[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[self.listener, u8::from(self.introduced), self.hops]);
        put(&self.family.to_ne_bytes());
        put(&self.served.to_ne_bytes());
        put(&self.since.to_ne_bytes());
        put(&self.waits_since.to_ne_bytes());
        put(&pack_peer(self.origin));
        put(&pack_peer(self.peer));
        packed
    }

    /// Reads one off the front of `bytes`.
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let [listener, introduced, hops] = front(bytes)?;
        Some(Self {
            listener,
            introduced: introduced != 0,
            hops,
            family: u32::from_ne_bytes(front(bytes)?),
            served: u32::from_ne_bytes(front(bytes)?),
            since: u64::from_ne_bytes(front(bytes)?),
            waits_since: u64::from_ne_bytes(front(bytes)?),
            origin: read_peer(bytes)?,
            peer: read_peer(bytes)?,
        })
    }
}

/// Whether a connection that is idle, or whose request has not been begun, is no more than its descriptor and its bytes.
fn is_plain(conn: &Conn) -> bool {
    !(conn.gone || conn.half_closed || conn.upload.is_some() || conn.late.is_some() || conn.stream.is_some())
        && conn.keep_alive
        && conn.output.is_none()
        && conn.socket_state.is_none()
        && conn.leftover.len() <= LONGEST
}

impl Core {
    /// Whether connections are handed over at all.
    pub(super) fn balances(&self) -> bool {
        self.settings.balance != Balance::Kernel && !self.settings.inboxes.is_empty()
    }

    /// Says that connections are taken, from who has the same listeners, and begins to take them.
    pub(super) fn open_inbox(&self) -> std::io::Result<()> {
        self.score.use_it();
        let Some(&(take, _)) = self.settings.inboxes.get(self.score.number()) else {
            return Ok(());
        };
        self.score.family.store(self.family, Relaxed);
        let now = sys::monotonic_ns();
        let least = self.siblings().map(|(_, slot)| slot.lately(now)).min();
        self.score.begin_with(least.unwrap_or(0), now); // as if it had been here: or all would be its
        self.epoll.add(take, sys::READABLE, super::reactor::INBOX)?;
        if self.balances() {
            self.score.taking.store(OPEN, SeqCst);
        }
        Ok(())
    }

    /// Nothing more is taken, but what is there already.
    pub(super) fn shut_inbox(&self, scratch: &mut Vec<u8>, now: u64) {
        self.score.taking.store(SHUT, SeqCst);
        self.take_from(self.score.number(), scratch, now);
        self.tell_poller();
    }

    fn siblings(&self) -> impl Iterator<Item = (usize, &score::Slot)> {
        let mine = self.score.number();
        self.score.all().enumerate().filter(move |(index, slot)| {
            *index != mine
                && *index < self.settings.inboxes.len()
                && slot.taking.load(Relaxed) == OPEN
                && slot.family.load(Relaxed) == self.family
        })
    }

    /// Whether some sibling has nothing to do.
    pub(super) fn has_idle_sibling(&self) -> bool {
        self.balances()
            && self.siblings().any(|(_, slot)| {
                slot.in_flight.load(Relaxed) + slot.queued.load(Relaxed) + slot.promised.load(Relaxed) == 0
            })
    }

    /// Our own numbers, and those of the siblings that take connections.
    fn look_around(&self, state: &mut State, now: u64) -> (Load, Vec<Load>) {
        let mut loads = std::mem::take(&mut state.balancing.loads);
        loads.clear();
        loads.extend(self.siblings().map(|(index, slot)| {
            let promised = slot.promised.load(Relaxed);
            let waiting = slot.queued.load(Relaxed).saturating_add(promised);
            Load {
                slot: index,
                active: slot.in_flight.load(Relaxed).saturating_add(waiting),
                waiting,
                promised,
                connections: slot.connections.load(Relaxed).saturating_add(promised),
                lately: slot.lately(now),
            }
        }));
        let waiting = (state.queue.len() + state.loop_queue.len()) as u32;
        let mine = Load {
            slot: self.score.number(),
            active: (state.roles.busy() + state.runs.len()) as u32 + waiting,
            waiting,
            promised: 0,
            connections: state.conns.len() as u32,
            lately: self.score.lately(now),
        };
        (mine, loads)
    }

    /// Asks `choose` for somebody among the siblings. With `Random` somebody, or nobody, by chance.
    fn choose(
        &self,
        state: &mut State,
        now: u64,
        choose: impl FnOnce(Balance, &Load, &[Load]) -> Option<usize>,
    ) -> Option<usize> {
        let (mine, loads) = self.look_around(state, now);
        let found = match self.settings.balance {
            _ if loads.is_empty() => None,
            Balance::Random => {
                let number = state.balancing.chance(2 * loads.len(), now);
                loads.get(number).map(|load| load.slot)
            }
            policy => choose(policy, &mine, &loads),
        };
        state.balancing.loads = loads;
        found
    }

    /// Gives a connection that has just been accepted to the sibling that should have it; returns it when that is nobody.
    pub(super) fn place(&self, socket: OwnedFd, peer: Peer, listener: usize, now: u64) -> Option<OwnedFd> {
        if !self.balances() || self.listeners[listener].admin {
            return Some(socket);
        }
        let mut state = self.lock();
        let is_leaving = state.draining;
        if is_leaving && self.score.is_leaving() {
            return Some(socket);
        }
        let Some(to) = self.choose(&mut state, now, |policy, mine, loads| match is_leaving {
            true => balance::for_heir(loads),
            false => balance::for_newcomer(policy, mine, loads),
        }) else {
            return Some(socket);
        };
        let envelope = Envelope {
            listener: listener as u8,
            introduced: false,
            hops: 0,
            family: self.family,
            served: 0,
            since: now,
            waits_since: 0,
            origin: peer,
            peer,
        };
        if !self.post(&mut state, &envelope, [&[], &[]], socket.as_raw_fd(), to, now) {
            return Some(socket);
        }
        score::add(&self.score.accepted, 1);
        drop(socket);
        drop(state);
        self.take_back_if_shut(to, now);
        None
    }

    /// Puts a connection into a sibling's inbox; false when there is no room.
    fn post(&self, state: &mut State, envelope: &Envelope, bytes: [&[u8]; 2], fd: i32, to: usize, now: u64) -> bool {
        let (Some(slot), Some(&(_, inbox))) = (self.score.slot(to), self.settings.inboxes.get(to)) else {
            return false;
        };
        let taken = slot.taken.load(Relaxed);
        slot.promised.fetch_add(1, SeqCst);
        let packed = envelope.pack();
        let parts = [&packed[..], bytes[0], bytes[1]].map(IoSlice::new);
        if sys::give(inbox, &parts, fd).is_err() {
            forget_promise(slot);
            return false;
        }
        score::add(&self.score.given, 1);
        if !state.balancing.owed.iter().any(|&(who, _, _)| who == to) {
            state.balancing.owed.push((to, now, taken));
            self.owes.store(true, Relaxed);
        }
        true
    }

    /// Gives the connection at `index`, which is idle or whose `request` has not been begun, to a sibling.
    /// The request comes back when it stays.
    fn hand_over(
        &self,
        state: &mut State,
        index: usize,
        request: Option<Box<Request>>,
        to: usize,
        now: u64,
    ) -> Result<(), Option<Box<Request>>> {
        let conn = &mut state.conns[index];
        conn.hops = conn.hops.saturating_add(1);
        let leftover = std::mem::take(&mut conn.leftover);
        let (waits_since, bytes) = match &request {
            Some(request) => (request.queued_ns, &request.buffer[..]),
            None => (0, &[][..]),
        };
        let envelope = Envelope::of(conn, self.family, waits_since);
        let fd = conn.socket.as_raw_fd();
        let is_sent = self.post(state, &envelope, [bytes, &leftover], fd, to, now);
        let conn = &mut state.conns[index];
        conn.leftover = leftover;
        if !is_sent {
            return Err(request);
        }
        // The kernel would go on telling us of it: the socket stays open over there.
        self.watch(conn, index, None);
        if let Some(request) = request {
            state.give_back(request);
        }
        self.close(state, index);
        Ok(())
    }

    /// After a hand-over, without the lock: the sibling may have looked into its inbox for the last time before it came.
    fn take_back_if_shut(&self, to: usize, now: u64) {
        let shut = self.score.slot(to).is_none_or(|slot| slot.taking.load(SeqCst) == SHUT);
        if shut {
            self.take_from(to, &mut Vec::new(), now);
            self.tell_poller();
        }
    }

    /// Takes what is in our own inbox.
    pub(super) fn take_in(&self, scratch: &mut Vec<u8>, now: u64) {
        self.take_from(self.score.number(), scratch, now);
    }

    /// Takes what is in the inbox of a slot, ours or that of a sibling that does not take it.
    fn take_from(&self, slot: usize, scratch: &mut Vec<u8>, now: u64) {
        let Some(&(inbox, _)) = self.settings.inboxes.get(slot) else {
            return;
        };
        for _ in 0..TAKES {
            scratch.clear();
            scratch.reserve(ENVELOPE + 2 * LONGEST);
            let taken = sys::take(inbox, scratch);
            if matches!(taken, Taken::Nothing) {
                return;
            }
            if let Some(slot) = self.score.slot(slot) {
                forget_promise(slot);
            }
            score::add(&self.score.taken, 1);
            match taken {
                Taken::Socket(socket) => self.welcome(socket, scratch, now),
                _ => self.errors.error(format_args!(
                    "a connection that another worker handed over is closed: no descriptor is free for it; raise the \
                     limit of open files or lower worker_connections"
                )),
            }
        }
    }

    /// Makes a connection that was handed over one of our own, as it was.
    fn welcome(&self, socket: OwnedFd, mut bytes: &[u8], now: u64) {
        let Some(envelope) = Envelope::read(&mut bytes) else {
            return;
        };
        let mut listener = usize::from(envelope.listener);
        if envelope.family != self.family {
            listener = 0; // it was accepted before a reload: what serves everywhere is the same
        }
        let mut state = self.lock();
        let Some(index) = self.insert(&mut state, socket, envelope.origin, listener, now) else {
            return;
        };
        let conn = &mut state.conns[index];
        conn.peer = envelope.peer;
        conn.introduced = envelope.introduced;
        conn.hops = envelope.hops;
        conn.served = envelope.served;
        conn.since = envelope.since;
        if !bytes.is_empty() {
            conn.leftover = bytes.to_vec();
            conn.waits_since = envelope.waits_since;
            return self.next_in_pipeline(&mut state, index, envelope.since);
        }
        let wait = if envelope.served == 0 {
            self.settings.header_timeout
        } else {
            self.settings.keepalive
        };
        self.watch(&mut state.conns[index], index, Some(sys::READABLE));
        state.set_deadline(index, tick_after(envelope.since, wait));
        if state.draining {
            self.leave_idle(&mut state, index, now);
        }
    }

    /// Requests that were taken outside of a poll: somebody may wait in epoll who does not know of them.
    fn tell_poller(&self) {
        if !self.settings.loop_polls && !self.lock().queue.is_empty() {
            self.kick.signal();
        }
    }

    /// Gives what would have to wait here to siblings that have nothing to do.
    pub(super) fn share_out(&self, state: &mut State, who: Sharer, now: u64) {
        let waiting = state.queue.len() + state.loop_queue.len();
        if waiting == 0 || !self.balances() {
            return;
        }
        let oldest = [&state.queue, &state.loop_queue]
            .into_iter()
            .filter_map(|queue| Some(now.saturating_sub(queue.front()?.queued_ns)))
            .max()
            .unwrap_or(0);
        let is_stuck = oldest > STUCK && now.saturating_sub(state.balancing.ended) > STUCK;
        let balancing = &mut state.balancing;
        let kept = match who {
            Sharer::Runner => 1,
            Sharer::Monitor => 0,
        };
        let is_worth = match who {
            Sharer::Runner => (waiting as u64 - 1) * balancing.pace > WORTH,
            Sharer::Monitor => oldest > super::roles::STALL,
        };
        if !is_worth && self.settings.balance != Balance::Random || now.saturating_sub(balancing.looked) < LOOK {
            return;
        }
        balancing.looked = now;
        let mut given = Vec::new();
        for _ in 0..waiting.saturating_sub(kept) {
            let to = self.choose(state, now, |policy, mine, loads| {
                balance::for_waiting(policy, mine, loads, is_stuck)
            });
            let Some(to) = to else { break };
            if !self.give_waiting(state, who, to, is_stuck, now) {
                break;
            }
            given.push(to);
        }
        if !given.is_empty() {
            score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
            state.balancing.to_check.append(&mut given);
        }
    }

    /// Gives one request that waits to a sibling: the last one, which would wait longest; by the monitor the first one,
    /// which has. False when none can go.
    fn give_waiting(&self, state: &mut State, who: Sharer, to: usize, is_stuck: bool, now: u64) -> bool {
        for on_loop in [false, true] {
            let queue = if on_loop { &state.loop_queue } else { &state.queue };
            let is_free = |request: &Request| self.may_go(state, request, is_stuck);
            let place = match who {
                Sharer::Runner => queue.iter().rposition(|request| is_free(request)),
                Sharer::Monitor => queue.iter().position(|request| is_free(request)),
            };
            let Some(place) = place.filter(|&place| who == Sharer::Monitor || place > 0 || on_loop) else {
                continue;
            };
            let queue = if on_loop {
                &mut state.loop_queue
            } else {
                &mut state.queue
            };
            let Some(request) = queue.remove(place) else { continue };
            let index = request.token.index as usize;
            match self.hand_over(state, index, Some(request), to, now) {
                Ok(()) => return true,
                Err(Some(request)) => {
                    let queue = if on_loop {
                        &mut state.loop_queue
                    } else {
                        &mut state.queue
                    };
                    queue.insert(place, request);
                    return false;
                }
                Err(None) => return false,
            }
        }
        false
    }

    /// Whether a request that waits may go: nothing of it has begun, and all its bytes are here.
    fn may_go(&self, state: &State, request: &Request, is_stuck: bool) -> bool {
        let Some(conn) = state.conns.get(request.token.index as usize) else {
            return false;
        };
        conn.generation == request.token.generation
            && conn.phase == Phase::InFlight
            && matches!(request.body, Body::Empty | Body::Inline { .. })
            && !request.websocket
            && !request.upgrade
            && request.buffer.len() + conn.leftover.len() <= LONGEST
            && is_plain(conn)
            && !self
                .listeners
                .get(request.listener)
                .is_none_or(|listener| listener.admin)
            && (conn.hops < HOPS || is_stuck && conn.hops < 2 * HOPS || self.settings.balance == Balance::Random)
    }

    /// The connection at `index` has had its answer and is idle: gives it to a sibling that has served less, now and then;
    /// to any when we leave. True: it is gone.
    pub(super) fn pass_on(&self, state: &mut State, index: usize, now: u64) -> bool {
        if !self.balances() {
            return false;
        }
        let is_leaving = state.draining;
        if is_leaving && self.score.is_leaving() {
            return false;
        }
        let conn = &mut state.conns[index];
        conn.hops = 0;
        let is_admin = self
            .listeners
            .get(usize::from(conn.listener))
            .is_none_or(|listener| listener.admin);
        if is_admin || !is_plain(conn) || conn.incoming.is_some() {
            return false;
        }
        if !is_leaving && now.saturating_sub(state.balancing.rested) < REST && self.settings.balance != Balance::Random
        {
            return false;
        }
        state.balancing.rested = now;
        let to = self.choose(state, now, |policy, mine, loads| match is_leaving {
            true => balance::for_heir(loads),
            false => balance::for_rested(policy, mine, loads),
        });
        let Some(to) = to else { return false };
        if self.hand_over(state, index, None, to, now).is_err() {
            return false;
        }
        state.balancing.to_check.push(to);
        true
    }

    /// Takes back what siblings could not take any more, or have not taken in time. Called by whoever polls.
    pub(super) fn look_after_promises(&self, scratch: &mut Vec<u8>, now: u64) {
        let mut state = self.lock();
        let mut back = std::mem::take(&mut state.balancing.to_check);
        back.retain(|&to| self.score.slot(to).is_none_or(|slot| slot.taking.load(SeqCst) == SHUT));
        let score = &self.score;
        state.balancing.owed.retain(|&(to, since, taken)| {
            let Some(slot) = score.slot(to) else { return false };
            if slot.promised.load(Relaxed) == 0 || slot.taken.load(Relaxed) != taken {
                return false;
            }
            let is_late = now.saturating_sub(since) > PATIENCE;
            if is_late {
                let _ = slot.taking.compare_exchange(OPEN, DEAF, SeqCst, Relaxed);
                back.push(to);
            }
            !is_late
        });
        self.owes.store(!state.balancing.owed.is_empty(), Relaxed);
        drop(state);
        if back.is_empty() {
            return;
        }
        for to in back {
            self.take_from(to, scratch, now);
        }
        self.tell_poller();
    }

    /// Milliseconds until a promise is late (-1: there is none).
    pub(super) fn promise_due(&self) -> i32 {
        if self.owes.load(Relaxed) {
            (PATIENCE / 1_000_000) as i32
        } else {
            -1
        }
    }

    /// We are here, and hear again.
    pub(super) fn hear(&self) {
        if self.score.taking.load(Relaxed) == DEAF {
            let _ = self.score.taking.compare_exchange(DEAF, OPEN, SeqCst, Relaxed);
        }
    }
}

/// Which listeners these are, for all processes that have them.
pub(super) fn family(listeners: &[super::Listener]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for listener in listeners {
        hash = (hash ^ sys::socket_number(listener.fd)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash ^ hash >> 32) as u32
}

fn forget_promise(slot: &score::Slot) {
    let _ = slot
        .promised
        .fetch_update(SeqCst, Relaxed, |count| count.checked_sub(1));
}
