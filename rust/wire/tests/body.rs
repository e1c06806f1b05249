//! Bodies in pieces, and their budgets. What is malformed is in the vectors.

use hostler_wire::http1::{BodyDecoder, Framing, Limits, Reject, Step};

const LIMITS: Limits = Limits {
    request_line: 0,
    head: 64,
    fields: 2,
    body: 20,
};

fn decoder(framing: Framing) -> BodyDecoder {
    BodyDecoder::new(framing, &LIMITS).expect("within the limit")
}

/// Steps until done, or until all is consumed: the data, the rest of the input, whether it is done.
fn decode(input: &[u8]) -> Result<(Vec<u8>, &[u8], bool), Reject> {
    let mut body = decoder(Framing::Chunked);
    let (mut data, mut rest) = (Vec::new(), input);
    while !rest.is_empty() && !body.is_done() {
        let step = body.step(rest)?;
        data.extend_from_slice(&rest[step.data]);
        rest = &rest[step.consumed..];
    }
    Ok((data, rest, body.is_done()))
}

fn status(input: &[u8]) -> u16 {
    decode(input).expect_err("a bad body").status
}

#[allow(clippy::unnecessary_wraps)] // What it is compared with.
fn step(consumed: usize, data: std::ops::Range<usize>, done: bool) -> Result<Step, Reject> {
    Ok(Step { consumed, data, done })
}

#[test]
fn no_body_is_done_before_it_starts() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut body = decoder(framing);
        assert!(body.is_done());
        assert_eq!(body.remaining(), Some(0));
        assert_eq!(body.step(b"GET /"), step(0, 0..0, true));
    }
}

#[test]
fn a_counted_body_ends_at_its_length() {
    let mut body = decoder(Framing::Length(5));
    assert_eq!(body.step(b"he"), step(2, 0..2, false));
    assert_eq!(body.remaining(), Some(3));
    assert_eq!(body.step(b""), step(0, 0..0, false));
    assert_eq!(body.step(b"lloGET /"), step(3, 0..3, true));
    assert!(body.is_done());
}

#[test]
fn a_counted_body_may_pass_by() {
    let mut body = decoder(Framing::Length(5));
    body.advance(0);
    body.advance(4);
    assert_eq!((body.remaining(), body.is_done()), (Some(1), false));
    body.advance(1);
    assert_eq!((body.remaining(), body.is_done()), (Some(0), true));
}

#[test]
fn a_chunked_body_is_its_data() {
    assert_eq!(
        decode(b"5\r\nhello\r\n3;a\r\n it\r\n0\r\nX: 1\r\n\r\nGET"),
        Ok((b"hello it".to_vec(), &b"GET"[..], true))
    );
    assert_eq!(decoder(Framing::Chunked).remaining(), None);
}

#[test]
fn a_step_takes_framing_then_data() {
    let mut body = decoder(Framing::Chunked);
    assert_eq!(body.step(b"5\r"), step(2, 2..2, false));
    assert_eq!(body.step(b"\nhel"), step(4, 1..4, false));
    assert_eq!(body.step(b"lo\r\n0\r\n\r\n"), step(2, 0..2, false));
    assert_eq!(body.step(b"\r\n0\r\n\r\nGET"), step(7, 7..7, true));
}

#[test]
fn an_error_stays() {
    let mut body = decoder(Framing::Chunked);
    let first = body.step(b"x").expect_err("no size");
    assert_eq!(body.step(b"x"), Err(first));
}

#[test]
fn a_declared_length_is_refused_before_a_byte_is_read() {
    let declared = |length| {
        BodyDecoder::new(Framing::Length(length), &LIMITS)
            .map(|_| ())
            .map_err(|reject| reject.status)
    };
    assert_eq!(declared(20), Ok(()));
    assert_eq!(declared(21), Err(413));
    assert_eq!(declared(u64::MAX), Err(413));
}

#[test]
fn chunks_are_limited_together_and_before_their_data() {
    assert_eq!(
        decode(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n").map(|(data, ..)| data.len()),
        Ok(20)
    );
    assert_eq!(status(b"a\r\n0123456789\r\nb\r"), 413);
    assert_eq!(status(b"15\r"), 413);
    assert_eq!(status(b"FFFFFFFFFFFFFFFF\r"), 413);
    assert_eq!(status(b"1\r\na\r\nFFFFFFFFFFFFFFFF\r"), 413);
}

#[test]
fn without_a_limit_the_largest_size_still_does_not_wrap() {
    let limits = Limits {
        body: u64::MAX,
        ..LIMITS
    };
    let mut body = BodyDecoder::new(Framing::Chunked, &limits).expect("no length yet");
    assert_eq!(body.step(b"FFFFFFFFFFFFFFFE\r\nab"), step(20, 18..20, false));
    let mut body = BodyDecoder::new(Framing::Chunked, &limits).expect("no length yet");
    let step = body.step(b"1\r\na").expect("one byte");
    assert_eq!(step.consumed, 4);
    assert_eq!(
        body.step(b"\r\nFFFFFFFFFFFFFFFF\r\n").expect_err("2^64 in all").status,
        413
    );
}

#[test]
fn a_size_has_sixteen_digits() {
    assert_eq!(
        decode(b"0000000000000001\r\na").map(|(data, ..)| data),
        Ok(b"a".to_vec())
    );
    assert_eq!(status(b"00000000000000001"), 400);
}

#[test]
fn extensions_have_a_budget_for_the_line_and_for_the_body() {
    let chunk = |bytes: usize| format!("1;{}\r\na\r\n", "x".repeat(bytes - 1)).into_bytes();
    assert!(decode(&chunk(255)).is_ok());
    assert_eq!(status(&chunk(256)), 400);
    // 16 lines of 255 bytes leave 16 of the 4096.
    assert!(decode(&[chunk(255).repeat(16), chunk(16)].concat()).is_ok());
    assert_eq!(status(&[chunk(255).repeat(16), chunk(17)].concat()), 400);
}

#[test]
fn trailers_have_the_budget_of_a_head() {
    let trailers = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "x".repeat(bytes - 6)).into_bytes();
    assert_eq!(decode(&trailers(64)).map(|(.., done)| done), Ok(true));
    assert_eq!(status(&trailers(65)), 431);
    assert!(decode(b"0\r\nA: 1\r\nB: 2\r\n\r\n").is_ok());
    assert_eq!(status(b"0\r\nA: 1\r\nB: 2\r\nC"), 431);
}

#[test]
fn a_trailer_that_only_a_header_may_be_is_refused_at_its_colon() {
    assert_eq!(decode(b"0\r\nHost").map(|(.., done)| done), Ok(false));
    assert_eq!(status(b"0\r\nHost:"), 400);
    assert_eq!(status(b"0\r\nA: 1\r\ncontent-LENGTH:"), 400);
    assert!(decode(b"0\r\nHos: 1\r\nt: 2\r\n\r\n").is_ok(), "one name, not two");
}

#[test]
fn a_decoder_is_small() {
    // One in each connection, idle ones included.
    assert!(std::mem::size_of::<BodyDecoder>() <= 48);
}
