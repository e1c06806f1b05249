//! The scoreboard as Prometheus text (exposition format 0.0.4): every worker's numbers, whoever is asked. No app code runs
//! for it, and no process but this one.

use super::Core;
use crate::score::{Slot, LATENCY_BUCKETS};
use crate::sys;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What a slot's state is called; the first and the last have no worker.
const STATES: [&str; 5] = ["", "booting", "ready", "draining", ""];
/// What `restarts` of the scoreboard's header counts, in its order.
const REASONS: [&str; 4] = ["died", "limit", "reload", "timeout"];
/// The histogram's borders are powers of two of microseconds: 2^9 (0.5 ms) to 2^25 (34 s).
const BORDERS: std::ops::RangeInclusive<usize> = 9..=25;

/// One number of a worker.
type Number = (&'static str, &'static str, &'static str, fn(&Slot) -> f64);

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Relaxed) as f64
}

fn gauge(gauge: &AtomicU32) -> f64 {
    f64::from(gauge.load(Relaxed))
}

const NUMBERS: [Number; 19] = [
    ("requests_in_flight", "gauge", "Requests that run now.", |slot| {
        gauge(&slot.in_flight)
    }),
    ("requests_queued", "gauge", "Requests that wait for a thread.", |slot| {
        gauge(&slot.queued)
    }),
    ("threads", "gauge", "Threads of the application.", |slot| {
        gauge(&slot.threads)
    }),
    ("threads_busy", "gauge", "Threads that run a request.", |slot| {
        gauge(&slot.threads_busy)
    }),
    ("connections_open", "gauge", "Open connections.", |slot| {
        gauge(&slot.connections)
    }),
    ("connections_total", "counter", "Connections accepted.", |slot| {
        count(&slot.accepted)
    }),
    (
        "connections_given_total",
        "counter",
        "Connections handed over to other workers.",
        |slot| count(&slot.given),
    ),
    (
        "connections_taken_total",
        "counter",
        "Connections taken over from other workers.",
        |slot| count(&slot.taken),
    ),
    (
        "pss_bytes",
        "gauge",
        "Memory of the worker's process, shared pages by their part; measured every minute.",
        |slot| count(&slot.pss),
    ),
    (
        "capacity_in_use",
        "gauge",
        "How much of what the worker can do it does, from 0 to 1: of a processor, or of its threads.",
        |slot| gauge(&slot.capacity) / 1024.0,
    ),
    ("received_bytes_total", "counter", "Bytes of requests.", |slot| {
        count(&slot.bytes_in)
    }),
    ("sent_bytes_total", "counter", "Bytes of responses.", |slot| {
        count(&slot.bytes_out)
    }),
    (
        "response_file_bytes",
        "gauge",
        "Bytes of responses that wait in temporary files for slow clients.",
        |slot| count(&slot.filed),
    ),
    (
        "response_spilled_bytes_total",
        "counter",
        "Bytes of responses that were written to temporary files.",
        |slot| count(&slot.spilled),
    ),
    (
        "rejected_total",
        "counter",
        "Requests that the server itself refused.",
        |slot| count(&slot.rejected),
    ),
    (
        "timeouts_total",
        "counter",
        "Requests that took too long to come or to answer.",
        |slot| count(&slot.timeouts),
    ),
    (
        "app_errors_total",
        "counter",
        "Exceptions of the application.",
        |slot| count(&slot.app_errors),
    ),
    (
        "client_gone_total",
        "counter",
        "Clients that left before their answer's end.",
        |slot| count(&slot.client_gone),
    ),
    (
        "busy_seconds_total",
        "counter",
        "Time that requests have run.",
        |slot| count(&slot.busy_ns) / 1e9,
    ),
];

