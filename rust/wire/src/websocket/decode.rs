//! Reading a client's frames.

use super::deflate::{Deflate, Inflate};
use super::frame::{check_first, head_length, is_sendable_close_code, unmask, Head, Opcode, LONGEST};

/// What one frame and one message may hold, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Payload of one frame, as received.
    pub frame: usize,
    /// One message: all its frames, inflated.
    pub message: usize,
}

/// What a client has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole text message; the bytes are UTF-8.
    Text(Vec<u8>),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping, to be answered with the same bytes.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// The end. No code: the frame was empty (reported as 1005).
    Close {
        /// The status code, one that may stand in a frame.
        code: Option<u16>,
        /// The reason; the bytes are UTF-8.
        reason: Vec<u8>,
    },
}

/// Why a connection must be failed (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 1002, 1007 or 1009.
    pub code: u16,
    /// One plain clause, fit for the close frame.
    pub reason: &'static str,
}

impl Failure {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    pub(super) const fn data(reason: &'static str) -> Self {
        Self { code: 1007, reason }
    }

    pub(super) const fn size(reason: &'static str) -> Self {
        Self { code: 1009, reason }
    }
}

const TOO_LARGE: Failure = Failure::size("the message is larger than the limit");
const NOT_UTF8: Failure = Failure::data("a text is not UTF-8");

/// A message whose frames are coming.
#[derive(Debug)]
struct Message {
    is_text: bool,
    compressed: bool,
    bytes: Vec<u8>,
    /// So many of the bytes are whole UTF-8 characters (texts only).
    valid: usize,
}

/// The frame whose payload is coming.
#[derive(Clone, Copy, Debug)]
struct Current {
    head: Head,
    /// Bytes of the payload that have come. `seen <= head.length`.
    seen: u64,
}

/// Turns a client's bytes into events. Between messages it holds no buffer.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    deflates: bool,
    inflate: Inflate,
    /// The bytes of a head that is not whole.
    head: [u8; LONGEST],
    head_len: u8,
    current: Option<Current>,
    message: Option<Message>,
    /// Payload of a control frame.
    control: Vec<u8>,
    is_over: bool,
    /// Payload bytes of messages that have come.
    taken: u64,
}

impl Decoder {
    /// A decoder for a connection with these limits, and with permessage-deflate if it was agreed on.
    pub fn new(limits: Limits, deflate: Option<Deflate>) -> Self {
        Self {
            limits,
            deflates: deflate.is_some(),
            inflate: Inflate::new(deflate.is_none_or(|deflate| deflate.client_no_context_takeover)),
            head: [0; LONGEST],
            head_len: 0,
            current: None,
            message: None,
            control: Vec::new(),
            is_over: false,
            taken: 0,
        }
    }

    /// Payload bytes of messages that have come so far: a message that is under way makes it grow.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether no part of a message or frame has come.
    pub fn is_between_messages(&self) -> bool {
        self.head_len == 0 && self.current.is_none() && self.message.is_none()
    }

