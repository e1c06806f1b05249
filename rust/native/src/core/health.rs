//! `/livez`, `/readyz` and the metrics, answered without any thread of the app: on `admin_bind`, and below `health_path` elsewhere.

use super::conn::Phase;
use super::output::Piece;
use super::request::Request;
use super::timers::tick_after;
use super::{Core, State};
use crate::sys;
use std::os::fd::AsRawFd;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Does the process answer?
    Live,
    /// Should it get requests?
    Ready,
    /// What are the numbers?
    Metrics,
    /// Something that is not served where it was asked.
    Unknown,
}

impl Core {
    /// The question that `request` asks; none: it is the app's.
    pub(super) fn probe(&self, request: &Request, listener: u8) -> Option<Probe> {
        let admin = self.listeners.get(usize::from(listener)).is_some_and(|it| it.admin);
        if !admin && self.settings.health_path.is_none() {
            return None;
        }
        let prefix = if admin {
            Some("")
        } else {
            self.settings.health_path.as_deref()
        };
        let path = request.head.path.of(&request.buffer);
        let probe = prefix
            .and_then(|prefix| path.strip_prefix(prefix.as_bytes()))
            .and_then(|rest| match rest {
                b"/livez" => Some(Probe::Live),
                b"/readyz" => Some(Probe::Ready),
                _ if admin && self.settings.metrics_path.as_deref().map(str::as_bytes) == Some(rest) => {
                    Some(Probe::Metrics)
                }
                _ => None,
            });
        let asks = matches!(request.method(), b"GET" | b"HEAD");
        match probe {
            Some(probe) if asks => Some(probe),
            _ if admin => Some(Probe::Unknown),
            _ => None,
        }
    }

    /// Answers and ends the connection: a probe that finds a worker wants another one the next time.
    pub(super) fn answer_probe(&self, state: &mut State, index: usize, probe: Probe, now: u64) {
        let page;
        let (status, text) = match probe {
            Probe::Metrics => {
                page = self.metrics();
                (200, page.as_str())
            }
            Probe::Live => (200, "live"),
            Probe::Ready if state.draining || self.score.is_leaving() => (503, "draining"),
            Probe::Ready if state.queue.len() + state.loop_queue.len() >= self.settings.queue_size.div_ceil(2) => {
                (503, "the queue is half full")
            }
            Probe::Ready => (200, "ready"),
            Probe::Unknown => (404, "only GET /livez, GET /readyz and the metrics are answered here"),
        };
        let mut answer = self.answer(status, text);
        let conn = &mut state.conns[index];
        let is_head = conn
            .incoming
            .as_deref()
            .is_some_and(|request| request.method() == b"HEAD");
        if is_head {
            answer.truncate(answer.len() - text.len() - 1);
        }
        let sent = sys::send(conn.socket.as_raw_fd(), &answer).unwrap_or(0); // a probe that is gone needs no answer
        if let Some(request) = conn.incoming.take() {
            state.give_back(request);
        }
        if sent == 0 || sent == answer.len() {
            return self.begin_linger(state, index, now);
        }
        let conn = &mut state.conns[index];
        conn.output
            .get_or_insert_default()
            .push(Piece::Bytes(answer.split_off(sent)));
        conn.phase = Phase::Flushing;
        conn.keep_alive = false;
        self.watch(conn, index, Some(sys::WRITABLE));
        state.set_deadline(index, tick_after(now, self.settings.write_timeout));
    }
}
