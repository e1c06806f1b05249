//! RFC 6455 §5 to §7 and RFC 7692, rule by rule.

#![allow(clippy::cast_possible_truncation)] // lengths that were looked at

use super::*;

const LIMITS: Limits = Limits {
    frame: 100_000,
    message: 100_000,
};
const BOTH_FORGET: Deflate = Deflate {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const TAKEOVER: Deflate = Deflate {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// A masked frame; `first`: FIN, RSV and opcode as they stand in its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn read_with(deflate: Option<Deflate>, bytes: &[u8]) -> (Vec<Event>, Result<(), Failure>) {
    let mut events = Vec::new();
    let result = Decoder::new(LIMITS, deflate).feed(bytes, &mut events);
    (events, result)
}

fn read(bytes: &[u8]) -> (Vec<Event>, Result<(), Failure>) {
    read_with(None, bytes)
}

fn code_of(bytes: &[u8]) -> u16 {
    let (_, result) = read(bytes);
    result.expect_err("this must fail").code
}

fn text(text: &str) -> Event {
    Event::Text(text.as_bytes().to_vec())
}

#[test]
fn the_examples_of_rfc_6455_5_7() {
    let (events, result) = read(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    assert_eq!((events, result), (vec![text("Hello")], Ok(())));
    let mut out = Vec::new();
    Encoder::new(None).text(b"Hello", &mut out);
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    out.clear();
    pong(b"Hello", &mut out);
    assert_eq!(out, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    for (length, head) in [
        (256, &[0x82, 0x7e, 1, 0][..]),
        (65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        out.clear();
        Encoder::new(None).binary(&vec![7; length], &mut out);
        assert_eq!(&out[..head.len()], head);
        assert_eq!(out.len(), head.len() + length);
    }
}

#[test]
fn the_examples_of_rfc_7692_7_2_3() {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let (events, result) = read_with(Some(TAKEOVER), &frame(0xc1, hello));
    assert_eq!((events, result), (vec![text("Hello")], Ok(())), "7.2.3.1, one frame");
    let split = [frame(0x41, &hello[..3]), frame(0x80, &hello[3..])].concat();
    assert_eq!(
        read_with(Some(TAKEOVER), &split).0,
        [text("Hello")],
        "7.2.3.1, two frames"
    );
    let again = [frame(0xc1, hello), frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])].concat();
    assert_eq!(
        read_with(Some(TAKEOVER), &again).0,
        [text("Hello"), text("Hello")],
        "7.2.3.2, a context"
    );
    let stored: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(
        read_with(Some(TAKEOVER), &frame(0xc1, stored)).0,
        [text("Hello")],
        "7.2.3.3, not compressed"
    );
    let last: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(
        read_with(Some(TAKEOVER), &frame(0xc1, last)).0,
        [text("Hello")],
        "7.2.3.4, a final block"
    );
    let blocks: &[u8] = &[
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(
        read_with(Some(TAKEOVER), &frame(0xc1, blocks)).0,
        [text("Hello")],
        "7.2.3.5, two blocks"
    );
    assert_eq!(
        read_with(Some(TAKEOVER), &frame(0xc1, &[0])).0,
        [text("")],
        "7.2.3.6, nothing"
    );
}

#[test]
fn what_breaks_the_protocol() {
    for (bytes, why) in [
        (vec![0x81, 0x05, b'H', b'e', b'l', b'l', b'o'], "not masked"),
        (frame(0xa1, b""), "RSV2"),
        (frame(0x91, b""), "RSV3"),
        (frame(0xc1, b""), "RSV1 without an extension"),
        (frame(0x83, b""), "opcode 3"),
        (frame(0x8b, b""), "opcode 11"),
        (frame(0x09, b""), "a ping in fragments"),
        (frame(0x89, &[0; 126]), "a ping of 126 bytes"),
        (frame(0x80, b"x"), "a continuation of nothing"),
        (
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            "a message inside a message",
        ),
        (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], "125 in 16 bits"),
        (
            vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
            "65535 in 64 bits",
        ),
        (
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "a length of 64 bits",
        ),
        (frame(0x88, &[3]), "half a close code"),
    ] {
        assert_eq!(code_of(&bytes), 1002, "{why}");
    }
    let (_, result) = read_with(Some(TAKEOVER), &[frame(0x41, b""), frame(0xc0, b"")].concat());
    assert_eq!(result.expect_err("RSV1 in a continuation").code, 1002);
    let (_, result) = read_with(Some(TAKEOVER), &frame(0xc9, b""));
    assert_eq!(result.expect_err("RSV1 in a ping").code, 1002);
}

#[test]
fn control_frames_stand_between_fragments() {
    let bytes = [
        frame(0x01, b"Hel"),
        frame(0x89, b"p"),
        frame(0x8a, b""),
        frame(0x80, b"lo"),
    ]
    .concat();
    let expected = vec![Event::Ping(b"p".to_vec()), Event::Pong(Vec::new()), text("Hello")];
    assert_eq!(read(&bytes), (expected, Ok(())));
}

#[test]
fn close_codes() {
    for code in (0..=5000).chain([65535]) {
        let mut payload = u16::to_be_bytes(code).to_vec();
        payload.extend(b"why");
        let (events, result) = read(&frame(0x88, &payload));
        if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            let expected = Event::Close {
                code: Some(code),
                reason: b"why".to_vec(),
            };
            assert_eq!((events, result), (vec![expected], Ok(())));
        } else {
            assert_eq!(result.expect_err("a code that must not be sent").code, 1002, "{code}");
        }
    }
    let nothing = Event::Close {
        code: None,
        reason: Vec::new(),
    };
    assert_eq!(read(&frame(0x88, b"")), (vec![nothing], Ok(())));
    assert_eq!(code_of(&frame(0x88, b"\x03\xe8\xff")), 1007);
}

#[test]
fn nothing_is_read_behind_a_close() {
    let (events, result) = read(&[frame(0x88, b""), frame(0x81, b"x"), vec![0xff; 9]].concat());
    assert_eq!((events.len(), result), (1, Ok(())));
}

#[test]
fn texts_fail_at_their_first_bad_byte() {
    let whole = "κόσμε\u{10ffff}".as_bytes();
    for cut in 0..whole.len() {
        let bytes = [frame(0x01, &whole[..cut]), frame(0x80, &whole[cut..])].concat();
        assert_eq!(read(&bytes).0, [Event::Text(whole.to_vec())], "{cut}");
    }
    for bad in [
        &b"\xc0\xaf"[..],
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xff",
        b"a\xe2\x28",
    ] {
        assert_eq!(code_of(&frame(0x81, bad)), 1007, "{bad:?}");
        // The message is not whole, but can't become a text any more.
        let mut first = frame(0x01, &[b"good ", bad, b" rest"].concat());
        first.truncate(first.len() - 3);
        assert_eq!(code_of(&first), 1007, "{bad:?} early");
    }
    assert_eq!(code_of(&frame(0x81, b"\xe2\x82")), 1007, "cut short");
    assert!(read(&frame(0x82, b"\xff")).1.is_ok(), "binary may hold anything");
}

#[test]
fn limits_count_before_the_bytes_are_there() {
    let limits = Limits {
        frame: 1000,
        message: 1500,
    };
    let fails = |bytes: &[u8], deflate| {
        let result = Decoder::new(limits, deflate).feed(bytes, &mut Vec::new());
        result.expect_err("past a limit").code
    };
    assert_eq!(fails(&frame(0x82, &[0; 1001])[..8], None), 1009);
    let two = [frame(0x02, &[0; 1000]), frame(0x80, &[0; 501])[..8].to_vec()].concat();
    assert_eq!(fails(&two, None), 1009);
    let mut bomb = Vec::new();
    Encoder::new(Some(BOTH_FORGET)).binary(&vec![0; 2_000_000], &mut bomb);
    let payload = &bomb[4..];
    assert!(payload.len() < 60_000);
    let mut decoder = Decoder::new(
        Limits {
            frame: 100_000,
            message: 1500,
        },
        Some(BOTH_FORGET),
    );
    let failure = decoder
        .feed(&frame(0xc2, payload), &mut Vec::new())
        .expect_err("a bomb");
    assert_eq!(failure.code, 1009);
}

#[test]
fn broken_compression_is_bad_data() {
    for bad in [
        &[0xff, 0xff, 0xff][..],
        &[0x06],
        &[0x00, 0x05, 0x00, 0xfa, 0xfe, 1, 2, 3, 4, 5],
    ] {
        let (_, result) = read_with(Some(TAKEOVER), &frame(0xc2, bad));
        assert_eq!(result.expect_err("not deflate").code, 1007, "{bad:?}");
    }
}

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

/// Which of two faults a message fails by must not depend on the cuts: the first one counts.
#[test]
fn the_first_fault_counts_however_it_is_cut() {
    // A stored block (RFC 1951 §3.2.4) of one byte that no UTF-8 has, then a block of the type that there is not.
    let twice = [0b000, 1, 0, 0xfe, 0xff, 0xff, 0b111];
    // A stored block of good text that is larger than the limit, then the same.
    let mut long = vec![0b000, 0xff, 0xff, 0, 0];
    long.extend(std::iter::repeat_n(b'a', 0xffff));
    let long = [&long[..], &long[..], &[0b111]].concat();
    for (payload, code) in [(&twice[..], 1007), (&long[..], 1009)] {
        let limits = Limits {
            frame: 1 << 20,
            ..LIMITS
        };
        let bytes = frame(0xc1, payload);
        let read = |step: usize| {
            let (mut decoder, mut events) = (Decoder::new(limits, Some(TAKEOVER)), Vec::new());
            let failed = bytes
                .chunks(step)
                .find_map(|piece| decoder.feed(piece, &mut events).err());
            (events, failed)
        };
        let whole = read(usize::MAX);
        assert_eq!(whole.1.map(|failure| failure.code), Some(code));
        for step in [1, 2, 7, 4096] {
            assert_eq!(read(step), whole);
        }
    }
}

/// What an encoder wrote, as a client would send it.
fn as_client(mut ours: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while !ours.is_empty() {
        let (length, head) = match ours[1] {
            126 => (usize::from(u16::from_be_bytes([ours[2], ours[3]])), 4),
            127 => (
                u64::from_be_bytes(ours[2..10].try_into().expect("eight bytes")) as usize,
                10,
            ),
            short => (usize::from(short), 2),
        };
        out.extend(frame(ours[0], &ours[head..head + length]));
        ours = &ours[head + length..];
    }
    out
}

#[test]
fn any_split_gives_the_same_events() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..300 {
        let deflate = [None, Some(BOTH_FORGET), Some(TAKEOVER)][round % 3];
        let mut encoder = Encoder::new(deflate);
        let (mut ours, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(6) {
            let length = [0, 1, 100, 125, 126, 700, 66_000][dice.below(7)];
            let payload: Vec<u8> = (0..length).map(|at| b"abc \n"[(at * at / 7 + round) % 5]).collect();
            match dice.below(3) {
                0 => {
                    encoder.text(&payload, &mut ours);
                    expected.push(Event::Text(payload));
                }
                1 => {
                    encoder.binary(&payload, &mut ours);
                    expected.push(Event::Binary(payload));
                }
                _ => {
                    ping(&payload, &mut ours);
                    expected.push(Event::Ping(payload[..payload.len().min(125)].to_vec()));
                }
            }
        }
        let mut bytes = as_client(&ours);
        if dice.below(3) == 0 {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            let (events, result) = read_with(deflate, &bytes);
            assert_eq!(read_in_pieces(deflate, &bytes, &mut dice), (events, result));
            continue;
        }
        assert_eq!(read_in_pieces(deflate, &bytes, &mut dice), (expected, Ok(())));
    }
}

fn read_in_pieces(deflate: Option<Deflate>, mut bytes: &[u8], dice: &mut Dice) -> (Vec<Event>, Result<(), Failure>) {
    let mut decoder = Decoder::new(LIMITS, deflate);
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let count = match dice.below(3) {
            0 => 1,
            1 => 1 + dice.below(20),
            _ => 1 + dice.below(bytes.len()),
        };
        let (piece, rest) = bytes.split_at(count.min(bytes.len()));
        bytes = rest;
        if let Err(failure) = decoder.feed(piece, &mut events) {
            return (events, Err(failure));
        }
    }
    (events, Ok(()))
}

