//! Any bytes as a client's frames: no panic, no verdict that depends on the cuts, no limit passed, and what the encoder
//! writes comes back as it went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use hostler_wire::websocket::{Decoder, Deflate, Encoder, Event, Failure, Limits};

const LIMITS: Limits = Limits {
    frame: 4096,
    message: 8192,
};

fn agreed(byte: u8) -> Option<Deflate> {
    (byte & 1 != 0).then(|| Deflate {
        server_no_context_takeover: byte & 2 != 0,
        client_no_context_takeover: byte & 4 != 0,
        server_max_window_bits: 9 + byte / 32 % 7,
        client_max_window_bits: 15,
    })
}

fn read(deflate: Option<Deflate>, bytes: &[u8], step: usize) -> (Vec<Event>, Result<(), Failure>) {
    let mut decoder = Decoder::new(LIMITS, deflate);
    let mut events = Vec::new();
    for piece in bytes.chunks(step) {
        if let Err(failure) = decoder.feed(piece, &mut events) {
            return (events, Err(failure));
        }
    }
    (events, Ok(()))
}

/// Frames of ours, masked as a client would.
fn masked(mut ours: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, second, rest @ ..] = ours {
        let (length, extra) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            short => (usize::from(*short), 0),
        };
        let mask = [1, 2, 3, 4];
        out.extend([*first, 0x80 | second]);
        out.extend(&rest[..extra]);
        out.extend(mask);
        let payload = &rest[extra..extra + length];
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        ours = &rest[extra + length..];
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let [choice, step, bytes @ ..] = data else { return };
    let deflate = agreed(*choice);
    let whole = read(deflate, bytes, usize::MAX);
    assert_eq!(whole, read(deflate, bytes, 1 + usize::from(*step)));
    for event in &whole.0 {
        match event {
            Event::Text(text) => assert!(text.len() <= LIMITS.message && std::str::from_utf8(text).is_ok()),
            Event::Binary(bytes) => assert!(bytes.len() <= LIMITS.message),
            Event::Ping(bytes) | Event::Pong(bytes) => assert!(bytes.len() <= 125),
            Event::Close { reason, .. } => assert!(std::str::from_utf8(reason).is_ok()),
        }
    }
    let (mut encoder, mut ours, mut wanted) = (Encoder::new(deflate), Vec::new(), Vec::new());
    for message in bytes.chunks(1 + usize::from(*step) * 5).take(8) {
        encoder.binary(message, &mut ours);
        wanted.push(Event::Binary(message.to_vec()));
    }
    // What we compress, a client that has agreed to the same may send.
    let back = deflate.map(|deflate| Deflate {
        client_no_context_takeover: deflate.server_no_context_takeover,
        ..deflate
    });
    assert_eq!(read(back, &masked(&ours), 1 + usize::from(*step)), (wanted, Ok(())));
});
