//! The worker's slot in the scoreboard: one shared mapping that the arbiter made and everybody reads.
//!
//! Only this worker writes the slot, and every write happens under the core's lock (records: by the thread that owns the
//! record), so plain relaxed loads and stores suffice: no locked instructions, no system calls.
//! The layout stands twice, here and in `ostler/stats/scoreboard.py`; a test holds the two equal.

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
    reserved: [AtomicU32; 7],
    latency: [AtomicU64; LATENCY_BUCKETS],
    records: [Record; RECORDS],
}

/// `state` of a worker that finishes what it has and takes nothing new.
pub const DRAINING: u32 = 3;

const _: () = assert!(size_of::<Record>() == 128 && size_of::<Slot>() == 704 + RECORDS * 128);

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

impl Slot {
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

    /// Method and path, for whoever holds the core's lock.
    pub fn text(&self) -> (String, String) {
        (read_text(&self.method), read_text(&self.path))
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

fn read_text(words: &[AtomicU64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
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
        field!("latency", latency),
        field!("records", records),
    ];
    fields.push(("slot_size", 0, size_of::<Slot>()));
    fields
}

/// The worker's own slot inside the shared mapping, the mapping itself, and how many slots it has.
pub struct Score(*const Slot, *const u8, usize);

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
            )
        })
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

    /// The slots of all workers.
    pub fn all(&self) -> impl Iterator<Item = &Slot> {
        // SAFETY: `in_mapping` has counted as many slots behind the header as the mapping holds.
        (0..self.2).map(|index| unsafe { &*self.1.add(HEADER_SIZE + index * size_of::<Slot>()).cast::<Slot>() })
    }

    /// A scoreboard with one slot, for tests and fuzzing.
    pub fn private() -> Self {
        let words = (HEADER_SIZE + size_of::<Slot>()) / size_of::<u64>();
        let base = Box::leak(vec![0u64; words].into_boxed_slice())
            .as_mut_ptr()
            .cast::<u8>()
            .cast_const();
        // SAFETY: all zeros is a valid slot; it is leaked on purpose, so it stays valid.
        Self(unsafe { base.add(HEADER_SIZE).cast() }, base, 1)
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
