//! permessage-deflate (RFC 7692): what is agreed on, and the two directions of it.
//!
//! Without context takeover a message stands for itself, so all connections of a thread share one compressor and one
//! decompressor: they cost nothing while nothing is said. With it each connection keeps its own.

use super::Failure;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// What a sender leaves out at the end of each message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Output is taken in such steps.
const STEP: usize = 4096;
/// zlib's raw deflate has no window of 8 bits.
const SMALLEST_WINDOW: u8 = 9;
const LARGEST_WINDOW: u8 = 15;

thread_local! {
    static SHARED_INFLATE: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    /// By window bits.
    static SHARED_COMPRESS: RefCell<[Option<Compress>; 16]> = const { RefCell::new([const { None }; 16]) };
}

/// The agreed parameters (RFC 7692 §7.1), or a policy to agree by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// We forget what we sent after each message.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// Our window, 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// The client's.
    pub client_max_window_bits: u8,
}

/// Answers a client's offers, the values of its Sec-WebSocket-Extensions in order: the first that can be taken, as the
/// parameters and the value of our own field. `policy`: what we want at the most.
pub fn negotiate_deflate<'a>(offers: impl Iterator<Item = &'a [u8]>, policy: Deflate) -> Option<(Deflate, String)> {
    offers
        .flat_map(|value| value.split(|&byte| byte == b','))
        .find_map(|offer| accept(offer, policy))
}

/// One offer; none: it is for another extension, malformed, or asks for what we cannot do.
fn accept(offer: &[u8], policy: Deflate) -> Option<(Deflate, String)> {
    let mut words = offer.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    if !words.next()?.eq_ignore_ascii_case(b"permessage-deflate") {
        return None;
    }
    let mut agreed = policy;
    let mut seen = [false; 4];
    for word in words {
        let (name, value) = match word.iter().position(|&byte| byte == b'=') {
            Some(at) => (word[..at].trim_ascii(), Some(unquoted(word[at + 1..].trim_ascii()))),
            None => (word, None),
        };
        let place = match name {
            b"server_no_context_takeover" => 0,
            b"client_no_context_takeover" => 1,
            b"server_max_window_bits" => 2,
            b"client_max_window_bits" => 3,
            _ => return None,
        };
        if std::mem::replace(&mut seen[place], true) {
            return None;
        }
        match (place, value) {
            (0, None) => agreed.server_no_context_takeover = true,
            (1, None) => agreed.client_no_context_takeover = true,
            (2, Some(value)) => {
                let bits = window(value)?;
                if bits < SMALLEST_WINDOW {
                    return None;
                }
                agreed.server_max_window_bits = agreed.server_max_window_bits.min(bits);
            }
            (3, None) => {}
            (3, Some(value)) => agreed.client_max_window_bits = agreed.client_max_window_bits.min(window(value)?),
            _ => return None,
        }
    }
    Some((agreed, answer(agreed, seen[3])))
}

fn answer(agreed: Deflate, may_bound_client: bool) -> String {
    let mut text = String::from("permessage-deflate");
    if agreed.server_no_context_takeover {
        text.push_str("; server_no_context_takeover");
    }
    if agreed.client_no_context_takeover {
        text.push_str("; client_no_context_takeover");
    }
    if agreed.server_max_window_bits < LARGEST_WINDOW {
        text.push_str("; server_max_window_bits=");
        text.push_str(&agreed.server_max_window_bits.to_string());
    }
    // Only to a client that says that it can (RFC 7692 §7.1.2.2).
    if may_bound_client && agreed.client_max_window_bits < LARGEST_WINDOW {
        text.push_str("; client_max_window_bits=");
        text.push_str(&agreed.client_max_window_bits.to_string());
    }
    text
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// 8 to 15, without a leading zero.
fn window(value: &[u8]) -> Option<u8> {
    let bits: u8 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let is_plain = value.first().is_some_and(|&byte| byte.is_ascii_digit() && byte != b'0');
    ((8..=LARGEST_WINDOW).contains(&bits) && is_plain).then_some(bits)
}

/// The client's direction.
pub(super) struct Inflate {
    /// It begins anew with each message.
    forgets: bool,
    own: Option<Box<Decompress>>,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inflate")
            .field("forgets", &self.forgets)
            .finish_non_exhaustive()
    }
}

