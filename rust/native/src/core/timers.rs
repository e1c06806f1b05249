//! Deadlines of connections: a wheel of ticks with lazy entries.
//!
//! A connection has at most one live entry. Moving a deadline *later* (what every request does) only stores a number: when
//! the entry comes due it is looked at again and put back. Moving it *earlier* adds an entry and lets the old one go stale.
//! So the hot path never touches the wheel, and 10,000 idle connections cost one look each per keep-alive period.

/// Nanoseconds in a tick, as a shift: 2^26 ns = 67 ms.
const TICK_SHIFT: u32 = 26;
/// Slots: 1024 ticks = 69 s; a later deadline is looked at again on the way.
const SLOTS: usize = 1024;

/// A point in time, in ticks.
pub type Tick = u64;

/// No deadline.
pub const NEVER: Tick = u64::MAX;

/// The first tick at or after `now + wait`.
pub fn tick_after(now: u64, wait: u64) -> Tick {
    (now.saturating_add(wait) >> TICK_SHIFT) + 1
}

/// The deadline of one connection and where its live entry stands. Invariant: `entry <= due`.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    due: Tick,
    entry: Tick,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            due: NEVER,
            entry: NEVER,
        }
    }
}

/// Entries by tick.
pub struct Wheel {
    slots: Vec<Vec<u64>>,
    occupied: [u64; SLOTS / 64],
    /// Every tick before this one has been handled.
    cursor: Tick,
}

impl Wheel {
    pub fn new(now: u64) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS],
            occupied: [0; SLOTS / 64],
            cursor: now >> TICK_SHIFT,
        }
    }

    /// Sets or moves the deadline of the connection `key`.
    pub fn set(&mut self, deadline: &mut Deadline, due: Tick, key: u64) {
        deadline.due = due;
        if due < deadline.entry {
            deadline.entry = self.insert(due, key);
        }
    }

    fn insert(&mut self, due: Tick, key: u64) -> Tick {
        let tick = due.clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let slot = tick as usize % SLOTS;
        self.slots[slot].push(key);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        tick
    }

    /// Moves every entry that is due into `keys`.
    pub fn take_due(&mut self, now: u64, keys: &mut Vec<u64>) {
        let today = now >> TICK_SHIFT;
        let last = today.min(self.cursor + SLOTS as u64 - 1);
        while self.cursor <= last {
            let slot = self.cursor as usize % SLOTS;
            if self.occupied[slot / 64] & (1 << (slot % 64)) != 0 {
                keys.append(&mut self.slots[slot]);
                self.occupied[slot / 64] &= !(1 << (slot % 64));
                if self.slots[slot].capacity() > 1024 {
                    self.slots[slot] = Vec::new();
                }
            }
            self.cursor += 1;
        }
        self.cursor = self.cursor.max(today);
    }

    /// What to do with a taken entry: true when the deadline has passed; otherwise it is put back or was stale.
    pub fn has_passed(&mut self, deadline: &mut Deadline, now: u64, key: u64) -> bool {
        let today = now >> TICK_SHIFT;
        if deadline.entry > today {
            return false; // stale: a live entry stands elsewhere, or none does
        }
        deadline.entry = NEVER;
        if deadline.due <= today {
            deadline.due = NEVER;
            return true;
        }
        if deadline.due != NEVER {
            deadline.entry = self.insert(deadline.due, key);
        }
        false
    }

    /// Milliseconds until the next entry is due, or -1 when there is none.
    pub fn timeout(&self, now: u64) -> i32 {
        let start = self.cursor as usize % SLOTS;
        let Some(distance) = self.next_occupied(start) else {
            return -1;
        };
        let due = (self.cursor + distance as u64) << TICK_SHIFT;
        i32::try_from(due.saturating_sub(now) / 1_000_000 + 1).unwrap_or(i32::MAX)
    }

    /// Slots from `start` to the next occupied one, going round once.
    fn next_occupied(&self, start: usize) -> Option<usize> {
        let words = self.occupied.len();
        let first = self.occupied[start / 64] & (u64::MAX << (start % 64));
        if first != 0 {
            return Some(first.trailing_zeros() as usize - start % 64);
        }
        (1..=words).find_map(|step| {
            let word = (start / 64 + step) % words;
            let bits = self.occupied[word];
            (bits != 0).then(|| (step * 64 + bits.trailing_zeros() as usize) - start % 64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1 << TICK_SHIFT;

    fn due(wheel: &mut Wheel, deadline: &mut Deadline, now: u64) -> Vec<u64> {
        let mut keys = Vec::new();
        wheel.take_due(now, &mut keys);
        keys.retain(|&key| wheel.has_passed(deadline, now, key));
        keys
    }

    #[test]
    fn a_deadline_passes_once_and_not_early() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 5, 7);
        assert!(due(&mut wheel, &mut deadline, 4 * TICK).is_empty());
        assert_eq!(due(&mut wheel, &mut deadline, 5 * TICK), [7]);
        assert!(due(&mut wheel, &mut deadline, 50 * TICK).is_empty());
    }

    #[test]
    fn a_later_deadline_replaces_an_earlier_one() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 5, 7);
        wheel.set(&mut deadline, 9, 7);
        assert!(due(&mut wheel, &mut deadline, 6 * TICK).is_empty());
        assert_eq!(due(&mut wheel, &mut deadline, 9 * TICK), [7]);
    }

    #[test]
    fn an_earlier_deadline_replaces_a_later_one() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 900, 7);
        wheel.set(&mut deadline, 3, 7);
        assert_eq!(due(&mut wheel, &mut deadline, 3 * TICK), [7]);
        assert!(due(&mut wheel, &mut deadline, 900 * TICK).is_empty());
    }

    #[test]
    fn beyond_one_turn_of_the_wheel() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 2500, 7);
        for now in (0..2500).step_by(100) {
            assert!(due(&mut wheel, &mut deadline, now * TICK).is_empty(), "{now}");
        }
        assert_eq!(due(&mut wheel, &mut deadline, 2500 * TICK), [7]);
    }

    #[test]
    fn the_wait_ends_at_the_next_entry() {
        let mut wheel = Wheel::new(0);
        assert_eq!(wheel.timeout(0), -1);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 70, 1);
        let wait = wheel.timeout(0) as u64;
        assert!((70 * TICK..=71 * TICK).contains(&(wait * 1_000_000)), "{wait}");
        let mut none = Vec::new();
        wheel.take_due(69 * TICK, &mut none);
        assert!(wheel.timeout(69 * TICK) <= 68 && none.is_empty());
    }

    #[test]
    fn a_cancelled_deadline_never_passes() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 5, 7);
        wheel.set(&mut deadline, NEVER, 7);
        assert!(due(&mut wheel, &mut deadline, 500 * TICK).is_empty());
    }

    #[test]
    fn a_long_sleep_skips_whole_turns() {
        let mut wheel = Wheel::new(0);
        let mut deadline = Deadline::default();
        wheel.set(&mut deadline, 1000, 7);
        assert_eq!(due(&mut wheel, &mut deadline, 100_000 * TICK), [7]);
        wheel.set(&mut deadline, 100_010, 7);
        assert_eq!(due(&mut wheel, &mut deadline, 100_010 * TICK), [7]);
    }
}
