//! Drives a whole connection through the real core, one step at a time, and holds it to what the bytes demand.
//!
//! The client's bytes go through a socket in pieces; an app answers in one of many ways; what comes back must be one
//! response for each whole request, in order and framed right, at most one refusal, and nothing after the end. A script
//! makes every choice: the cuts, the answers, when the client reads and how it leaves. Used by the tests of this crate
//! and by the fuzz target.

mod oracle;

use _native::core::{
    Balance, Body, Core, Exchange, FilePart, Finished, Listener, Mount, Next, Owner, PollSpace, Request, Rules, Shared,
};
use _native::log::Pending;
use _native::score::Score;
use _native::settings::{Settings, WebSocketSettings};
use _native::sys::{monotonic_ns, temporary_file, Peer};
use hostler_wire::forwarded::{Believed, Networks};
use hostler_wire::http1::{Limits, Version};
use oracle::{read_responses, requests, End, Expected, Wanted};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Limits that fuzzed inputs can reach.
pub const LIMITS: Limits = Limits {
    request_line: 256,
    head: 1024,
    fields: 16,
    body: 4096,
};

/// Settings with short memory, so that files and waiting outputs take part.
pub fn settings(threads: usize) -> Settings {
    const SECOND: u64 = 1_000_000_000;
    Settings {
        threads,
        initial_threads: threads,
        thread_idle: None,
        greenlets: false,
        mounts: vec![Mount {
            http: true,
            ..Mount::default()
        }],
        loop_polls: false,
        cpus: 1,
        balance: Balance::Kernel,
        inboxes: Vec::new(),
        queue_timeout: 0,
        slow_request: 0,
        request_timeout: 0,
        health_path: None,
        metrics_path: Some("/metrics".to_owned()),
        limits: LIMITS,
        body_memory: 64,
        temp_dir: std::env::temp_dir().to_string_lossy().into_owned(),
        response_buffer: 64 * 1024,
        response_memory: 256 * 1024,
        response_file: 1 << 20,
        header_timeout: 60 * SECOND,
        body_rules: Rules {
            grace: 60 * SECOND,
            min_rate: 1,
            gap: 60 * SECOND,
        },
        keepalive: 60 * SECOND,
        write_timeout: 60 * SECOND,
        connections: 100,
        queue_size: 16,
        trusted_proxies: Networks::parse("").expect("nobody"),
        believed: Believed::Usual,
        proxy_protocol: None,
        proxy_allow: Networks::parse("").expect("nobody"),
        websocket: WebSocketSettings {
            frame: 4096,
            message: 8192,
            queue: 4,
            deflate: None,
            ping_interval: 0,
            ping_timeout: 0,
            handshake_timeout: 0,
            lifetime: 0,
        },
        server_header: b"hostler".to_vec(),
        max_requests: 0,
        retry_after: 1,
        access_log_fd: -1,
        access_log_format: String::new(),
        error_log_fd: -1,
        disconnect_grace: 0,
        ignores_late_sends: false,
        pathsend: false,
        log_level: 40,
    }
}

/// Bytes of a script. Beyond them it goes on with variations of itself.
pub const SCRIPT: usize = 16;

/// Where the choices come from.
struct Choices {
    script: [u8; SCRIPT],
    at: usize,
}

impl Choices {
    fn byte(&mut self) -> usize {
        let round = (self.at / SCRIPT) as u8;
        let byte = self.script[self.at % SCRIPT].wrapping_add(round.wrapping_mul(37));
        self.at += 1;
        usize::from(byte)
    }

    fn below(&mut self, most: usize) -> usize {
        let low = self.byte();
        let number = if most > 256 { low | self.byte() << 8 } else { low };
        number % most
    }

    /// How many of `left` bytes the client sends at once.
    fn piece(&mut self, left: usize) -> usize {
        let wanted = match self.below(4) {
            0 => left,
            1 => 1,
            2 => 1 + self.below(24),
            _ => 1 + self.below(left),
        };
        wanted.min(left)
    }
}

/// Body bytes that wait uncopied.
struct Kept(Vec<u8>);