impl Inflate {
    pub(super) fn new(forgets: bool) -> Self {
        Self { forgets, own: None }
    }

    /// Inflates a part of a message behind `out`, to no more than `limit` bytes in all. After a failure `out` has what came
    /// before it.
    pub(super) fn push(&mut self, part: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Failure> {
        let state = self.own.get_or_insert_with(|| {
            let spare = SHARED_INFLATE.with(|shared| shared.borrow_mut().take());
            Box::new(spare.unwrap_or_else(|| Decompress::new(false)))
        });
        inflate(state, part, out, limit)
    }

    /// The message is whole.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), Failure> {
        self.push(&TAIL, out, limit)?;
        if self.forgets {
            if let Some(mut state) = self.own.take() {
                state.reset(false);
                SHARED_INFLATE.with(|shared| *shared.borrow_mut() = Some(*state));
            }
        }
        Ok(())
    }
}

fn inflate(state: &mut Decompress, mut part: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Failure> {
    const BROKEN: Failure = Failure::data("a compressed message cannot be decompressed");
    loop {
        if out.len() == out.capacity() {
            out.reserve(STEP.max(out.len()).min(limit.saturating_sub(out.len()) + 1));
        }
        let before = state.total_in();
        let outcome = state.decompress_vec(part, out, FlushDecompress::Sync);
        let taken = usize::try_from(state.total_in() - before).unwrap_or(0);
        part = &part[taken.min(part.len())..];
        if out.len() > limit {
            out.truncate(limit); // how much more there is depends on the cuts
            return Err(Failure::size("the message is larger than the limit"));
        }
        let status = outcome.map_err(|_| BROKEN)?;
        if status == Status::StreamEnd {
            state.reset(false); // a final block inside a message is legal (RFC 7692 §7.2.3.4)
        } else if taken == 0 && !part.is_empty() && out.len() < out.capacity() {
            return Err(BROKEN);
        }
        if part.is_empty() && out.len() < out.capacity() {
            return Ok(());
        }
    }
}

/// Our direction.
pub(super) struct Compressor {
    bits: u8,
    forgets: bool,
    own: Option<Box<Compress>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Compressor")
            .field("bits", &self.bits)
            .finish_non_exhaustive()
    }
}

impl Compressor {
    pub(super) fn new(deflate: Deflate) -> Self {
        Self {
            bits: deflate.server_max_window_bits.clamp(SMALLEST_WINDOW, LARGEST_WINDOW),
            forgets: deflate.server_no_context_takeover,
            own: None,
        }
    }

    pub(super) fn keeps_context(&self) -> bool {
        !self.forgets
    }

    /// One whole message, without the tail.
    pub(super) fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        let bits = self.bits;
        let fresh = || Compress::new_with_window_bits(Compression::fast(), false, bits);
        if !self.forgets {
            return deflate(self.own.get_or_insert_with(|| Box::new(fresh())), payload);
        }
        SHARED_COMPRESS.with(|shared| {
            let mut shared = shared.borrow_mut();
            let state = shared[usize::from(bits)].get_or_insert_with(fresh);
            let packed = deflate(state, payload);
            state.reset();
            packed
        })
    }
}

fn deflate(state: &mut Compress, mut payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() / 2 + 64);
    loop {
        let before = state.total_in();
        // Deflating memory into memory fails only for a wrong order of calls.
        let _ = state.compress_vec(payload, &mut out, FlushCompress::Sync);
        let taken = usize::try_from(state.total_in() - before).unwrap_or(0);
        payload = &payload[taken.min(payload.len())..];
        if payload.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(out.capacity().max(STEP));
    }
    if out.ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    if out.is_empty() {
        out.push(0); // an empty message is one empty block (RFC 7692 §7.2.3.6)
    }
    out
}
