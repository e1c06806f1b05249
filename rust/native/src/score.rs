//! The worker's slot in the scoreboard: one shared mapping that the arbiter made and everybody reads.
//!
//! Only this worker writes the slot, and every write happens under the core's lock (records: by the thread that owns the
//! record), so plain relaxed loads and stores suffice: no locked instructions, no system calls.
//! The layout stands twice, here and in `hostler/stats/scoreboard.py`; a test holds the two equal.

use std::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

/// Buckets of the latency histogram.
pub const LATENCY_BUCKETS: usize = 64;
/// Records of requests in flight: one for each app thread.
pub const RECORDS: usize = 256;
const METHOD: usize = 16;
const PATH: usize = 96;
/// Bytes of the header before the first slot.
pub const HEADER_SIZE: usize = 64;
/// Where the header says that the server is about to stop.
const LEAVING_AT: usize = 20;
/// Where the header says how many slots have been used: nobody looks at those behind, whose memory was never touched.
const USED_AT: usize = 28;
/// Where the header counts workers that were followed by another one, by reason: see core/metrics.rs.
const RESTARTS_AT: usize = 32;
pub const RESTARTS: usize = 4;

/// One request in flight. `seq` is odd while the record is being written.
#[repr(C)]
pub struct Record {
    seq: AtomicU32,
    tid: AtomicU32,
    start_ns: AtomicU64,
    method: [AtomicU64; METHOD / 8],
    path: [AtomicU64; PATH / 8],
}

/// All that a worker says of itself.
#[repr(C)]
pub struct Slot {
    pub state: AtomicU32,
    pub pid: AtomicU32,
    pub started_ns: AtomicU64,
    pub heartbeat_ns: AtomicU64,
    pub requests: AtomicU64,
    /// 1xx to 5xx.
    pub status: [AtomicU64; 5],
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub accepted: AtomicU64,
    pub rejected: AtomicU64,
    pub timeouts: AtomicU64,
    pub app_errors: AtomicU64,
    pub client_gone: AtomicU64,
    pub queue_ns: AtomicU64,
    pub busy_ns: AtomicU64,
    pub connections: AtomicU32,
    pub in_flight: AtomicU32,
    pub queued: AtomicU32,
    pub threads: AtomicU32,
    pub threads_busy: AtomicU32,
    /// Whether siblings may hand connections over: `SHUT`, `OPEN`, or `DEAF`.
    pub taking: AtomicU32,
    /// Requests served lately, in `UNIT`s, as they were at `lately_ms`: see `lately`.
    lately: AtomicU32,
    lately_ms: AtomicU32,
    /// Which listeners the worker has: connections stay among those that have the same.
    pub family: AtomicU32,
    /// Connections that were handed over and have not been taken yet. Written by the siblings.
    pub promised: AtomicU32,
    /// Connections handed over to siblings.
    pub given: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
    queue_latency: [AtomicU64; LATENCY_BUCKETS],
    /// Connections taken from siblings.
    pub taken: AtomicU64,
    /// Proportional set size in bytes, and how much of what it can do it does (1024ths): written by the worker's main thread.
    pub pss: AtomicU64,
    pub capacity: AtomicU32,
    /// When a sibling last gave it a connection for evenness (ms). Written by the siblings.
    evened_ms: AtomicU32,
    /// Bytes of responses that wait in temporary files, and that were ever written to them.
    pub filed: AtomicU64,
    pub spilled: AtomicU64,
    reserved: [AtomicU32; 6],
    records: [Record; RECORDS],
}

/// `state` of a worker that finishes what it has and takes nothing new.
pub const DRAINING: u32 = 3;

/// `taking`: nothing is taken; connections are; one was not taken for a while, so the worker is left alone until it comes by.
pub const SHUT: u32 = 0;
pub const OPEN: u32 = 1;
pub const DEAF: u32 = 2;

/// One request in `lately`.
const UNIT: u32 = 1024;
/// What is counted as lately loses half within so many milliseconds, as a shift.
const HALF: u32 = 9;
/// The least time between two decays that are written (ms): shorter ones would be rounded away.
const DECAY: u32 = 64;

const _: () = assert!(size_of::<Record>() == 128 && size_of::<Slot>() == 1280 + RECORDS * 128);

