//! How responses are framed.

use hostler_wire::http1::response::{
    chunk_header, has_body, is_field_value, is_forbidden_trailer, is_hop_by_hop, is_token, parse_length, plan,
    reason_phrase, BodyFraming, Plan,
};
use hostler_wire::http1::Version::{self, Http10, Http11};

/// The plan for a client that keeps the connection: its framing, and whether the connection lives.
fn planned(
    version: Version,
    head: bool,
    status: u16,
    declared: Option<u64>,
    known: Option<u64>,
) -> (BodyFraming, bool) {
    let Plan { framing, keep_alive } = plan(version, head, status, declared, known, true);
    (framing, keep_alive)
}

#[test]
fn a_length_is_announced_when_there_is_one() {
    for version in [Http10, Http11] {
        assert_eq!(
            planned(version, false, 200, None, Some(5)),
            (BodyFraming::Length(5), true)
        );
        assert_eq!(
            planned(version, false, 200, None, Some(0)),
            (BodyFraming::Length(0), true)
        );
        assert_eq!(
            planned(version, false, 200, Some(7), None),
            (BodyFraming::Length(7), true)
        );
        assert_eq!(
            planned(version, false, 200, Some(7), Some(5)),
            (BodyFraming::Length(7), true)
        );
    }
}

#[test]
fn without_length_only_http11_keeps_the_connection() {
    assert_eq!(planned(Http11, false, 200, None, None), (BodyFraming::Chunked, true));
    assert_eq!(
        planned(Http10, false, 200, None, None),
        (BodyFraming::UntilClose, false)
    );
}

#[test]
fn interim_responses_and_204_announce_nothing() {
    for status in [100, 101, 103, 199, 204] {
        for (declared, known) in [(None, None), (Some(5), None), (None, Some(5)), (Some(0), Some(0))] {
            assert_eq!(
                planned(Http11, false, status, declared, known),
                (BodyFraming::None, true)
            );
            assert_eq!(
                planned(Http10, true, status, declared, known),
                (BodyFraming::None, true)
            );
        }
    }
}

#[test]
fn not_modified_announces_what_the_app_declares() {
    assert_eq!(planned(Http11, false, 304, None, Some(0)), (BodyFraming::None, true));
    assert_eq!(planned(Http11, false, 304, None, None), (BodyFraming::None, true));
    assert_eq!(
        planned(Http10, true, 304, Some(9), Some(0)),
        (BodyFraming::Length(9), true)
    );
}

#[test]
fn head_announces_what_get_would() {
    assert_eq!(
        planned(Http11, true, 200, Some(9), Some(0)),
        (BodyFraming::Length(9), true)
    );
    assert_eq!(
        planned(Http11, true, 200, None, Some(5)),
        (BodyFraming::Length(5), true)
    );
    assert_eq!(planned(Http11, true, 200, None, Some(0)), (BodyFraming::None, true));
    assert_eq!(
        planned(Http11, true, 200, Some(0), None),
        (BodyFraming::Length(0), true)
    );
    assert_eq!(planned(Http11, true, 200, None, None), (BodyFraming::Chunked, true));
    assert_eq!(planned(Http10, true, 200, None, None), (BodyFraming::None, true));
}

#[test]
fn a_connection_that_closes_stays_so() {
    for (status, known) in [(200, Some(5)), (200, None), (204, None)] {
        assert!(!plan(Http11, false, status, None, known, false).keep_alive);
    }
}

#[test]
fn who_has_a_body() {
    assert!([200, 205, 206, 303, 400, 500]
        .iter()
        .all(|&status| has_body(false, status)));
    assert!(![100, 101, 199, 204, 304].iter().any(|&status| has_body(false, status)));
    assert!(!has_body(true, 200));
}

#[test]
fn tokens_and_values() {
    assert!(is_token(b"X-Name") && is_token(b"!#$%&'*+-.^_`|~9"));
    assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token("ä".as_bytes()));
    assert!(is_field_value(b"") && is_field_value(b"a\tb \xff") && is_field_value(b"a long one, of 8 and more bytes"));
    for bad in [
        &b"a\r\nb: c"[..],
        b"a\nb",
        b"\0",
        b"\x7f",
        b"quite long before it comes\r",
    ] {
        assert!(!is_field_value(bad), "{bad:?}");
    }
}

#[test]
fn hop_by_hop_names_have_no_case() {
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "PROXY-AUTHORIZATION",
        "te",
        "Trailer",
        "trailers",
    ] {
        assert!(is_hop_by_hop(name.as_bytes()), "{name}");
    }
    for name in ["Transfer-Encoding", "Upgrade", "Proxy-Connection"] {
        assert!(is_hop_by_hop(name.as_bytes()), "{name}");
    }
    for name in [
        "",
        "Date",
        "Content-Length",
        "Content-Type",
        "ETag",
        "Connections",
        "Server",
    ] {
        assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
    }
}

#[test]
fn trailers_may_not_say_what_only_a_head_can() {
    for name in [
        "Content-Length",
        "content-type",
        "HOST",
        "Trailer",
        "Keep-Alive",
        "Upgrade",
        "Authorization",
    ] {
        assert!(is_forbidden_trailer(name.as_bytes()), "{name}");
    }
    for name in ["Server-Timing", "Digest", "X-Host", "Content-MD5", "ETag"] {
        assert!(!is_forbidden_trailer(name.as_bytes()), "{name}");
    }
}

#[test]
fn lengths_fill_64_bits_and_no_more() {
    assert_eq!(parse_length(b"0"), Some(0));
    assert_eq!(parse_length(b"00000000000000000042"), Some(42));
    assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
    for bad in [
        "",
        "18446744073709551616",
        "99999999999999999999",
        "000000000000000000042",
        "+1",
        "-1",
        " 1",
        "1 ",
        "0x1",
        "1,1",
    ] {
        assert_eq!(parse_length(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn chunk_sizes_are_hexadecimal() {
    for len in [0, 1, 9, 10, 15, 16, 26, 255, 256, 4096, 65535, 1 << 20, usize::MAX] {
        let mut out = b"x".to_vec();
        chunk_header(len, &mut out);
        assert_eq!(out, format!("x{len:x}\r\n").into_bytes());
    }
}

#[test]
fn phrases() {
    assert_eq!(reason_phrase(200), "OK");
    assert_eq!(reason_phrase(413), "Content Too Large");
    assert_eq!(reason_phrase(431), "Request Header Fields Too Large");
    assert_eq!(reason_phrase(503), "Service Unavailable");
    assert_eq!(reason_phrase(299), "");
    assert_eq!(reason_phrase(499), "");
    assert!((0..1000).all(|status| is_field_value(reason_phrase(status).as_bytes())));
}