#[test]
fn offers_are_answered() {
    let answer = |offers: &[&str], policy| {
        let answer = negotiate_deflate(offers.iter().map(|offer| offer.as_bytes()), policy);
        answer.map(|(_, text)| text)
    };
    let plain = Some("permessage-deflate".to_owned());
    assert_eq!(answer(&["permessage-deflate"], TAKEOVER), plain);
    assert_eq!(answer(&["permessage-deflate; client_max_window_bits"], TAKEOVER), plain);
    assert_eq!(
        answer(&["permessage-deflate"], BOTH_FORGET).as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    assert_eq!(
        answer(
            &["x-other, permessage-deflate; server_max_window_bits=\"10\"; client_max_window_bits=9"],
            TAKEOVER
        )
        .as_deref(),
        Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=9")
    );
    for bad in [
        "permessage-deflate; server_max_window_bits=8", // zlib cannot
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
        "permessage-bzip2",
        "",
    ] {
        assert_eq!(answer(&[bad], TAKEOVER), None, "{bad}");
        let with_fallback = format!("{bad}, permessage-deflate");
        assert_eq!(answer(&[&with_fallback], TAKEOVER), plain, "{bad}");
    }
}

#[test]
fn windows_bound_what_is_packed() {
    for bits in 9..=15 {
        let deflate = Deflate {
            server_max_window_bits: bits,
            ..TAKEOVER
        };
        let mut out = Vec::new();
        let payload: Vec<u8> = (0..50_000u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut encoder = Encoder::new(Some(deflate));
        encoder.binary(&payload, &mut out);
        encoder.binary(&payload, &mut out);
        let (events, result) = read_with(Some(TAKEOVER), &as_client(&out));
        assert_eq!((events.len(), result), (2, Ok(())), "{bits}");
    }
}

#[test]
fn close_reasons_are_cut_between_characters() {
    let mut out = Vec::new();
    close(Some(1001), "ü".repeat(70).as_bytes(), &mut out);
    assert_eq!(out.len(), 2 + 2 + 122);
    assert_eq!(&out[..4], &[0x88, 124, 3, 0xe9]);
    out.clear();
    close(None, b"ignored", &mut out);
    assert_eq!(out, [0x88, 0]);
}
