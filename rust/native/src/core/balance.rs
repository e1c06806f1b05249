//! Which worker gets a connection: decided from the scoreboard's numbers alone.
//!
//! | a connection | goes to a sibling when | which is, `even` | `packed` |
//! |---|---|---|---|
//! | has just been accepted | it has less to do, far fewer connections, or has served less lately | the one with the least to do, then with the fewest served lately | the first that has nothing to do |
//! | has a request that would wait here | it has nothing to do; or it has less, and nothing moves here | as above | as above |
//! | has had its answer | it has clearly served less lately, and has not far more to do | as above | the first, if it comes before us |
//!
//! Requests served lately even out what load alone does not: of workers that are idle each time somebody asks, all get their
//! share. "Clearly" leaves a margin, or connections would move for nothing.

use std::cmp::Reverse;

/// Who gets connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    Even,
    /// Idle workers stay idle.
    Packed,
    /// Whoever the kernel wakes, and for good.
    #[default]
    Kernel,
    /// To anybody, at any time: for tests.
    Random,
}

/// What one worker has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub slot: usize,
    /// Requests that run, wait, or are on their way to it.
    pub active: u32,
    /// Those that wait or are on their way.
    pub waiting: u32,
    /// Connections on their way to it.
    pub promised: u32,
    pub connections: u32,
    /// Requests served lately, in 1024ths.
    pub lately: u32,
    /// How long ago it has served the last one, about (ms).
    pub rests: u32,
    /// It was given a connection a moment ago, so that it would serve as much as others: what that does is not known yet.
    pub settles: bool,
}

/// Requests (in 1024ths) by which a worker must have served more lately than another to give it a connection.
const MARGIN: u32 = 3 * 1024;
const ONE: u32 = 1024;
/// Connections that may be on their way to one worker; and where somebody leaves, whose connections must go somewhere.
const PROMISES: u32 = 32;
const BEQUESTS: u32 = 128;
/// Who has served nothing for so long, though there was something to do, may be stuck (ms).
const MOVES: u32 = 200;
/// A request that would wait for less goes to nobody who has served clearly more (ns).
const FAIR: u64 = 4_000_000;

/// What is to be known of a request that waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// How long it would, or already has (ns).
    pub length: u64,
    /// Nothing moves where it waits.
    pub is_stuck: bool,
    /// Workers that can compute at the same time: with so many at work, one more makes nothing quicker.
    pub processors: usize,
}
/// Requests by which a worker that moves, and has served less, may have more to do than twice as much.
const BACKLOG: u32 = 8;
/// Requests that may wait at a worker which is given one more, because here nothing moves.
const CROWD: u32 = 4;

impl Load {
    /// Whether it has clearly served more than `other`: an eighth, and three requests.
    fn has_served_more(&self, other: &Self) -> bool {
        self.lately > other.lately.saturating_add(other.lately / 8).saturating_add(MARGIN)
    }

    /// Whether it should have a connection of `mine`, to serve as much. With all processors busy it is the scheduler who is
    /// unfair, and a worker that has served less has more to do for that: then, too, but not without a bound.
    fn is_behind(&self, mine: &Self) -> bool {
        let most = if self.rests < MOVES {
            2 * mine.active + BACKLOG
        } else {
            mine.active
        };
        self.promised == 0 && !self.settles && self.active <= most && mine.has_served_more(self)
    }

    /// Connections beyond what chance explains, where `mean` is usual.
    fn excess(&self, mean: u32) -> u32 {
        self.connections.saturating_sub(mean + mean / 4 + 2)
    }
}

/// Who gets a connection that has just been accepted by `mine`; none: it stays.
pub fn for_newcomer(policy: Balance, mine: &Load, others: &[Load]) -> Option<usize> {
    let others = others.iter().filter(|other| other.promised < PROMISES);
    if policy == Balance::Packed {
        let first = others
            .filter(|other| other.active == 0)
            .min_by_key(|other| other.slot)?;
        return (mine.active > 0 || first.slot < mine.slot).then_some(first.slot);
    }
    let others = || others.clone();
    let count = others().count() as u32 + 1;
    let total = others().map(|other| other.connections).sum::<u32>() + mine.connections;
    let mean = total / count;
    let best = others().min_by_key(|other| {
        (
            other.active,
            other.excess(mean),
            other.lately,
            Reverse(other.rests),
            other.connections,
        )
    })?;
    let is_better = if mine.active != best.active {
        mine.active > best.active + mine.active / 8
    } else if mine.excess(mean) != best.excess(mean) {
        mine.excess(mean) > best.excess(mean)
    } else {
        mine.lately > best.lately + best.lately / 16 + ONE // it is no trouble to a connection that has asked nothing yet
    };
    is_better.then_some(best.slot)
}

/// Who gets a request that would wait at `mine`.
pub fn for_waiting(policy: Balance, mine: &Load, others: &[Load], wait: &Wait) -> Option<usize> {
    let at_work = 1 + others.iter().filter(|other| other.active > 0).count();
    let is_urgent = wait.length > FAIR && at_work < wait.processors;
    let is_free = |other: &&Load| other.active == 0 && (is_urgent || !other.has_served_more(mine));
    let idle = others.iter().filter(is_free);
    let best = match policy {
        Balance::Packed => idle.min_by_key(|other| other.slot),
        _ => idle.min_by_key(|other| (other.lately, Reverse(other.rests))),
    };
    if best.is_some() || !wait.is_stuck {
        return best.map(|other| other.slot);
    }
    let free = others
        .iter()
        .filter(|other| other.waiting < CROWD && other.active + 1 < mine.active);
    free.min_by_key(|other| (other.active, other.lately))
        .map(|other| other.slot)
}

