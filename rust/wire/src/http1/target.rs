//! The four forms of a request target (RFC 9112 §3.2).

use super::head::{Head, Span};
use super::{host, Reject};
use memchr::{memchr, memchr2};

/// Fills path, query and authority from the target; its bytes are known to be in the class TARGET.
pub(super) fn split(bytes: &[u8], head: &mut Head) -> Result<(), Reject> {
    let target = head.target.of(bytes);
    let method = head.method.of(bytes);
    if method == b"CONNECT" {
        return Err(Reject::new(501, "CONNECT is for proxies"));
    }
    if target[0] == b'/' {
        let start = head.target.start as usize;
        split_query(bytes, start, head);
        return Ok(());
    }
    if target == b"*" {
        if method != b"OPTIONS" {
            return Err(Reject::bad("the target * is for OPTIONS only"));
        }
        head.path = head.target;
        head.query = Span::new(head.target.end as usize, head.target.end as usize);
        return Ok(());
    }
    absolute(bytes, head)
}

/// origin-form, or what follows the authority of an absolute-form: absolute-path \[ "?" query \].
fn split_query(bytes: &[u8], start: usize, head: &mut Head) {
    let end = head.target.end as usize;
    let path_end = memchr(b'?', &bytes[start..end]).map_or(end, |mark| start + mark);
    head.path = Span::new(start, path_end);
    head.query = Span::new((path_end + 1).min(end), end);
}

/// absolute-form (RFC 9112 §3.2.2), which a server must understand though only proxies are sent it.
fn absolute(bytes: &[u8], head: &mut Head) -> Result<(), Reject> {
    let target = head.target.of(bytes);
    let Some(authority) = scheme_len(target) else {
        return Err(Reject::bad("the target is neither a path nor an http URL"));
    };
    let rest = &target[authority..];
    let len = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    // An empty host is none either (RFC 9110 §4.2.1).
    if !host::is_authority(&rest[..len]) {
        return Err(Reject::bad("not a host in the request target"));
    }
    let start = head.target.start as usize + authority;
    let path = start + len;
    head.authority = Some(Span::new(start, path));
    split_query(bytes, path, head);
    if head.path.is_empty() {
        // An empty path means "/" (RFC 9110 §4.2.3); the slash before the authority lends its byte.
        head.path = Span::new(start - 1, start);
    }
    Ok(())
}

/// Bytes up to the authority of an http or https URL; schemes have no case (RFC 3986 §3.1).
fn scheme_len(target: &[u8]) -> Option<usize> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    schemes
        .iter()
        .find(|scheme| target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
        .map(|scheme| scheme.len())
}
