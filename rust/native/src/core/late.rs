//! A body that the client sends on demand (`Expect: 100-continue`, RFC 9110 §10.1.1), and what an app gets that reads it.
//!
//! Nothing is read from the socket before the app asks: until then the kernel keeps what comes, and a client that has sent
//! nothing costs nothing. What a read leads to, by what has come, whether the app has asked before, whether the head of the
//! response is out, and what the client does:
//!
//! | came | the client is there | has closed its side | is gone |
//! |---|---|---|---|
//! | nothing, first read, no head out | `Invite` | `Fail` | `Fail` |
//! | nothing, otherwise | `Wait` | `Fail` | `Fail` |
//! | part | `Wait` | `Fail` | `Fail` |
//! | whole | `Give` | `Give` | `Give` |
//! | failed | `Fail` | `Fail` | `Fail` |
//!
//! After the head of the response no "100 Continue" follows: it would be read as part of the body (RFC 9110 §15.2). A
//! client that starts to send without waiting for it needs none.

use super::output::Piece;
use super::pace::{Pace, Rules};
use super::receive::{read_scratch, Got};
use super::request::{Body, Gather, Token};
use super::upload::{feed, Fed, DISK_STALLS};
use super::{After, Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::{BodyDecoder, Framing};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::PoisonError;

/// What has come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Nothing,
    Part,
    Whole,
    Failed,
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    There,
    HalfClosed,
    Gone,
}

/// What a read of the app leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The body.
    Give,
    /// An error.
    Fail,
    /// "100 Continue", and a wait.
    Invite,
    Wait,
}

/// The table above. `is_owed`: the client waits for "100 Continue" and may get one: see [`Invitation`].
pub(super) fn on_read(came: Came, is_owed: bool, client: Client) -> Verdict {
    match (came, client) {
        (Came::Whole, _) => Verdict::Give,
        (Came::Failed, _) | (_, Client::HalfClosed | Client::Gone) => Verdict::Fail,
        (Came::Nothing, Client::There) if is_owed => Verdict::Invite,
        (Came::Nothing | Came::Part, Client::There) => Verdict::Wait,
    }
}

/// Whether "100 Continue" is still to be said. It is said once at the most: by the first read that finds nothing, unless
/// bytes came before or the head of the response went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invitation {
    is_owed: bool,
}

impl Invitation {
    pub(super) fn new(is_owed: bool) -> Self {
        Self { is_owed }
    }

    pub(super) fn is_owed(self) -> bool {
        self.is_owed
    }

    /// It was said, or must not be said any more.
    pub(super) fn settle(&mut self) {
        self.is_owed = false;
    }
}

enum Stage {
    Coming,
    Done(Body),
    /// What the app reads as an error.
    Failed(&'static str),
}

/// The body of one running request.
pub struct Late {
    pub(super) decoder: BodyDecoder,
    pub(super) gather: Gather,
    pub(super) pace: Pace,
    pub(super) invitation: Invitation,
    stage: Stage,
    /// The app waits for it, or has.
    is_asked: bool,
}

impl Late {
    pub(super) fn new(decoder: BodyDecoder, now: u64) -> Self {
        Self {
            decoder,
            gather: Gather::new(),
            pace: Pace::new(now),
            invitation: Invitation::new(true),
            stage: Stage::Coming,
            is_asked: false,
        }
    }

    /// Nothing was read, and nothing was said to the client.
    pub(super) fn is_untouched(&self) -> bool {
        !self.is_asked && self.invitation.is_owed() && matches!(self.stage, Stage::Coming)
    }

    /// Its bytes are to be read from the socket now.
    pub(super) fn is_read(&self) -> bool {
        self.is_asked && matches!(self.stage, Stage::Coming)
    }

    /// The app asks; true the first time.
    pub(super) fn ask(&mut self, now: u64) -> bool {
        if self.is_asked {
            return false;
        }
        self.is_asked = true;
        self.pace = Pace::new(now);
        true
    }

    /// When the wait for it ends (monotonic ns); none: nothing is waited for, or for ever.
    pub(super) fn due(&self, rules: &Rules) -> Option<u64> {
        let disk = self.gather.back_by();
        self.is_read().then(|| disk.or_else(|| self.pace.due(rules))).flatten()
    }

    pub(super) fn came(&self) -> Came {
        match self.stage {
            Stage::Done(_) => Came::Whole,
            Stage::Failed(_) => Came::Failed,
            Stage::Coming if self.pace.received() > 0 => Came::Part,
            Stage::Coming => Came::Nothing,
        }
    }

