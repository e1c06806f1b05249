//! The deadline of a connection from the end of its request's head to that of its response: the earliest of all that it
//! waits for.

use super::conn::Conn;
use super::timers::{tick_after, NEVER};
use super::{Core, State};
use crate::score;

impl Core {
    /// Sets the deadline of a connection in flight. Called whenever something that it waits for begins, moves or ends.
    pub(super) fn set_in_flight_deadline(&self, state: &mut State, index: usize) {
        let due = self.in_flight_due(&state.conns[index]);
        state.set_deadline(index, due.map_or(NEVER, |due| tick_after(due, 0)));
    }

    fn in_flight_due(&self, conn: &Conn) -> Option<u64> {
        let rules = &self.settings.body_rules;
        let waits = [
            conn.upload.as_deref().and_then(|upload| upload.due(rules)),
            conn.late.as_deref().and_then(|late| late.due(rules)),
            conn.stream.as_deref().and_then(|stream| stream.due(rules)),
            conn.output.as_deref().map(|output| output.due),
            conn.handshake_due,
        ];
        waits.into_iter().flatten().min()
    }

    /// Something that it waits for may have had its time.
    pub(super) fn in_flight_deadline(&self, state: &mut State, index: usize, now: u64) {
        if !self.body_deadline(state, index, now) {
            return;
        }
        self.stream_deadline(state, index, now);
        self.late_deadline(state, index, now);
        self.handshake_deadline(state, index, now);
        if self.output_deadline(state, index, now) {
            self.set_in_flight_deadline(state, index);
        }
    }

    /// A client must take a response at `min_rate` within each `write_timeout`. False: the connection is closed.
    fn output_deadline(&self, state: &mut State, index: usize, now: u64) -> bool {
        let conn = &mut state.conns[index];
        let Some(output) = conn.output.as_deref_mut().filter(|output| output.due <= now) else {
            return true;
        };
        let seconds = self.settings.write_timeout / 1_000_000_000;
        let enough = self.settings.body_rules.min_rate.saturating_mul(seconds).max(1);
        if output.progress >= enough {
            output.progress = 0;
            output.due = now + self.settings.write_timeout;
            return true;
        }
        let waits_for_disk = output.waits_for_disk;
        score::add(&self.score.timeouts, 1);
        match waits_for_disk {
            true => self.errors.error(format_args!(
                "{} was given up: the disk behind its response gives and takes nothing",
                conn.peer
            )),
            false => self.errors.warning(format_args!(
                "{} was given up: write_timeout passed, it reads too slowly",
                conn.peer
            )),
        }
        conn.resets = true;
        self.client_goes(state, index)
    }
}