/// Adds to a counter that only this worker writes, under the core's lock.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// Sets a gauge.
pub fn set(gauge: &AtomicU32, value: usize) {
    gauge.store(value as u32, Relaxed);
}

/// The histogram bucket of a duration: two buckets to each power of two of microseconds, up to 35 minutes.
pub fn bucket(nanoseconds: u64) -> usize {
    let micros = nanoseconds / 1000;
    if micros < 2 {
        return micros as usize;
    }
    let exponent = micros.ilog2() as usize;
    let half = (micros >> (exponent - 1)) as usize & 1;
    (2 * exponent + half).min(LATENCY_BUCKETS - 1)
}

/// What is left of `value` after so many milliseconds.
fn decayed(value: u32, ms: u32) -> u32 {
    let rest = value.checked_shr(ms >> HALF).unwrap_or(0);
    let part = ms & ((1 << HALF) - 1);
    rest - ((u64::from(rest) * u64::from(part)) >> (HALF + 1)) as u32
}

fn milliseconds(now: u64) -> u32 {
    (now / 1_000_000) as u32
}

/// Milliseconds from `then` to `now`; 0 where another process was here later.
fn age(then: u32, now: u64) -> u32 {
    let age = milliseconds(now).wrapping_sub(then);
    if age > i32::MAX as u32 {
        0
    } else {
        age
    }
}

impl Slot {
    /// Requests served lately, in 1024ths: each counts half after half a second.
    pub fn lately(&self, now: u64) -> u32 {
        decayed(self.lately.load(Relaxed), self.rests(now))
    }

    /// Milliseconds since it has served one, give or take the time between two decays.
    pub fn rests(&self, now: u64) -> u32 {
        age(self.lately_ms.load(Relaxed), now)
    }

    /// Whether it was given a connection for evenness less than so many milliseconds ago.
    pub fn settles(&self, within: u32, now: u64) -> bool {
        age(self.evened_ms.load(Relaxed), now) < within
    }

    /// It is given one now.
    pub fn evens(&self, now: u64) {
        self.evened_ms.store(milliseconds(now), Relaxed);
    }

    /// Begins with so much of it: as if it had been here.
    pub fn begin_with(&self, lately: u32, now: u64) {
        self.lately.store(lately, Relaxed);
        self.lately_ms.store(milliseconds(now), Relaxed);
    }

    /// Counts one more as served lately.
    pub fn serves(&self, now: u64) {
        let (ms, mut lately) = (milliseconds(now), self.lately.load(Relaxed));
        let age = ms.wrapping_sub(self.lately_ms.load(Relaxed));
        if age >= DECAY {
            lately = decayed(lately, age);
            self.lately_ms.store(ms, Relaxed);
        }
        self.lately.store(lately.saturating_add(UNIT), Relaxed);
    }

    /// Counts how long a request has waited for its thread.
    pub fn queued_for(&self, duration: u64) {
        add(&self.queue_ns, duration);
        add(&self.queue_latency[bucket(duration)], 1);
    }

    /// The histogram of waits.
    pub fn queue_latency(&self) -> [u64; LATENCY_BUCKETS] {
        std::array::from_fn(|bucket| self.queue_latency[bucket].load(Relaxed))
    }

    /// Counts one finished request.
    pub fn finished(&self, status: u16, duration: u64) {
        add(&self.requests, 1);
        if let Some(class) = self.status.get((status as usize / 100).wrapping_sub(1)) {
            add(class, 1);
        }
        add(&self.busy_ns, duration);
        add(&self.latency[bucket(duration)], 1);
    }

    /// The histogram of durations.
    pub fn latency(&self) -> [u64; LATENCY_BUCKETS] {
        std::array::from_fn(|bucket| self.latency[bucket].load(Relaxed))
    }

    pub fn record(&self, thread: usize) -> &Record {
        &self.records[thread % RECORDS]
    }
}

impl Record {
    /// The thread has begun a request.
    pub fn begin(&self, tid: u32, start_ns: u64, method: &[u8], path: &[u8]) {
        self.write(|record| {
            record.tid.store(tid, Relaxed);
            record.start_ns.store(start_ns, Relaxed);
            copy(&record.method, method);
            copy(&record.path, path);
        });
    }

    /// The thread is free.
    pub fn end(&self) {
        self.write(|record| record.start_ns.store(0, Relaxed));
    }

