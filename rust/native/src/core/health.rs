//! `/livez`, `/readyz` and the metrics, answered without any thread of the app: on `admin_bind`, and below `health_path` elsewhere.

use super::conn::Phase;
use super::porter::Job;
use super::request::{Request, Token};
use super::timers::NEVER;
use super::{Core, State};
use crate::sys;

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
        let is_crowded = state.queue.len() + state.loop_queue.len() >= self.settings.queue_size.div_ceil(2);
        let (status, text) = match probe {
            Probe::Metrics => {
                let conn = &mut state.conns[index];
                conn.phase = Phase::InFlight;
                let token = conn.token(index);
                state.set_deadline(index, NEVER);
                return self.submit(state, Job::Page(token)); // it reads /proc
            }
            Probe::Live => (200, "live"),
            Probe::Ready if state.draining || self.score.is_leaving() => (503, "draining"),
            Probe::Ready if is_crowded => (503, "the queue is half full"),
            Probe::Ready => (200, "ready"),
            Probe::Unknown => (404, "only GET /livez, GET /readyz and the metrics are answered here"),
        };
        self.answer_page(state, index, status, text, now);
    }

    /// The metrics have been gathered.
    pub(super) fn page_is_ready(&self, state: &mut State, token: Token, text: &str) {
        let index = token.index as usize;
        match state.conn(token).map(|conn| conn.gone) {
            None => {}
            Some(true) => self.close(state, index),
            Some(false) => self.answer_page(state, index, 200, text, sys::monotonic_ns()),
        }
    }

    fn answer_page(&self, state: &mut State, index: usize, status: u16, text: &str, now: u64) {
        let mut answer = self.answer(status, text);
        let request = state.conns[index].incoming.as_deref();
        if request.is_some_and(|request| request.method() == b"HEAD") {
            answer.truncate(answer.len() - text.len() - 1);
        }
        self.send_last(state, index, answer, now);
    }
}
