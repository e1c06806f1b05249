//! `hostler._native.Core`: one worker's core, as the worker's Python side drives it.

use super::environ::Facts;
use super::file_wrapper::FileWrapper;
use super::forked;
use super::thread::{App, AppThread};
use crate::core;
use crate::score::Score;
use crate::settings::{Settings, WebSocketSettings};
use crate::sys;
use hostler_wire::escape::escaped;
use hostler_wire::forwarded::{Believed, Networks};
use hostler_wire::http1::Limits;
use hostler_wire::proxy_protocol::Versions;
use hostler_wire::websocket::Deflate;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// One worker's native core. See `_native.pyi`.
#[pyclass(module = "hostler._native", frozen)]
pub struct Core {
    core: Arc<core::Core>,
    app: Arc<App>,
    /// What each place for greenlets keeps from request to request.
    greenlets: Mutex<Vec<Option<Box<AppThread>>>>,
    /// The hub's.
    space: Mutex<core::PollSpace>,
    monitor: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the scoreboard's mapping exported: `Score` points into it.
    _scoreboard: PyBuffer<u8>,
}

/// Of the queue, so many requests are described.
const QUEUED_SHOWN: usize = 16;

/// A running request: method, target, client, age in seconds, the kernel's number of its thread; on the event loop:
/// `-1 - number`.
type Described = (String, String, String, f64, i64);

fn described(runner: core::Runner) -> Described {
    let age = runner.age as f64 / 1e9;
    let thread = match runner.tid {
        0 => -1 - runner.thread as i64,
        tid => i64::from(tid),
    };
    let (method, target) = (escaped(&runner.method), escaped(&runner.target));
    (method, target, runner.client.to_string(), age, thread)
}

fn setting<'py, T: FromPyObjectOwned<'py>>(settings: &Bound<'py, PyDict>, name: &str) -> PyResult<T> {
    let value = settings
        .get_item(name)?
        .ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
    value
        .extract()
        .map_err(Into::into)
        .map_err(|error: PyErr| PyValueError::new_err(format!("settings[{name:?}]: {error}")))
}

fn nanoseconds(settings: &Bound<'_, PyDict>, name: &str) -> PyResult<u64> {
    let seconds: f64 = setting(settings, name)?;
    Ok((seconds.clamp(0.0, 1e9) * 1e9) as u64)
}

/// (prefix, takes HTTP, takes WebSockets, is an ASGI app) of each app, the longest prefix first.
fn read_mounts(settings: &Bound<'_, PyDict>) -> PyResult<Vec<core::Mount>> {
    let mounts: Vec<(String, bool, bool, bool)> = setting(settings, "mounts")?;
    let mounts = mounts
        .into_iter()
        .map(|(prefix, http, websocket, on_loop)| core::Mount {
            prefix: prefix.into_bytes(),
            http,
            websocket,
            on_loop,
        });
    Ok(mounts.collect())
}

fn read_websocket(settings: &Bound<'_, PyDict>) -> PyResult<WebSocketSettings> {
    Ok(WebSocketSettings {
        frame: setting(settings, "ws_max_frame_size")?,
        message: setting(settings, "ws_max_size")?,
        queue: setting(settings, "ws_max_queue")?,
        deflate: match setting::<String>(settings, "ws_per_message_deflate")?.as_str() {
            "off" => None,
            word => Some(Deflate {
                server_no_context_takeover: word != "takeover",
                client_no_context_takeover: word != "takeover",
                server_max_window_bits: 15,
                client_max_window_bits: 15,
            }),
        },
        ping_interval: nanoseconds(settings, "ws_ping_interval")?,
        ping_timeout: nanoseconds(settings, "ws_ping_timeout")?,
        handshake_timeout: nanoseconds(settings, "ws_handshake_timeout")?,
        lifetime: nanoseconds(settings, "ws_lifetime")?,
    })
}

