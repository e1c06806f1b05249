//! What a stream of requests demands, and what a stream of responses says; independent of the core.

use super::LIMITS;
use _native::core::{Body, Request};
use hostler_wire::http1::{parse_head, BodyDecoder, Head, Version};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

/// The longest body of an answer: more than a socket takes, so that output is held.
pub const LARGE: usize = 300_000;

/// What bodies are the beginnings of; bytes that change places show (251 is prime).
pub static BODY: LazyLock<Vec<u8>> = LazyLock::new(|| (0..LARGE).map(|at| (at % 251) as u8).collect());

/// A whole request in the client's bytes.
pub struct Wanted {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub body: Vec<u8>,
    pub version: Version,
    pub keep_alive: bool,
    /// Its body is awaited and did not come: served if its head came alone, unfinished if body bytes came with it.
    pub optional: bool,
}

/// How the client's bytes end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Whole,
    Unfinished,
    /// The status, and whether it is the answer to HEAD, so that no body follows.
    Rejected(u16, bool),
}

/// What the app answered.
#[derive(Clone, Default)]
pub struct Expected {
    pub status: u16,
    pub index: usize,
    pub length: usize,
    pub is_head: bool,
    /// HEAD, 204 or 304: no body follows.
    pub bodiless: bool,
    pub complete: bool,
    /// The connection was broken at once: what the socket had not taken is lost.
    pub reset: bool,
    pub said_close: bool,
    pub undeclared: bool,
    pub closes: bool,
}

/// The whole requests of `stream`, up to the first that closes the connection or is refused.
pub fn requests(stream: &[u8]) -> (Vec<Wanted>, End) {
    let mut wanted = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let mut head = Head::new();
        match parse_head(rest, &LIMITS, &mut head) {
            Ok(true) => {}
            Ok(false) => return (wanted, End::Unfinished),
            Err(reject) => return (wanted, End::Rejected(reject.status, is_head(&head, rest))),
        }
        let mut decoder = match BodyDecoder::new(head.framing, &LIMITS) {
            Ok(decoder) => decoder,
            Err(reject) => return (wanted, End::Rejected(reject.status, is_head(&head, rest))),
        };
        let (mut at, mut body) = (head.len, Vec::new());
        while !decoder.is_done() {
            let step = match decoder.step(&rest[at..]) {
                Ok(step) => step,
                Err(reject) => return (wanted, End::Rejected(reject.status, is_head(&head, rest))),
            };
            body.extend_from_slice(&rest[at + step.data.start..at + step.data.end]);
            at += step.consumed;
            if !step.done && at == rest.len() {
                break;
            }
        }
        // A body that is awaited is asked for only when the app reads: the request is served without it.
        let is_whole = decoder.is_done();
        let optional = !is_whole && head.expect_continue && decoder.remaining().is_some();
        if !is_whole && !optional {
            return (wanted, End::Unfinished);
        }
        wanted.push(Wanted {
            method: head.method.of(rest).to_vec(),
            target: head.target.of(rest).to_vec(),
            body,
            version: head.version,
            keep_alive: head.keep_alive,
            optional,
        });
        if !is_whole {
            return (wanted, End::Unfinished);
        }
        rest = &rest[at..];
    }
    (wanted, End::Whole)
}

/// Whether a request line has come, and says HEAD.
fn is_head(head: &Head, bytes: &[u8]) -> bool {
    !head.path.is_empty() && head.method.of(bytes) == b"HEAD"
}

/// The body that the app would read.
pub fn bytes_of(request: &Request) -> Vec<u8> {
    match &request.body {
        Body::Empty | Body::Awaited | Body::Streamed => Vec::new(),
        Body::Inline { start, end } => request.buffer[*start..*end].to_vec(),
        Body::Memory(bytes) => bytes.clone(),
        Body::File(file, length) => {
            let mut bytes = vec![0; *length as usize];
            file.read_exact_at(&mut bytes, 0).expect("the body's file");
            bytes
        }
    }
}