/// Who gets a connection that has just had its answer from `mine`; none: it stays.
pub fn for_rested(policy: Balance, mine: &Load, others: &[Load]) -> Option<usize> {
    let best = match policy {
        Balance::Packed => others
            .iter()
            .filter(|other| other.active == 0 && other.promised == 0 && other.slot < mine.slot)
            .min_by_key(|other| other.slot),
        _ => others
            .iter()
            .filter(|other| other.is_behind(mine))
            .min_by_key(|other| (other.lately, Reverse(other.rests))),
    };
    best.map(|other| other.slot)
}

/// Who gets a connection of a worker that leaves.
pub fn for_heir(others: &[Load]) -> Option<usize> {
    let others = others.iter().filter(|other| other.promised < BEQUESTS);
    others
        .min_by_key(|other| (other.active, other.connections, other.lately))
        .map(|other| other.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(slot: usize, active: u32, connections: u32, served: u32) -> Load {
        Load {
            slot,
            active,
            connections,
            lately: served * 1024,
            rests: MOVES,
            ..Load::default()
        }
    }

    #[test]
    fn a_newcomer_goes_where_the_least_is_to_do() {
        let others = [load(1, 2, 5, 0), load(2, 1, 9, 50)];
        let even = |mine| for_newcomer(Balance::Even, &mine, &others);
        assert_eq!(even(load(0, 3, 5, 0)), Some(2));
        assert_eq!(even(load(0, 0, 5, 0)), None);
    }

    #[test]
    fn among_idle_ones_to_the_one_that_has_served_least() {
        let others = [load(1, 0, 1, 90), load(2, 0, 1, 70)];
        let even = |served| for_newcomer(Balance::Even, &load(0, 0, 1, served), &others);
        assert_eq!(even(100), Some(2));
        assert_eq!(even(75), None, "not for a small difference");
    }

    #[test]
    fn many_connections_that_are_idle_are_spread() {
        let others = [load(1, 0, 3, 0), load(2, 0, 2, 0)];
        assert_eq!(for_newcomer(Balance::Even, &load(0, 0, 60, 0), &others), Some(2));
        assert_eq!(for_newcomer(Balance::Even, &load(0, 0, 4, 0), &others), None);
    }

    #[test]
    fn who_takes_nothing_is_promised_no_more() {
        let deaf = Load {
            promised: BEQUESTS,
            ..load(1, 0, 0, 0)
        };
        assert_eq!(for_newcomer(Balance::Even, &load(0, 9, 9, 9), &[deaf]), None);
        assert_eq!(for_heir(&[deaf]), None);
    }

    #[test]
    fn packed_leaves_idle_workers_alone() {
        let others = [load(0, 1, 5, 80), load(2, 0, 0, 0)];
        let packed = |active| for_newcomer(Balance::Packed, &load(1, active, 3, 40), &others);
        assert_eq!(packed(0), None);
        assert_eq!(packed(1), Some(2));
        let first = [load(0, 0, 5, 80), load(2, 0, 0, 0)];
        assert_eq!(for_newcomer(Balance::Packed, &load(1, 0, 3, 40), &first), Some(0));
        assert_eq!(for_rested(Balance::Packed, &load(1, 0, 3, 40), &first), Some(0));
        assert_eq!(for_rested(Balance::Packed, &load(1, 0, 3, 40), &others), None);
    }

    #[test]
    fn a_waiting_request_goes_to_who_is_idle_or_moves() {
        let wait = |length, is_stuck, processors| Wait {
            length,
            is_stuck,
            processors,
        };
        let others = [load(1, 1, 5, 10), load(2, 0, 9, 50), load(3, 0, 9, 40)];
        let who = |mine, others: &[Load], wait| for_waiting(Balance::Even, &mine, others, &wait);
        let mine = load(0, 3, 5, 60);
        assert_eq!(who(mine, &others, wait(0, false, 2)), Some(3));
        assert_eq!(who(mine, &others[..1], wait(0, false, 2)), None);
        assert_eq!(who(mine, &others[..1], wait(0, true, 2)), Some(1));
        assert_eq!(
            who(load(0, 2, 5, 60), &others[..1], wait(0, true, 2)),
            None,
            "no better off"
        );
        let busier = [load(1, 0, 5, 90), load(2, 1, 5, 90)];
        assert_eq!(who(mine, &busier, wait(FAIR, false, 8)), None);
        assert_eq!(who(mine, &busier, wait(FAIR + 1, false, 8)), Some(1));
        assert_eq!(
            who(mine, &busier, wait(FAIR + 1, false, 2)),
            None,
            "all processors are busy"
        );
    }

    #[test]
    fn an_answered_connection_goes_to_who_has_served_clearly_less() {
        let others = [load(1, 0, 5, 90), load(2, 0, 9, 60), load(3, 1, 1, 0)];
        assert_eq!(for_rested(Balance::Even, &load(0, 0, 5, 100), &others), Some(2));
        assert_eq!(for_rested(Balance::Even, &load(0, 0, 5, 68), &others), None);
        assert_eq!(for_rested(Balance::Even, &load(0, 1, 5, 100), &others), Some(3));
        let behind = Load {
            rests: 3,
            ..load(4, 8, 5, 50)
        };
        assert_eq!(for_rested(Balance::Even, &load(0, 0, 5, 100), &[behind]), Some(4));
        let settles = Load {
            settles: true,
            ..behind
        };
        assert_eq!(for_rested(Balance::Even, &load(0, 0, 5, 100), &[settles]), None);
        let stuck = Load { rests: MOVES, ..behind };
        assert_eq!(for_rested(Balance::Even, &load(0, 0, 5, 100), &[stuck]), None);
    }
}
