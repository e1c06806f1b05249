//! What the operator chose, in base units. Python has checked every value before it comes here.

use crate::core::{Balance, Mount, Rules};
use hostler_wire::forwarded::{Believed, Networks};
use hostler_wire::http1::Limits;
use hostler_wire::proxy_protocol::Versions;
use hostler_wire::websocket::Deflate;
use std::os::fd::RawFd;
use std::time::Duration;

/// The limits, waits and destinations of one worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// App threads at most.
    pub threads: usize,
    /// App threads from the start.
    pub initial_threads: usize,
    /// How long a thread may have nothing to do before it leaves; none: it stays.
    pub thread_idle: Option<Duration>,
    /// Requests run in greenlets of one thread: nothing may wait without its hub.
    pub greenlets: bool,
    /// The apps, the longest prefix first.
    pub mounts: Vec<Mount>,
    /// Every app runs on the event loop, which polls in place of app threads.
    pub loop_polls: bool,
    /// How many threads the interpreter runs at once: 1 where it has a lock.
    pub cpus: usize,
    /// Who gets connections.
    pub balance: Balance,
    /// Of each worker that may have one, by slot: where it takes connections, and where they are put in for it.
    pub inboxes: Vec<(RawFd, RawFd)>,
    /// Limits of the request head and body.
    pub limits: Limits,
    /// Bytes of a request body that are kept in memory; a longer one goes to a temporary file.
    pub body_memory: usize,
    /// Where temporary files go.
    pub temp_dir: String,
    /// Bytes of a streamed response that may wait for a slow client before the app's thread waits too.
    pub response_buffer: usize,
    /// Bytes that all responses of the worker may hold in memory together, before they go to files or their apps wait.
    pub response_memory: usize,
    /// Bytes of one response that may wait in a temporary file before the app's thread waits too.
    pub response_file: u64,
    /// Nanoseconds from a request's first byte (or the accept) to the end of its head.
    pub header_timeout: u64,
    /// What is asked of a client that sends a body.
    pub body_rules: Rules,
    /// Nanoseconds a connection may stay idle between requests.
    pub keepalive: u64,
    /// Nanoseconds that a request may wait for a thread; 0: for ever.
    pub queue_timeout: u64,
    /// Nanoseconds after which a running request is reported; 0: never.
    pub slow_request: u64,
    /// Nanoseconds after which a running request is answered in the app's place; 0: never.
    pub request_timeout: u64,
    /// Where probes are answered on listeners of the app: before "/livez" and "/readyz".
    pub health_path: Option<String>,
    /// Where listeners for probes tell the numbers.
    pub metrics_path: Option<String>,
    /// Nanoseconds without progress after which a response is given up.
    pub write_timeout: u64,
    /// Connections at once.
    pub connections: usize,
    /// Requests that may wait for an app thread.
    pub queue_size: usize,
    /// Proxies whose word is taken.
    pub trusted_proxies: Networks,
    /// Which of their fields.
    pub believed: Believed,
    /// What connections to the app's listeners begin with; none: with a request.
    pub proxy_protocol: Option<Versions>,
    /// Who may send that.
    pub proxy_allow: Networks,
    /// WebSockets: see websocket.rs.
    pub websocket: WebSocketSettings,
    /// The Server header; empty: none.
    pub server_header: Vec<u8>,
    /// Requests after which the worker wants to be replaced; 0: never.
    pub max_requests: u64,
    /// Seconds named in Retry-After with a 503.
    pub retry_after: u32,
    pub access_log_fd: i32,
    pub access_log_format: String,
    pub error_log_fd: i32,
    /// Nanoseconds after which a streaming ASGI task whose client has left is cancelled; 0: never.
    pub disconnect_grace: u64,
    /// What ASGI apps send after their client left is dropped, for `disconnect_grace`.
    pub ignores_late_sends: bool,
    /// ASGI apps may send files by http.response.pathsend and http.response.zerocopysend.
    pub pathsend: bool,
    /// 10 debug, 20 info, 30 warning, 40 error.
    pub log_level: u8,
}

/// What a WebSocket may take.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// Bytes of one frame, as received.
    pub frame: usize,
    /// Bytes of one message, inflated.
    pub message: usize,
    /// Messages that may wait for the app before reading pauses.
    pub queue: usize,
    /// What permessage-deflate is agreed to; none: it is declined.
    pub deflate: Option<Deflate>,
    /// Nanoseconds of silence after which a ping is sent; 0: never.
    pub ping_interval: u64,
    /// Nanoseconds that the answer to a ping may take.
    pub ping_timeout: u64,
    /// Nanoseconds that the app may take to accept; 0: for ever.
    pub handshake_timeout: u64,
    /// Nanoseconds that a WebSocket may live; 0: for ever.
    pub lifetime: u64,
}

impl Settings {
    /// Whether somebody has to look at the ages of running requests.
    pub fn watches(&self) -> bool {
        self.slow_request > 0 || self.request_timeout > 0
    }
}
