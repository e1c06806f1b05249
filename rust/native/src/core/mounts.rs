//! Which app a request is for: by the start of its path, and by its protocol.

use hostler_wire::percent::Decoded;

/// One app, and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The start of the path without its last slash; empty: all paths.
    pub prefix: Vec<u8>,
    pub http: bool,
    pub websocket: bool,
    /// It is an ASGI app.
    pub on_loop: bool,
}

/// The first of `mounts` (the longest prefix comes first) that takes this path and protocol.
pub fn route(mounts: &[Mount], path: &[u8], websocket: bool) -> Option<usize> {
    mounts.iter().position(|mount| {
        let takes = if websocket { mount.websocket } else { mount.http };
        takes && is_below(&mount.prefix, path)
    })
}

/// Whether `path`, decoded, is `prefix` or lies below it. `/api` holds `/api` and `/api/x`, not `/apix`.
fn is_below(prefix: &[u8], path: &[u8]) -> bool {
    let mut rest = Decoded(path);
    prefix.iter().all(|&byte| rest.next() == Some(byte))
        && (prefix.is_empty() || matches!(rest.next(), None | Some(b'/')))
}

/// How many bytes of `path` spell `prefix`.
pub fn spelled(prefix: &[u8], path: &[u8]) -> usize {
    let mut rest = Decoded(path);
    for _ in prefix {
        rest.next();
    }
    path.len() - rest.rest().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(prefix: &str, http: bool, websocket: bool) -> Mount {
        Mount {
            prefix: prefix.as_bytes().to_vec(),
            http,
            websocket,
            on_loop: false,
        }
    }

    #[test]
    fn the_longest_prefix_that_takes_the_protocol() {
        let mounts = [
            mount("/api", true, false),
            mount("", true, false),
            mount("", false, true),
        ];
        for (path, websocket, expected) in [
            ("/", false, Some(1)),
            ("/api", false, Some(0)),
            ("/api/", false, Some(0)),
            ("/api/x", false, Some(0)),
            ("/apix", false, Some(1)),
            ("/%61pi/x", false, Some(0)),
            ("/api%2fx", false, Some(0)),
            ("/api", true, Some(2)),
            ("*", false, Some(1)),
        ] {
            assert_eq!(route(&mounts, path.as_bytes(), websocket), expected, "{path}");
        }
        assert_eq!(route(&mounts[..1], b"/", false), None);
    }

    #[test]
    fn escapes_count_as_what_they_mean() {
        assert_eq!(spelled(b"/api", b"/api/x"), 4);
        assert_eq!(spelled(b"/api", b"/%61pi/x"), 6);
        assert_eq!(Decoded(b"%4%zz%41").collect::<Vec<_>>(), b"%4%zzA");
    }
}