fn read_settings(settings: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let temp_dir: Option<String> = setting(settings, "temp_dir")?;
    let server_header: String = setting(settings, "server_header")?;
    Ok(Settings {
        threads: setting(settings, "threads")?,
        initial_threads: setting(settings, "initial_threads")?,
        thread_idle: setting::<Option<f64>>(settings, "thread_idle")?.map(Duration::from_secs_f64),
        greenlets: setting(settings, "greenlets")?,
        mounts: read_mounts(settings)?,
        loop_polls: setting(settings, "loop_polls")?,
        trusted_proxies: Networks::parse(&setting::<String>(settings, "trusted_proxies")?)
            .map_err(PyValueError::new_err)?,
        believed: match setting::<String>(settings, "proxy_headers")?.as_str() {
            "forwarded" => Believed::Forwarded,
            "all" => Believed::All,
            "scheme" => Believed::Scheme,
            _ => Believed::Usual,
        },
        proxy_protocol: match setting::<String>(settings, "proxy_protocol")?.as_str() {
            "v1" => Some(Versions::One),
            "v2" => Some(Versions::Two),
            "on" => Some(Versions::Both),
            _ => None,
        },
        proxy_allow: Networks::parse(&setting::<String>(settings, "proxy_allow_ips")?)
            .map_err(PyValueError::new_err)?,
        websocket: read_websocket(settings)?,
        cpus: setting::<usize>(settings, "cpus")?.max(1),
        balance: match setting::<String>(settings, "balance")?.as_str() {
            "even" => core::Balance::Even,
            "packed" => core::Balance::Packed,
            "random" => core::Balance::Random,
            _ => core::Balance::Kernel,
        },
        inboxes: setting(settings, "inboxes")?,
        queue_timeout: nanoseconds(settings, "queue_timeout")?,
        slow_request: nanoseconds(settings, "slow_request")?,
        request_timeout: nanoseconds(settings, "request_timeout")?,
        health_path: setting(settings, "health_path")?,
        metrics_path: setting(settings, "metrics_path")?,
        limits: Limits {
            request_line: setting(settings, "limit_request_line")?,
            head: setting(settings, "limit_request_head")?,
            fields: setting(settings, "limit_request_fields")?,
            body: setting(settings, "limit_request_body")?,
        },
        body_memory: setting(settings, "body_memory")?,
        temp_dir: temp_dir.unwrap_or_else(|| std::env::temp_dir().to_string_lossy().into_owned()),
        response_buffer: setting(settings, "response_buffer")?,
        response_memory: setting(settings, "response_memory")?,
        response_file: setting(settings, "response_file")?,
        header_timeout: nanoseconds(settings, "header_timeout")?,
        body_rules: core::Rules {
            grace: nanoseconds(settings, "body_timeout")?,
            min_rate: setting(settings, "min_rate")?,
            gap: nanoseconds(settings, "read_timeout")?,
        },
        keepalive: nanoseconds(settings, "keepalive")?,
        write_timeout: nanoseconds(settings, "write_timeout")?,
        connections: setting(settings, "worker_connections")?,
        queue_size: setting(settings, "queue_size")?,
        server_header: server_header.into_bytes(),
        max_requests: setting(settings, "max_requests")?,
        retry_after: setting(settings, "retry_after")?,
        access_log_fd: setting(settings, "access_log_fd")?,
        access_log_format: setting(settings, "access_log_format")?,
        error_log_fd: setting(settings, "error_log_fd")?,
        log_level: setting(settings, "log_level")?,
        disconnect_grace: nanoseconds(settings, "disconnect_grace")?,
        ignores_late_sends: setting(settings, "ignores_late_sends")?,
        pathsend: setting(settings, "pathsend")?,
    })
}

/// The worker's slot in the scoreboard's mapping.
fn slot_of(scoreboard: &PyBuffer<u8>, slot: usize) -> PyResult<Score> {
    if scoreboard.readonly() || !scoreboard.is_c_contiguous() {
        return Err(PyValueError::new_err("the scoreboard must be a writable mapping"));
    }
    // SAFETY: the exported buffer keeps the mapping in place as long as this object lives, which is until the process
    // ends; a mapping begins at a page.
    unsafe { Score::in_mapping(scoreboard.buf_ptr().cast(), scoreboard.len_bytes(), slot) }
        .ok_or_else(|| PyValueError::new_err(format!("the scoreboard has no slot {slot}")))
}

impl Core {
    pub fn inner(&self) -> &Arc<core::Core> {
        &self.core
    }