/// Reads the answers in order; returns the status of a refusal behind them.
pub fn read_responses(mut rest: &[u8], expected: &[Expected], end: End) -> Option<u16> {
    for answer in expected {
        if answer.reset && !rest.windows(4).any(|four| four == b"\r\n\r\n") {
            return None;
        }
        let (status, fields, behind) = final_head(rest);
        assert_eq!(status, answer.status);
        let index = field(&fields, "x-index").expect("the app's field");
        assert_eq!(
            index,
            answer.index.to_string(),
            "answers come in the order of the requests"
        );
        rest = read_body(behind, &fields, answer);
        let says_close = field(&fields, "connection").as_deref() == Some("close");
        assert!(
            says_close || !answer.closes || !answer.complete,
            "the last answer says that it is the last"
        );
    }
    if behind_interim(rest).is_empty() {
        return None;
    }
    let (status, fields, behind) = final_head(rest);
    assert_eq!(field(&fields, "connection").as_deref(), Some("close"));
    let length: usize = field(&fields, "content-length")
        .and_then(|text| text.parse().ok())
        .expect("a length");
    let is_bodiless = matches!(end, End::Rejected(_, true));
    assert_eq!(
        behind.len(),
        if is_bodiless { 0 } else { length },
        "nothing follows a refusal"
    );
    Some(status)
}

fn read_body<'a>(rest: &'a [u8], fields: &[(String, String)], answer: &Expected) -> &'a [u8] {
    let chunked = field(fields, "transfer-encoding").is_some();
    let length = field(fields, "content-length").map(|text| text.parse::<usize>().expect("a length"));
    assert!(!(chunked && length.is_some()), "one framing");
    assert!(
        answer.status != 204 || !chunked && length.is_none(),
        "204 has no framing"
    );
    if answer.bodiless {
        return rest;
    }
    if chunked {
        return read_chunks(rest, answer);
    }
    match length {
        Some(length) if answer.complete => assert_eq!(length, answer.length),
        Some(length) => assert!(length > answer.length, "a broken answer is visibly short"),
        None => assert!(answer.closes, "a body without a length ends with the connection"),
    }
    let length = if answer.reset { rest.len() } else { answer.length };
    let (body, rest) = rest.split_at(length);
    assert!(body.len() <= answer.length && body == &BODY[..body.len()]);
    rest
}

fn read_chunks<'a>(mut rest: &'a [u8], answer: &Expected) -> &'a [u8] {
    let mut found = 0;
    while answer.complete || !rest.is_empty() {
        let at = rest
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .expect("a chunk's size");
        let text = std::str::from_utf8(&rest[..at]).expect("a chunk's size");
        let size = usize::from_str_radix(text, 16).expect("a chunk's size");
        rest = &rest[at + 2..];
        assert!(rest[..size] == BODY[found..found + size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
        found += size;
        if size == 0 {
            assert!(answer.complete, "a broken answer has no last chunk");
            break;
        }
    }
    assert_eq!(found, answer.length);
    rest
}

/// What stands behind interim responses.
fn behind_interim(mut rest: &[u8]) -> &[u8] {
    while let Some(behind) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
        rest = behind;
    }
    rest
}

/// The next head that is not an interim one (100 Continue).
fn final_head(rest: &[u8]) -> (u16, Vec<(String, String)>, &[u8]) {
    let rest = behind_interim(rest);
    let end = rest
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a whole head");
    let text = String::from_utf8_lossy(&rest[..end]);
    let mut lines = text.split("\r\n");
    let line = lines.next().expect("a status line");
    assert!(line.starts_with("HTTP/1.1 ") && line.as_bytes()[12] == b' ', "{line}");
    let status: u16 = line[9..12].parse().expect("a status");
    assert!(status >= 200, "{line}");
    let split = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    let fields = lines.map(|line| split(line).expect("a field")).collect();
    (status, fields, &rest[end + 4..])
}

fn field(fields: &[(String, String)], name: &str) -> Option<String> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.clone())
}