impl Shared for Kept {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Cores whose first thread is driven by hand.
pub struct Driver {
    /// With one thread and with two: a single one does not wait for bodies that are sent on demand. And two workers that hand
    /// connections to each other at any boundary.
    sets: [Vec<Arc<Core>>; 3],
    /// Those in use.
    cores: Vec<Arc<Core>>,
    /// The one whose turn it is.
    core: Arc<Core>,
    /// What the two workers have open.
    _doors: Doors,
    space: PollSpace,
    exchange: Exchange,
    line: Pending,
    /// As long as the longest body.
    file: File,
    /// The lowest descriptor that is free between two connections.
    free: Option<RawFd>,
    /// Descriptors are numbered for the whole process.
    _alone: MutexGuard<'static, ()>,
}

impl Default for Driver {
    fn default() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let lock = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = temporary_file(&std::env::temp_dir().to_string_lossy()).expect("a file");
        file.write_all(&oracle::BODY).expect("room for the file");
        let alone = |threads| Arc::new(Core::new(settings(threads), Vec::new(), Score::private()).expect("a core"));
        let doors = Doors::open();
        let sets = [vec![alone(1)], vec![alone(2)], doors.workers()];
        Self {
            core: Arc::clone(&sets[0][0]),
            cores: sets[0].clone(),
            sets,
            _doors: doors,
            space: PollSpace::default(),
            exchange: Exchange::default(),
            line: Pending::default(),
            file,
            free: None,
            _alone: lock,
        }
    }
}

/// A listener and two inboxes, which workers share.
struct Doors {
    listener: UnixListener,
    inboxes: [(UnixDatagram, UnixDatagram); 2],
}

impl Doors {
    fn open() -> Self {
        let name = format!("hostler-test-{}-{}", std::process::id(), monotonic_ns());
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        let pair = || UnixDatagram::pair().expect("a pair of sockets");
        Self {
            listener: UnixListener::bind_addr(&address).expect("a listener"),
            inboxes: [pair(), pair()],
        }
    }

    /// Two workers that give their connections to each other by chance.
    fn workers(&self) -> Vec<Arc<Core>> {
        let number = |(take, give): &(UnixDatagram, UnixDatagram)| (take.as_raw_fd(), give.as_raw_fd());
        let worker = |score| {
            let settings = Settings {
                balance: Balance::Random,
                inboxes: self.inboxes.iter().map(number).collect(),
                ..settings(2)
            };
            let listener = Listener {
                fd: self.listener.as_raw_fd(),
                unix: true,
                admin: false,
            };
            let core = Core::new(settings, vec![listener], score).expect("a core");
            core.open().expect("an open inbox");
            Arc::new(core)
        };
        Score::shared::<2>().map(worker).into()
    }
}

impl Driver {
    /// How many connections were given by one worker to the other.
    #[allow(dead_code)] // the fuzz target does not ask
    pub fn moved(&self) -> u64 {
        let workers = self.sets[2].iter();
        workers.map(|core| core.score.given.load(Ordering::Relaxed)).sum()
    }

    /// Sends `stream` in pieces and checks all that comes back.
    pub fn check(&mut self, script: [u8; SCRIPT], stream: &[u8]) {
        let (client, server) = UnixStream::pair().expect("a pair of sockets");
        let first = client.as_raw_fd();
        let lowest = self.free.get_or_insert(first);
        assert!(first <= *lowest, "no descriptor is left behind");
        *lowest = first; // at the first look the test harness may have had one open for a moment
        client.set_nonblocking(true).expect("a socket");
        server.set_nonblocking(true).expect("a socket");
        let mut choices = Choices { script, at: 0 };
        self.cores = self.sets[choices.below(3)].clone();
        self.core = Arc::clone(&self.cores[0]);
        self.core.adopt(server.into(), Peer::Unix, 0, monotonic_ns());
        let mut run = Run {
            choices,
            client: Some(client),
            served: Vec::new(),
            received: Vec::new(),
            closed: false,
        };
        let (wanted, end) = requests(stream);
        if run.choices.below(6) == 5 {
            let leaves_at = run.choices.below(stream.len() + 1);
            self.send(&mut run, &wanted, &stream[..leaves_at]);
            run.client = None;
            self.turn(&mut run, &wanted);
        } else {
            self.send(&mut run, &wanted, stream);
            let _ = run.client.as_ref().map(|client| client.shutdown(Shutdown::Write));
            for _ in 0..200 {
                self.turn(&mut run, &wanted);
                run.read();
                if run.closed {
                    break;
                }
            }
            assert!(run.closed, "the server ends a connection whose client sends no more");
            run.judge(&wanted, end);
            drop(run);
            for core in &self.cores {
                core.poll(&mut self.space, 0);
            }
        }
        for core in &self.cores {
            drop(core.take_spent());
            assert_eq!(core.connections(), 0, "no connection is left behind");
        }
    }