    /// The core for the worker's main thread, which handlers of the app's signals may have forked anywhere. There a child
    /// ends: another thread of its parent may have held the core's lock, which no thread of the child would ever give back.
    fn for_main(&self, py: Python<'_>) -> &core::Core {
        if forked::is_child() {
            forked::end(py, Ok(()));
        }
        &self.core
    }
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (apps, settings, listeners, scoreboard, slot, errors, app_error, wait_writable=None, raw_socket=None))]
    #[allow(clippy::too_many_arguments)] // the contract of _native.pyi: one call, made once
    fn new(
        py: Python<'_>,
        apps: Vec<Option<Py<PyAny>>>,
        settings: &Bound<'_, PyDict>,
        listeners: Vec<(RawFd, String, String, bool, bool)>,
        scoreboard: &Bound<'_, PyAny>,
        slot: usize,
        errors: Py<PyAny>,
        app_error: Py<PyAny>,
        wait_writable: Option<Py<PyAny>>,
        raw_socket: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let scoreboard: PyBuffer<u8> = PyBuffer::get(scoreboard)?;
        let score = slot_of(&scoreboard, slot)?;
        let root: String = setting(settings, "root_path")?;
        let workers: usize = setting(settings, "workers")?;
        let settings = read_settings(settings)?;
        if settings.threads == 0
            || !(usize::from(!settings.loop_polls)..=settings.threads).contains(&settings.initial_threads)
        {
            return Err(PyValueError::new_err(
                "settings['initial_threads'] must be from 1 to settings['threads']",
            ));
        }
        let software = String::from_utf8_lossy(&settings.server_header).into_owned();
        let facts = Facts {
            multithread: settings.threads > 1,
            multiprocess: workers > 1,
            software: if software.is_empty() {
                "hostler".into()
            } else {
                software
            },
            errors,
            raw_socket,
            file_wrapper: py.get_type::<FileWrapper>().into_any().unbind(),
            mounts: settings
                .mounts
                .iter()
                .map(|mount| {
                    (
                        mount.prefix.clone(),
                        root.clone() + &String::from_utf8_lossy(&mount.prefix),
                    )
                })
                .collect(),
            servers: listeners
                .iter()
                .map(|(_, name, port, _, _)| (name.clone(), port.clone()))
                .collect(),
        };
        let listeners = listeners
            .iter()
            .map(|&(fd, _, _, unix, admin)| core::Listener { fd, unix, admin })
            .collect();
        Ok(Self {
            core: Arc::new(core::Core::new(settings, listeners, score)?),
            app: Arc::new(App {
                callables: apps,
                facts,
                log_error: app_error,
                wait_writable,
            }),
            greenlets: Mutex::default(),
            space: Mutex::default(),
            monitor: Mutex::new(None),
            _scoreboard: scoreboard,
        })
    }

    /// Takes connections that nobody has come for.
    fn look_at_listeners(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| core.look_at_listeners());
    }

    /// Starts the monitor and accepts connections from here on.
    fn start(&self) -> PyResult<()> {
        self.core.employ_porter();
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new()
            .name("hostler-monitor".into())
            .stack_size(256 * 1024)
            .spawn(move || core.monitor())?;
        *self.monitor.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(self.core.open()?)
    }

    /// The body of app thread number `index`; returns after `stop`.
    fn run_thread(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        if index >= self.core.settings.threads {
            return Err(PyValueError::new_err(format!(
                "there are {} threads",
                self.core.settings.threads
            )));
        }
        AppThread::new(py, &self.core, &self.app, index)?.run(py)
    }

    /// With greenlets: a descriptor that is readable when `poll` has something to do.
    fn poll_fd(&self) -> RawFd {
        self.core.poll_fd()
    }

    /// With greenlets: handles the events that are there; returns how many requests are queued then.
    fn poll(&self) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = self.core.poll_for_hub(&mut space);
        drop(space);
        drop(self.core.take_spent());
        queued
    }

    /// With greenlets: the hub is about to wait. How many requests are queued, and milliseconds to the next deadline (-1:
    /// none).
    fn before_wait(&self) -> (usize, i32) {
        if self.is_forked() {
            return (0, -1);
        }
        self.core.hub_waits()
    }

    /// With greenlets: the hub has waited.
    fn after_wait(&self) {
        if !self.is_forked() {
            self.core.hub_wakes();
        }
    }

    /// The app's forked children have none of these descriptors, and these signals do in them what they do in any process.
    fn keep_from_children(&self, fds: Vec<RawFd>, signals: Vec<i32>) {
        for fd in fds {
            sys::keep_from_children(fd);
        }
        sys::default_in_children(&signals);
    }

    /// Whether this process was forked off the worker, and must not do its work.
    fn is_forked(&self) -> bool {
        forked::is_child()
    }

    /// With greenlets: looks at what has waited too long.
    fn expire(&self) {
        if !self.is_forked() {
            self.core.expire(sys::monotonic_ns());
        }
    }

    /// With greenlets: serves the next request in the greenlet at place `index`; false when there is none.
    fn serve_next(&self, py: Python<'_>, index: usize) -> PyResult<bool> {
        let kept = {
            let mut places = self.greenlets.lock().unwrap_or_else(PoisonError::into_inner);
            if places.len() <= index {
                places.resize_with(index + 1, || None);
            }
            places[index].take()
        };
        // On the heap: the hub moves this stack away while the app waits.
        let mut place = match kept {
            Some(place) => place,
            None => Box::new(AppThread::new(py, &self.core, &self.app, index)?),
        };
        let served = place.serve_next(py)?;
        self.greenlets.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(place);
        Ok(served)
    }

    /// Accepts what the kernel has queued, then nothing more; idle connections close.
    fn drain(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| core.drain());
    }

    /// Closes every WebSocket: the drain has a deadline.
    fn close_websockets(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| core.close_websockets());
    }

    /// Breaks the connections of the app threads' requests: the drain's time is over.
    fn cut(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| core.cut());
    }

    /// A descriptor that becomes readable when the drain is complete.
    fn drained_fd(&self) -> RawFd {
        self.core.drained.as_raw_fd()
    }

    /// Whether the drain is complete.
    fn is_drained(&self, py: Python<'_>) -> bool {
        self.for_main(py).is_drained()
    }

    /// The running requests.
    fn in_flight(&self, py: Python<'_>) -> Vec<Described> {
        self.for_main(py).runners().into_iter().map(described).collect()
    }

    /// The first requests of those that wait for a thread: (method, target, address, port, age in seconds).
    fn queued(&self, py: Python<'_>) -> Vec<(String, String, String, u16, f64)> {
        let waiters = self.for_main(py).waiters(QUEUED_SHOWN).into_iter();
        waiters
            .map(|waiter| {
                let (address, port) = match waiter.peer {
                    sys::Peer::Ip(ip, port) => (ip.to_string(), port),
                    sys::Peer::Unix => (String::new(), 0),
                };
                let (method, target) = (escaped(&waiter.method), escaped(&waiter.target));
                (method, target, address, port, waiter.age as f64 / 1e9)
            })
            .collect()
    }

    /// A descriptor that is readable when `attend` has something.
    fn attention_fd(&self) -> RawFd {
        self.core.attention.as_raw_fd()
    }

    /// Numbers of the threads to start, and what there is to say.
    fn attend(&self, py: Python<'_>) -> (Vec<usize>, Vec<(&'static str, Option<Described>)>) {
        let core = self.for_main(py);
        let wanted = core.take_wanted();
        let notices = core.take_notices().into_iter().map(|notice| match notice {
            core::Notice::Slow(runner) => ("slow", Some(described(runner))),
            core::Notice::TimedOut(runner) => ("timeout", Some(described(runner))),
            core::Notice::Standstill => ("standstill", None),
            core::Notice::Worn => ("worn", None),
        });
        (wanted, notices.collect())
    }

    /// Has the main thread, where it runs requests, come out of its wait and run the handlers of signals that have come.
    fn visit_main(&self) {
        self.core.visit_main();
    }

    /// Makes `attention_fd` readable.
    fn call_attention(&self) {
        self.core.attention.signal();
    }

    /// The thread with this number could not be started.
    fn not_started(&self, py: Python<'_>, index: usize) {
        self.for_main(py).not_started(index);
    }

    /// Requests that timed out and whose threads are still in the app.
    fn abandoned(&self, py: Python<'_>) -> usize {
        self.for_main(py).abandoned()
    }

    /// Answers request `number` of the event loop, which timed out, in its app's place.
    fn give_up(&self, py: Python<'_>, number: usize) {
        self.for_main(py).give_up(number);
    }

    /// Writes error lines from this level on, from now on.
    fn set_log_level(&self, level: u8) {
        self.core.errors.set_level(level);
    }

    /// Gives freed memory back to the system.
    fn trim(&self, py: Python<'_>) {
        py.detach(sys::trim_memory);
    }

    /// Answers 503 to each request that has not begun, or not come whole.
    fn turn_away(&self, py: Python<'_>, reason: &str) {
        let core = self.for_main(py);
        py.detach(|| core.turn_away(reason));
    }

    /// Ends the app threads, each after its request.
    fn stop(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| core.stop());
    }

    /// Writes access log lines that still wait in memory.
    fn flush_logs(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| {
            if let Some((_, writer)) = &core.access {
                writer.flush(); // what it cannot write, it says itself
            }
            core.errors.flush();
        });
    }

    /// Ends the native threads and flushes the log; call after the app threads have ended.
    fn close(&self, py: Python<'_>) {
        let core = self.for_main(py);
        py.detach(|| {
            core.stop();
            let monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(monitor) = monitor {
                let _ = monitor.join();
            }
            if let Some((_, writer)) = &core.access {
                writer.close();
            }
            core.errors.flush();
        });
    }
}
