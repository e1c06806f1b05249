//! Clocks and identities of threads.

/// Broken-down local time with its offset from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    /// 0 = January.
    pub month: usize,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    /// Minutes east of UTC.
    pub offset: i64,
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec; the call writes nothing else.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CLOCK_MONOTONIC in nanoseconds (vDSO: no system call).
pub fn monotonic_ns() -> u64 {
    nanoseconds(read(libc::CLOCK_MONOTONIC))
}

/// Seconds since the epoch, at the kernel tick's resolution: enough for Date and log lines.
pub fn realtime_seconds() -> i64 {
    #[cfg(target_os = "linux")]
    let clock = libc::CLOCK_REALTIME_COARSE;
    #[cfg(not(target_os = "linux"))]
    let clock = libc::CLOCK_REALTIME;
    read(clock).tv_sec
}

/// CPU time that the calling thread has used. A system call: ask only for requests that were slow.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// CPU time that all threads of the process have used. A system call.
pub fn process_cpu_ns() -> u64 {
    nanoseconds(read(libc::CLOCK_PROCESS_CPUTIME_ID))
}

/// The CPU clock of one thread, readable from others.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    pub fn of_this_thread() -> Self {
        let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: the calling thread exists, and `clock` is a valid place. On failure it stays this thread's own clock.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        Self(clock)
    }

    /// CPU time that the thread has used (ns); 0 when it has ended. A system call.
    pub fn read(&self) -> u64 {
        nanoseconds(read(self.0))
    }
}

/// Whether a thread of this process runs or would like to: a CPU clock that stands still does not tell a thread that waits
/// from one that the system has no CPU for. False where the system does not say (proc(5), field 3 of stat).
pub fn wants_cpu(thread: u32) -> bool {
    let Ok(stat) = std::fs::read(format!("/proc/self/task/{thread}/stat")) else {
        return false;
    };
    let state = memchr::memrchr(b')', &stat).and_then(|end| stat.get(end + 2));
    state == Some(&b'R')
}

/// Gives the calling thread a name that `ps -T`, top and gdb show; 15 bytes of it.
pub fn name_thread(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name.as_bytes()[..name.len().min(15)].to_vec()) {
        // SAFETY: a NUL-terminated text that outlives the call, for a thread that exists.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::pthread_setname_np(libc::pthread_self(), name.as_ptr())
        };
    }
}

/// Resident bytes of a process (proc(5), statm); 0 where the system does not tell.
pub fn resident_memory(pid: u32) -> u64 {
    // SAFETY: takes a number and returns one.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.unwrap_or(0) * page
}

/// Gives memory that was freed back to the system.
pub fn trim_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number; touches only the allocator's own state, which it locks.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The kernel's number of the calling thread, as `ps -T` and py-spy show it.
pub fn thread_id() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: takes no arguments and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    #[cfg(not(target_os = "linux"))]
    let id = std::process::id();
    id
}

/// Local time of `seconds` since the epoch.
pub fn local_time(seconds: i64) -> LocalTime {
    let time = seconds as libc::time_t;
    // SAFETY: a zeroed `tm` is a valid value of a plain C struct; localtime_r only writes to it.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::localtime_r(&time, &mut broken) };
    LocalTime {
        year: broken.tm_year + 1900,
        month: broken.tm_mon.clamp(0, 11) as usize,
        day: broken.tm_mday,
        hour: broken.tm_hour,
        minute: broken.tm_min,
        second: broken.tm_sec,
        offset: broken.tm_gmtoff as i64 / 60,
    }
}
