//! How many more threads are put to work, decided from numbers alone.
//!
//! | the running requests | more threads |
//! |---|---|
//! | wait: the process's CPU clock stands still | at once, as many again as there are: twice as many each time |
//! | compute, on an interpreter with a lock | one, when each of them has run for a while: for fairness, not for speed |
//! | compute, on a free-threaded interpreter | at once, up to the number of CPUs |
//!
//! Short requests that compute are best run one after the other: a second thread would only fight for the interpreter's
//! lock. Long ones must not keep short ones waiting until they end, so they share the lock, by a few more threads, and each
//! beyond `CROWD` has to be waited for twice as long as the one before it.

/// How long running requests compute before another thread shares the interpreter's lock with them, and how long events
/// may wait while threads get on with the queue (ns).
pub const PATIENCE: u64 = 20_000_000;
/// The same where requests have lately computed for so long: one turn of the interpreter's lock (ns).
pub const CROWDED_PATIENCE: u64 = 5_000_000;
/// Requests that compute side by side before each further one needs more patience.
const CROWD: usize = 4;
/// Requests that may compute, or wait for the interpreter's lock, at once.
const COMPANIONS: usize = 16;
/// Doublings of that patience: beyond them it stays at some twenty seconds.
const DOUBLINGS: usize = 10;

/// What the decision rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Requests that wait for a thread.
    pub queued: usize,
    /// Threads that are there and have nothing to do.
    pub parked: usize,
    /// Threads that come to the queue: asked for, woken, or back from a request and waiting for the interpreter's lock.
    pub coming: usize,
    /// Threads that may still be asked for.
    pub room: usize,
    /// Requests that run.
    pub running: usize,
    /// Those of them that have not used their CPU clock for a while, whatever the others do.
    pub waiting: usize,
    /// How long the youngest running request of the others has run (ns).
    pub youngest: u64,
    /// Requests have lately computed for long.
    pub crowded: bool,
    /// The process uses more than half a CPU.
    pub computing: bool,
    /// How many threads can compute at once: 1 where the interpreter has a lock.
    pub cpus: usize,
}

impl Situation {
    pub fn active(&self) -> usize {
        self.running - self.waiting.min(self.running)
    }

    /// Threads that could be put to work: those there, and those that may be asked for. None while others are on their way:
    /// if requests are quick, one of them is enough for the whole queue.
    fn possible(&self) -> usize {
        if self.coming > 0 {
            return 0;
        }
        self.queued.min(self.parked + self.room)
    }
}

/// How many threads to put to work at once.
pub fn grow_now(s: &Situation) -> usize {
    let most = if s.computing && s.active() > 0 {
        s.cpus.saturating_sub(s.active()).min(s.cpus - 1)
    } else {
        s.running.max(1)
    };
    s.possible().min(most)
}

/// Whether to put one more thread to work though the others compute.
pub fn grow_slowly(s: &Situation) -> bool {
    s.computing && s.active() > 0 && s.possible() > 0 && s.youngest >= patience(s)
}

/// How many requests may run at once where `waiting` of them wait and the others use up the CPU; `cpus` as above.
///
/// Some more than can compute keep the interpreter's lock busy, also those that have just begun to wait and do not look like
/// it yet. All beyond them would only wait for the lock, and each of those
/// looks for it every 5 ms: a hundred threads of a Django app that computes more than it waits cost 15 % in these looks.
pub fn allowed(waiting: usize, cpus: usize) -> usize {
    waiting + (2 * cpus).max(COMPANIONS)
}

