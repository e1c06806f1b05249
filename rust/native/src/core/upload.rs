//! Request bodies that are read whole before their request is queued.

use super::conn::{Conn, Phase, Upload};
use super::gather::{Parcel, Written};
use super::pace::Pace;
use super::porter::Job;
use super::receive::{read_scratch, set_aside, Got, SCRATCH};
use super::request::{Body, Gather, Token};
use super::{Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::{BodyDecoder, Reject};
use std::io;
use std::os::fd::AsRawFd;

pub(super) const DISK_STALLS: &str = "the disk behind temp_dir takes nothing";

/// What reading a part of a body leads to.
pub(super) enum Fed {
    More,
    /// All of it has come.
    Whole,
    Refused(Reject),
}

impl Core {
    /// Begins to read the body behind a head.
    pub(super) fn begin_upload(&self, state: &mut State, index: usize, decoder: BodyDecoder, now: u64) {
        let conn = &mut state.conns[index];
        let Some(request) = conn.incoming.as_deref_mut() else {
            return;
        };
        let end = request.head.len;
        let mut upload = Box::new(Upload {
            decoder,
            inline_end: None,
            gather: Gather::new(),
            pace: Pace::new(now),
        });
        conn.phase = Phase::Body;
        match upload.decoder.remaining() {
            Some(length) if length <= self.settings.body_memory as u64 => {
                let whole = end + length as usize;
                request.buffer.reserve(whole.saturating_sub(request.buffer.len()));
                upload.inline_end = Some(whole);
                let here = (request.buffer.len() - end).min(length as usize);
                upload.decoder.advance(here as u64);
                upload.pace.hear(here, now);
                let fed = if upload.decoder.is_done() {
                    Fed::Whole
                } else {
                    Fed::More
                };
                conn.upload = Some(upload);
                self.body_progress(state, index, fed, now);
            }
            _ => {
                let behind = request.buffer.split_off(end);
                let fed = feed(&mut upload.decoder, &mut upload.gather, &behind, &mut conn.leftover);
                upload.pace.hear(behind.len(), now);
                conn.upload = Some(upload);
                self.body_progress(state, index, fed, now);
            }
        }
    }

    /// One read of body bytes. Some(n): n bytes came and there may be more at once.
    pub(super) fn receive_body(
        &self,
        state: &mut State,
        index: usize,
        scratch: &mut Vec<u8>,
        now: u64,
    ) -> Option<usize> {
        let conn = &mut state.conns[index];
        let upload = conn.upload.as_deref_mut()?;
        if upload.gather.back_by().is_some() {
            self.pause_reading(conn, index);
            return None;
        }
        let fd = conn.socket.as_raw_fd();
        let (got, room) = match (upload.inline_end, conn.incoming.as_deref_mut()) {
            (Some(end), Some(request)) => {
                let room = end - request.buffer.len();
                (sys::recv(fd, &mut request.buffer, room).into(), room)
            }
            _ => (read_scratch(fd, scratch), SCRATCH),
        };
        match got {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                upload.pace.hear(count, now);
                let fed = match upload.inline_end {
                    Some(_) => {
                        upload.decoder.advance(count as u64);
                        if upload.decoder.is_done() {
                            Fed::Whole
                        } else {
                            Fed::More
                        }
                    }
                    None => feed(&mut upload.decoder, &mut upload.gather, scratch, &mut conn.leftover),
                };
                self.body_progress(state, index, fed, now);
                (count == room).then_some(count)
            }
            Got::Nothing => None,
            Got::End | Got::Broken => {
                self.errors.debug(format_args!(
                    "{} left in the middle of a request body",
                    state.conns[index].peer
                ));
                self.close(state, index);
                None
            }
        }
    }

    fn body_progress(&self, state: &mut State, index: usize, fed: Fed, now: u64) {
        let is_whole = match fed {
            Fed::Refused(reject) => return self.refuse(state, index, reject.status, reject.reason, now),
            Fed::Whole => true,
            Fed::More => false,
        };
        let Some(upload) = state.conns[index].upload.as_deref_mut() else {
            return;
        };
        if let Some(parcel) = upload.gather.due(self.settings.body_memory, is_whole, now) {
            self.set_in_flight_deadline(state, index);
            self.store(state, index, parcel);
        } else if is_whole {
            self.end_body(state, index, now);
        } else {
            self.set_in_flight_deadline(state, index);
        }
    }

    /// Sends a parcel to the porter; nothing is read until it is back.
    pub(super) fn store(&self, state: &mut State, index: usize, parcel: Parcel) {
        let conn = &mut state.conns[index];
        self.pause_reading(conn, index);
        let token = conn.token(index);
        self.submit(state, Job::Store(token, parcel));
    }

    fn pause_reading(&self, conn: &mut Conn, index: usize) {
        let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
        self.watch(conn, index, Some(rest));
    }

    pub(super) fn go_on_reading_body(&self, conn: &mut Conn, index: usize) {
        let interest = conn.interest.unwrap_or(0) | sys::READABLE;
        self.watch(conn, index, Some(interest));
    }

    /// A parcel is back from the porter.
    pub(super) fn body_is_stored(&self, state: &mut State, token: Token, result: io::Result<Written>) {
        let index = token.index as usize;
        let now = sys::monotonic_ns();
        let Some(conn) = state.conn(token) else { return };
        let is_late = conn.late.is_some();
        let (gather, decoder, pace) = match (conn.upload.as_deref_mut(), conn.late.as_deref_mut()) {
            (Some(upload), _) => (&mut upload.gather, &upload.decoder, &mut upload.pace),
            (None, Some(late)) => (&mut late.gather, &late.decoder, &mut late.pace),
            (None, None) => return, // refused meanwhile
        };
        if gather.back_by().is_none() {
            return;
        }
        match result {
            Ok(written) => gather.take_back(written),
            Err(error) => return self.cannot_store(state, index, &error, now),
        }
        pace.forgive(now);
        let is_whole = decoder.is_done();
        self.go_on_reading_body(conn, index);
        match is_late {
            true => self.late_progress(state, index, is_whole, now),
            false => self.body_progress(state, index, if is_whole { Fed::Whole } else { Fed::More }, now),
        }
    }

    fn cannot_store(&self, state: &mut State, index: usize, error: &io::Error, now: u64) {
        self.errors.error(format_args!(
            "a request body cannot be stored in {}: {error}; free space there or set temp_dir",
            self.settings.temp_dir
        ));
        match state.conns[index].late {
            Some(_) => self.fail_late(state, index, "no room for the body in temp_dir"),
            None => self.refuse(state, index, 507, "no room for the body", now),
        }
    }

    fn end_body(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let Some(upload) = conn.upload.take() else { return };
        let body = match (upload.inline_end, conn.incoming.as_deref()) {
            (Some(end), Some(request)) => {
                let start = request.head.len;
                set_aside(conn, end);
                Body::Inline { start, end }
            }
            _ => upload.gather.finish(),
        };
        self.enqueue(state, index, body, now);
    }

    /// A body must come as fast as its rules say; and the disk must take it. False: the request was refused.
    pub(super) fn body_deadline(&self, state: &mut State, index: usize, now: u64) -> bool {
        let Some(upload) = state.conns[index].upload.as_deref() else {
            return true;
        };
        let refusal = match upload.gather.back_by() {
            Some(by) => (by <= now).then_some((507, DISK_STALLS)),
            None => upload
                .pace
                .fault(&self.settings.body_rules, now)
                .map(|fault| (408, fault)),
        };
        if let Some((status, reason)) = refusal {
            self.refuse(state, index, status, reason, now);
        }
        refusal.is_none()
    }
}

/// Decodes body bytes into their gathering place; what lies behind the body is set aside.
pub(super) fn feed(decoder: &mut BodyDecoder, gather: &mut Gather, bytes: &[u8], leftover: &mut Vec<u8>) -> Fed {
    let mut at = 0;
    while at < bytes.len() && !decoder.is_done() {
        match decoder.step(&bytes[at..]) {
            Ok(step) => {
                gather.append(&bytes[at + step.data.start..at + step.data.end]);
                at += step.consumed;
            }
            Err(reject) => return Fed::Refused(reject),
        }
    }
    leftover.extend_from_slice(&bytes[at..]);
    match decoder.is_done() {
        true => Fed::Whole,
        false => Fed::More,
    }
}
