//! Drives a whole connection through the real core, one step at a time, and holds it to what the bytes demand.
//!
//! The client's bytes go through a socket in pieces; an app made of random choices answers; what comes back must be one
//! response for each whole request, in order and framed right, at most one refusal, and nothing after the end. Used by the
//! tests of this crate and by the fuzz target.

mod oracle;

use _native::core::{Body, Core, Exchange, Finished, Next, PollSpace, Request};
use _native::log::Pending;
use _native::score::Score;
use _native::settings::Settings;
use _native::sys::{monotonic_ns, Peer};
use oracle::{read_responses, requests, End, Expected};
use ostler_wire::http1::{Limits, Version};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

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
        limits: LIMITS,
        body_memory: 64,
        temp_dir: std::env::temp_dir().to_string_lossy().into_owned(),
        response_buffer: 64 * 1024,
        header_timeout: 60 * SECOND,
        body_timeout: 60 * SECOND,
        min_rate: 1,
        keepalive: 60 * SECOND,
        write_timeout: 60 * SECOND,
        connections: 100,
        queue_size: 16,
        server_header: b"ostler".to_vec(),
        retry_after: 1,
        access_log_fd: -1,
        access_log_format: String::new(),
        error_log_fd: -1,
        log_level: 40,
    }
}

/// Small random numbers that depend on the seed alone (xorshift).
pub struct Choices(u64);

impl Choices {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % most
    }
}

/// A core with one thread that is driven by hand.
pub struct Driver {
    core: Core,
    space: PollSpace,
    exchange: Exchange,
    line: Pending,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            core: Core::new(settings(1), Vec::new(), Score::private()).expect("a core"),
            space: PollSpace::default(),
            exchange: Exchange::default(),
            line: Pending::default(),
        }
    }
}

