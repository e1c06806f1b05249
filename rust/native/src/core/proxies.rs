//! What proxies in front say of a request: its real client, and how that reached them.

use super::request::Request;
use crate::sys::Peer;

/// Who asked, and for what, once proxies have been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub client: Peer,
    pub https: bool,
    pub host: Option<Vec<u8>>,
    pub server: Option<(String, u16)>,
}

impl Settled {
    pub fn of(request: &Request) -> Self {
        Self {
            client: request.peer,
            https: false,
            host: None,
            server: None,
        }
    }
}