    /// All of it has come and is in its place.
    pub(super) fn complete(&mut self) {
        let gather = std::mem::replace(&mut self.gather, Gather::new());
        self.stage = Stage::Done(gather.finish());
    }

    pub(super) fn fail(&mut self, reason: &'static str) {
        self.gather = Gather::new();
        self.stage = Stage::Failed(reason);
    }

    /// What the app reads instead of the body.
    pub(super) fn fault(&self, client: Client) -> &'static str {
        match (&self.stage, client) {
            (Stage::Failed(reason), _) => reason,
            (_, Client::HalfClosed) => "the client closed its side before it sent the body",
            _ => "the client left",
        }
    }

    pub(super) fn into_body(self) -> Body {
        match self.stage {
            Stage::Done(body) => body,
            Stage::Coming | Stage::Failed(_) => Body::Empty,
        }
    }
}

/// How many requests may wait for such a body at once: each holds a thread, however slow its client is. Beyond them, and
/// beyond half of the threads, the client is told to send at once and the body is read before the app is called.
const FEW: usize = 4;

impl Core {
    /// Whether the app may be called before this body is there, and its thread wait for the client when it reads.
    ///
    /// Not for chunks: the length must stand in the environ, apps such as Django read no further than CONTENT_LENGTH says.
    /// And not in a greenlet, whose thread is everybody's.
    pub(super) fn may_await(&self, state: &State, index: usize) -> bool {
        let Some(head) = state.conns[index].incoming.as_deref().map(|request| &request.head) else {
            return false;
        };
        if head.framing == Framing::Chunked || self.settings.greenlets {
            return false;
        }
        let is_awaited = |token: Token| {
            let conn = state.conns.get(token.index as usize);
            conn.is_some_and(|conn| conn.generation == token.generation && conn.late.is_some())
        };
        let running = state.roles.running().filter(|(_, run, _)| is_awaited(run.token));
        let queued = state
            .queue
            .iter()
            .filter(|request| matches!(request.body, Body::Awaited));
        running.count() + queued.count() < FEW.min(self.settings.threads / 2)
    }

    /// Tells the client to send its body (RFC 9110 §10.1.1), behind an interim response that it has not taken whole.
    pub(super) fn say_continue(&self, state: &mut State, index: usize) {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let conn = &mut state.conns[index];
        let sent = match conn.output {
            Some(_) => 0,
            None => sys::send(conn.socket.as_raw_fd(), CONTINUE).unwrap_or(0),
        };
        if sent < CONTINUE.len() {
            let token = conn.token(index);
            let rest = Piece::Bytes(CONTINUE[sent..].to_vec());
            let _ = self.hold_in(state, token, After::Nothing, |output| output.push(rest));
            // a few bytes, once
        }
    }

    /// The head of the response goes out: no "100 Continue" may follow. False: the client may still send a body that was
    /// not read, so that the connection cannot serve another request.
    pub(super) fn head_goes_out(&self, token: Token) -> bool {
        let mut state = self.lock();
        let Some(conn) = state.conn(token) else { return false };
        if let Some(late) = conn.late.as_deref_mut() {
            late.invitation.settle();
            return false;
        }
        let socket = conn.socket.as_raw_fd();
        let stream = conn.stream.as_deref_mut();
        stream.is_none_or(|stream| stream.head_goes_out(socket))
    }

    /// Waits until the body is there, after "100 Continue" where that is due. Called by the app's thread, without the GIL.
    pub fn await_body(&self, token: Token) -> Result<Body, &'static str> {
        let index = token.index as usize;
        let mut state = self.lock();
        loop {
            let Some(conn) = state.conn(token) else {
                return Err("the request is over");
            };
            let fd = conn.socket.as_raw_fd();
            let gone = conn.gone;
            let Some(late) = conn.late.as_deref_mut() else {
                return Err("the request is over"); // a thread of the app's own, later than its response
            };
            let now = sys::monotonic_ns();
            let is_first = late.ask(now);
            let (came, client) = look(late, fd, gone, is_first);
            match on_read(came, late.invitation.is_owed(), client) {
                Verdict::Give => return Ok(conn.late.take().map_or(Body::Empty, |late| late.into_body())),
                Verdict::Fail => {
                    let fault = late.fault(client);
                    self.fail_late(&mut state, index, fault);
                    return Err(fault);
                }
                Verdict::Invite => {
                    late.invitation.settle();
                    self.say_continue(&mut state, index);
                }
                Verdict::Wait => {}
            }
            if is_first {
                self.go_on_reading_body(&mut state.conns[index], index);
                self.late_progress(&mut state, index, false, now);
                self.wake_timekeeper();
            }
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads for an app thread that waits for its late body.
    pub(super) fn receive_late(&self, state: &mut State, index: usize, scratch: &mut Vec<u8>, now: u64) {
        let conn = &mut state.conns[index];
        let fd = conn.socket.as_raw_fd();
        let Some(late) = conn.late.as_deref_mut() else { return };
        let fed = match read_scratch(fd, scratch) {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                late.invitation.settle();
                late.pace.hear(count, now);
                feed(&mut late.decoder, &mut late.gather, scratch, &mut conn.leftover)
            }
            Got::Nothing => return,
            Got::End => return self.fail_late(state, index, "the client closed its side before it sent the body"),
            Got::Broken => return self.fail_late(state, index, "the client left"),
        };
        match fed {
            Fed::Refused(reject) => self.fail_late(state, index, reject.reason),
            Fed::Whole => self.late_progress(state, index, true, now),
            Fed::More => self.late_progress(state, index, false, now),
        }
    }