impl Driver {
    /// Sends `stream` in pieces and checks all that comes back.
    pub fn check(&mut self, seed: u64, stream: &[u8]) {
        let choices = Choices::new(seed);
        let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
        client.set_nonblocking(true).expect("a socket");
        server.set_nonblocking(true).expect("a socket");
        self.core.adopt(server.into(), Peer::Unix, 0, monotonic_ns());
        let (wanted, end) = requests(stream);
        let mut run = Run {
            choices,
            served: Vec::new(),
            received: Vec::new(),
            closed: false,
        };
        let mut rest = stream;
        while !rest.is_empty() && !run.closed {
            let piece = (1 + run.choices.below(1 + stream.len() / 2)).min(rest.len());
            match client.write(&rest[..piece]) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => rest = &[], // refused and closed before all was sent
            }
            self.turn(&mut run, &wanted);
            run.read(&mut client);
        }
        let _ = client.shutdown(Shutdown::Write);
        for _ in 0..200 {
            self.turn(&mut run, &wanted);
            run.read(&mut client);
            if run.closed {
                break;
            }
        }
        assert!(run.closed, "the server ends a connection whose client sends no more");
        drop(client);
        self.turn(&mut run, &wanted);
        assert_eq!(self.core.connections(), 0, "no connection is left behind");
        run.judge(&wanted, end);
    }

    fn turn(&mut self, run: &mut Run, wanted: &[oracle::Wanted]) {
        for _ in 0..4 {
            self.core.poll(&mut self.space, 0);
            while let Next::Run(request) = self.core.next(0, 1) {
                self.answer(run, wanted, request);
            }
            drop(self.core.take_spent());
        }
    }

    /// The app: compares the request with what was sent, and answers in one of many ways.
    fn answer(&mut self, run: &mut Run, wanted: &[oracle::Wanted], request: Box<Request>) {
        let index = run.served.len();
        let sent = wanted.get(index).expect("no request that was not sent");
        assert_eq!(request.method(), sent.method);
        assert_eq!(request.target(), sent.target);
        let awaited = matches!(request.body, Body::Awaited);
        if !awaited {
            assert_eq!(oracle::bytes_of(&request), sent.body, "the body arrives whole");
        }
        let (expected, done) = self.respond(run, &request, index);
        let closes = !expected.complete
            || !sent.keep_alive
            || awaited
            || expected.said_close
            || sent.version == Version::Http10 && expected.undeclared && !expected.is_head;
        run.served.push(Expected { closes, ..expected });
        self.core.finish(0, request, &done, &mut self.line);
    }

    fn respond(&mut self, run: &mut Run, request: &Request, index: usize) -> (Expected, Finished) {
        let (core, exchange, choices) = (&self.core, &mut self.exchange, &mut run.choices);
        exchange.reset(request);
        let status = ["200 OK", "204 No Content", "304 Not Modified", "500 Oh", "299"][choices.below(5)];
        let no_body = request.method() == b"HEAD" || status.starts_with("204") || status.starts_with("304");
        let length = [0, 1, 5, 300, 20_000, 300_000][choices.below(6)];
        let body = vec![b'b'; length];
        exchange.start(status.as_bytes()).expect("a valid status");
        exchange
            .field(b"X-Index", index.to_string().as_bytes())
            .expect("a valid field");
        let mut expected = Expected {
            status: status[..3].parse().expect("digits"),
            index,
            length: if no_body { 0 } else { length },
            is_head: request.method() == b"HEAD",
            complete: true,
            ..Expected::default()
        };
        if choices.below(8) == 0 {
            exchange.field(b"Connection", b"close").expect("a valid field");
            expected.said_close = true;
        }
        match choices.below(5) {
            0 => {
                exchange.started(core);
                exchange.send_whole(core, &body, &mut None);
                (expected, exchange.end(core))
            }
            1 => {
                exchange
                    .field(b"Content-Length", length.to_string().as_bytes())
                    .expect("a valid field");
                exchange.started(core);
                for part in body.chunks(7000) {
                    exchange.send_part(core, part, &mut None);
                }
                (expected, exchange.end(core))
            }
            2 => {
                exchange.started(core);
                for part in body.chunks(9000) {
                    exchange.send_part(core, part, &mut None);
                }
                expected.undeclared = length > 0 && !no_body;
                (expected, exchange.end(core))
            }
            3 => {
                // Longer than declared: the excess is cut.
                exchange.field(b"Content-Length", b"3").expect("a valid field");
                exchange.started(core);
                exchange.send_part(core, b"abcdefgh", &mut None);
                expected.length = if no_body { 0 } else { 3 };
                (expected, exchange.end(core))
            }
            _ => {
                // Breaks off: the client must be able to tell.
                exchange.field(b"Content-Length", b"9").expect("a valid field");
                exchange.started(core);
                exchange.send_part(core, b"abc", &mut None);
                expected.length = if no_body { 0 } else { 3 };
                expected.complete = no_body;
                let done = if no_body { exchange.end(core) } else { exchange.abort() };
                (expected, done)
            }
        }
    }
}

/// One connection's life so far.
struct Run {
    choices: Choices,
    served: Vec<Expected>,
    received: Vec<u8>,
    closed: bool,
}

impl Run {
    fn read(&mut self, client: &mut UnixStream) {
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
    fn judge(&self, wanted: &[oracle::Wanted], end: End) {
        let closing = self.served.iter().position(|answer| answer.closes);
        if let Some(last) = closing {
            assert_eq!(self.served.len(), last + 1, "nothing is served after the last answer");
        } else {
            let optional = wanted.last().is_some_and(|last| last.optional);
            let missing = wanted.len() - self.served.len();
            assert!(missing <= usize::from(optional), "each whole request is served");
        }
        let refusal = read_responses(&self.received, &self.served);
        match (end, closing, refusal) {
            (End::Rejected(status), None, found) => assert_eq!(found, Some(status), "the refusal says what is wrong"),
            (_, _, found) => assert_eq!(found, None, "nothing to refuse"),
        }
    }
}