impl Core {
    /// The page.
    pub(super) fn metrics(&self) -> String {
        let workers: Vec<(usize, &Slot)> = self
            .score
            .all()
            .enumerate()
            .filter(|(_, slot)| matches!(slot.state.load(Relaxed), 1..=3))
            .collect();
        let mut out = String::with_capacity(4096 + workers.len() * 4096);
        head(&mut out, "build_info", "gauge", "The server's version.");
        let _ = writeln!(out, "hostler_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        head(&mut out, "workers", "gauge", "Workers by state.");
        for (number, name) in STATES.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let those = workers
                .iter()
                .filter(|(_, slot)| slot.state.load(Relaxed) as usize == number);
            let _ = writeln!(out, "hostler_workers{{state=\"{name}\"}} {}", those.count());
        }
        head(
            &mut out,
            "worker_restarts_total",
            "counter",
            "Workers that were followed by another one, by reason.",
        );
        for (reason, restarts) in REASONS.iter().zip(self.score.restarts()) {
            let _ = writeln!(out, "hostler_worker_restarts_total{{reason=\"{reason}\"}} {restarts}");
        }
        requests(&mut out, &workers);
        histogram(
            &mut out,
            &workers,
            "request_duration_seconds",
            "How long requests ran: from the moment a thread took them to their end.",
            |slot| (slot.latency(), count(&slot.busy_ns)),
        );
        histogram(
            &mut out,
            &workers,
            "queue_duration_seconds",
            "How long requests waited for a thread.",
            |slot| (slot.queue_latency(), count(&slot.queue_ns)),
        );
        for (name, kind, about, value) in NUMBERS {
            head(&mut out, name, kind, about);
            for (worker, slot) in &workers {
                let _ = writeln!(out, "hostler_{name}{{worker=\"{worker}\"}} {}", value(slot));
            }
        }
        processes(&mut out, &workers);
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, about: &str) {
    let _ = write!(out, "# HELP hostler_{name} {about}\n# TYPE hostler_{name} {kind}\n");
}

fn requests(out: &mut String, workers: &[(usize, &Slot)]) {
    head(
        out,
        "requests_total",
        "counter",
        "Requests answered, by class of status.",
    );
    for (worker, slot) in workers {
        for (class, status) in slot.status.iter().enumerate() {
            let (class, answered) = (class + 1, status.load(Relaxed));
            let _ = writeln!(
                out,
                "hostler_requests_total{{worker=\"{worker}\",code=\"{class}xx\"}} {answered}"
            );
        }
    }
}

/// A histogram of all workers, of which `read` gives the buckets and the sum in nanoseconds.
fn histogram(
    out: &mut String,
    workers: &[(usize, &Slot)],
    name: &str,
    about: &str,
    read: impl Fn(&Slot) -> ([u64; LATENCY_BUCKETS], f64),
) {
    head(out, name, "histogram", about);
    for (worker, slot) in workers {
        let (buckets, sum) = read(slot);
        let total: u64 = buckets.iter().sum();
        for power in BORDERS {
            // Two buckets to each power of two, see `score::bucket`.
            let below: u64 = buckets[..(2 * power).min(LATENCY_BUCKETS)].iter().sum();
            let border = (1u64 << power) as f64 / 1e6;
            let _ = writeln!(
                out,
                "hostler_{name}_bucket{{worker=\"{worker}\",le=\"{border}\"}} {below}"
            );
        }
        let seconds = sum / 1e9;
        let _ = write!(
            out,
            "hostler_{name}_bucket{{worker=\"{worker}\",le=\"+Inf\"}} {total}\n\
             hostler_{name}_sum{{worker=\"{worker}\"}} {seconds}\n\
             hostler_{name}_count{{worker=\"{worker}\"}} {total}\n"
        );
    }
}

fn processes(out: &mut String, workers: &[(usize, &Slot)]) {
    head(
        out,
        "resident_memory_bytes",
        "gauge",
        "Resident memory of the worker's process.",
    );
    for (worker, slot) in workers {
        let memory = sys::resident_memory(slot.pid.load(Relaxed));
        let _ = writeln!(out, "hostler_resident_memory_bytes{{worker=\"{worker}\"}} {memory}");
    }
    head(
        out,
        "worker_age_seconds",
        "gauge",
        "How long ago the worker was forked.",
    );
    let now = sys::monotonic_ns();
    for (worker, slot) in workers {
        let age = now.saturating_sub(slot.started_ns.load(Relaxed)) as f64 / 1e9;
        let _ = writeln!(out, "hostler_worker_age_seconds{{worker=\"{worker}\"}} {age}");
    }
}