    /// Part of a late body is there, or all of it.
    pub(super) fn late_progress(&self, state: &mut State, index: usize, is_whole: bool, now: u64) {
        let Some(late) = state.conns[index].late.as_deref_mut() else {
            return;
        };
        if let Some(parcel) = late.gather.due(self.settings.body_memory, is_whole, now) {
            self.set_in_flight_deadline(state, index);
            self.store(state, index, parcel);
        } else if is_whole {
            late.complete();
            self.end_late(state, index);
        } else {
            self.set_in_flight_deadline(state, index);
        }
    }

    /// The app reads an error from here on.
    pub(super) fn fail_late(&self, state: &mut State, index: usize, reason: &'static str) {
        let conn = &mut state.conns[index];
        let Some(late) = conn.late.as_deref_mut() else { return };
        if late.came() != Came::Failed {
            late.fail(reason);
            self.errors.warning(format_args!(
                "the body of a request from {} was not read whole: {reason}",
                conn.peer
            ));
        }
        conn.keep_alive = false;
        self.end_late(state, index);
    }

    /// Nothing more of it is read.
    fn end_late(&self, state: &mut State, index: usize) {
        let conn = &mut state.conns[index];
        let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
        self.watch(conn, index, Some(rest));
        self.set_in_flight_deadline(state, index);
        self.progress.notify_all();
    }

    /// Ends the wait for a body that has had its time.
    pub(super) fn late_deadline(&self, state: &mut State, index: usize, now: u64) {
        let Some(late) = state.conns[index].late.as_deref().filter(|late| late.is_read()) else {
            return;
        };
        let fault = match late.gather.back_by() {
            Some(by) => (by <= now).then_some(DISK_STALLS),
            None => late.pace.fault(&self.settings.body_rules, now),
        };
        if let Some(fault) = fault {
            score::add(&self.score.timeouts, 1);
            self.fail_late(state, index, fault);
        }
    }
}

/// What has come of a body, and what the client does. What lies in the kernel counts: it was not looked at before the first
/// read.
fn look(late: &Late, fd: RawFd, gone: bool, is_first: bool) -> (Came, Client) {
    let came = late.came();
    if gone {
        return (came, Client::Gone);
    }
    if !is_first || came != Came::Nothing {
        return (came, Client::There);
    }
    match sys::has_more(fd) {
        Ok(true) => (Came::Part, Client::There),
        Ok(false) => (came, Client::HalfClosed),
        Err(error) if error.kind() == ErrorKind::WouldBlock => (came, Client::There),
        Err(_) => (came, Client::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Came::{Failed, Nothing, Part, Whole};
    use Client::{Gone, HalfClosed, There};
    use Verdict::{Fail, Give, Invite, Wait};

    /// Every cell of {came} × {asked before} × {head out} × {client}.
    #[test]
    fn a_read_leads_to_what_the_table_says() {
        for came in [Nothing, Part, Whole, Failed] {
            for is_asked in [false, true] {
                for is_head_out in [false, true] {
                    for client in [There, HalfClosed, Gone] {
                        let mut invitation = Invitation::new(true);
                        if is_asked || is_head_out || came == Part {
                            invitation.settle();
                        }
                        let expected = match (came, client, is_asked, is_head_out) {
                            (Whole, ..) => Give,
                            (Failed, ..) | (_, HalfClosed | Gone, ..) => Fail,
                            (Nothing, There, false, false) => Invite,
                            (Nothing | Part, There, ..) => Wait,
                        };
                        let found = on_read(came, invitation.is_owed(), client);
                        assert_eq!(
                            found, expected,
                            "{came:?} {client:?} asked {is_asked} head out {is_head_out}"
                        );
                    }
                }
            }
        }
    }
}
