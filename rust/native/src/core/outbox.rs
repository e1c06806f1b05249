//! Answers that wait for the end of their turn, to be sent one right behind the other.
//!
//! An answer that is sent while its client sleeps wakes it; sent behind others, it finds it awake. With 64 connections to a
//! quick app on another core that is a fifth of all CPU. So the answers of one turn are gathered, for `LONGEST` at the most;
//! and after a step that took longer than that each answer is sent at once, for a while: a rare one (an import, a collection
//! of garbage) costs little, and an app all of whose steps are long gathers nothing.

use super::exchange::Finished;
use super::request::Request;

/// The longest that an answer waits (ns).
const LONGEST: u64 = 200_000;
/// How long answers are not gathered after a step that took long: so many times as long, and this at the most (ns).
const PAUSE: u64 = 50;
const LONGEST_PAUSE: u64 = 2_000_000_000;
/// Buffers kept for the next answers.
const SPARE: usize = 64;

/// One whole answer.
pub struct Letter {
    pub bytes: Vec<u8>,
    pub request: Box<Request>,
    pub done: Finished,
    /// See `Exchange::head_lines`.
    pub lines: Vec<u8>,
}

/// What waits, and whether anything may.
#[derive(Default)]
pub struct Outbox {
    letters: Vec<Letter>,
    spare: Vec<Vec<u8>>,
    is_open: bool,
    /// When the first of the letters came, and the last step began (monotonic ns).
    since: u64,
    stepped: u64,
    closed_until: u64,
}

impl Outbox {
    /// A turn with `count` requests begins.
    pub fn open(&mut self, count: usize, now: u64) {
        self.is_open = count > 1 && now >= self.closed_until;
        self.stepped = now;
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// One more; `now` is asked when it is the first.
    pub fn put(&mut self, letter: Letter, now: impl FnOnce() -> u64) {
        if self.letters.is_empty() {
            self.since = now();
        }
        self.letters.push(letter);
    }

    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// A step has ended: what is to be sent now.
    pub fn after_step(&mut self, now: u64) -> Vec<Letter> {
        if !self.is_open {
            return Vec::new();
        }
        let step = now.saturating_sub(self.stepped);
        if step > LONGEST {
            self.closed_until = now + (step * PAUSE).min(LONGEST_PAUSE);
            return self.close();
        }
        self.stepped = now;
        if !self.letters.is_empty() && now.saturating_sub(self.since) > LONGEST {
            return std::mem::take(&mut self.letters);
        }
        Vec::new()
    }

    /// The turn has ended: what is to be sent now.
    pub fn close(&mut self) -> Vec<Letter> {
        self.is_open = false;
        std::mem::take(&mut self.letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            bytes: Vec::new(),
            request: Box::default(),
            done: Finished::default(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn a_single_request_waits_for_nobody() {
        let mut outbox = Outbox::default();
        outbox.open(1, 1000);
        assert!(!outbox.is_open());
    }

    #[test]
    fn letters_wait_for_the_end_of_the_turn() {
        let mut outbox = Outbox::default();
        let now = 1_000_000_000;
        outbox.open(3, now);
        outbox.put(letter(), || now);
        assert!(outbox.after_step(now + 10_000).is_empty());
        outbox.put(letter(), || now);
        assert_eq!(outbox.close().len(), 2);
    }

    #[test]
    fn none_waits_long() {
        let mut outbox = Outbox::default();
        let now = 1_000_000_000;
        outbox.open(3, now);
        outbox.put(letter(), || now);
        assert!(outbox.after_step(now + LONGEST - 1).is_empty());
        assert_eq!(outbox.after_step(now + LONGEST + LONGEST / 2).len(), 1);
        assert!(outbox.is_open());
    }

    #[test]
    fn a_slow_app_sends_at_once() {
        let mut outbox = Outbox::default();
        let now = 1_000_000_000;
        outbox.open(3, now);
        outbox.put(letter(), || now);
        assert_eq!(outbox.after_step(now + LONGEST + 1).len(), 1);
        assert!(!outbox.is_open());
        outbox.open(3, now + PAUSE * LONGEST / 2);
        assert!(!outbox.is_open());
        outbox.open(3, now + 2 * PAUSE * LONGEST);
        assert!(outbox.is_open());
        outbox.after_step(now + 60_000_000_000);
        outbox.open(3, now + 60_000_000_000 + LONGEST_PAUSE);
        assert!(outbox.is_open());
    }
}