    /// Takes all of `bytes` and appends what they mean. After a failure or a close nothing more is read.
    pub fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        while let Some(event) = self.next(&mut bytes)? {
            events.push(event);
        }
        Ok(())
    }

    /// Takes bytes off the front up to the end of the next frame that means something, which may be a whole message of any
    /// length: a few compressed bytes make many. None: all bytes are taken and more are needed, or nothing more is read.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Failure> {
        while !self.is_over {
            let outcome = match self.current {
                None if bytes.is_empty() => return Ok(None),
                None => self.take_head(bytes).map(|()| None),
                Some(current) if current.seen < current.head.length => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    self.take_payload(current, bytes).map(|()| None)
                }
                Some(current) => self.end_frame(current.head),
            };
            match outcome {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(failure) => {
                    self.is_over = true;
                    self.message = None;
                    return Err(failure);
                }
            }
        }
        Ok(None)
    }

    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<(), Failure> {
        let have = usize::from(self.head_len);
        let whole = head_length(&self.head[..have]);
        let count = (whole - have).min(bytes.len());
        self.head[have..have + count].copy_from_slice(&bytes[..count]);
        *bytes = &bytes[count..];
        self.head_len += u8::try_from(count).unwrap_or(0);
        let have = have + count;
        if have < 2 {
            return Ok(());
        }
        if have < head_length(&self.head[..have]) {
            return check_first(self.head[0], self.head[1]).map(drop);
        }
        self.head_len = 0;
        let head = Head::read(&self.head[..have])?;
        self.begin_frame(head)
    }

    /// Whether a frame may stand here (RFC 6455 §5.4), and how large it may be.
    fn begin_frame(&mut self, head: Head) -> Result<(), Failure> {
        let starts = matches!(head.opcode, Opcode::Text | Opcode::Binary);
        if head.compressed && !(starts && self.deflates) {
            return Err(Failure::protocol("a reserved bit is set"));
        }
        match (head.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(Failure::protocol("a continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Failure::protocol("a message begins inside another one"));
            }
            _ => {}
        }
        if !head.opcode.is_control() {
            if head.length > self.limits.frame as u64 {
                return Err(Failure::size("the frame is larger than the limit"));
            }
            if starts {
                self.message = Some(Message {
                    is_text: head.opcode == Opcode::Text,
                    compressed: head.compressed,
                    bytes: Vec::new(),
                    valid: 0,
                });
            }
            if let Some(message) = self.message.as_ref().filter(|message| !message.compressed) {
                if message.bytes.len() as u64 + head.length > self.limits.message as u64 {
                    return Err(TOO_LARGE);
                }
            }
        }
        self.current = Some(Current { head, seen: 0 });
        Ok(())
    }

    fn take_payload(&mut self, mut current: Current, bytes: &mut &[u8]) -> Result<(), Failure> {
        let left = current.head.length - current.seen;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (part, rest) = bytes.split_at(count);
        *bytes = rest;
        // Only its last two bits matter.
        let at = usize::from(current.seen.to_le_bytes()[0]);
        current.seen += count as u64;
        self.current = Some(current);
        let mask = current.head.mask;
        let Some(message) = self.message.as_mut().filter(|_| !current.head.opcode.is_control()) else {
            unmask(part, mask, at, &mut self.control);
            return Ok(());
        };
        self.taken += count as u64;
        if message.compressed {
            let mut plain = Vec::new();
            unmask(part, mask, at, &mut plain);
            let inflated = self.inflate.push(&plain, &mut message.bytes, self.limits.message);
            message.check()?; // what came before a failure fails first, however the bytes are cut
            return inflated;
        }
        unmask(part, mask, at, &mut message.bytes);
        message.check()
    }

    fn end_frame(&mut self, head: Head) -> Result<Option<Event>, Failure> {
        self.current = None;
        if head.opcode.is_control() {
            let payload = std::mem::take(&mut self.control);
            return Ok(Some(match head.opcode {
                Opcode::Ping => Event::Ping(payload),
                Opcode::Pong => Event::Pong(payload),
                _ => {
                    self.is_over = true;
                    self.message = None;
                    read_close(&payload)?
                }
            }));
        }
        if !head.fin {
            return Ok(None);
        }
        let Some(mut message) = self.message.take() else {
            return Ok(None);
        };
        if message.compressed {
            let inflated = self.inflate.finish(&mut message.bytes, self.limits.message);
            message.check()?;
            inflated?;
        }
        if message.is_text && message.valid != message.bytes.len() {
            return Err(NOT_UTF8);
        }
        Ok(Some(if message.is_text {
            Event::Text(message.bytes)
        } else {
            Event::Binary(message.bytes)
        }))
    }
}

impl Message {
    /// A text fails at its first byte that cannot be UTF-8 (RFC 6455 §8.1), not when it is whole.
    fn check(&mut self) -> Result<(), Failure> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(_) => self.valid = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn read_close(payload: &[u8]) -> Result<Event, Failure> {
    let (code, reason) = match payload {
        [] => (None, Vec::new()),
        [_] => return Err(Failure::protocol("a close frame with half a code")),
        [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason.to_vec()),
    };
    if code.is_some_and(|code| !is_sendable_close_code(code)) {
        return Err(Failure::protocol("a close code that must not be sent"));
    }
    if std::str::from_utf8(&reason).is_err() {
        return Err(Failure::data("a close reason is not UTF-8"));
    }
    Ok(Event::Close { code, reason })
}
