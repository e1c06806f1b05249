//! Answers that need no app: a broken or excessive request, a full queue, a time-out. Each says so in one log line.

use super::conn::{Conn, Phase};
use super::output::Piece;
use super::request::Request;
use super::timers::tick_after;
use super::{After, Core, State};
use crate::log::{Entry, Pending, Stamp};
use crate::score;
use crate::sys::{self, Peer};
use hostler_wire::http1::response::reason_phrase;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;

/// How long a refused client may go on sending before its connection is closed under it: our answer must be read first.
const LINGER: u64 = 2_000_000_000;

impl Core {
    /// Answers with `status`, says why in the log, and ends the connection.
    pub(super) fn refuse(&self, state: &mut State, index: usize, status: u16, reason: &str, now: u64) {
        let mut answer = self.answer(status, reason);
        let conn = &state.conns[index];
        if understood(conn).is_some_and(|request| request.method() == b"HEAD") {
            answer.truncate(answer.len() - reason.len() - 1);
        }
        self.errors
            .warning(format_args!("{status} to {}: {reason}", client_of(conn)));
        score::add(&self.score.rejected, 1);
        score::add(&self.score.status[(status as usize / 100 - 1).min(4)], 1);
        if status == 408 {
            score::add(&self.score.timeouts, 1);
        }
        self.log_refusal(state, index, status, reason.len() as u64 + 1, now);
        self.send_last(state, index, answer, now);
    }

    /// Sends a whole response of the server's own, and ends the connection when the client has taken it.
    pub(super) fn send_last(&self, state: &mut State, index: usize, mut response: Vec<u8>, now: u64) {
        let conn = &mut state.conns[index];
        let request = conn.incoming.take();
        conn.keep_alive = false;
        conn.on_loop = false;
        // Behind an interim response that the client has not taken whole, if there is one.
        let sent = match conn.output {
            Some(_) => 0,
            None => match sys::send(conn.socket.as_raw_fd(), &response) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(_) => response.len(), // a client that is gone needs none
            },
        };
        if let Some(request) = request {
            state.give_back(request);
        }
        if sent == response.len() {
            return self.begin_linger(state, index, now);
        }
        let conn = &mut state.conns[index];
        conn.phase = Phase::Flushing;
        conn.upload = None;
        conn.stream = None;
        let token = conn.token(index);
        let rest = Piece::Bytes(response.split_off(sent));
        let _ = self.hold_in(state, token, After::Nothing, |output| output.push(rest));
        // one page, once
    }

    pub(super) fn answer(&self, status: u16, reason: &str) -> Vec<u8> {
        let mut stamp = Stamp::default();
        stamp.refresh();
        let mut out = Vec::with_capacity(256);
        let _ = write!(out, "HTTP/1.1 {status} {}\r\nDate: ", reason_phrase(status));
        out.extend_from_slice(&stamp.date);
        if !self.settings.server_header.is_empty() {
            out.extend_from_slice(b"\r\nServer: ");
            out.extend_from_slice(&self.settings.server_header);
        }
        if status == 426 {
            out.extend_from_slice(b"\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket");
            // RFC 6455 §4.4
        }
        if status == 503 {
            let _ = write!(out, "\r\nRetry-After: {}", self.settings.retry_after);
        }
        let _ = write!(
            out,
            "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reason}\n",
            reason.len() + 1
        );
        out
    }

    fn log_refusal(&self, state: &State, index: usize, status: u16, bytes: u64, now: u64) {
        let conn = &state.conns[index];
        self.put_entry(&Entry {
            request: understood(conn),
            peer: client_of(conn),
            status,
            bytes,
            head: b"",
            duration_ns: now.saturating_sub(conn.since),
            queue_ns: 0,
            variables: &[],
        });
    }

    /// Writes the access log's line of an answer that no app thread has given.
    pub(super) fn put_entry(&self, entry: &Entry<'_>) {
        let Some((access, writer)) = &self.access else { return };
        let (mut stamp, mut line) = (Stamp::default(), Pending::default());
        stamp.refresh();
        access.render(entry, &stamp, &mut line);
        writer.put(&line.text);
    }

    /// Shuts our side and goes on reading for a while: closing with unread bytes would reset the connection, and the
    /// client could lose the answer (RFC 9112 §9.6).
    pub(super) fn begin_linger(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        conn.phase = Phase::Lingering;
        conn.upload = None;
        conn.stream = None;
        conn.socket_state = None;
        conn.on_loop = false;
        conn.handshake_due = None;
        if conn.late.take().is_some() {
            self.progress.notify_all();
        }
        conn.leftover = Vec::new();
        sys::shutdown_write(conn.socket.as_raw_fd());
        self.watch(conn, index, Some(sys::READABLE));
        state.set_deadline(index, tick_after(now, LINGER));
    }

    /// Forgets what a lingering client sends; closes when it is done.
    pub(super) fn linger(&self, state: &mut State, index: usize) {
        match sys::discard(state.conns[index].socket.as_raw_fd()) {
            Ok(count) if count > 0 => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => self.close(state, index),
        }
    }
}

/// The request at hand, once its request line is whole: the path is what that is checked for last.
fn understood(conn: &Conn) -> Option<&Request> {
    conn.incoming.as_deref().filter(|request| !request.head.path.is_empty())
}

/// The client of the request at hand: the one that trusted proxies name, once its head is whole.
fn client_of(conn: &Conn) -> Peer {
    let request = conn.incoming.as_deref().filter(|request| request.head.len > 0);
    request.map_or(conn.peer, |request| request.peer)
}
