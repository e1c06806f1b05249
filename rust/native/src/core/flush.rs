//! Slow clients: what they don't take is held here, sent when they do, and given up when they never will.

use super::conn::Phase;
use super::output::{Bundle, Flushed, Output, Piece};
use super::porter::Job;
use super::request::{Request, Token};
use super::{Core, Room, State};
use crate::score;
use crate::sys;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::PoisonError;

/// What follows the bytes that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// More of the response.
    More,
    Nothing,
}

/// How much of each response stays in memory when all of them together hold more than `response_memory`.
const LEAST: usize = 16 * 1024;
/// How long no response is written to a file after the disk has refused one (ns).
const DISK_REST: u64 = 5_000_000_000;
/// How long the disk may take (ns).
const DISK: u64 = 30_000_000_000;

impl Core {
    /// Puts bytes of a running response behind those that wait. Called by the app's thread.
    pub(super) fn hold(&self, token: Token, after: After, fill: impl FnOnce(&mut Output)) -> Room {
        self.hold_in(&mut self.lock(), token, after, fill)
    }

    pub(super) fn hold_in(
        &self,
        state: &mut State,
        token: Token,
        after: After,
        fill: impl FnOnce(&mut Output),
    ) -> Room {
        let index = token.index as usize;
        let Some(conn) = state.conn(token).filter(|conn| !conn.gone) else {
            return Room::Gone;
        };
        let fresh = conn.output.is_none();
        let output = conn
            .output
            .get_or_insert_with(|| Box::new(Output::counted(&self.ledger)));
        fill(output);
        if fresh {
            output.due = sys::monotonic_ns() + self.settings.write_timeout;
            let interest = conn.interest.unwrap_or(0) | sys::WRITABLE;
            self.watch(conn, index, Some(interest));
            self.set_in_flight_deadline(state, index);
            self.wake_timekeeper();
        }
        self.find_room(state, index, after)
    }

    /// How many bytes of one response may be held in memory now.
    fn most_held(&self) -> usize {
        match self.ledger.total() > self.settings.response_memory {
            true => LEAST,
            false => self.settings.response_buffer,
        }
    }

    /// Whether what is held is too much. Then it goes to a file where that frees the app's thread, or the memory of a body
    /// whose app is through.
    fn find_room(&self, state: &mut State, index: usize, after: After) -> Room {
        let (most, is_short) = (self.most_held(), self.ledger.total() > self.settings.response_memory);
        let conn = &mut state.conns[index];
        let (on_loop, is_socket) = (conn.on_loop, conn.phase == Phase::Socket);
        let Some(output) = conn.output.as_deref_mut() else {
            return Room::Direct;
        };
        let is_over = after == After::Nothing;
        if output.held() <= most && (is_over || !output.has_file()) {
            return Room::Held;
        }
        let limit = self.settings.response_file;
        let is_wanted = match after {
            After::Nothing => is_short && output.spilled() + output.held() as u64 <= limit,
            After::More => !on_loop && !self.settings.greenlets && output.spilled() < limit, // these wait without a thread
        };
        let may_spill = is_wanted && !is_socket;
        if may_spill && output.held() > most {
            self.spill(state, index);
        }
        let Some(output) = state.conns[index].output.as_deref() else {
            return Room::Direct;
        };
        match is_over {
            // Nobody waits for a body that is whole, unless memory is short and no file takes it.
            true if !is_short || may_spill && !output.cannot_spill() => Room::Held,
            _ if self.has_room_in(output) => Room::Held,
            _ => Room::Full,
        }
    }

    /// Whether what is held is no more than may be.
    pub(super) fn is_within(&self, output: &Output) -> bool {
        output.held() <= self.most_held()
    }

    pub(super) fn has_room_in(&self, output: &Output) -> bool {
        output.held() <= self.most_held() / 2 && !output.has_file()
    }

    /// Has what is held written to a file.
    fn spill(&self, state: &mut State, index: usize) {
        let now = sys::monotonic_ns();
        let may = now >= state.spill_after;
        let conn = &mut state.conns[index];
        let token = conn.token(index);
        let Some(output) = conn.output.as_deref_mut() else {
            return;
        };
        if !may {
            output.refuse_spill();
            return;
        }
        if let Some(bundle) = output.bundle() {
            self.submit(state, Job::Spill(token, bundle));
        }
    }

    /// A bundle is back from the porter.
    pub(super) fn output_is_spilled(
        &self,
        state: &mut State,
        token: Token,
        bundle: Bundle,
        result: std::io::Result<()>,
    ) {
        if let Err(error) = &result {
            self.errors.error(format_args!(
                "a response cannot be stored in {}: {error}; it waits in memory; free space there or set temp_dir",
                self.settings.temp_dir
            ));
            state.spill_after = sys::monotonic_ns() + DISK_REST;
        }
        let place = state.conns.get_mut(token.index as usize);
        let output = place
            .filter(|conn| conn.generation == token.generation)
            .and_then(|conn| conn.output.as_deref_mut());
        match output {
            Some(output) => {
                score::add(
                    &self.score.spilled,
                    output.unbundle(bundle, result.is_ok(), &mut state.spent),
                );
            }
            None => bundle.spend(&mut state.spent),
        }
        self.has_spent.store(true, Relaxed);
        self.go_on_sending(state, token);
    }

