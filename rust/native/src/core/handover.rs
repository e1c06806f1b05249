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

use super::balance;
use super::conn::Conn;
use super::envelope::{Envelope, ENVELOPE};
use super::request::Request;
use super::roles::Poller;
use super::timers::tick_after;
use super::transfer::{read_outside, Carried, Stays, Transfer, LONGEST};
use super::{Core, State};
use crate::score::{self, DEAF, OPEN, SHUT};
use crate::sys::{self, Files, Peer, Taken};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Connections taken from an inbox before other events have their turn.
const TAKES: usize = 32;
/// So many connections more than are allowed may come from siblings, where they had a place.
const GUESTS: usize = 64;
/// What has not been taken after this is taken back (ns).
const PATIENCE: u64 = 100_000_000;

/// What is put into an inbox.
struct Parcel<'a> {
    envelope: &'a Envelope,
    parts: [&'a [u8]; 3],
    socket: RawFd,
    files: [Option<BorrowedFd<'a>>; 2],
}

/// A connection that was not handed over.
pub(super) struct Kept {
    pub request: Option<Box<Request>>,
    pub why: Stays,
}

impl Core {
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
            peer,
            carried: Carried::Unread,
            is_outside: false,
        };
        let parcel = Parcel {
            envelope: &envelope,
            parts: [b"", b"", b""],
            socket: socket.as_raw_fd(),
            files: [None, None],
        };
        let Some(taken) = self.post(&parcel, to) else {
            return Some(socket);
        };
        self.note_promise(&mut state, to, taken, now);
        score::add(&self.score.accepted, 1);
        drop(socket);
        drop(state);
        self.take_back_if_shut(to, now);
        None
    }

    /// Puts a connection into the inbox of the sibling at slot `to`. None: it has no room. What comes back is for
    /// `note_promise`.
    fn post(&self, parcel: &Parcel<'_>, to: usize) -> Option<u64> {
        let (slot, &(_, inbox)) = (self.score.slot(to)?, self.settings.inboxes.get(to)?);
        let taken = slot.taken.load(Relaxed);
        slot.promised.fetch_add(1, SeqCst);
        let packed = parcel.envelope.pack();
        let [first, second, third] = parcel.parts;
        let parts = [&packed[..], first, second, third].map(IoSlice::new);
        if sys::give(inbox, &parts, parcel.socket, parcel.files).is_err() {
            forget_promise(slot);
            return None;
        }
        score::add(&self.score.given, 1);
        Some(taken)
    }

    /// Remembers to look after what was posted to the slot `to`, which had taken so many packets before.
    fn note_promise(&self, state: &mut State, to: usize, taken: u64, now: u64) {
        if !state.balancing.owed.iter().any(|&(slot, _, _)| slot == to) {
            state.balancing.owed.push((to, now, taken));
        }
        if !self.owes.swap(true, Relaxed) && matches!(state.roles.poller, Poller::Thread(_) | Poller::Monitor) {
            self.kick.signal(); // its wait was computed before there was a promise
        }
    }

    /// Gives the connection at `index`, which is idle or whose `request` has not been begun, to a sibling.
    /// The request comes back when it stays, and why.
    pub(super) fn hand_over(
        &self,
        state: &mut State,
        index: usize,
        request: Option<Box<Request>>,
        to: usize,
        now: u64,
    ) -> Result<(), Kept> {
        let taken = match self.post_connection(&state.conns[index], request.as_deref(), to) {
            Ok(taken) => taken,
            Err(why) => return Err(Kept { request, why }),
        };
        self.note_promise(state, to, taken, now);
        if let Some(request) = request {
            state.give_back(request);
        }
        self.let_go(state, index);
        Ok(())
    }

    fn post_connection(&self, conn: &Conn, request: Option<&Request>, to: usize) -> Result<u64, Stays> {
        let transfer = Transfer::of(conn, request)?;
        let waits_since = request.map_or(0, |request| request.queued_ns);
        let mut envelope = Envelope::of(conn, self.family, waits_since, &transfer);
        envelope.hops = envelope.hops.saturating_add(1);
        let parcel = Parcel {
            envelope: &envelope,
            parts: transfer.parts,
            socket: conn.socket.as_raw_fd(),
            files: transfer.files(),
        };
        self.post(&parcel, to).ok_or(Stays::NoRoom)
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
        self.taking.fetch_add(1, SeqCst);
        for _ in 0..TAKES {
            if self.has_stopped.load(SeqCst) {
                break; // the arbiter gives it to others
            }
            scratch.clear();
            scratch.reserve(ENVELOPE + 2 * LONGEST);
            let taken = sys::take(inbox, scratch);
            if matches!(taken, Taken::Nothing) {
                break;
            }
            if let Some(slot) = self.score.slot(slot) {
                forget_promise(slot);
            }
            self.score.taken.fetch_add(1, Relaxed);
            match taken {
                Taken::Socket(socket, files) => self.welcome(socket, files, scratch, now),
                _ => self.errors.error(format_args!(
                    "a connection that another worker handed over is closed: no descriptor is free for it; raise the \
                     limit of open files or lower worker_connections"
                )),
            }
        }
        self.taking.fetch_sub(1, SeqCst);
    }

    /// Makes a connection that was handed over one of our own, as it was.
    fn welcome(&self, socket: OwnedFd, files: Files, packet: &[u8], now: u64) {
        let mut inside = packet;
        let Some(envelope) = Envelope::read(&mut inside) else {
            return;
        };
        let mut files = files.into_iter().flatten();
        let body = match envelope.carried {
            Carried::InFile { .. } => files.next(),
            _ => None,
        };
        let outside = match (envelope.is_outside, files.next()) {
            (true, Some(file)) => read_outside(&file).unwrap_or_default(),
            _ => Vec::new(),
        };
        let bytes = if envelope.is_outside { &outside } else { inside };
        let Some(arrived) = envelope.carried.open(bytes, body) else {
            return self.errors.error(format_args!(
                "a connection that another worker handed over is closed: its packet is not whole"
            ));
        };
        let mut listener = usize::from(envelope.listener);
        if envelope.family != self.family {
            listener = 0; // it was accepted before a reload: what serves everywhere is the same
        }
        let mut state = self.lock();
        let Some(index) = self.insert(&mut state, socket, envelope.peer, listener, GUESTS, now) else {
            return;
        };
        let conn = &mut state.conns[index];
        conn.introduced = envelope.introduced;
        conn.hops = envelope.hops;
        conn.served = envelope.served;
        conn.since = envelope.since;
        conn.leftover = arrived.unread.to_vec();
        if !arrived.request.is_empty() {
            conn.waits_since = envelope.waits_since;
            return self.take_up(&mut state, index, arrived.request, arrived.body, now);
        }
        if !conn.leftover.is_empty() {
            conn.waits_since = envelope.waits_since;
            return self.next_in_pipeline(&mut state, index, now); // its body's time begins here
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

    /// What was taken outside of a poll: somebody may wait in epoll who does not know of its requests and deadlines.
    fn tell_poller(&self) {
        if !self.settings.loop_polls {
            self.kick.signal();
        }
    }

    /// Takes back what siblings could not take any more, or have not taken in time. Called by whoever polls.
    pub(super) fn look_after_promises(&self, scratch: &mut Vec<u8>, now: u64) {
        let mut state = self.lock();
        let mut back = std::mem::take(&mut state.balancing.to_check);
        back.retain(|&to| self.score.slot(to).is_none_or(|slot| slot.taking.load(SeqCst) == SHUT));
        let score = &self.score;
        state.balancing.owed.retain_mut(|(to, since, taken)| {
            let Some(slot) = score.slot(*to) else { return false };
            if slot.promised.load(Relaxed) == 0 {
                return false;
            }
            if slot.taken.load(Relaxed) != *taken {
                *taken = slot.taken.load(Relaxed); // it takes what it gets; what is on its way now came later
                *since = now;
            } else if now.saturating_sub(*since) > PATIENCE {
                let _ = slot.taking.compare_exchange(OPEN, DEAF, SeqCst, Relaxed);
                back.push(*to);
                *since = now;
            }
            true
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

    /// Nothing more is taken at all: the worker ends.
    pub(super) fn stop_taking(&self) {
        self.has_stopped.store(true, SeqCst);
        if let Some(&(take, _)) = self.settings.inboxes.get(self.score.number()) {
            let _ = self.epoll.remove(take);
        }
    }

    /// Whether somebody holds a connection that was handed over and is counted nowhere yet, or promised one to a sibling that
    /// may have left.
    pub(super) fn is_between(&self) -> bool {
        self.taking.load(SeqCst) > 0
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
