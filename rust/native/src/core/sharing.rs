//! When a connection goes to a sibling: what is looked at, how often, and what may go. Who gets it: balance.rs; how it gets
//! there: handover.rs.

use super::balance::{self, Balance, Load, Wait};
use super::conn::{Conn, Phase};
use super::handover::Kept;
use super::request::{Body, Request};
use super::transfer::LONGEST;
use super::{Core, State};
use crate::score::{self, OPEN};
use crate::sys;
use std::sync::atomic::Ordering::Relaxed;

/// After so many hand-overs a request waits where it is, unless somebody is idle; and then.
const HOPS: u8 = 3;
const MOST_HOPS: u8 = 32;
/// A request that would wait for less is not worth a hand-over (ns); neither is looking for an idle sibling more often.
const WORTH: u64 = 300_000;
const LOOK: u64 = 100_000;
/// A request has waited for so long while none has ended: nothing moves here (ns).
const STUCK: u64 = 250_000_000;
/// After a worker was given a connection for evenness it gets none for so long (ms): what is counted as served lately
/// follows only slowly, and all others would give it theirs meanwhile.
const SETTLE: u32 = 200;
/// A connection whose last answer is no older may ask again soon (ns); so many are looked at, at a time.
const HOT: u64 = 1_000_000_000;
const SCANNED: usize = 256;
/// Why a request is refused that a leaving worker can neither run nor give away.
const CANNOT_GO: &str = "this worker is replaced, its threads are stuck, and the body was read in part";
/// How often an answered connection may go to somebody who has served less (ns).
const REST: u64 = 2_000_000;

/// Who looks for somebody else to run what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharer {
    /// Who runs requests, and will run the first of these next.
    Runner,
    /// The monitor, while they are busy.
    Monitor,
    /// The monitor, while it polls because none of them has come for a while.
    Rescuer,
    /// The main thread, when a drain begins.
    Leaver,
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
    pub to_check: Vec<usize>,
    /// What was promised to whom: the slot, when, and how many it had taken then.
    pub owed: Vec<(usize, u64, u64)>,
    chance: u64,
    /// Where the next look for connections to lend begins.
    cursor: usize,
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

/// Whether a connection that is idle, or whose request has not been begun, is no more than its descriptor and its bytes.
fn is_plain(conn: &Conn) -> bool {
    !(conn.gone || conn.half_closed || conn.upload.is_some() || conn.late.is_some() || conn.stream.is_some())
        && conn.output.is_none()
        && conn.socket_state.is_none()
        && conn.leftover.len() <= LONGEST
}

impl Core {
    /// Whether connections are handed over at all.
    pub(super) fn balances(&self) -> bool {
        self.settings.balance != Balance::Kernel && !self.settings.inboxes.is_empty()
    }

    pub(super) fn siblings(&self) -> impl Iterator<Item = (usize, &score::Slot)> {
        let mine = self.score.number();
        self.score.all().enumerate().filter(move |(index, slot)| {
            *index != mine
                && *index < self.settings.inboxes.len()
                && slot.taking.load(Relaxed) == OPEN
                && slot.family.load(Relaxed) == self.family
                && ((slot.connections.load(Relaxed) + slot.promised.load(Relaxed)) as usize) < self.settings.connections
        })
    }

    /// Whether anybody takes connections.
    pub(super) fn has_sibling(&self) -> bool {
        self.balances() && self.siblings().next().is_some()
    }

    /// After a poll by a thread that will run what it has read.
    pub fn share(&self) {
        if self.balances() {
            self.share_out(&mut self.lock(), Sharer::Runner, sys::monotonic_ns());
        }
    }