/// How long the requests that run must have computed before another one may join them (ns).
fn patience(s: &Situation) -> u64 {
    let first = if s.crowded { CROWDED_PATIENCE } else { PATIENCE };
    first << s.active().saturating_sub(CROWD).min(DOUBLINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// A queue of ten before one running request, with room for all.
    const BASE: Situation = Situation {
        queued: 10,
        parked: 0,
        coming: 0,
        room: 100,
        running: 1,
        waiting: 0,
        youngest: 2 * MS,
        crowded: false,
        computing: false,
        cpus: 1,
    };

    #[test]
    fn requests_that_wait_get_threads_at_once() {
        for (situation, threads, why) in [
            (BASE, 1, "one waits: one more"),
            (Situation { running: 8, ..BASE }, 8, "as many again as wait"),
            (Situation { running: 64, ..BASE }, 10, "no more than are queued"),
            (Situation { queued: 0, ..BASE }, 0, "nobody needs one"),
            (
                Situation {
                    running: 8,
                    coming: 1,
                    ..BASE
                },
                0,
                "one is on its way, and may be enough",
            ),
            (
                Situation {
                    running: 8,
                    room: 2,
                    ..BASE
                },
                2,
                "up to the cap",
            ),
            (
                Situation {
                    running: 8,
                    room: 0,
                    parked: 3,
                    ..BASE
                },
                3,
                "those that are parked",
            ),
            (
                Situation {
                    running: 0,
                    room: 0,
                    parked: 3,
                    ..BASE
                },
                1,
                "nobody runs, all are parked",
            ),
            (Situation { room: 0, ..BASE }, 0, "the cap is reached"),
            (
                Situation {
                    computing: true,
                    running: 8,
                    ..BASE
                },
                0,
                "they compute under one lock",
            ),
            (
                Situation {
                    computing: true,
                    cpus: 4,
                    ..BASE
                },
                3,
                "free-threaded: up to the CPUs",
            ),
            (
                Situation {
                    computing: true,
                    cpus: 4,
                    running: 3,
                    ..BASE
                },
                1,
                "free-threaded: one CPU is left",
            ),
            (
                Situation {
                    computing: true,
                    cpus: 4,
                    running: 9,
                    ..BASE
                },
                0,
                "free-threaded: no CPU is left",
            ),
            (
                Situation {
                    computing: true,
                    cpus: 4,
                    running: 9,
                    waiting: 7,
                    ..BASE
                },
                2,
                "free-threaded: those that wait use no CPU",
            ),
            (
                Situation {
                    computing: true,
                    running: 3,
                    waiting: 3,
                    ..BASE
                },
                3,
                "what computes is no request",
            ),
        ] {
            assert_eq!(grow_now(&situation), threads, "{why}: {situation:?}");
        }
    }

    #[test]
    fn requests_that_compute_get_company_slowly() {
        let computing = Situation {
            computing: true,
            youngest: 20 * MS,
            ..BASE
        };
        for (situation, grows, why) in [
            (computing, true, "a long one must not keep the others waiting"),
            (
                Situation {
                    youngest: 19 * MS,
                    ..computing
                },
                false,
                "not long yet",
            ),
            (
                Situation {
                    youngest: 5 * MS,
                    crowded: true,
                    ..computing
                },
                true,
                "long ones are expected",
            ),
            (
                Situation {
                    youngest: 4 * MS,
                    crowded: true,
                    ..computing
                },
                false,
                "not long yet, even so",
            ),
            (
                Situation {
                    computing: false,
                    ..computing
                },
                false,
                "they wait: see grow_now",
            ),
            (Situation { queued: 0, ..computing }, false, "nobody needs it"),
            (Situation { coming: 1, ..computing }, false, "one is on its way"),
            (Situation { room: 0, ..computing }, false, "the cap is reached"),
            (
                Situation {
                    room: 0,
                    parked: 1,
                    ..computing
                },
                true,
                "one is parked",
            ),
            (
                Situation {
                    running: 4,
                    ..computing
                },
                true,
                "four share the lock",
            ),
            (
                Situation {
                    running: 5,
                    ..computing
                },
                false,
                "five are a crowd",
            ),
            (
                Situation {
                    running: 5,
                    youngest: 40 * MS,
                    ..computing
                },
                true,
                "waited for twice as long",
            ),
            (
                Situation {
                    running: 7,
                    youngest: 159 * MS,
                    ..computing
                },
                false,
                "eight times as long",
            ),
            (
                Situation {
                    running: 7,
                    youngest: 160 * MS,
                    ..computing
                },
                true,
                "eight times as long",
            ),
            (
                Situation {
                    running: 9,
                    waiting: 8,
                    ..computing
                },
                true,
                "those that wait do not fight for the lock",
            ),
            (
                Situation {
                    running: 100,
                    youngest: 21_000 * MS,
                    ..computing
                },
                true,
                "patience has an end",
            ),
        ] {
            assert_eq!(grow_slowly(&situation), grows, "{why}: {situation:?}");
        }
    }

    #[test]
    fn those_that_wait_do_not_keep_others_from_running() {
        for (waiting, cpus, most) in [(0, 1, 16), (21, 1, 37), (100, 1, 116), (0, 8, 16), (3, 12, 27)] {
            assert_eq!(allowed(waiting, cpus), most, "{waiting} wait on {cpus}");
        }
    }
}