    /// What is next can be sent again.
    pub(super) fn go_on_sending(&self, state: &mut State, token: Token) {
        let index = token.index as usize;
        let now = sys::monotonic_ns();
        let Some(conn) = state.conn(token).filter(|conn| !conn.gone) else {
            return;
        };
        let Some(output) = conn.output.as_deref_mut() else {
            return;
        };
        if std::mem::take(&mut output.waits_for_disk) {
            (output.progress, output.due) = (0, now + self.settings.write_timeout);
            let interest = conn.interest.unwrap_or(0) | sys::WRITABLE;
            self.watch(conn, index, Some(interest));
            self.set_in_flight_deadline(state, index);
        }
        self.tell_of_room(state, index);
    }

    /// The next bytes come from the disk: the socket is left alone until they are there.
    pub(super) fn wait_for_disk(&self, state: &mut State, index: usize, is_cold: bool, now: u64) {
        let conn = &mut state.conns[index];
        let token = conn.token(index);
        let interest = conn.interest.unwrap_or(0) & !sys::WRITABLE;
        self.watch(conn, index, Some(interest));
        let Some(output) = conn.output.as_deref_mut() else {
            return;
        };
        output.waits_for_disk = true;
        output.due = now + DISK;
        let wanted = output.next_of_file().filter(|_| is_cold);
        self.set_in_flight_deadline(state, index);
        if let Some((file, offset, count)) = wanted {
            self.submit(state, Job::Fetch(token, file, offset, count));
        }
    }

    /// Sends a whole answer, or keeps what the client does not take; false: it is gone.
    pub fn send_letter(&self, request: &Request, bytes: &[u8]) -> bool {
        let sent = match sys::send(request.fd, bytes) {
            Ok(count) if count == bytes.len() => return true,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => return false,
        };
        let rest = Piece::Bytes(bytes[sent..].to_vec());
        self.hold(request.token, After::Nothing, |output| output.push(rest)) != Room::Gone
    }

    /// Whether bytes still wait for this client: the app's thread may write straight to the socket otherwise.
    pub(super) fn is_held(&self, token: Token) -> Room {
        match self.lock().conn(token) {
            Some(conn) if !conn.gone => match &conn.output {
                None => Room::Direct,
                Some(_) => Room::Held,
            },
            _ => Room::Gone,
        }
    }

    /// Waits until a slow client has taken half of what is held. Without the interpreter's lock.
    pub fn wait_for_room(&self, token: Token) {
        let mut state = self.lock();
        while !self.is_room(&mut state, token) {
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a slow client has taken half of what is held, or nobody is there to take it.
    pub fn has_room(&self, token: Token) -> bool {
        self.is_room(&mut self.lock(), token)
    }

    /// Whether the client is gone.
    pub fn is_gone(&self, token: Token) -> bool {
        self.lock().conn(token).is_none_or(|conn| conn.gone)
    }

    fn is_room(&self, state: &mut State, token: Token) -> bool {
        let Some(conn) = state.conn(token).filter(|conn| !conn.gone) else {
            return true;
        };
        conn.output.as_deref().is_none_or(|output| self.has_room_in(output))
    }

    /// The client takes bytes again.
    pub(super) fn flush(&self, state: &mut State, index: usize, now: u64) {
        let State { conns, spent, .. } = &mut *state;
        let conn = &mut conns[index];
        let Some(output) = conn.output.as_deref_mut() else {
            let interest = conn.interest.unwrap_or(0) & !sys::WRITABLE;
            return self.watch(conn, index, Some(interest));
        };
        let had_room = self.has_room_in(output);
        let flushed = output.flush(conn.socket.as_raw_fd(), spent);
        let has_room = self.has_room_in(output);
        if !spent.is_empty() {
            self.has_spent.store(true, Relaxed);
        }
        match flushed {
            Flushed::Blocked => {}
            Flushed::Away => self.wait_for_disk(state, index, false, now),
            Flushed::Cold => self.wait_for_disk(state, index, true, now),
            Flushed::All => return self.all_sent(state, index, now),
            Flushed::Broken => {
                self.client_goes(state, index);
                return;
            }
        }
        if has_room && !had_room {
            self.tell_of_room(state, index);
        }
    }

    fn all_sent(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        conn.output = None;
        if conn.phase == Phase::Flushing {
            if let (Some(line), Some((_, writer))) = (conn.line.take(), &self.access) {
                writer.put(&line.text);
            }
            return self.after_answer(state, index, now);
        }
        let interest = conn.interest.unwrap_or(0) & !sys::WRITABLE;
        self.watch(conn, index, Some(interest));
        self.set_in_flight_deadline(state, index);
        self.tell_of_room(state, index);
    }

    /// The client went before it had the whole answer: 499 in the log.
    pub(super) fn client_left(&self, state: &mut State, index: usize) {
        score::add(&self.score.client_gone, 1);
        if let (Some(mut line), Some((_, writer))) = (state.conns[index].line.take(), &self.access) {
            line.client_left();
            writer.put(&line.text);
        }
        self.close(state, index);
    }

    /// The client of a running request, or of a response that is on the way, is gone. False: the connection is closed.
    pub(super) fn client_goes(&self, state: &mut State, index: usize) -> bool {
        let conn = &mut state.conns[index];
        conn.gone = true;
        match conn.phase {
            Phase::Flushing => {
                self.client_left(state, index);
                return false;
            }
            Phase::Body => {
                self.close(state, index);
                return false;
            }
            _ => {}
        }
        self.watch(conn, index, None);
        self.tell_of_room(state, index);
        true
    }
}