    /// The client sends `rest` and reads now and then.
    fn send(&mut self, run: &mut Run, wanted: &[Wanted], mut rest: &[u8]) {
        let mut unread = 0;
        while !rest.is_empty() && !run.closed {
            let piece = run.choices.piece(rest.len());
            let Some(client) = run.client.as_mut() else { return };
            match client.write(&rest[..piece]) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => rest = &[], // refused and closed before all was sent
            }
            self.turn(run, wanted);
            unread += 1;
            if unread > 3 || run.choices.below(3) > 0 {
                run.read();
                unread = 0;
            }
        }
    }

    fn turn(&mut self, run: &mut Run, wanted: &[Wanted]) {
        for _ in 0..4 {
            for core in self.cores.clone() {
                self.core = core;
                self.core.poll(&mut self.space, 0);
                self.core.share();
                self.core.relieve();
                while let Next::Run(request) = self.core.next(0, 1) {
                    self.answer(run, wanted, request);
                }
                drop(self.core.take_spent());
            }
        }
    }

    /// The app: compares the request with what was sent, and answers in one of many ways.
    fn answer(&mut self, run: &mut Run, wanted: &[Wanted], request: Box<Request>) {
        let index = run.served.len();
        let sent = wanted.get(index).expect("no request that was not sent");
        assert_eq!(request.method(), sent.method);
        assert_eq!(request.target(), sent.target);
        let awaited = matches!(request.body, Body::Awaited);
        if !awaited {
            assert_eq!(oracle::bytes_of(&request), sent.body, "the body arrives whole");
        }
        let mut expected = self.start(run, &request, index);
        let done = self.respond(run, &mut expected);
        expected.reset = done.reset;
        expected.closes = !expected.complete
            || !sent.keep_alive
            || awaited
            || expected.said_close
            || sent.version == Version::Http10 && expected.undeclared && !expected.is_head;
        run.served.push(expected);
        self.core.finish(0, request, &done, &mut self.line);
    }

    /// Status and fields.
    fn start(&mut self, run: &mut Run, request: &Request, index: usize) -> Expected {
        let (exchange, choices) = (&mut self.exchange, &mut run.choices);
        exchange.reset(request);
        if choices.below(8) == 7 {
            // An error handler replaces what nobody has seen yet.
            exchange.start(b"404 Not Here").expect("a valid status");
            exchange.field(b"Content-Length", b"77").expect("a valid field");
            exchange.field(b"X-Index", b"none").expect("a valid field");
            exchange.started(&self.core);
        }
        let status = ["200 OK", "204 No Content", "304 Not Modified", "500 Oh", "299"][choices.below(5)];
        exchange.start(status.as_bytes()).expect("a valid status");
        exchange
            .field(b"X-Index", index.to_string().as_bytes())
            .expect("a valid field");
        let said_close = choices.below(8) == 7;
        if said_close {
            exchange.field(b"Connection", b"close").expect("a valid field");
        }
        let is_head = request.method() == b"HEAD";
        Expected {
            status: status[..3].parse().expect("digits"),
            index,
            is_head,
            bodiless: is_head || status.starts_with("204") || status.starts_with("304"),
            complete: true,
            said_close,
            ..Expected::default()
        }
    }

    /// The body.
    fn respond(&mut self, run: &mut Run, expected: &mut Expected) -> Finished {
        let length = [0, 1, 5, 300, 20_000, oracle::LARGE][run.choices.below(6)];
        let body = &oracle::BODY[..length];
        expected.length = length;
        match run.choices.below(8) {
            0 => {
                self.exchange.started(&self.core);
                let mut owner: Owner = Some(Box::new(Kept(body.to_vec())));
                let _ = self.exchange.send_whole(&self.core, body, &mut owner); // nothing follows
            }
            1 => {
                self.declare(length);
                self.send_parts(run, body, 7000);
            }
            2 => {
                self.exchange.started(&self.core);
                self.send_parts(run, body, 9000);
                expected.undeclared = length > 0 && !matches!(expected.status, 204 | 304);
            }
            3 => {
                self.exchange.started(&self.core);
                let keep = || self.file.as_fd().try_clone_to_owned().ok();
                let part = FilePart {
                    fd: self.file.as_raw_fd(),
                    offset: 0,
                    length: length as u64,
                };
                let _ = self.exchange.send_file(&self.core, part, false, keep); // nothing follows
            }
            4 => {
                // Longer than declared: the excess is cut.
                self.declare(3);
                self.send_parts(run, &oracle::BODY[..8], 2);
                expected.length = 3;
            }
            5 => {
                // Shorter than declared: the client must be able to tell.
                self.declare(length + 9);
                self.send_parts(run, body, 100_000);
                expected.complete = expected.bodiless;
            }
            6 => {
                // Breaks off, in a counted body.
                self.declare(length + 9);
                self.send_parts(run, &oracle::BODY[..3], 2);
                (expected.length, expected.complete) = (3, false);
                return self.exchange.abort();
            }
            _ => {
                // Breaks off, in a body without a length.
                self.exchange.started(&self.core);
                self.send_parts(run, &oracle::BODY[..5], 3);
                (expected.length, expected.complete) = (5, false);
                return self.exchange.abort();
            }
        }
        self.exchange.end(&self.core)
    }

    fn declare(&mut self, length: usize) {
        self.exchange
            .field(b"Content-Length", length.to_string().as_bytes())
            .expect("a valid field");
        self.exchange.started(&self.core);
    }

    /// Parts, between some of which the world goes on: seldom enough for the socket to fill.
    fn send_parts(&mut self, run: &mut Run, body: &[u8], size: usize) {
        let (kept, happens, every) = (run.choices.below(2), run.choices.below(4), run.choices.below(50));
        for (at, part) in body.chunks(size).enumerate() {
            let mut owner: Owner = (kept == 1).then(|| Box::new(Kept(part.to_vec())) as Box<dyn Shared>);
            let _ = self.exchange.send_part(&self.core, part, &mut owner); // a slow client is tried, not waited for
            if at % (every + 1) < every {
                continue;
            }
            if happens & 1 != 0 {
                run.read(); // alone, it makes room that the core does not know of: what waits must still go first
            }
            if happens & 2 != 0 {
                self.core.poll(&mut self.space, 0);
            }
        }
    }
}