    /// As the monitor does while every thread is busy: what waits goes to siblings that can take it.
    pub fn relieve(&self) {
        if self.balances() {
            self.share_out(&mut self.lock(), Sharer::Rescuer, sys::monotonic_ns());
        }
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
                rests: slot.rests(now),
                settles: slot.settles(SETTLE, now),
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
            rests: 0,
            settles: false,
        };
        (mine, loads)
    }

    /// Asks `choose` for somebody among the siblings. With `Random` somebody, or nobody, by chance.
    pub(super) fn choose(
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

    /// Gives what would have to wait here to siblings that have nothing to do.
    pub(super) fn share_out(&self, state: &mut State, who: Sharer, now: u64) {
        let waiting = state.queue.len() + state.loop_queue.len();
        if waiting == 0 || !self.balances() {
            return;
        }
        if state.draining && !self.score.is_leaving() {
            return self.bequeath(state, who, now);
        }
        let oldest = state.oldest_wait(now);
        // Who is about to run one moves; the processors may just have been others'.
        let is_stuck = who != Sharer::Runner && oldest > STUCK && now.saturating_sub(state.balancing.ended) > STUCK;
        let parked = if state.roles.computing {
            0
        } else {
            state.roles.parked.len()
        };
        let behind = (waiting - 1).saturating_sub(parked);
        let balancing = &mut state.balancing;
        let kept = match who {
            Sharer::Runner => 1,
            _ => 0,
        };
        let is_worth = match who {
            // Greenlets are all begun at once, and threads that are parked begin as many.
            Sharer::Runner if self.settings.greenlets => false,
            Sharer::Runner => (behind as u64) * balancing.pace > WORTH,
            Sharer::Monitor => oldest > super::roles::STALL,
            Sharer::Rescuer | Sharer::Leaver => true,
        };
        if !is_worth && self.settings.balance != Balance::Random || now.saturating_sub(balancing.looked) < LOOK {
            return;
        }
        balancing.looked = now;
        let wait = Wait {
            length: oldest.max(behind as u64 * balancing.pace),
            is_stuck,
            processors: self.processors,
        };
        let mut given = Vec::new();
        for _ in 0..waiting.saturating_sub(kept) {
            let to = self.choose(state, now, |policy, mine, loads| {
                balance::for_waiting(policy, mine, loads, &wait)
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
                _ => queue.iter().position(|request| is_free(request)),
            };
            let Some(place) = place.filter(|&place| who != Sharer::Runner || place > 0 || on_loop) else {
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
                Err(Kept { request, .. }) => {
                    let queue = if on_loop {
                        &mut state.loop_queue
                    } else {
                        &mut state.queue
                    };
                    if let Some(request) = request {
                        queue.insert(place, request);
                    }
                    return false;
                }
            }
        }
        false
    }

    /// This worker is replaced: what has not begun goes with its connection to the workers that stay. What cannot go is
    /// refused when nothing moves here; otherwise a thread will still come for it.
    fn bequeath(&self, state: &mut State, who: Sharer, now: u64) {
        let oldest = state.oldest_wait(now);
        let is_worth = match who {
            Sharer::Runner => state.queue.len() + state.loop_queue.len() > 1,
            Sharer::Monitor => oldest > super::roles::STALL,
            Sharer::Rescuer | Sharer::Leaver => true,
        };
        if !is_worth {
            return;
        }
        let is_stuck = oldest > STUCK && now.saturating_sub(state.balancing.ended) > STUCK;
        for on_loop in [false, true] {
            let mut waiting = std::mem::take(state.queue_of(on_loop));
            // A thread that has just read requests begins the first one at once.
            let kept = usize::from(who == Sharer::Runner && !on_loop).min(waiting.len());
            let rest = waiting.split_off(kept);
            *state.queue_of(on_loop) = waiting;
            for request in rest {
                if let Some(request) = self.bequeath_one(state, request, is_stuck, now) {
                    state.queue_of(on_loop).push_back(request);
                }
            }
        }
        score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
    }

    /// Gives one request away, or refuses it; returns it when it waits on.
    fn bequeath_one(&self, state: &mut State, request: Box<Request>, is_stuck: bool, now: u64) -> Option<Box<Request>> {
        let Some(conn) = state.conn(request.token) else {
            state.give_back(request);
            return None;
        };
        if conn.gone || conn.phase != Phase::InFlight {
            return Some(request); // closed by the thread that comes for it
        }
        let Some(to) = self.choose(state, now, |_, _, loads| balance::for_heir(loads)) else {
            return Some(request);
        };
        let index = request.token.index as usize;
        match self.hand_over(state, index, Some(request), to, now) {
            Ok(()) => {
                state.balancing.to_check.push(to);
                None
            }
            Err(Kept { request, why }) if why.is_for_now() || !is_stuck => request,
            Err(Kept { request, .. }) => {
                self.refuse_queued(state, request?, CANNOT_GO, now);
                None
            }
        }
    }

    /// Whether a request that waits may go: nothing of it has begun, and all its bytes are here.
    fn may_go(&self, state: &State, request: &Request, is_stuck: bool) -> bool {
        let Some(conn) = state.conns.get(request.token.index as usize) else {
            return false;
        };
        conn.generation == request.token.generation
            && conn.phase == Phase::InFlight
            && matches!(request.body, Body::Empty | Body::Inline { .. } | Body::Memory(_))
            && !request.websocket
            && !request.upgrade
            && request.buffer.len() + request.body.in_memory() + conn.leftover.len() <= LONGEST
            && is_plain(conn)
            && !self
                .listeners
                .get(request.listener)
                .is_none_or(|listener| listener.admin)
            && (conn.hops < if is_stuck { HOPS } else { MOST_HOPS } || self.settings.balance == Balance::Random)
    }

    /// While requests compute here for long, siblings that have nothing to do get connections that are idle here and have
    /// asked a moment ago: what they ask next finds a worker that is free, and needs nobody to hand it on.
    pub(super) fn lend(&self, state: &mut State, now: u64) {
        if !self.balances() || state.draining || state.balancing.pace < super::roles::STALL || !self.has_idle_sibling()
        {
            return;
        }
        let first = state.balancing.cursor;
        state.balancing.cursor = if first + SCANNED < state.conns.capacity() {
            first + SCANNED
        } else {
            0
        };
        let is_hot = |conn: &&Conn| {
            conn.phase == Phase::Idle
                && conn.served > 0
                && now.saturating_sub(conn.since) < HOT
                && self.is_movable(conn)
        };
        let conns = (first..first + SCANNED).filter_map(|index| Some((index, state.conns.get(index)?)));
        let mut hot: Vec<(u64, usize)> = conns
            .filter(|(_, conn)| is_hot(conn))
            .map(|(index, conn)| (conn.since, index))
            .collect();
        hot.sort_unstable();
        while let Some((_, index)) = hot.pop() {
            let to = self.choose(state, now, |policy, mine, loads| {
                balance::for_waiting(policy, mine, loads, &Wait::default())
            });
            let Some(to) = to else { return };
            if self.hand_over(state, index, None, to, now).is_err() {
                return;
            }
            state.balancing.to_check.push(to);
        }
    }

    /// Whether an idle connection may go.
    fn is_movable(&self, conn: &Conn) -> bool {
        let listener = self.listeners.get(usize::from(conn.listener));
        is_plain(conn) && conn.keep_alive && conn.incoming.is_none() && listener.is_some_and(|listener| !listener.admin)
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
        state.conns[index].hops = 0;
        if !self.is_movable(&state.conns[index]) {
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
        if let Some(slot) = self.score.slot(to) {
            slot.evens(now);
        }
        state.balancing.to_check.push(to);
        true
    }
}
