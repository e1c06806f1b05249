//! The head of a frame (RFC 6455 §5.2).

use super::Failure;

/// The longest head: two bytes, a length of eight, a mask of four.
pub(super) const LONGEST: usize = 14;
/// The longest payload of a control frame (RFC 6455 §5.5).
pub(super) const CONTROL: usize = 125;

/// What a frame is (RFC 6455 §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    pub(super) fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A frame's head from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub fin: bool,
    /// RSV1: the message is compressed (RFC 7692 §6).
    pub compressed: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    pub length: u64,
}

/// Bytes of the head that begins with `bytes`; as far as can be told, so ask again when they are there.
pub(super) fn head_length(bytes: &[u8]) -> usize {
    match bytes {
        [_, second, ..] => match second & 0x7f {
            126 => 8,
            127 => LONGEST,
            _ => 6,
        },
        _ => 2,
    }
}

/// Checks what the first two bytes tell: a client that does not mask may never send the rest that a mask would need.
pub(super) fn check_first(first: u8, second: u8) -> Result<Opcode, Failure> {
    if first & 0x30 != 0 {
        return Err(Failure::protocol("a reserved bit is set"));
    }
    let Some(opcode) = Opcode::of(first & 0x0f) else {
        return Err(Failure::protocol("a reserved opcode"));
    };
    if second & 0x80 == 0 {
        return Err(Failure::protocol("a frame of a client is not masked"));
    }
    if opcode.is_control() && (first & 0x80 == 0 || usize::from(second & 0x7f) > CONTROL) {
        return Err(Failure::protocol("a control frame that is fragmented or too long"));
    }
    Ok(opcode)
}

impl Head {
    /// Reads a whole head of [`head_length`] bytes, and checks all that it tells by itself.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let (first, second) = (bytes[0], bytes[1]);
        let opcode = check_first(first, second)?;
        let (length, shortest) = match second & 0x7f {
            126 => (number(&bytes[2..4]), 126),
            127 => (number(&bytes[2..10]), 1 << 16),
            short => (u64::from(short), 0),
        };
        if length < shortest || length >> 63 != 0 {
            return Err(Failure::protocol("a length that is not written in the shortest way"));
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&bytes[bytes.len() - 4..]);
        Ok(Self {
            fin: first & 0x80 != 0,
            compressed: first & 0x40 != 0,
            opcode,
            mask,
            length,
        })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Appends the head of one of our frames: final and not masked.
pub(super) fn write_head(opcode: Opcode, compressed: bool, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | u8::from(compressed) << 6 | opcode.bits());
    match length {
        0..=125 => out.push(length.to_le_bytes()[0]),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes()[size_of::<usize>() - 2..]);
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends `bytes` without their mask, which began `at` bytes before them.
pub(super) fn unmask(bytes: &[u8], mask: [u8; 4], at: usize, out: &mut Vec<u8>) {
    let turned = [0, 1, 2, 3].map(|index| mask[(at + index) % 4]);
    let wide = u64::from(u32::from_ne_bytes(turned));
    let wide = wide | wide << 32;
    out.reserve(bytes.len());
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        out.extend_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    let rest = chunks.remainder().iter().zip(turned.iter().cycle());
    out.extend(rest.map(|(byte, key)| byte ^ key));
}

/// Whether an endpoint may send this code in a close frame (RFC 6455 §7.4, IANA's registry): 1005, 1006 and 1015 never
/// stand in one, 1004 and those without a meaning must not.
pub fn is_sendable_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