/// One connection's life so far.
struct Run {
    choices: Choices,
    /// None: it has left.
    client: Option<UnixStream>,
    served: Vec<Expected>,
    received: Vec<u8>,
    closed: bool,
}

impl Run {
    fn read(&mut self) {
        let Some(client) = self.client.as_mut() else { return };
        let mut part = [0u8; 65536];
        loop {
            match client.read(&mut part) {
                Ok(0) => return self.closed = true,
                Ok(count) => self.received.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.closed = true,
            }
        }
    }

    /// As many answers as the bytes demand, and nothing else.
    fn judge(&self, wanted: &[Wanted], end: End) {
        let closing = self.served.iter().position(|answer| answer.closes);
        if let Some(last) = closing {
            assert_eq!(self.served.len(), last + 1, "nothing is served after the last answer");
        } else {
            let optional = wanted.last().is_some_and(|last| last.optional);
            let missing = wanted.len() - self.served.len();
            assert!(missing <= usize::from(optional), "each whole request is served");
        }
        let refusal = read_responses(&self.received, &self.served, end);
        match (end, closing, refusal) {
            (End::Rejected(status, _), None, found) => {
                assert_eq!(found, Some(status), "the refusal says what is wrong")
            }
            (_, _, found) => assert_eq!(found, None, "nothing to refuse"),
        }
    }
}
