//! Writing our frames: whole messages, each in one frame.

use super::deflate::{Compressor, Deflate};
use super::frame::{write_head, Opcode, CONTROL};

/// Shorter messages are sent as they are: the compressed form would hardly be shorter.
const WORTH_IT: usize = 64;

/// Writes messages, compressed where that was agreed on.
#[derive(Debug)]
pub struct Encoder {
    compressor: Option<Compressor>,
}

impl Encoder {
    /// An encoder for a connection, with permessage-deflate if it was agreed on.
    pub fn new(deflate: Option<Deflate>) -> Self {
        Self {
            compressor: deflate.map(Compressor::new),
        }
    }

    /// Appends a text message; `payload` must be UTF-8.
    pub fn text(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.message(Opcode::Text, payload, out);
    }

    /// Appends a binary message.
    pub fn binary(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.message(Opcode::Binary, payload, out);
    }

    fn message(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        if let Some(compressor) = self.compressor.as_mut().filter(|_| payload.len() >= WORTH_IT) {
            let packed = compressor.compress(payload);
            // With a context the other side needs every message as it went in here.
            if packed.len() < payload.len() || compressor.keeps_context() {
                write_head(opcode, true, packed.len(), out);
                return out.extend_from_slice(&packed);
            }
        }
        write_head(opcode, false, payload.len(), out);
        out.extend_from_slice(payload);
    }
}

/// Appends a ping; of `payload` no more than 125 bytes.
pub fn ping(payload: &[u8], out: &mut Vec<u8>) {
    control(Opcode::Ping, payload, out);
}

/// Appends a pong; of `payload` no more than 125 bytes.
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    control(Opcode::Pong, payload, out);
}

/// Appends a close frame; `reason` must be UTF-8 and is cut to what fits, between characters. Without a code the frame
/// is empty.
pub fn close(code: Option<u16>, reason: &[u8], out: &mut Vec<u8>) {
    let Some(code) = code else {
        return control(Opcode::Close, b"", out);
    };
    let mut end = reason.len().min(CONTROL - 2);
    while end < reason.len() && end > 0 && reason[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason[..end]);
    control(Opcode::Close, &payload, out);
}

fn control(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL)];
    write_head(opcode, false, payload.len(), out);
    out.extend_from_slice(payload);
}