    /// Method and path as they were sent, for whoever holds the core's lock.
    pub fn request(&self) -> (Vec<u8>, Vec<u8>) {
        (read(&self.method), read(&self.path))
    }

    fn write(&self, change: impl FnOnce(&Self)) {
        let seq = self.seq.load(Relaxed);
        self.seq.store(seq.wrapping_add(1), Relaxed);
        fence(Release);
        change(self);
        self.seq.store(seq.wrapping_add(2), Release);
    }
}

/// Copies as much of `text` as fits, NUL padded. Words beyond the text's end and its first NUL word stay as they were.
fn copy(words: &[AtomicU64], text: &[u8]) {
    let mut chunks = text.chunks(8);
    for word in words {
        let chunk = chunks.next().unwrap_or_default();
        let mut bytes = [0u8; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(bytes), Relaxed);
        if chunk.len() < 8 {
            return;
        }
    }
}

fn read(words: &[AtomicU64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The fields with offset and size, as Python must see them.
pub fn layout() -> Vec<(&'static str, usize, usize)> {
    use std::mem::offset_of;
    macro_rules! field {
        ($name:literal, $field:ident) => {
            ($name, offset_of!(Slot, $field), size_of_val(&PROBE.$field))
        };
    }
    // SAFETY: integers and arrays of integers; all zeros is a valid value.
    static PROBE: Slot = unsafe { std::mem::zeroed() };
    let status = offset_of!(Slot, status);
    let mut fields = vec![
        field!("state", state),
        field!("pid", pid),
        field!("started_ns", started_ns),
        field!("heartbeat_ns", heartbeat_ns),
        field!("requests", requests),
        ("status_1xx", status, 8),
        ("status_2xx", status + 8, 8),
        ("status_3xx", status + 16, 8),
        ("status_4xx", status + 24, 8),
        ("status_5xx", status + 32, 8),
        field!("bytes_in", bytes_in),
        field!("bytes_out", bytes_out),
        field!("accepted", accepted),
        field!("rejected", rejected),
        field!("timeouts", timeouts),
        field!("app_errors", app_errors),
        field!("client_gone", client_gone),
        field!("queue_ns", queue_ns),
        field!("busy_ns", busy_ns),
        field!("connections", connections),
        field!("in_flight", in_flight),
        field!("queued", queued),
        field!("threads", threads),
        field!("threads_busy", threads_busy),
        field!("taking", taking),
        field!("lately", lately),
        field!("lately_ms", lately_ms),
        field!("family", family),
        field!("promised", promised),
        field!("given", given),
        field!("latency", latency),
        field!("queue_latency", queue_latency),
        field!("taken", taken),
        field!("pss", pss),
        field!("capacity", capacity),
        field!("filed", filed),
        field!("spilled", spilled),
        field!("records", records),
    ];
    fields.push(("slot_size", 0, size_of::<Slot>()));
    fields
}

/// The worker's own slot inside the shared mapping, the mapping itself, how many slots it has, and the slot's number.
pub struct Score(*const Slot, *const u8, usize, usize);

// SAFETY: the slot lives in a mapping that stays for the life of the process and holds only atomics.
unsafe impl Send for Score {}
// SAFETY: as above.
unsafe impl Sync for Score {}

impl Score {
    /// The slot number `index` of the mapping that starts at `base`, or none when it does not fit.
    ///
    /// # Safety
    /// `base..base + length` must be readable, writable, 8-byte aligned and stay mapped until the process ends.
    pub unsafe fn in_mapping(base: *const u8, length: usize, index: usize) -> Option<Self> {
        let offset = HEADER_SIZE + index * size_of::<Slot>();
        // SAFETY: the caller vouches for the mapping, and the slot lies inside it.
        (offset + size_of::<Slot>() <= length).then(|| unsafe {
            Self(
                base.add(offset).cast(),
                base,
                (length - HEADER_SIZE) / size_of::<Slot>(),
                index,
            )
        })
    }

    /// The slot, for what outlives a borrow: it stays until the process ends.
    pub fn own(&self) -> &'static Slot {
        // SAFETY: see `in_mapping`.
        unsafe { &*self.0 }
    }

    /// Whether the server is about to stop.
    pub fn is_leaving(&self) -> bool {
        // SAFETY: see `in_mapping`: the header is valid for the life of the process, and 4-byte aligned there.
        unsafe { &*self.1.add(LEAVING_AT).cast::<AtomicU32>() }.load(Relaxed) != 0
    }

    /// How many workers were followed by another one, by reason.
    pub fn restarts(&self) -> [u64; RESTARTS] {
        // SAFETY: as above, 8-byte aligned.
        let counters = unsafe { &*self.1.add(RESTARTS_AT).cast::<[AtomicU64; RESTARTS]>() };
        std::array::from_fn(|reason| counters[reason].load(Relaxed))
    }

    /// The number of the worker's own slot.
    pub fn number(&self) -> usize {
        self.3
    }

    fn used(&self) -> &AtomicU32 {
        // SAFETY: see `in_mapping`: the header is valid for the life of the process, and 4-byte aligned there.
        unsafe { &*self.1.add(USED_AT).cast::<AtomicU32>() }
    }

    /// Says that this slot is in use.
    pub fn use_it(&self) {
        self.used().fetch_max(self.3 as u32 + 1, Relaxed);
    }

    /// The slots of all workers, as far as they have been used.
    pub fn all(&self) -> impl Iterator<Item = &Slot> {
        let used = (self.used().load(Relaxed) as usize).max(self.3 + 1);
        (0..used.min(self.2)).filter_map(|index| self.slot(index))
    }

    /// The slot of that number.
    pub fn slot(&self, index: usize) -> Option<&Slot> {
        // SAFETY: `in_mapping` has counted as many slots behind the header as the mapping holds.
        (index < self.2).then(|| unsafe { &*self.1.add(HEADER_SIZE + index * size_of::<Slot>()).cast::<Slot>() })
    }

    /// A scoreboard with one slot, for tests and fuzzing.
    pub fn private() -> Self {
        let [score] = Self::shared();
        score
    }

    /// One scoreboard with `N` slots, for tests and fuzzing.
    pub fn shared<const N: usize>() -> [Self; N] {
        let length = HEADER_SIZE + N * size_of::<Slot>();
        let words = vec![0u64; length / size_of::<u64>()].into_boxed_slice();
        let base = Box::leak(words).as_mut_ptr().cast::<u8>().cast_const();
        // All zeros are valid slots; they are leaked on purpose, so they stay valid.
        std::array::from_fn(|index| {
            // SAFETY: as above, and there are `N` of them.
            let slot = unsafe { base.add(HEADER_SIZE + index * size_of::<Slot>()).cast() };
            Self(slot, base, N, index)
        })
    }
}

impl std::ops::Deref for Score {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        // SAFETY: see `in_mapping`: valid for the life of the process.
        unsafe { &*self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_without_gaps() {
        let mut last = 0;
        for micros in 0..5_000_000u64 {
            let now = bucket(micros * 1000);
            assert!(now == last || now == last + 1, "{micros}: {last} -> {now}");
            last = now;
        }
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn what_was_served_lately_counts_half_after_half_a_second() {
        let score = Score::private();
        let at = |ms: u64| ms * 1_000_000;
        score.begin_with(0, at(5));
        for _ in 0..100 {
            score.serves(at(5));
        }
        assert_eq!(score.lately(at(5)), 100 * UNIT);
        let half = score.lately(at(5 + 512));
        assert!((49 * UNIT..=50 * UNIT).contains(&half), "{half}");
        assert_eq!(score.lately(at(5 + 512 * 40)), 0);
        assert_eq!(score.lately(at(0)), 100 * UNIT, "another process was here later");
        assert_eq!(score.rests(at(65)), 60);
    }

    #[test]
    fn a_record_holds_as_much_of_the_path_as_fits() {
        let score = Score::private();
        let record = score.record(3);
        record.begin(9, 17, b"GET", &[b'x'; 200]);
        assert_eq!(record.seq.load(Relaxed) % 2, 0);
        assert_eq!(
            record.path[PATH / 8 - 1].load(Relaxed),
            u64::from_ne_bytes(*b"xxxxxxxx")
        );
        record.begin(9, 18, b"GET", b"/");
        assert_eq!(record.path[0].load(Relaxed), u64::from_ne_bytes(*b"/\0\0\0\0\0\0\0"));
        record.end();
        assert_eq!(record.start_ns.load(Relaxed), 0);
    }
}
